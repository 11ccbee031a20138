"""Peers: their standing, their turn to be served, and what each is about to be told.

Work is shared by deficit round robin (Shreedhar and Varghese, "Efficient fair queuing using deficit round robin", IEEE/ACM
Transactions on Networking 4(3), 1996): each peer with work waiting earns a quantum a turn and spends it on its own messages,
so a peer that floods delays nobody but itself.
"""

from __future__ import annotations

import math
from collections import OrderedDict, deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from dag.sync.messages import Announce, Answer, Frontier, Push, Range, RangeRequest, Request

if TYPE_CHECKING:
    import random
    from collections.abc import Iterator

    from dag.sync.config import SyncConfig
    from dag.sync.messages import Message

_RANGE_COST: Final = 128
"""Units of a page served: reading rows is cheaper than verifying signatures."""
_LONGEST_SPELL: Final = 16


def cost_of(message: Message) -> int:
    """Units of work that a message asks for; one is about a transaction verified or served."""
    match message:
        case Push() | Answer() | Range():
            return 1 + len(message.transactions)
        case Request():
            return 1 + len(message.ids)
        case Announce():
            return 1 + len(message.ids) // 16
        case Frontier():
            return 1 + len(message.tips) // 16
        case RangeRequest():
            return _RANGE_COST
        case _:
            return 1


class Recent:
    """The newest ids, at most so many."""

    def __init__(self, limit: int) -> None:
        """An empty memory of `limit` ids."""
        self._limit = limit
        self._ids: OrderedDict[bytes, None] = OrderedDict()

    def __contains__(self, tx_id: bytes) -> bool:
        return tx_id in self._ids

    def __len__(self) -> int:
        return len(self._ids)

    def add(self, tx_id: bytes) -> None:
        """Remembers an id; the oldest gives way."""
        self._ids[tx_id] = None
        self._ids.move_to_end(tx_id)
        if len(self._ids) > self._limit:
            self._ids.popitem(last=False)

    def drop(self, tx_id: bytes) -> None:
        """Forgets an id."""
        self._ids.pop(tx_id, None)


@dataclass
class Score:
    """A sender's standing: penalty points that decay, and for how long it is ignored.

    Attributes:
        points: penalties at `at`.
        at: when they were counted, in seconds.
        spells: how often it was ignored lately; each spell is twice as long as the one before.
        ignored_until: end of the running spell.
    """

    points: float = 0.0
    at: float = 0.0
    spells: int = 0
    ignored_until: float = float("-inf")

    def now(self, now: float, config: SyncConfig) -> float:
        """Penalty points left."""
        half_lives = max(0.0, now - self.at) / config.half_life_seconds
        return self.points * math.pow(0.5, half_lives)

    def penalise(self, points: float, now: float, config: SyncConfig) -> float | None:
        """Adds points; the end of the spell that begins with them, or None if none does."""
        if now > self.ignored_until + _LONGEST_SPELL * config.ignore_seconds:
            self.spells = 0
        self.points, self.at = self.now(now, config) + points, now
        if self.points < config.floor:
            return None
        spell = config.ignore_seconds * min(_LONGEST_SPELL, 2**self.spells)
        self.spells, self.points = min(self.spells + 1, 8), config.floor / 2
        self.ignored_until = now + spell
        return self.ignored_until

    def is_ignored(self, now: float) -> bool:
        """Whether its messages are dropped and it is asked nothing."""
        return now < self.ignored_until


@dataclass
class Lane:
    """One sender's messages waiting to be served.

    Attributes:
        peer: whose.
        vouched: whether the transport knows that it is the peer's word: an answer to our own call is, what somebody calls
            and signs with a peer's name may be forged. The two are scored apart, so that a forger cannot make us stop asking.
        score: the sender's standing.
        queue: messages with their sizes in bytes and the driver's marks.
        size: bytes in the queue.
        deficit: units earned and not spent.
    """

    peer: str
    vouched: bool
    score: Score = field(default_factory=Score)
    queue: deque[tuple[Message, int, int | None]] = field(default_factory=deque)
    size: int = 0
    deficit: int = 0


@dataclass(frozen=True)
class Turn:
    """A message whose turn it is.

    Attributes:
        lane: whose.
        message: what it says.
        cost: units of work it takes.
        mark: the driver's, if it gave one.
    """

    lane: Lane
    message: Message
    cost: int
    mark: int | None


