"""What a round needs from the world, as protocols: the daemon gives the real ones, the simulation its own.

Every implementation may be called from several threads.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from chain.records import Outcome
    from dag.bodies import Body, Kind
    from dag.proposing import ProposalBasis
    from dag.transaction import Transaction
    from node.learning.metrics import Metrics
    from node.learning.results import Progress, TrainingResult
    from node.rounds.history import PastRound
    from node.rounds.journal import Journal
    from node.rounds.plan import Plan
    from node.rounds.suspicion import RoundResult
    from node.sealing.keys import EpochKeys
    from node.storage.source import ManyBlobs


class RoundChain(Protocol):
    """The contracts a round touches."""

    def propose(self, round_number: int, proposal: bytes, updates_root: bytes, sums_root: bytes) -> int:
        """Anchor a proposal; returns the gas it took. Idempotent."""

    def finalise(self, outcome: Outcome, signatures: Mapping[int, bytes]) -> int:
        """Send an outcome with signatures by member index; returns the gas it took. Idempotent."""

    def abort(self, round_number: int) -> int:
        """End a round after its deadline; returns the gas it took. Idempotent."""

    def sign(self, outcome: Outcome) -> bytes:
        """This member's EIP-712 signature (65 bytes) under an outcome."""

    def signed_by(self, outcome: Outcome, signature: bytes, address: bytes) -> bool:
        """Whether an EIP-712 signature under an outcome is by this address (20 bytes)."""


class RoundLedger(Protocol):
    """The DAG as a round sees it."""

    def post(
        self,
        kind: Kind,
        body: Body,
        *,
        epoch: int,
        round_number: int,
        payload: str | None = None,
        approve: bytes | None = None,
        parents: tuple[bytes, bytes] | None = None,
    ) -> Transaction:
        """Choose two tips, check them, sign, attach durably, announce.

        `approve` is an id that the past cone must hold; `parents` replaces the walks' choice.
        """

    def get(self, tx_id: bytes) -> Transaction:
        """A transaction that is in the ledger."""

    def post_close(self, updates: Sequence[bytes], *, epoch: int, round_number: int) -> Transaction:
        """Post this member's close over these updates, once a round; acknowledges first where no two tips hold them all."""

    def closers(self, update: bytes) -> int:
        """How many members' closes cover an update, as far as this node has seen."""

    def gather(self, ids: Sequence[bytes], *, epoch: int, round_number: int) -> tuple[bytes, bytes]:
        """Acknowledge until two transactions hold all these ids in their past cone; the two."""

    def proposal_basis(self, round_number: int, parents: tuple[bytes, bytes]) -> ProposalBasis:
        """What a proposal on these parents may list, by the ledger's rules."""

    def listable_by(self, proposal: bytes) -> ProposalBasis:
        """What a proposal may list by its own past cone."""

    def segment(self, proposal: bytes, also: Sequence[bytes]) -> tuple[bytes, ...]:
        """The transactions that prove a proposal, as bytes, in ascending order of id."""

    def anchored(self, round_number: int, statement: bytes) -> None:
        """The chain holds a round's statement (digest): checkpoints of it are final."""

    def round_root(self, proposal: bytes) -> bytes:
        """Merkle root over the round's transactions in a proposal's past cone."""


class Learner(Protocol):
    """This hospital's images and what can be learnt from them."""

    def train(
        self, plan: Plan, base: NDArray[np.float32], number: int, progress: Callable[[Progress], None]
    ) -> TrainingResult:
        """Train from `base` on this hospital's images for round `number` (from 1)."""

    def score(self, plan: Plan, vector: NDArray[np.float32]) -> Metrics:
        """Measure on this hospital's held-out images."""

    def descent(self, plan: Plan, vector: NDArray[np.float32]) -> NDArray[np.float32]:
        """Where the loss of all images falls that this hospital trains on or holds out, float32 [D], seen from `vector`."""

    def report(self, plan: Plan, vector: NDArray[np.float32]) -> Metrics | None:
        """Measure on the test images, where this hospital was given some."""


