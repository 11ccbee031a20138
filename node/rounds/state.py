"""What one member knows of one round, and the events that tell it so. Frozen, without I/O.

Everything here can be rebuilt from the chain, the ledger and the journal; nothing is assigned that is not derived. That is
what lets a crash be replayed and one process simulate many hospitals.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

    from dag.transaction import Transaction
    from node.rounds.effects import Effect
    from node.rounds.plan import Plan


REVEAL_GRACE_SLOTS = 0.5
"""The leader waits this share of a slot for the last reveals before proposing without these members' updates."""


@dataclass(frozen=True)
class Members:
    """The consortium as the chain knew it when the round was opened."""

    addresses: tuple[bytes, ...]
    """Address (20 bytes) per seat."""
    me: int
    """This hospital's own index."""
    quorum: int
    """⌈2N/3⌉ members: confirms updates, refuses groups, finalises."""
    left: frozenset[int] = frozenset()
    """Seats that are no member's in this round."""

    @property
    def seats(self) -> frozenset[int]:
        """The seats that take part."""
        return frozenset(range(len(self.addresses))) - self.left

    @property
    def count(self) -> int:
        """How many take part, N."""
        return len(self.addresses) - len(self.left)

    def index(self, address: bytes) -> int | None:
        """The seat of an address; None for a stranger, and for who is no member in this round."""
        seat = self._seats.get(address)
        return None if seat in self.left else seat

    @cached_property
    def _seats(self) -> Mapping[bytes, int]:
        """The first seat of each address."""
        return {address: seat for seat, address in reversed(tuple(enumerate(self.addresses)))}


@dataclass(frozen=True)
class RoundFacts:
    """What the chain said when the round was opened."""

    round: int
    epoch: int
    plan: bytes
    """Digest of the plan."""
    base: bytes
    """Hash of the model to train from."""
    seed: bytes
    ranking: tuple[int, ...]
    """Member indices in leader order (chain.leader.ranking of the seed)."""
    collect_by: int
    """Unix time in seconds at which collecting ends."""
    finalise_by: int
    """Unix time in seconds after which anyone may abort the round."""

    @cached_property
    def places(self) -> Mapping[int, int]:
        """By member, its place in the leader order, 0 first."""
        return {member: place for place, member in enumerate(self.ranking)}


@dataclass(frozen=True)
class SealedUpdate:
    """This hospital's own update, sealed and stored, ready to be posted."""

    manifest: str
    """CID of the update manifest."""
    weight_ppm: int
    samples: int
    slots: int
    layout: bytes
    parameter_set: bytes


@dataclass(frozen=True, slots=True)
class UpdateSeen:
    """An update transaction in the ledger. Its locked ciphertexts were fetched before the ledger took it."""

    id: bytes
    issuer: int
    weight_ppm: int
    samples: int
    commitment: bytes
    manifest: str


@dataclass(frozen=True)
class Proposal:
    """A proposal transaction in the ledger."""

    id: bytes
    leader: int
    updates: tuple[bytes, ...]
    reveals: tuple[bytes, ...]
    groups: tuple[tuple[int, ...], ...]
    sums: tuple[str, ...]
    openers: tuple[int, ...]
    attempt: int
    updates_root: bytes
    sums_root: bytes

    @property
    def partition(self) -> tuple[bytes, bytes]:
        """What members promise to open no other of: its updates and their sums, by their roots."""
        return self.updates_root, self.sums_root


@dataclass(frozen=True)
class Anchor:
    """A proposal the chain recorded."""

    leader: int
    proposal: bytes
    updates_root: bytes
    sums_root: bytes


@dataclass(frozen=True, slots=True)
class Share:
    """A share transaction in the ledger."""

    id: bytes
    member: int
    proposal: bytes
    manifest: str


@dataclass(frozen=True)
class Scores:
    """How the opened sums did on this hospital's held-out images."""

    proposal: bytes
    shares: tuple[bytes, ...]
    """Ledger ids of the partial openings that opened them."""
    base_ppm: int
    scores_ppm: tuple[int, ...]
    accept: tuple[bool, ...]
    samples: int
    alignment_ppm: tuple[int, ...] = ()
    """How far each sum points where this hospital's own update points; empty where it is not stated."""
    descent_ppm: tuple[int, ...] = ()
    """How far each points where the loss of this hospital's images falls; likewise."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """A verdict transaction in the ledger."""

    id: bytes
    issuer: int
    proposal: bytes
    accept: tuple[bool, ...]
    alignment_ppm: tuple[int, ...] = ()
    descent_ppm: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A checkpoint transaction: one member's signatures under an outcome and under its statement."""

    id: bytes
    issuer: int
    proposal: bytes
    model: bytes
    statement: bytes
    """Digest of the statement; also its (raw) CID."""
    signature: bytes
    """Under the outcome (EIP-712)."""
    statement_signature: bytes
    """Under the statement (`node.rounds.dsse`)."""


