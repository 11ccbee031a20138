"""Catching up after a long absence: pages of what others attached, from several of them at a time.

What is missed is cut into segments that end at transactions the chain vouches for (`SyncMachine.anchored`); the last one is
open. Segments enter the ledger one after the other; the pages of later ones are fetched meanwhile, of other peers, at most one
page each. A segment is done when its end is attached: a transaction attaches only on its whole past, so nothing of the segment
can lack then, whoever delivered it. Where a page comes to nothing, another peer is asked for the same. Nothing of this needs
to be remembered: after a restart the ledger says how far it got.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from dag.errors import Barren, Unanswered, Unsolicited
from dag.ids import sha256
from dag.sync.messages import MAX_AFTER, RangeRequest

if TYPE_CHECKING:
    from collections.abc import Iterable

    from dag.errors import PeerFault
    from dag.sync.config import SyncConfig
    from dag.sync.messages import Range
    from dag.sync.peers import Peer, Peers
    from dag.sync.ports import LedgerPort

_MAX_ANCHORS = 1_000_000
_MAX_FAILURES = 12
_ASKED_AGAIN = 4
"""Times that the peer in the middle of a segment is asked again for a page that did not come: another one has attached in
another order and would have to begin anew, and on lines that lose a fifth of all messages no long segment would ever end."""
_MAX_PAST = 64
"""Requests for pages remembered, so that a late page is no offence."""
DENSE = 32
"""How many of the newest ids a ledger's locator names one by one; the next are at doubling distances."""


@dataclass
class Segment:
    """A stretch of the ledger to fetch.

    Attributes:
        after: the anchor it begins at; None for wherever this node is.
        until: the anchor it ends at; None for the newest.
        peer: whom the last page was asked of.
        number: the request under way, or None.
        deadline: when its time runs out; of the first segment, once finished, when its end must be attached.
        cursor: the last transaction of the newest page.
        page: a page that waits for the segments before it.
        finished: whether the peer said that this was all.
        useless: pages in a row that brought nothing new.
        again: times the page under way was asked for again.
        tried: peers that failed at it.
    """

    after: bytes | None
    until: bytes | None
    peer: str | None = None
    number: int | None = None
    deadline: float = float("inf")
    cursor: bytes | None = None
    page: tuple[bytes, ...] | None = None
    finished: bool = False
    useless: int = 0
    again: int = 0
    tried: dict[str, None] = field(default_factory=dict)

    def restart(self) -> None:
        """Begin again, with another peer."""
        if self.peer is not None:
            self.tried[self.peer] = None
        self.peer, self.number, self.cursor, self.page = None, None, None, None
        self.deadline, self.finished, self.useless, self.again = float("inf"), False, 0, 0


@dataclass(frozen=True)
class Page:
    """A page that may enter the ledger now.

    Attributes:
        peer: who sent it.
        transactions: bytes, parents before children.
    """

    peer: str
    transactions: tuple[bytes, ...]