class Lanes:
    """All senders' waiting messages, served in deficit round robin."""

    def __init__(self, config: SyncConfig) -> None:
        """No lanes yet."""
        self._config = config
        self._lanes: dict[tuple[str, bool], Lane] = {}
        self._turns: deque[Lane] = deque()
        self.size = 0
        """Bytes waiting in all lanes."""

    def __len__(self) -> int:
        return sum(len(lane.queue) for lane in self._turns)

    @property
    def pending(self) -> bool:
        """Whether anything waits."""
        return bool(self._turns)

    def of(self, peer: str, vouched: bool) -> Lane | None:
        """A sender's lane, made if it is new; None if there are too many senders."""
        lane = self._lanes.get((peer, vouched))
        if lane is None and self._room():
            lane = self._lanes[peer, vouched] = Lane(peer, vouched)
        return lane

    def admit(self, lane: Lane, message: Message, size: int, mark: int | None) -> bool:
        """Queues a message of `size` bytes under the driver's mark; False if the sender has too much waiting."""
        config = self._config
        crowded = len(lane.queue) >= config.lane_messages or lane.size + size > config.lane_bytes
        if lane.queue and (crowded or self.size + size > config.total_bytes):
            return False
        if not lane.queue:
            self._turns.append(lane)
        lane.queue.append((message, size, mark))
        lane.size += size
        self.size += size
        return True

    def next(self) -> Turn | None:
        """The next message in turn; None if nothing waits."""
        while self._turns:
            lane = self._turns[0]
            message, size, mark = lane.queue[0]
            cost = cost_of(message)
            if cost > lane.deficit:
                lane.deficit += self._config.quantum
                self._turns.rotate(-1)
                continue
            lane.queue.popleft()
            lane.deficit -= cost
            lane.size -= size
            self.size -= size
            if not lane.queue:
                lane.deficit = 0
                self._turns.popleft()
            return Turn(lane, message, cost, mark)
        return None

    def _room(self) -> bool:
        if len(self._lanes) < 2 * self._config.max_peers:
            return True
        idle = [key for key, lane in self._lanes.items() if not lane.queue]
        if idle:
            del self._lanes[min(idle, key=lambda key: self._lanes[key].score.points)]
        return bool(idle)


@dataclass
class Peer:
    """A peer that this node may send to and ask.

    Attributes:
        name: as the driver calls it.
        known: ids that it is known to have.
        to_push: own transactions to send it in full.
        to_announce: ids to tell it.
        push_at: when the next push may leave, in seconds.
        announce_at: when the next announcement leaves.
        failures: messages in a row that did not arrive.
        timeouts: answers in a row that did not come.
        quiet_until: until when nothing is sent after a failure.
        asked: numbers of the requests under way to it.
    """

    name: str
    known: Recent
    to_push: OrderedDict[bytes, None] = field(default_factory=OrderedDict)
    to_announce: OrderedDict[bytes, None] = field(default_factory=OrderedDict)
    push_at: float = float("-inf")
    announce_at: float = float("inf")
    failures: int = 0
    timeouts: int = 0
    quiet_until: float = float("-inf")
    asked: dict[int, None] = field(default_factory=dict)


class Peers:
    """The peers that are connected, and who of them may be asked."""

    def __init__(self, config: SyncConfig, lanes: Lanes, rng: random.Random) -> None:
        """No peers yet."""
        self._config = config
        self._lanes = lanes
        self._rng = rng
        self._peers: dict[str, Peer] = {}

    def __len__(self) -> int:
        return len(self._peers)

    def __iter__(self) -> Iterator[Peer]:
        return iter(tuple(self._peers.values()))

    def get(self, name: str) -> Peer | None:
        """A connected peer, or None."""
        return self._peers.get(name)

    def add(self, name: str) -> Peer:
        """A peer that is connected from now on."""
        return self._peers.setdefault(name, Peer(name, Recent(self._config.max_known)))

    def remove(self, name: str) -> Peer | None:
        """A peer is gone; what it was about to be told is forgotten, its standing is not."""
        return self._peers.pop(name, None)

    def may_send(self, peer: Peer, now: float) -> bool:
        """Whether it is worth sending to now."""
        return now >= peer.quiet_until

    def may_ask(self, peer: Peer, now: float) -> bool:
        """Whether it is worth asking now: reachable, and not ignored for what it answered before."""
        lane = self._lanes.of(peer.name, vouched=True)
        return now >= peer.quiet_until and not (lane is not None and lane.score.is_ignored(now))

    def askable(self, now: float) -> list[Peer]:
        """All that may be asked."""
        return [peer for peer in self._peers.values() if self.may_ask(peer, now)]

    def patience(self, peer: Peer) -> float:
        """Seconds that a peer has for an answer: more if it was late before, but others may have what is waited for."""
        return self._config.request_seconds * 2.0 ** min(peer.timeouts, 2)

    def pause(self, attempts: int) -> float:
        """A pause before another try, in seconds: doubled each time, half of it by lot."""
        config = self._config
        longest = min(config.longest_seconds, config.retry_seconds * 2.0 ** min(attempts, 32))
        return longest * (0.5 + 0.5 * self._rng.random())
