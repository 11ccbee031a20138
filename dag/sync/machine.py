"""The exchange between nodes as a state machine: bytes, verdicts and the time go in, effects come out.

No sockets, no clock, no threads: the daemon drives it over HTTP, the simulator over its virtual network. Given the same
random source and the same calls it has the same effects. One caller at a time.

    a member posts        created      ->  push to every peer
    a push arrives        receive      ->  queued; work: judged, attached, its id relayed to a few
    its parents are not here           ->  request to whoever sent it, then to the others
    every second or so    tick         ->  frontier to one peer, which answers with its own
    far behind                         ->  pages from several peers (`dag.sync.catchup`)
    a payload must be checked first    ->  Check; checked lets it in
"""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING

from dag.errors import Barren, LedgerError, MalformedMessage, PeerFault, Unanswered, Unsolicited
from dag.ids import sha256
from dag.sync import serving
from dag.sync.admission import Admission
from dag.sync.catchup import CatchUp
from dag.sync.config import BARREN, MALFORMED, UNANSWERED, UNSOLICITED, SyncConfig
from dag.sync.effects import Attached, Effect, Misbehaved, Overloaded, Send, Verdict
from dag.sync.held import Entry
from dag.sync.messages import (
    Announce,
    Answer,
    Frontier,
    Push,
    Range,
    RangeRequest,
    Request,
    parse,
)
from dag.sync.peers import Lanes, Peers
from dag.sync.spreading import Spreading
from dag.sync.stats import SyncStats
from dag.sync.wants import Wants

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Iterable

    from dag.sync.messages import Message
    from dag.sync.peers import Lane, Turn
    from dag.sync.ports import LedgerPort
    from dag.transaction import Transaction

_TIMEOUTS_BORNE = 5
"""Answers in a row that a peer may owe before it is blamed: networks lose messages."""
_MISSING_A_TICK = 64
"""Parents that waiting transactions lack, asked for at each comparison of frontiers."""