class CatchUp:
    """The segments under way."""

    def __init__(self, port: LedgerPort, config: SyncConfig, peers: Peers) -> None:
        """Nothing to catch up with."""
        self._port = port
        self._config = config
        self._peers = peers
        self._anchors: dict[bytes, None] = {}
        self._segments: list[Segment] = []
        self._asked: OrderedDict[int, str] = OrderedDict()
        self._hint: tuple[str | None, int] = (None, 0)
        self._failures = 0
        self._news = False
        self._back = 0
        self._idle_runs = 0
        self._not_before = float("-inf")
        self._forgiven: dict[str, int] = {}
        self._feeding: Segment | None = None

    @property
    def active(self) -> bool:
        """Whether segments are under way."""
        return bool(self._segments)

    @property
    def buffered(self) -> int:
        """Bytes of pages that wait for earlier segments."""
        return sum(len(raw) for segment in self._segments for raw in segment.page or ())

    def anchored(self, ids: Iterable[bytes]) -> bool:
        """Learns of anchors, oldest first; whether so many are missing that catching up is worth it."""
        for tx_id in ids:
            if tx_id not in self._port and len(self._anchors) < _MAX_ANCHORS:
                self._anchors[tx_id] = None
        self._prune()
        return len(self._anchors) > 1

    def start(self, now: float, hint: str | None, claim: int = 0) -> None:
        """Begins, unless it has begun already or came to nothing a moment ago.

        Args:
            now: the time.
            hint: the peer that knows more, asked first.
            claim: how many transactions it says it has.
        """
        if self._segments or now < self._not_before:
            return
        self._hint, self._failures, self._news = (hint, claim), 0, False
        self._segments = [self._next_segment(None)]
        self._fill()

    def is_behind(self, peer: str, claim: int) -> bool:
        """Whether a peer that holds `claim` transactions is so far ahead that pages are worth it.

        What it had ahead when a run from genesis brought nothing is not counted again: such are contradictions that it
        admitted and this node refuses.
        """
        return claim >= len(self._port) + self._config.gap + self._forgiven.get(peer, 0)

    def ask(self, now: float, number: int) -> tuple[str, RangeRequest] | None:
        """The next page to ask for and of whom, under a fresh number; None if none is due."""
        for place, segment in enumerate(self._segments):
            if segment.number is not None or segment.finished or segment.page is not None:
                continue
            peer = self._whom(segment, now)
            if peer is None:
                continue
            seconds = self._peers.patience(peer)
            segment.peer, segment.number, segment.deadline = peer.name, number, now + seconds
            self._asked[number] = peer.name
            if len(self._asked) > _MAX_PAST:
                self._asked.popitem(last=False)
            return peer.name, RangeRequest(number, self._places(segment, first=place == 0), segment.until)
        return None

    def arrived(self, number: int, peer: str) -> None:
        """A page came in and waits to be served: from now on it is this node that is slow."""
        segment = next((s for s in self._segments if s.number == number and s.peer == peer), None)
        if segment is not None:
            segment.deadline = float("inf")

    def take(self, peer: str, page: Range, now: float) -> None:
        """A page arrived.

        Raises:
            Barren: it is empty where the peer was asked for something it ought to have.
            Unsolicited: it was not asked for.
        """
        segment = next((s for s in self._segments if s.number == page.number and s.peer == peer), None)
        if segment is None:
            if self._asked.get(page.number) == peer:
                return  # late, or twice by the network's doing
            raise Unsolicited(f"page {page.number} was not asked of {peer}")
        segment.number, segment.deadline, segment.again = None, float("inf"), 0
        if page.transactions:
            segment.cursor = sha256(page.transactions[-1])
            segment.page = page.transactions
        segment.finished = not page.more
        fault = None if page.transactions else self._emptiness(segment)
        self._advance(now)
        if fault is not None:
            raise fault

    def feed(self, now: float) -> Page | None:
        """The page of the first segment, to enter the ledger now; say `fed` afterwards. None if there is none."""
        self._advance(now)
        first = self._segments[0] if self._segments else None
        if first is None or first.page is None or first.peer is None:
            return None
        page, first.page, self._feeding = Page(first.peer, first.page), None, first
        return page

    def fed(self, news: bool, now: float) -> None:
        """The page entered; `news` says whether anything in it was new.

        Raises:
            Barren: page after page of the segment brings nothing new.
        """
        segment, self._feeding = self._feeding, None
        if segment is None:
            return
        if news:
            segment.useless, self._failures, self._news = 0, 0, True
        else:
            segment.useless += 1
        if segment.useless > 2 + len(self._port) // max(1, self._config.page):
            peer = segment.peer
            self._fail(segment)
            raise Barren(f"{peer} sends page after page of what is known")
        self._advance(now)

    def expire(self, now: float) -> list[tuple[str, PeerFault]]:
        """What ran out of time, and of whom; the same peer is asked again in the middle of a segment, else others."""
        faults: list[tuple[str, PeerFault]] = []
        for segment in self._segments:
            peer = segment.peer
            if segment.deadline > now or peer is None:
                continue
            late = segment.number is not None
            what = "sent no page in time" if late else "sent a range that does not lead to its end"
            faults.append((peer, Unanswered(f"{peer} {what}") if late else Barren(f"{peer} {what}")))
            if late and segment.cursor is not None and segment.again < _ASKED_AGAIN:
                segment.number, segment.deadline, segment.again = None, float("inf"), segment.again + 1
            else:
                self._fail(segment)
        self._advance(now)
        return faults

    def unreachable(self, peer: str) -> None:
        """A peer cannot be reached: what was asked of it is asked of others."""
        for segment in self._segments:
            if segment.peer == peer and segment.number is not None:
                self._fail(segment)

    def next_deadline(self) -> float:
        """When something is due; infinity if nothing is."""
        return min((segment.deadline for segment in self._segments), default=float("inf"))

    # -- inside --------------------------------------------------------------------------------------------------

    def _advance(self, now: float) -> None:
        """Lets go of segments whose end is attached; stops after too many failures without any news between."""
        while self._segments and self._done(self._segments[0]):
            self._segments.pop(0)
            if not self._segments:
                self._over(now)
        if self._failures > _MAX_FAILURES:
            self._segments = []
            self._over(now)
        self._fill()
        first = self._segments[0] if self._segments else None
        if first is not None and first.finished and first.page is None and first.deadline == float("inf"):
            first.deadline = now + 2 * self._config.request_seconds

    def _emptiness(self, segment: Segment) -> Barren | None:
        """What is wrong with an empty page, if anything: at times the peer has not got what it promised."""
        hint, claim = self._hint
        peer, until = segment.peer, segment.until
        if until is not None and until not in self._port:
            self._fail(segment)
            return Barren(f"{peer} has nothing of the range up to {until.hex()[:16]}…; another peer is asked")
        if until is None and peer == hint and self._from_genesis() and claim > len(self._port):
            return Barren(f"{peer} says that it has {claim} transactions and sends none of them")
        return None

    def _over(self, now: float) -> None:
        """A run ended. One without news makes the next begin further back, and wait."""
        hint, claim = self._hint
        if self._news:
            self._back, self._idle_runs, self._not_before = 0, 0, float("-inf")
            return
        if hint is not None and self._from_genesis():
            self._forgiven[hint] = max(0, claim - len(self._port))
            self._back = 0
        else:
            self._back = self._back + 2 if self._back else DENSE
        self._idle_runs += 1
        self._not_before = now + self._peers.pause(self._idle_runs)

    def _from_genesis(self) -> bool:
        return self._back > DENSE + len(self._port).bit_length()

    def _fail(self, segment: Segment) -> None:
        segment.restart()
        self._failures += 1

    def _done(self, segment: Segment) -> bool:
        if segment.until is not None:
            return segment.until in self._port
        return segment.finished and segment.page is None

    def _fill(self) -> None:
        while self._segments and len(self._segments) < self._config.segments and self._segments[-1].until is not None:
            self._segments.append(self._next_segment(self._segments[-1].until))

    def _next_segment(self, after: bytes | None) -> Segment:
        self._prune()
        ids = list(self._anchors)
        begin = ids.index(after) + 1 if after in self._anchors else 0
        ahead = ids[begin : begin + self._config.anchors_per_segment]
        return Segment(after, ahead[-1] if ahead else None)

    def _prune(self) -> None:
        """Forgets anchors that are attached; they attach in order, so the look stops at the first that is not."""
        while self._anchors and (first := next(iter(self._anchors))) in self._port:
            del self._anchors[first]

    def _places(self, segment: Segment, *, first: bool) -> tuple[bytes, ...]:
        """Where the page is to begin: behind the last one, or at the segment's start, or at what this node has.

        A run that brought nothing makes the next one begin further back: what is missing may have been attached there
        before what this node has.
        """
        before = () if segment.cursor is None else (segment.cursor,)
        start = () if segment.after is None else (segment.after,)
        here = self._port.locator() if first else ()
        places = tuple(dict.fromkeys((*before, *start, *here[self._back :], *here[-1:])))
        return places if len(places) <= MAX_AFTER else (*places[: MAX_AFTER - 1], places[-1])

    def _whom(self, segment: Segment, now: float) -> Peer | None:
        """The peer that goes on with a segment, else one that failed at none and is least busy."""
        able = self._peers.askable(now)
        if not able:
            return None
        if segment.peer is not None and (same := next((p for p in able if p.name == segment.peer), None)):
            return same
        fresh = [peer for peer in able if peer.name not in segment.tried]
        if not fresh:
            segment.tried.clear()
            fresh = able
        busy = [other.peer for other in self._segments if other.number is not None]
        return min(fresh, key=lambda peer: (busy.count(peer.name), peer.name != self._hint[0]))