@dataclass(frozen=True)
class Ending:
    """How the chain ended the round."""

    finalised: bool
    """False: aborted, the base carries over."""
    model: bytes
    statement: bytes
    """Digest of the statement; zero bytes where there is none."""


def _no_times() -> Mapping[Effect, float]:
    return MappingProxyType({})


@dataclass(frozen=True)
class RoundState:
    """One member's view of one round."""

    facts: RoundFacts
    members: Members
    now: float = 0.0
    """Unix time in seconds of the last tick."""
    plan: Plan | None = None
    sealed: SealedUpdate | None = None
    heard: int = 0
    """Bits of those who said something, one a kind and member: what nobody has said need not be looked for."""
    updates: tuple[UpdateSeen, ...] = ()
    by_issuer: Mapping[int, tuple[UpdateSeen, ...]] = field(default_factory=lambda: MappingProxyType({}))
    """The same by member."""
    approvals: Mapping[bytes, int] = field(default_factory=lambda: MappingProxyType({}))
    """Per update id, the bitmask of members whose transactions approve it."""
    unapproved: tuple[bytes, ...] = ()
    """Updates that this member's transactions do not approve yet, in the order they came."""
    closes: tuple[tuple[bytes, int], ...] = ()
    """(transaction id, member index) of each close, sorted by id."""
    closers: frozenset[int] = frozenset()
    """Members that count no further update of this round: those of `closes`."""
    reveals: tuple[tuple[bytes, int, bytes], ...] = ()
    """(transaction id, member index, revealed value), sorted by id."""
    revealers: frozenset[int] = frozenset()
    """The members of `reveals`."""
    locked: tuple[bytes, ...] = ()
    """Updates whose issuer has revealed and that were not looked at yet, sorted."""
    unlocked: Mapping[bytes, str] = field(default_factory=lambda: MappingProxyType({}))
    """Per update that was unlocked, what is wrong with its ciphertexts; empty where nothing is."""
    closed_at: float | None = None
    """When this member saw collecting end; leader slots are counted from here."""
    revealable_at: float | None = None
    """When the closes of a quorum were seen; the wait for reveals is counted from here."""
    proposals: Mapping[bytes, Proposal] = field(default_factory=lambda: MappingProxyType({}))
    anchors: tuple[Anchor, ...] = ()
    verified: frozenset[bytes] = frozenset()
    """Proposals whose sums this member recomputed byte for byte."""
    refused: Mapping[bytes, str] = field(default_factory=lambda: MappingProxyType({}))
    """Proposals, statements or shares found false, and why."""
    shares: tuple[Share, ...] = ()
    scores: Scores | None = None
    verdicts: tuple[Verdict, ...] = ()
    judged: tuple[Verdict, ...] = ()
    """Those of them that are this member's own."""
    quorum_at: float | None = None
    """When a quorum of verdicts was seen."""
    checkpoints: tuple[Checkpoint, ...] = ()
    endorsed: bytes | None = None
    """Digest of the one statement this member signs."""
    sendable_at: float | None = None
    """When a quorum of signatures under the endorsed statement was seen."""
    ending: Ending | None = None
    adopted: bool = False
    running: frozenset[Effect] = frozenset()
    retry_at: Mapping[Effect, float] = field(default_factory=_no_times)
    failures: Mapping[Effect, int] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def confirmed(self) -> tuple[UpdateSeen, ...]:
        """Updates approved by a quorum of distinct issuers, sorted by id."""
        quorum = self.members.quorum
        ready = (u for u in self.updates if self.approvals.get(u.id, 0).bit_count() >= quorum)
        return tuple(sorted(ready, key=lambda u: u.id))

    @property
    def mine_posted(self) -> bool:
        """Whether this member's own update is in the ledger."""
        return any(u.issuer == self.members.me for u in self.updates)

    @property
    def revealed(self) -> tuple[UpdateSeen, ...]:
        """Updates whose issuer has revealed its lock, sorted by id."""
        return tuple(sorted((u for u in self.updates if u.issuer in self.revealers), key=lambda u: u.id))

    @property
    def rank(self) -> int:
        """This member's place in the leader ranking, 0 first."""
        return self.facts.places[self.members.me]

    @property
    def slot(self) -> int:
        """The leader slot now: 0 while collecting, while reveals are waited for and for the first slot after, then 1, 2, …"""
        if self.closed_at is None or self.plan is None:
            return 0
        return max(0, int((self.now - self.closed_at) / self.plan.slot_seconds - REVEAL_GRACE_SLOTS))

    @property
    def into_slot(self) -> float:
        """Seconds since the leader slot began; negative while reveals are waited for, 0 where no slot has a beginning yet."""
        if self.closed_at is None or self.plan is None:
            return 0.0
        return self.now - self.closed_at - (self.slot + REVEAL_GRACE_SLOTS) * self.plan.slot_seconds

    @property
    def promised(self) -> Mapping[tuple[bytes, bytes], frozenset[int]]:
        """By partition, the members that gave a share of it, good or not: an honest one opens no other in this round."""
        found: dict[tuple[bytes, bytes], frozenset[int]] = {}
        for share in self.shares:
            if (proposal := self.proposals.get(share.proposal)) is not None:
                found[proposal.partition] = found.get(proposal.partition, frozenset()) | {share.member}
        return found

    def anchored(self, proposal: Proposal) -> bool:
        """Whether the chain recorded this very proposal by its leader."""
        return Anchor(proposal.leader, proposal.id, proposal.updates_root, proposal.sums_root) in self.anchors

    def gave(self, proposal: Proposal) -> bool:
        """Whether this member's own share of a proposal is here, and not refused."""
        return any(
            share.member == self.members.me and share.proposal == proposal.id and share.id not in self.refused
            for share in self.shares
        )

    def shares_for(self, proposal: Proposal) -> tuple[Share, ...]:
        """One share per opener of a proposal, in opener order; shorter while some are missing. What was refused is missing."""
        first: dict[int, Share] = {}
        for share in self.shares:
            if share.proposal == proposal.id and share.id not in self.refused:
                first.setdefault(share.member, share)
        return tuple(first[k] for k in proposal.openers if k in first)

    def verdicts_for(self, sums_root: bytes) -> tuple[Verdict, ...]:
        """One verdict per member on these very sums (two proposals may name the same), sorted by id."""
        first: dict[int, Verdict] = {}
        for verdict in self.about(sums_root, self.verdicts):
            first.setdefault(verdict.issuer, verdict)
        return tuple(sorted(first.values(), key=lambda v: v.id))

    def verdicts_named(self, ids: Collection[bytes], sums_root: bytes) -> tuple[Verdict, ...]:
        """Those of these verdicts that are here and about these very sums, sorted by id.

        Who gave two verdicts may be counted by either: which came first is not the same for all.
        """
        return tuple(sorted((v for v in self.about(sums_root, self.verdicts) if v.id in ids), key=lambda v: v.id))

    def about(self, sums_root: bytes, verdicts: Iterable[Verdict]) -> Iterator[Verdict]:
        """Those of these verdicts that are about these very sums."""
        for verdict in verdicts:
            proposal = self.proposals.get(verdict.proposal)
            if proposal is not None and proposal.sums_root == sums_root and len(verdict.accept) == len(proposal.groups):
                yield verdict


