"""What this node asks for by id: of whom, since when, and whom to ask next. A question is never put to two peers at a time."""

from __future__ import annotations

import heapq
from collections import Counter, OrderedDict
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import TYPE_CHECKING

from dag.sync.messages import MAX_REQUESTED

if TYPE_CHECKING:
    import random
    from collections.abc import Iterable

    from dag.sync.config import SyncConfig
    from dag.sync.peers import Peer, Peers

_MAX_SOURCES = 8
_MAX_PAST = 256
"""Finished requests remembered, so that a late answer is no offence."""
_MAX_LOOK = 1024
"""Wanted ids looked at in one go; those whose peers are busy go to the end of the row."""


@dataclass
class Want:
    """An id that is wanted.

    Attributes:
        sources: peers that said they have it, or sent its child; asked first, in this order.
        charged: the peer whose allowance it counts against; None for what the ledger itself lacks.
        anybody: whether the other peers are asked as well. Not so for an id that was only announced.
        chase: how many generations it is away from something that was announced or sent.
        tried: peers asked in vain in this round.
        rounds: rounds through all peers in vain.
        number: the request under way, or None.
    """

    sources: dict[str, None]
    charged: str | None
    anybody: bool
    chase: int
    tried: dict[str, None] = field(default_factory=dict)
    rounds: int = 0
    number: int | None = None


@dataclass(frozen=True)
class Asked:
    """A request under way.

    Attributes:
        peer: of whom.
        ids: what was asked for.
        deadline: when its time runs out, in seconds.
    """

    peer: str
    ids: tuple[bytes, ...]
    deadline: float