@dataclass(frozen=True)
class Consortium:
    """A consortium as it is for one round: its members are those when the round was opened, whatever is decided meanwhile."""

    id: bytes
    chain_id: int
    contract: bytes
    """Address (20 bytes) of TrainingRounds."""
    addresses: tuple[bytes, ...]
    """Address (20 bytes) of every seat when the round was opened."""
    sizes: tuple[int, ...]
    """Registered data sizes when the round was opened, by seat; they cap |d_i| in eq. 19."""
    quorum: int
    """⌈2N/3⌉ of the round's members."""
    left: frozenset[int] = frozenset()
    """Seats that were no member's when the round was opened."""
    holders: frozenset[int] | None = None
    """Seats that hold the round's epoch key; None: the round's members."""

    @property
    def members(self) -> tuple[int, ...]:
        """The seats that take part in the round, ascending."""
        return tuple(seat for seat in range(len(self.addresses)) if seat not in self.left)

    def position(self, seat: int) -> int:
        """A member's number in the encryption: its place among the epoch's holders, who are the round's members."""
        return self.members.index(seat)


@dataclass(frozen=True)
class Electorate:
    """Whose signatures end a round, now."""

    addresses: Mapping[int, bytes]
    """Present account (20 bytes) of each present member, by seat."""
    quorum: int
    """How many of them must sign."""


@dataclass(frozen=True)
class Policy:
    """What this hospital insists on, whatever the others agreed."""

    min_group: int
    """Refuse plans that open sums of fewer updates."""
    allow_minimal: bool = False
    """Accept the insecure `minimal` parameters: tests only."""
    keep_quantised: Callable[[int, NDArray[np.int64]], None] | None = None
    """Called with (round, quantised update) where the operator asked for the plaintext check."""


@dataclass(frozen=True)
class Ports:
    """Everything one hospital brings to a round."""

    me: int
    """This hospital's member index."""
    consortium: Consortium
    chain: RoundChain
    ledger: RoundLedger
    blobs: ManyBlobs
    learner: Learner
    keys: EpochKeys
    journal: Journal
    policy: Policy
    secret_for: Callable[[bytes], bytes] = field(repr=False)
    """A 32-byte secret derived from this hospital's key and a label; the same after a restart."""
    sign_statement: Callable[[bytes], bytes] = field(repr=False)
    """This hospital's signature (65 bytes) under a statement's bytes (`node.rounds.dsse`)."""
    url_of: Callable[[int], str | None] = lambda _member: None
    """Base URL of a member's node, where it is known: asked first for what that member made."""
    electorate: Callable[[], Electorate | None] = lambda: None
    """Whose signatures the chain takes now; None where the consortium cannot have changed since the round was opened."""
    keys_of: Callable[[int], EpochKeys | None] = lambda _epoch: None
    """This hospital's keys of another epoch, where it holds any: to read models that were sealed under it."""
    sealed_elsewhere: Callable[[bytes, int], Iterable[tuple[int, str]]] = lambda _model, _epoch: ()
    """Where peers say that a model lies sealed under an epoch: (round that made it, CID), of any truth."""
    generation_at: Callable[[int, bytes], int | None] = lambda _round, _proposal: None
    """Which generation of shares was in force when the chain recorded a proposal of a round; None if it has not yet."""
    past: Callable[[], Sequence[PastRound]] = tuple
    """The rounds finalised before this one as the chain tells them, oldest first."""
    progress: Callable[[str, float], None] = lambda _phase, _share: None
    """Told (phase, share done in 0..1) during long work."""
    opened: dict[bytes, tuple[NDArray[np.int64], ...]] = field(default_factory=dict, repr=False)
    """Sums opened in this round, by sums root: scored first, then made the model. Only ever a cache."""
    sums: dict[tuple[int, int, tuple[bytes, ...]], str] = field(default_factory=dict, repr=False)
    """CID of each sum that this hospital has added in this round, by first chunk, chunk after the last, updates. Only ever a cache."""
    unlocked: dict[bytes, str] = field(default_factory=dict, repr=False)
    """By update, what was wrong with its unlocked ciphertexts, or nothing. Only ever a cache."""

    own: dict[int, NDArray[np.float32]] = field(default_factory=dict, repr=False)
    """By round, this hospital's clipped update, float32 [D]: what sums are compared with. Never stored; gone after a restart."""
    results: dict[bytes, RoundResult] = field(default_factory=dict, repr=False)
    """By digest of a statement, what that round says of its sums. Only ever a cache."""

    @property
    def address(self) -> bytes:
        """This hospital's address, 20 bytes."""
        return self.consortium.addresses[self.me]
