"""The rows of a consortium's view: one epoch, one round, one model, as the chain tells them."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING

from eth_utils.crypto import keccak

from chain.standing import Standing

if TYPE_CHECKING:
    from collections.abc import Mapping


def _none() -> Mapping[bytes, bytes]:
    return MappingProxyType({})


def _no_cards() -> Mapping[int, tuple[bytes, ...]]:
    return MappingProxyType({})


def quorum_of(members: int) -> int:
    """The smallest number of members that decides for all: ⌈2N/3⌉."""
    return -(-2 * members // 3)


@dataclass(frozen=True)
class ComplaintView:
    """One member's complaint about another in a key ceremony or refresh."""

    member: bytes
    """Address of the member that complains."""
    offender: bytes
    """Address of the accused."""
    evidence: bytes
    """Digest of what is to prove it."""


@dataclass(frozen=True)
class Draw:
    """How a cohort was drawn (`chain.cohort`)."""

    candidates: tuple[int, ...]
    """Seats of all members when the ceremony was opened, ascending."""
    seed: bytes
    """What the contract says it drew by."""
    left_behind: bytes | None
    """The seed that the rounds before left behind; None before the first round, when it follows from the consortium's id."""

    def due_seed(self, consortium: bytes) -> bytes:
        """The seed that it had to be drawn by.

        Args:
            consortium: Its id, 32 bytes.
        """
        return self.left_behind or keccak(consortium)


@dataclass(frozen=True)
class EpochView:
    """A key epoch and its ceremony, or one refresh of its shares, which takes the same steps.

    The tables go from member address (20 bytes) to a digest or key (32 bytes). A member that rotates its account while the
    ceremony runs goes on in it under the new one.
    """

    epoch: int
    parameter_set: bytes
    """Id (16 bytes) of the encryption parameters."""
    threshold: int
    deadline: int
    """Unix seconds until which the ceremony may run."""
    members: tuple[bytes, ...] = ()
    """Who takes part: the members when the ceremony was opened, or a cohort of them, by ascending seat. Position here is the number of dealer and
    opener in the encryption."""
    seats: tuple[int, ...] = ()
    """Their seats in the registry, in the same order; seats of former members are missing in between."""
    announcements: Mapping[bytes, bytes] = field(default_factory=_none)
    """X25519 public keys, made for this ceremony alone."""
    commitments: Mapping[bytes, bytes] = field(default_factory=_none)
    dealings: Mapping[bytes, bytes] = field(default_factory=_none)
    reports: Mapping[bytes, bytes] = field(default_factory=_none)
    confirmations: Mapping[bytes, bytes] = field(default_factory=_none)
    drawn: Draw | None = None
    """How those who take part were drawn; None where they are all the members there were."""
    joint_key: bytes | None = None
    """Digest of the joint key once the epoch, or the generation a refresh makes, is active."""
    running: bool = True
    complaints: tuple[ComplaintView, ...] = ()
    """In the order they were made."""
    refresh: int = 0
    """0 for the epoch itself; k for its k-th refresh."""
    generation: int = 0
    """Of an epoch: generation of the shares in force. Of a refresh: the one it makes."""
    refreshes: tuple[EpochView, ...] = ()
    """Every refresh of this epoch's shares, whatever became of it."""

    @property
    def made(self) -> int:
        """Generation of the shares that this ceremony or refresh makes."""
        return self.generation if self.refresh else 0

    @property
    def refreshing(self) -> EpochView | None:
        """The refresh that is running, or None."""
        return self.refreshes[-1] if self.refreshes and self.refreshes[-1].running else None


@dataclass(frozen=True)
class ProposedView:
    """A proposal the chain recorded."""

    leader: bytes
    proposal: bytes
    updates_root: bytes
    sums_root: bytes
    block: int
    generation: int = 0
    """Generation of the epoch's shares in force when it was recorded: its sums are opened with shares of this one."""


@dataclass(frozen=True)
class RoundView:
    """A round and how it ended."""

    round: int
    epoch: int
    plan: bytes
    base: bytes
    seed: bytes
    opener: str
    collect_by: int
    finalise_by: int
    opened_in: int
    """Block that opened it."""
    proposals: tuple[ProposedView, ...] = ()
    finalised: bool = False
    aborted: bool = False
    model: bytes | None = None
    leader: str | None = None
    proposal: bytes | None = None
    statement: bytes | None = None
    signers: int = 0
    """Bitmap of the member indices that signed the outcome."""
    ended_in: int | None = None
    next_seed: bytes | None = None
    standing: Standing = field(default_factory=Standing)
    """How the members stood when it was opened: who takes part, by which accounts, and the weights of its leaders' ranking. Where a
    cohort holds the epoch's key, its members alone are the round's."""
    resting: frozenset[int] = frozenset()
    """Seats of the consortium's members that are not of the round's cohort."""
    sizes: tuple[int, ...] = ()
    """Declared data sizes when it was opened, by seat."""
    cards: Mapping[int, tuple[bytes, ...]] = field(default_factory=_no_cards)
    """Digests (32 bytes) of the data cards on record by seat, oldest first: the one when it was opened, and what was registered until
    it ended."""

    @property
    def ranking(self) -> tuple[int, ...]:
        """Member indices in the order in which they lead.

        Raises:
            BadArgument: The chain told of no member before the round, or its seed is malformed.
        """
        return self.standing.ranking(self.seed)

    @property
    def quorum(self) -> int:
        """⌈2N/3⌉ of its members."""
        return quorum_of(len(self.standing.members))

    @property
    def open(self) -> bool:
        """Whether it neither was finalised nor aborted."""
        return not (self.finalised or self.aborted)

    @property
    def status(self) -> str:
        """`open`, `finalised` or `aborted`."""
        return "finalised" if self.finalised else "aborted" if self.aborted else "open"


@dataclass(frozen=True)
class ModelView:
    """A model of the lineage."""

    model: bytes
    parent: bytes
    """Hash of the model it was trained from; zero bytes for the genesis model."""
    round: int
    statement: bytes
    """Digest of its statement; zero bytes for the genesis model."""
    block: int
