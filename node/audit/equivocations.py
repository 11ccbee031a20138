"""Members that contradicted themselves: proofs that a ledger keeps, and those that follow from what it holds (DAG-6)."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dag.equivocation import EquivocationProof, contradiction, subject_of
from dag.errors import LedgerError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from dag.transaction import Transaction


@dataclass(frozen=True)
class Equivocation:
    """One member's contradiction, proven to anybody who knows its address."""

    proof: EquivocationProof
    why: str
    """What no honest member does."""
    name: str
    """The member's name; empty where the address is not known."""
    kept: bool
    """Whether the source kept the proof; otherwise it follows from two transactions in it."""

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "member": f"0x{self.proof.issuer.hex()}",
            "name": self.name,
            "round": self.proof.first.round,
            "why": self.why,
            "first": self.proof.first.id.hex(),
            "second": self.proof.second.id.hex(),
            "proof_kept": self.kept,
        }


@dataclass(frozen=True)
class Collected:
    """What was found in one or several sources."""

    equivocations: tuple[Equivocation, ...]
    transactions: int
    """How many were looked at."""
    unread: tuple[str, ...] = ()
    """What could not be read, and why: there may be more in it."""

    @property
    def exit_code(self) -> int:
        """1 if a member contradicted itself; else 2 if something could not be read; else 0."""
        return 1 if self.equivocations else 2 if self.unread else 0


def collect(
    transactions: Iterable[Transaction], kept: Iterable[EquivocationProof], names: Mapping[bytes, str]
) -> Collected:
    """Every contradiction among transactions, and every proof that was kept, each once.

    Args:
        transactions: In any order, from any number of sources; a signature that nobody made is noted as unread.
        kept: Proofs, verified when they were decoded.
        names: Members' names by address (20 bytes).
    """
    proofs: dict[tuple[bytes, bytes], tuple[EquivocationProof, bool]] = {
        (proof.first.id, proof.second.id): (proof, True) for proof in kept
    }
    claims: dict[tuple[object, ...], dict[bytes, Transaction]] = defaultdict(dict)
    unread, seen = [], set()
    for transaction in transactions:
        if transaction.id in seen or not transaction.parents:
            continue
        seen.add(transaction.id)
        try:
            keys = _claims(transaction)
        except LedgerError as error:
            unread.append(str(error))
            continue
        for key in keys:
            for other in claims[key].values():
                proof = EquivocationProof.of(transaction, other)
                proofs.setdefault((proof.first.id, proof.second.id), (proof, False))
            claims[key][transaction.id] = transaction
    found = [
        Equivocation(proof, contradiction(proof.first, proof.second) or "", names.get(proof.issuer, ""), was_kept)
        for proof, was_kept in proofs.values()
    ]
    found.sort(key=lambda one: (one.proof.first.round, one.proof.issuer, one.proof.first.id, one.proof.second.id))
    return Collected(tuple(found), len(seen), tuple(unread))


def _claims(transaction: Transaction) -> list[tuple[object, ...]]:
    """What a member says at most once. Raises BadSignature."""
    said: list[tuple[object, ...]] = [(transaction.consortium, transaction.issuer, transaction.sequence)]
    if (subject := subject_of(transaction)) is not None:
        said.append((transaction.consortium, transaction.issuer, transaction.kind, subject))
    return said
