"""What members did wrong, on the chain's side: proofs brought, findings recorded, reputations read (CHN-4).

A fault is brought as raw ledger transactions and Merkle proofs; this module knows neither, it passes bytes. Which proof
to bring is the caller's business: ``dag`` finds contradictions and makes inclusion proofs.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING

from chain.contract import DeployedContract
from chain.records import checked_address, checked_digest, checked_integer
from chain.typed import joined_signatures

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from chain.records import Receipt
    from chain.votes import Finding

_WORD = 2**256 - 1

FULL_REPUTATION = 100
"""What a member starts with, and never exceeds."""


class Fault(IntEnum):
    """What a member can do wrong (IConduct.Fault)."""

    EQUIVOCATION = 0
    WRONG_INCLUSION = 1
    OMISSION = 2
    WRONG_PROPOSAL = 3
    OUT_OF_TURN = 4
    SILENT_LEADER = 5
    UNREVEALED = 6
    BAD_UPDATE = 7
    WITHHELD_SHARE = 8


PROVEN = frozenset({Fault.EQUIVOCATION, Fault.WRONG_INCLUSION, Fault.OMISSION})
"""The faults that are decided on chain by proof; a quorum's signatures find the others."""


@dataclass(frozen=True)
class ProposalOnRecord:
    """A proposal as its leader put it on record (event Proposed).

    Attributes:
        round: The round.
        leader: Who proposed, checksummed hex.
        id: The ledger id of the proposal transaction.
        updates_root: Merkle root of the update transactions it aggregates.
        sums_root: Merkle root of the encrypted group sums.
    """

    round: int
    leader: str
    id: bytes
    updates_root: bytes
    sums_root: bytes

    def __post_init__(self) -> None:
        checked_integer("round", self.round, 1, _WORD)
        object.__setattr__(self, "leader", checked_address("leader", self.leader))
        for field in ("id", "updates_root", "sums_root"):
            checked_digest(field, getattr(self, field))

    def to_abi(self) -> tuple[int, str, bytes, bytes, bytes]:
        """The members in the contract's order."""
        return self.round, self.leader, self.id, self.updates_root, self.sums_root


@dataclass(frozen=True)
class Place:
    """Where a leaf stands in a Merkle tree of RFC 6962, with the proof.

    Attributes:
        leaf: What stands there, 32 bytes.
        index: Its position.
        path: The sibling digests, 32 bytes each, from the leaf up.
    """

    leaf: bytes
    index: int
    path: tuple[bytes, ...]

    def __post_init__(self) -> None:
        checked_digest("leaf", self.leaf)
        checked_integer("index", self.index, 0, _WORD)
        for digest in self.path:
            checked_digest("path", digest)

    def to_abi(self) -> tuple[bytes, int, tuple[bytes, ...]]:
        """The members in the contract's order."""
        return self.leaf, self.index, self.path


class Conduct(DeployedContract):
    """The part of TrainingRounds that knows faults and reputations.

    Each write raises ContractReverted if the proof does not prove; see IConduct for the errors. Anybody may bring one.
    """

    def prove_equivocation(self, first: bytes, second: bytes) -> Receipt:
        """Proves that a member signed two transactions that contradict each other; it loses its whole reputation.

        Args:
            first: One ledger transaction, its canonical bytes.
            second: The other one.
        """
        return self._send("proveEquivocation", first, second)

    def prove_wrong_inclusion(self, proposal: ProposalOnRecord, listed: bytes, place: Place, size: int) -> Receipt:
        """Proves that a leader listed something else than an update of the round by a member.

        Args:
            proposal: The proposal on record.
            listed: The bytes whose sha2-256 is the leaf.
            place: Where the leaf stands.
            size: The length of the list.
        """
        return self._send("proveWrongInclusion", proposal.to_abi(), listed, place.index, _size(size), place.path)

    def prove_wrong_order(self, proposal: ProposalOnRecord, size: int, left: Place, right: Place) -> Receipt:
        """Proves that a leader's list is not ascending, or names an update twice.

        Args:
            proposal: The proposal on record.
            size: The length of the list.
            left: A leaf.
            right: The leaf next to it.
        """
        return self._send("proveWrongOrder", proposal.to_abi(), _size(size), left.to_abi(), right.to_abi())

    def prove_omission(
        self,
        proposal: ProposalOnRecord,
        history: Sequence[bytes],
        size: int,
        around: Sequence[Place],
        earlier: Sequence[ProposalOnRecord] = (),
    ) -> Receipt:
        """Proves that a leader left out an update that its proposal's own past shows closed over by a quorum, and revealed.

        Args:
            proposal: The proposal on record.
            history: Ledger transactions, ancestors first: the update, a quorum's closes with what links them to it, the
                acknowledgement that reveals it, the proposal itself; each but the last is a parent of a later one.
            size: The length of the list.
            around: The leaves between which the update would stand; one alone at either end.
            earlier: The round's proposals before it, in the order of their events: who repeats a list does not answer
                for it.
        """
        places = [place.to_abi() for place in around]
        before = [other.to_abi() for other in earlier]
        return self._send("proveOmission", proposal.to_abi(), before, list(history), _size(size), places)

    def annul_omission(self, round: int, index: int) -> Receipt:  # noqa: A002
        """Takes an omission back, once too many who approved the update are proven equivocators.

        Args:
            round: The round.
            index: The leader's member index.
        """
        return self._send("annulOmission", checked_integer("round", round, 1, _WORD), _index(index))

    def record_finding(self, finding: Finding, signatures: Mapping[int, bytes]) -> Receipt:
        """Records what a quorum found; anybody may send it.

        Args:
            finding: What was signed.
            signatures: By member index, what ``chain.votes.sign_vote`` gave, 65 bytes each.
        """
        return self._send("recordFinding", tuple(finding.to_abi().values()), *joined_signatures(signatures))

    def reputation_of(self, index: int) -> int:
        """A member's reputation, 0 to 100.

        Args:
            index: Its index, 0 to 255.
        """
        return int(self._call("reputationOf", _index(index)))

    def faulted(self, round: int, fault: Fault) -> int:  # noqa: A002
        """Who has this fault in a round: a bitmap.

        Args:
            round: The round.
            fault: The fault.
        """
        return int(self._call("faulted", checked_integer("round", round, 0, _WORD), int(fault)))

    def equivocators(self) -> int:
        """Who was proven to contradict itself, in any round: a bitmap."""
        return int(self._call("equivocators"))

    def contract_finding_digest(self, finding: Finding) -> bytes:
        """The 32 bytes that members sign for a finding, computed by the contract.

        Args:
            finding: What was found.
        """
        return bytes(self._call("findingDigest", tuple(finding.to_abi().values())))


def _size(size: int) -> int:
    return checked_integer("size", size, 1, _WORD)


def _index(index: int) -> int:
    return checked_integer("index", index, 0, 255)
