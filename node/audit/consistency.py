"""Two views of one history: whether the log of finalised rounds in one is the beginning of the other's (DAG-9).

A view is all its rounds, or only the head of the log that somebody signed. Of two whole views the first round in which
they differ is named; a head alone is compared with the root over as many rounds of the other.
Source: RFC 6962, sections 2.1.2 and 2.1.4.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dag.errors import ProofFailed
from dag.proofs.merkle import ConsistencyProof, consistency_proof, root, verify_consistency
from node.audit.report import EXIT_CODES

if TYPE_CHECKING:
    from dag.proofs.checkpoint import RoundRecord
    from node.audit.report import Verdict


@dataclass(frozen=True)
class LogView:
    """The log of finalised rounds as one source has it."""

    where: str
    """The source, for people."""
    consortium: bytes
    size: int
    """Rounds in it."""
    root: bytes
    """Merkle root (32 bytes) over their leaves."""
    records: tuple[RoundRecord, ...] | None = None
    """What each round's checkpoint says, ascending; None where only the head is known."""

    @classmethod
    def of(cls, where: str, consortium: bytes, records: tuple[RoundRecord, ...]) -> LogView:
        """The view of a source that has all rounds."""
        return cls(where, consortium, len(records), root([record.leaf for record in records]), records)


@dataclass(frozen=True)
class Comparison:
    """What came of comparing two views."""

    verdict: Verdict
    reason: str
    older: LogView
    """The one with fewer rounds, or the first one."""
    newer: LogView
    path: tuple[bytes, ...] = ()
    """The consistency proof between their roots, where it could be made."""

    @property
    def exit_code(self) -> int:
        """0 the one is the beginning of the other; 1 it is not; 2 that could not be told."""
        return EXIT_CODES[self.verdict]

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "verdict": self.verdict,
            "reason": self.reason,
            "older": _plain(self.older),
            "newer": _plain(self.newer),
            "proof": [digest.hex() for digest in self.path],
        }

    def to_text(self) -> str:
        """For people; the verdict is on the last line."""
        lines = [f"  {view.size:>6} rounds, root {view.root.hex()}  {view.where}" for view in (self.older, self.newer)]
        return "\n".join([*lines, f"consistency: {self.verdict} ({self.reason})"])


def compare(one: LogView, two: LogView, path: tuple[bytes, ...] = ()) -> Comparison:
    """Whether the shorter of two logs is the beginning of the longer one.

    Args:
        one: A view of a log.
        two: Another one.
        path: A consistency proof between their roots, for two heads of which no rounds are known; empty for none.
    """
    older, newer = sorted((one, two), key=lambda view: view.size)
    if older.consortium != newer.consortium:
        reason = f"{newer.where} is of another consortium, {newer.consortium.hex()}"
        return Comparison("falsified", reason, older, newer)
    if older.records is not None and newer.records is not None:
        for left, right in zip(older.records, newer.records, strict=False):
            if left != right:
                return Comparison("falsified", _difference(left, right), older, newer)
    if newer.records is not None:
        return _under(older, newer, newer.records)
    if older.size == newer.size:
        same = older.root == newer.root
        reason = (
            "the same root" if same else f"different roots over {older.size} rounds: somebody was shown another log"
        )
        return Comparison("verified" if same else "falsified", reason, older, newer)
    if path:
        return _proven(older, newer, path)
    reason = "two heads of different size prove nothing about each other: name a ledger with all rounds, or a --proof"
    return Comparison("could-not-check", reason, older, newer)


def _proven(older: LogView, newer: LogView, path: tuple[bytes, ...]) -> Comparison:
    """Two heads and what is to prove that one is the other's beginning; a proof that fails proves nothing."""
    try:
        verify_consistency(older.root, newer.root, ConsistencyProof(older.size, newer.size, path))
    except ProofFailed as error:
        return Comparison("could-not-check", f"the proof is not one between these heads: {error}", older, newer)
    reason = f"the proof shows that {newer.size - older.size} rounds were added to {older.size}"
    return Comparison("verified", reason, older, newer, path)


def _under(older: LogView, newer: LogView, records: tuple[RoundRecord, ...]) -> Comparison:
    """An older head against a log of which every round is known."""
    leaves = [record.leaf for record in records]
    if older.size == 0:
        return Comparison("verified", "an empty log is the beginning of every log", older, newer)
    proof = consistency_proof(leaves, older.size)
    try:
        verify_consistency(older.root, newer.root, proof)
    except ProofFailed:
        ours = root(leaves[: older.size]).hex()
        reason = (
            f"the root over the first {older.size} rounds of {newer.where} is {ours}: somebody was shown another log"
        )
        return Comparison("falsified", reason, older, newer)
    reason = f"the first {older.size} rounds of both are the same, {newer.size - older.size} were added"
    return Comparison("verified", reason, older, newer, proof.path)


def _difference(left: RoundRecord, right: RoundRecord) -> str:
    if left.round != right.round:
        return f"after round {min(left.round, right.round) - 1} one has round {left.round}, the other {right.round}"
    fields = ("proposal", "model", "statement", "root", "size")
    differing = [name for name in fields if getattr(left, name) != getattr(right, name)]
    return f"round {left.round}: they differ in {', '.join(differing)}"


def _plain(view: LogView) -> dict[str, Any]:
    return {
        "source": view.where,
        "consortium": view.consortium.hex(),
        "rounds": view.size,
        "root": view.root.hex(),
        "whole": view.records is not None,
    }