class Wants:
    """The ids that are wanted and the requests under way, both bounded."""

    def __init__(self, config: SyncConfig, peers: Peers, rng: random.Random) -> None:
        """Nothing is wanted yet."""
        self._config = config
        self._peers = peers
        self._rng = rng
        self._wants: dict[bytes, Want] = {}
        self._ready: OrderedDict[bytes, None] = OrderedDict()
        self._later: list[tuple[float, bytes]] = []
        self._asked: dict[int, Asked] = {}
        self._past: OrderedDict[int, Asked] = OrderedDict()
        self._per_peer: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._wants)

    def __contains__(self, tx_id: bytes) -> bool:
        return tx_id in self._wants

    def chase(self, tx_id: bytes) -> int:
        """How many generations a wanted id is away from what was announced; 0 if it is not wanted."""
        want = self._wants.get(tx_id)
        return want.chase if want else 0

    def add(self, tx_id: bytes, source: str | None, *, anybody: bool = False, chase: int = 0) -> None:
        """Wants an id, or learns of another source for it.

        Args:
            tx_id: the id (32 bytes).
            source: a peer that probably has it.
            anybody: whether the others are asked too.
            chase: generations from what was announced.
        """
        want = self._wants.get(tx_id)
        if want is not None:
            if source is not None and len(want.sources) < _MAX_SOURCES:
                want.sources[source] = None
            want.anybody = want.anybody or anybody
            return
        if len(self._wants) >= self._config.max_wants:
            return
        if source is not None and self._per_peer[source] >= self._config.wants_per_peer:
            return
        if source is not None:
            self._per_peer[source] += 1
        self._wants[tx_id] = Want({} if source is None else {source: None}, source, anybody, chase)
        self._ready[tx_id] = None

    def drop(self, tx_id: bytes) -> None:
        """It has come, or is wanted no more."""
        want = self._wants.pop(tx_id, None)
        if want is None:
            return
        self._ready.pop(tx_id, None)
        if want.charged is not None:
            self._per_peer[want.charged] -= 1
            if not self._per_peer[want.charged]:
                del self._per_peer[want.charged]

    def ask(self, now: float, numbers: Iterable[int]) -> list[tuple[str, int, tuple[bytes, ...]]]:
        """Starts requests for whatever may be asked for now; each as peer, number and ids.

        Args:
            now: the time.
            numbers: fresh request numbers.
        """
        while self._later and self._later[0][0] <= now:
            _, tx_id = heapq.heappop(self._later)
            if tx_id in self._wants and self._wants[tx_id].number is None:
                self._ready[tx_id] = None
        if not self._ready:
            return []
        config = self._config
        free = [peer for peer in self._peers.askable(now) if len(peer.asked) < config.requests_per_peer]
        self._rng.shuffle(free)
        chosen: dict[str, list[bytes]] = {peer.name: [] for peer in free}
        room = MAX_REQUESTED * len(free)
        for tx_id in tuple(islice(self._ready, _MAX_LOOK)):
            if not room:
                break
            name = self._whom(tx_id, chosen, now)
            if name is not None:
                chosen[name].append(tx_id)
                del self._ready[tx_id]
                room -= 1
            elif tx_id in self._ready:
                self._ready.move_to_end(tx_id)
        return [self._start(peer, ids, now, numbers) for peer in free if (ids := tuple(chosen[peer.name]))]

    def arrived(self, number: int, peer: str) -> None:
        """An answer came in and waits to be served: from now on it is this node that is slow."""
        asked = self._asked.get(number)
        if asked is not None and asked.peer == peer:
            self._asked[number] = replace(asked, deadline=float("inf"))

    def answered(self, number: int, peer: str) -> Asked | None:
        """A request was answered, perhaps late, perhaps twice by the network's doing; None if the peer was not asked."""
        asked = self._asked.get(number) or self._past.get(number)
        if asked is None or asked.peer != peer:
            return None
        if self._asked.pop(number, None) is not None:
            self._finish(number, asked)
            self._remember(number, asked)
        return asked

    def lacks(self, ids: Iterable[bytes], peer: str, now: float) -> None:
        """A peer does not have these: the next one is asked, or all again after a pause."""
        for tx_id in ids:
            want = self._wants.get(tx_id)
            if want is not None and want.number is None:
                want.tried[peer] = None
                self._requeue(tx_id, want, now)

    def expire(self, now: float) -> list[tuple[int, Asked]]:
        """Requests whose time has run out; their ids are free to be asked of others."""
        gone = [(number, asked) for number, asked in self._asked.items() if asked.deadline <= now]
        for number, asked in gone:
            self._abandon(number, asked, now)
        return gone

    def unreachable(self, peer: str, now: float) -> None:
        """A peer cannot be reached: whatever was asked of it is asked of others."""
        for number, asked in [(n, a) for n, a in self._asked.items() if a.peer == peer]:
            self._abandon(number, asked, now)

    def next_deadline(self) -> float:
        """When something is due by itself; infinity if nothing is."""
        first = min((asked.deadline for asked in self._asked.values()), default=float("inf"))
        return min(first, self._later[0][0]) if self._later else first

    # -- inside --------------------------------------------------------------------------------------------------

    def _whom(self, tx_id: bytes, chosen: dict[str, list[bytes]], now: float) -> str | None:
        """A peer with room that may have an id; puts the id off if every peer was asked in vain."""
        want = self._wants[tx_id]
        for name in want.sources:
            if name in chosen and name not in want.tried and len(chosen[name]) < MAX_REQUESTED:
                return name
        waiting_for = [name for name in want.sources if name not in want.tried and self._may_ask(name, now)]
        if waiting_for:
            return None  # busy with other requests of ours; its turn comes
        if want.anybody:
            for name, ids in chosen.items():
                if name not in want.tried and len(ids) < MAX_REQUESTED:
                    return name
            if any(peer.name not in want.tried for peer in self._peers.askable(now)):
                return None
        self._put_off(tx_id, want, now)
        return None

    def _may_ask(self, name: str, now: float) -> bool:
        peer = self._peers.get(name)
        return peer is not None and self._peers.may_ask(peer, now)

    def _put_off(self, tx_id: bytes, want: Want, now: float) -> None:
        want.rounds += 1
        if want.rounds >= self._config.max_attempts:
            self.drop(tx_id)
            return
        want.tried.clear()
        self._ready.pop(tx_id, None)
        heapq.heappush(self._later, (now + self._peers.pause(want.rounds), tx_id))

    def _requeue(self, tx_id: bytes, want: Want, now: float) -> None:
        others = want.anybody or any(name not in want.tried for name in want.sources)
        if others:
            self._ready[tx_id] = None
        else:
            self._put_off(tx_id, want, now)

    def _start(
        self, peer: Peer, ids: tuple[bytes, ...], now: float, numbers: Iterable[int]
    ) -> tuple[str, int, tuple[bytes, ...]]:
        number = next(iter(numbers))
        seconds = self._peers.patience(peer)
        self._asked[number] = Asked(peer.name, ids, now + seconds)
        peer.asked[number] = None
        for tx_id in ids:
            self._wants[tx_id].number = number
        return peer.name, number, ids

    def _finish(self, number: int, asked: Asked) -> None:
        peer = self._peers.get(asked.peer)
        if peer is not None:
            peer.asked.pop(number, None)
        for tx_id in asked.ids:
            want = self._wants.get(tx_id)
            if want is not None and want.number == number:
                want.number = None
                self._ready[tx_id] = None

    def _remember(self, number: int, asked: Asked) -> None:
        self._past[number] = asked
        if len(self._past) > _MAX_PAST:
            self._past.popitem(last=False)

    def _abandon(self, number: int, asked: Asked, now: float) -> None:
        del self._asked[number]
        self._remember(number, asked)
        self._finish(number, asked)
        self.lacks(asked.ids, asked.peer, now)
