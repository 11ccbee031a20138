"""What the machine asks its driver to do, and what it tells it. Frozen; carried out in the order they come."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dag.errors import LedgerError
    from dag.transaction import Transaction


@dataclass(frozen=True)
class Send:
    """Carry a message to a peer.

    A driver that learns whether it arrived says so (`SyncMachine.outcome`); one that does not, such as a lossy network,
    says nothing, and comparing frontiers repairs the loss.

    Attributes:
        peer: to whom.
        message: the bytes (`dag.sync.messages`).
        pushed: ids of own transactions in it, whose delivery is counted; empty for other messages.
        reply_to: the driver's mark of the question that this answers (`SyncMachine.receive`), or None. A transport with
            answers, such as HTTP, sends it back on the way the question came.
        asks: whether it is a question, to be answered on the same way.
    """

    peer: str
    message: bytes
    pushed: tuple[bytes, ...] = ()
    reply_to: int | None = None
    asks: bool = False


@dataclass(frozen=True)
class Check:
    """Fetch and check what a transaction points to, then say `SyncMachine.checked`; until then it stays outside.

    Attributes:
        transaction: signed by a member, of a known round.
        peer: who sent it, and probably has its payload.
    """

    transaction: Transaction
    peer: str


class Verdict(Enum):
    """What a check came to."""

    GOOD = "good"
    BAD = "bad"
    """Its payload is not what it says: refused for good."""
    LATER = "later"
    """It cannot be said yet: tried again with growing pauses."""


@dataclass(frozen=True)
class Attached:
    """Transactions entered the ledger, durably, parents before children.

    Attributes:
        transactions: the received ones and those that waited for them; own ones are not told again.
    """

    transactions: tuple[Transaction, ...]


@dataclass(frozen=True)
class Spread:
    """Enough peers have these own transactions; the outbox may forget them.

    Attributes:
        ids: transaction ids (32 bytes each).
    """

    ids: tuple[bytes, ...]


@dataclass(frozen=True)
class Misbehaved:
    """A peer broke the protocol; its score fell.

    Attributes:
        peer: who.
        error: what it did.
        penalty: points taken from its score.
        ignored_until: end of the time during which its messages are dropped, in the driver's seconds; None while its score
            stays above the floor.
    """

    peer: str
    error: LedgerError
    penalty: float
    ignored_until: float | None = None


@dataclass(frozen=True)
class Overloaded:
    """A message was dropped because its sender has too much waiting here; tell it to come again later.

    Attributes:
        peer: the sender.
    """

    peer: str


@dataclass(frozen=True)
class Stuck:
    """The store refused a batch; its transactions are kept and tried again.

    Attributes:
        error: what the store said.
    """

    error: LedgerError


Effect = Send | Check | Attached | Spread | Misbehaved | Overloaded | Stuck