# ---- events ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Tick:
    """Time passed."""

    now: float
    """Unix time in seconds."""


@dataclass(frozen=True)
class PlanRead:
    """The plan was fetched and agrees with its digest and with this hospital's policy."""

    plan: Plan


@dataclass(frozen=True)
class Sealed:
    """This hospital's update is sealed and durable."""

    update: SealedUpdate


@dataclass(frozen=True)
class Attached:
    """The ledger took a transaction, and who approves the round's updates now."""

    transaction: Transaction
    approvals: Mapping[bytes, int]


@dataclass(frozen=True)
class Unlocked:
    """An update's ciphertexts were unlocked and looked at."""

    update: bytes
    problem: str
    """What is wrong with them; empty where nothing is."""


@dataclass(frozen=True)
class Anchored:
    """The chain recorded a proposal."""

    anchor: Anchor


@dataclass(frozen=True)
class ProposalVerified:
    """Every sum of a proposal was recomputed and is byte for byte the same."""

    proposal: bytes


@dataclass(frozen=True)
class Refused:
    """A proposal, statement or share was found false."""

    subject: bytes
    reason: str


@dataclass(frozen=True)
class Scored:
    """The sums were opened and scored."""

    scores: Scores


@dataclass(frozen=True)
class Endorsed:
    """A statement was verified and is the one this member signs."""

    statement: bytes


@dataclass(frozen=True)
class Ended:
    """The chain ended the round."""

    ending: Ending


@dataclass(frozen=True)
class Adopted:
    """The round's model is in this hospital's store."""


@dataclass(frozen=True)
class Finished:
    """An effect was carried out."""

    effect: Effect


@dataclass(frozen=True)
class Failed:
    """An effect could not be carried out; it is due again after a pause."""

    effect: Effect
    retry_at: float


Event = (
    Tick
    | PlanRead
    | Sealed
    | Attached
    | Unlocked
    | Anchored
    | ProposalVerified
    | Refused
    | Scored
    | Endorsed
    | Ended
    | Adopted
    | Finished
    | Failed
)