class SyncMachine:
    """One node's side of the exchange. Times are seconds on any clock that does not go back."""

    def __init__(
        self,
        port: LedgerPort,
        config: SyncConfig,
        rng: random.Random,
        *,
        needs_check: Callable[[Transaction], bool] | None = None,
    ) -> None:
        """A machine that knows no peers yet.

        Args:
            port: this node's ledger.
            config: limits and times.
            rng: source of chance: whom to tell and ask, and jitter.
            needs_check: says of a transaction whether its payload must be checked before it enters; None for never.
        """
        self._port = port
        self._config = config
        self._rng = rng
        self._numbers = count(1)
        self._lanes = Lanes(config)
        self._peers = Peers(config, self._lanes, rng)
        self._wants = Wants(config, self._peers, rng)
        self._catchup = CatchUp(port, config, self._peers)
        self._spreading = Spreading(port, config, self._peers, rng)
        self._admission = Admission(port, config, self._peers, needs_check)
        self._next_frontier: float | None = None
        for proof in port.evidence():
            self._spreading.accuse(proof)

    # -- what the driver tells -------------------------------------------------------------------------------------

    def connect(self, peer: str, now: float) -> list[Effect]:
        """A peer that this node may send to and ask."""
        if self._peers.get(peer) is None:
            self._spreading.connected(self._peers.add(peer))
        if self._next_frontier is None:
            self._next_frontier = now + self._rng.random() * self._config.frontier_seconds
        return self._settle([], now)

    def disconnect(self, peer: str, now: float) -> list[Effect]:
        """A peer is gone for good; its standing is remembered in case it comes back."""
        self._wants.unreachable(peer, now)
        self._catchup.unreachable(peer)
        self._peers.remove(peer)
        return self._settle([], now)

    def created(self, ids: Iterable[bytes], now: float) -> list[Effect]:
        """Own transactions, attached already: every peer is to hear of them. Repeating it changes nothing."""
        self._spreading.created(ids)
        return self._settle([], now)

    def anchored(self, ids: Iterable[bytes], now: float) -> list[Effect]:
        """Ids that the chain vouches for, such as the winning proposals of finished rounds, oldest first."""
        if self._catchup.anchored(ids):
            self._catchup.start(now, None)
        return self._settle([], now)

    def context_changed(self, now: float) -> list[Effect]:
        """The chain told something new, such as a round: what was too early is tried again at once."""
        self._admission.retry_all()
        return self._settle([], now)

    def receive(
        self, peer: str, message: bytes, now: float, *, vouched: bool = True, mark: int | None = None
    ) -> list[Effect]:
        """Bytes from a peer: parsed and queued for `work`, or dropped if it has too much waiting or is being ignored.

        Args:
            peer: who sent them, as far as is known.
            message: the bytes, of any length and content.
            now: the time.
            vouched: whether the transport knows that they are the peer's. What is only said to be does not count against
                what this node asks the peer itself, and answers nothing.
            mark: comes back in `Send.reply_to` if the message is a question.
        """
        lane = self._lanes.of(peer, vouched)
        if lane is None or lane.score.is_ignored(now):
            return [Overloaded(peer)]
        try:
            parsed = parse(message)
        except MalformedMessage as error:
            return self._settle([self._blame(lane, error, MALFORMED, now)], now)
        if not self._lanes.admit(lane, parsed, len(message), mark):
            return [Overloaded(peer)]
        if vouched and isinstance(parsed, Answer):
            self._wants.arrived(parsed.number, peer)
        elif vouched and isinstance(parsed, Range):
            self._catchup.arrived(parsed.number, peer)
        return []

    @property
    def pending(self) -> bool:
        """Whether `work` has anything to do."""
        return self._lanes.pending or self._admission.pending

    def work(self, now: float) -> list[Effect]:
        """Serves waiting messages in turn, about `work_units` of work, and takes what they bring in one durable commit."""
        effects: list[Effect] = []
        units = self._config.work_units
        while units > 0 and (turn := self._lanes.next()) is not None:
            units -= turn.cost
            try:
                effects += self._serve(turn, now)
            except PeerFault as error:
                effects.append(self._blame(turn.lane, error, _penalty(error), now))
        return self._settle(effects + self._admit(now), now)

    def checked(self, tx_id: bytes, verdict: Verdict, now: float) -> list[Effect]:
        """What a payload check came to (`Check`)."""
        outcome = self._admission.checked(tx_id, verdict, now)
        effects = [self._blame(lane, error, points, now) for lane, error, points in outcome.blamed]
        return self._settle([*effects, *outcome.effects], now)

    def outcome(self, send: Send, arrived: bool, now: float) -> list[Effect]:
        """Whether a message arrived, where the transport knows. A peer that cannot be reached is left alone for a while."""
        peer = self._peers.get(send.peer)
        if peer is None:
            return []
        if arrived:
            peer.failures = 0
            for tx_id in send.pushed:
                self._spreading.knows(peer, tx_id)
        else:
            peer.quiet_until = now + self._peers.pause(peer.failures)
            peer.failures += 1
            self._spreading.undelivered(peer, send.pushed)
            self._wants.unreachable(peer.name, now)
            self._catchup.unreachable(peer.name)
        return self._settle([], now)

    def tick(self, now: float) -> list[Effect]:
        """Whatever is due by the clock."""
        effects: list[Effect] = []
        faults: list[tuple[str, PeerFault]] = [
            (asked.peer, Unanswered(f"{asked.peer} left request {number} for {len(asked.ids)} ids unanswered"))
            for number, asked in self._wants.expire(now)
        ]
        for name, fault in [*faults, *self._catchup.expire(now)]:
            effects += self._missed(name, fault, now)
        self._admission.retry_due(now)
        if self._next_frontier is not None and self._next_frontier <= now:
            effects += self._compare(now)
        return self._settle(effects, now)

    def next_deadline(self) -> float:
        """When `tick` has something to do at the latest; infinity if never."""
        return min(
            float("inf") if self._next_frontier is None else self._next_frontier,
            self._wants.next_deadline(),
            self._catchup.next_deadline(),
            self._spreading.next_deadline(),
            self._admission.next_deadline(),
        )

    def stats(self) -> SyncStats:
        """How much of everything is kept; each is bounded by the configuration."""
        return SyncStats(
            peers=len(self._peers),
            queued_messages=len(self._lanes),
            queued_bytes=self._lanes.size,
            wants=len(self._wants),
            held=len(self._admission.held),
            checking=self._admission.checking,
            parked=len(self._admission.parked),
            refused=len(self._admission.refused),
            own=len(self._spreading),
            paged_bytes=self._catchup.buffered,
            catching_up=self._catchup.active,
        )

    # -- serving one message ---------------------------------------------------------------------------------------

    def _serve(self, turn: Turn, now: float) -> list[Effect]:
        """Answers a question, or notes what a message brings. Raises PeerFault."""
        lane, message = turn.lane, turn.message
        if isinstance(message, Answer | Range) and not lane.vouched:
            raise Unsolicited(f"{message.KIND} {message.number} came in the name of {lane.peer}, not from it")
        match message:
            case Announce():
                self._heard(lane, message.ids)
            case Push():
                self._brought(lane, message.transactions)
            case Answer():
                self._answered(lane, message, now)
            case Frontier():
                self._compared(lane, message, now)
                return (
                    [self._reply(turn, serving.frontier(self._port, self._rng, reply=False))] if message.reply else []
                )
            case Range():
                self._catchup.take(lane.peer, message, now)
                self._responded(lane.peer)
            case Request():
                return [self._reply(turn, serving.answer(self._port, message))]
            case RangeRequest():
                return [self._reply(turn, serving.page(self._port, message, self._config.page))]
            case _:
                raise MalformedMessage("kind", f"{message.KIND!r} is not served")
        return []

    @staticmethod
    def _reply(turn: Turn, message: Message) -> Send:
        return Send(turn.lane.peer, message.encode(), reply_to=turn.mark)

    def _heard(self, lane: Lane, ids: Iterable[bytes]) -> None:
        """A peer has these: those that are news are wanted."""
        peer = self._peers.get(lane.peer)
        if peer is None:
            return
        for tx_id in ids:
            self._spreading.knows(peer, tx_id, vouched=lane.vouched)
            if not self._admission.is_settled(tx_id):
                self._wants.add(tx_id, lane.peer)

    def _brought(self, lane: Lane, raws: Iterable[bytes], *, paged: bool = False) -> None:
        """Transactions to judge at the end of this turn."""
        peer = self._peers.get(lane.peer)
        for raw in raws:
            tx_id = sha256(raw)
            if peer is not None:
                self._spreading.knows(peer, tx_id, vouched=lane.vouched)
            self._admission.bring(Entry(tx_id, raw, lane, self._wants.chase(tx_id), paged))
            self._wants.drop(tx_id)

    def _answered(self, lane: Lane, message: Answer, now: float) -> None:
        asked = self._wants.answered(message.number, lane.peer)
        if asked is None:
            raise Unsolicited(f"answer {message.number} was not asked of {lane.peer}")
        wanted = frozenset(asked.ids)
        raws = [raw for raw in message.transactions if sha256(raw) in wanted]
        self._brought(lane, raws)
        absent = wanted.intersection(message.absent)
        self._wants.lacks((tx_id for tx_id in asked.ids if tx_id in absent), lane.peer, now)
        self._responded(lane.peer)
        if len(raws) < len(message.transactions):
            raise Unsolicited(f"answer {message.number} of {lane.peer} brings what was not asked for")
        if not raws and not absent:
            self._wants.lacks(asked.ids, lane.peer, now)
            raise Barren(f"answer {message.number} of {lane.peer} brings nothing of what was asked for")

    def _responded(self, name: str) -> None:
        peer = self._peers.get(name)
        if peer is not None:
            peer.timeouts = 0

    def _compared(self, lane: Lane, message: Frontier, now: float) -> None:
        """A peer's frontier: its tips are wanted, or pages of what it has if that is far more."""
        if self._peers.get(lane.peer) is None:
            return
        if self._catchup.is_behind(lane.peer, message.count):
            self._catchup.start(now, lane.peer, message.count)
        if not self._catchup.active:
            self._heard(lane, message.tips)

    # -- taking in -------------------------------------------------------------------------------------------------

    def _admit(self, now: float) -> list[Effect]:
        """Lets in what this turn brought, then a page if one is due."""
        effects = self._commit(now)
        page = self._catchup.feed(now)
        lane = None if page is None else self._lanes.of(page.peer, vouched=True)
        if page is None or lane is None:
            return effects
        before = len(self._port)
        self._brought(lane, page.transactions, paged=True)
        effects += self._commit(now)
        try:
            self._catchup.fed(len(self._port) > before, now)
        except PeerFault as error:
            effects.append(self._blame(lane, error, _penalty(error), now))
        return effects

    def _commit(self, now: float) -> list[Effect]:
        outcome = self._admission.commit(now)
        effects: list[Effect] = [self._blame(lane, error, points, now) for lane, error, points in outcome.blamed]
        for transaction in outcome.attached:
            self._wants.drop(transaction.id)
            self._spreading.relay(transaction.id, now)
        for parent, entry in outcome.missing:
            self._miss(parent, entry, now)
        news = [self._spreading.accuse(proof) for proof in outcome.proofs]
        if any(news):
            effects += [warning for peer in self._peers for warning in self._spreading.warn(peer, now)]
        if outcome.attached:
            effects.append(Attached(outcome.attached))
        return effects + outcome.effects

    def _miss(self, parent: bytes, entry: Entry, now: float) -> None:
        """A parent is not here: asked of whoever sent the child first. From some depth on pages are cheaper."""
        if self._catchup.active and not entry.paged:
            return
        if entry.chase >= self._config.chase:
            self._catchup.start(now, entry.lane.peer)
            return
        if not self._admission.is_coming(parent):
            self._wants.add(parent, entry.lane.peer, anybody=True, chase=entry.chase + 1)

    # -- by the clock ----------------------------------------------------------------------------------------------

    def _compare(self, now: float) -> list[Effect]:
        """Sends the frontier to one peer, and asks again for parents that nobody had."""
        self._next_frontier = now + self._config.frontier_seconds * (0.75 + 0.5 * self._rng.random())
        if not self._catchup.active:
            missing = self._port.missing()
            some = missing if len(missing) <= _MISSING_A_TICK else self._rng.sample(missing, _MISSING_A_TICK)
            for tx_id in some:
                if not self._admission.is_coming(tx_id):
                    self._wants.add(tx_id, None, anybody=True)
        able = self._peers.askable(now)
        if not able:
            return []
        peer = self._rng.choice(able)
        frontier = Send(peer.name, serving.frontier(self._port, self._rng, reply=True).encode(), asks=True)
        return [frontier, *self._spreading.warn(peer, now)]

    def _missed(self, name: str, fault: PeerFault, now: float) -> list[Effect]:
        """A peer did not answer in time."""
        peer = self._peers.get(name)
        if isinstance(fault, Unanswered):
            if peer is None:
                return []
            peer.timeouts += 1
            if peer.timeouts < _TIMEOUTS_BORNE:
                return []
        lane = self._lanes.of(name, vouched=True)
        return [] if lane is None else [self._blame(lane, fault, _penalty(fault), now)]

    def _settle(self, effects: list[Effect], now: float) -> list[Effect]:
        """What follows from the new state: questions to ask, news to tell."""
        while (asked := self._catchup.ask(now, next(self._numbers))) is not None:
            effects.append(Send(asked[0], asked[1].encode(), asks=True))
        for name, number, ids in self._wants.ask(now, self._numbers):
            effects.append(Send(name, Request(number, ids).encode(), asks=True))
        effects += self._spreading.spread()
        effects += self._spreading.flush(now)
        return effects

    def _blame(self, lane: Lane, error: LedgerError, points: float, now: float) -> Misbehaved:
        until = lane.score.penalise(points, now, self._config)
        return Misbehaved(lane.peer, error, points, until)


def _penalty(fault: PeerFault) -> float:
    match fault:
        case MalformedMessage():
            return MALFORMED
        case Unsolicited():
            return UNSOLICITED
        case Unanswered():
            return UNANSWERED
        case _:
            return BARREN
