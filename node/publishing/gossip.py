"""Gossip over HTTP: carries what the sync machine (`dag.sync`) wants done, and tells it what comes in.

Every message is one POST to `/v1/gossip`, signed by the member that calls; a question's answer is in the response, so a node that
cannot be called still catches up. What others call with is scored apart from the answers to our own calls. The machine runs
in a thread of its own, which alone touches it: the event loop waits for no disk. An update's ciphertexts are fetched and
checked *before* the ledger takes its transaction, so what a node approves it has.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections import Counter, deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING

from crypto.errors import CryptoError
from dag.bodies import Kind
from dag.errors import LedgerError, MalformedMessage, StoreError, WrongRound
from dag.sync import (
    Attached,
    Check,
    Misbehaved,
    Overloaded,
    Send,
    Spread,
    Stuck,
    SyncConfig,
    SyncMachine,
    Verdict,
    is_question,
)
from node.errors import MedweaveError, PeerBusy, PeerProblem
from node.publishing.calls import Calls
from node.publishing.port import PublisherPort
from node.publishing.presence import Presence
from node.storage import StorageError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from dag.sync import Effect
    from dag.transaction import Transaction
    from node.calling import Dialer
    from node.publishing.publisher import Publisher

log = logging.getLogger("medweave.gossip")

DAEMON = SyncConfig(relay=1, request_seconds=5.0, longest_seconds=8.0)
"""Every hospital calls every other: one peer is told of others' transactions in case its link to their issuer is down."""
ANYBODY = ""
"""The name under which callers are served that are no members."""
ANSWER_SECONDS = 8.0
"""How long a question waits for its turn."""
MAX_CALLERS = 32
"""Most messages of one caller that wait to be queued or answered."""
MAX_HEARING_BYTES = 64 * 1024 * 1024
"""Most bytes of such messages of all callers; beyond it only a caller with nothing waiting is heard."""
LONGEST_PAUSE_SECONDS = 0.5
"""So soon a peer that was admitted on chain is noticed."""


@dataclass
class Arrival:
    """A message on its way to the machine.

    Attributes:
        peer: Who sent it.
        message: The bytes.
        vouched: Whether it answers our own call, so that it is the peer's own word.
        mark: Its number if it waits for an answer.
        admitted: Resolved once it is queued, or failed with the reason why not; None where nobody waits for that.
    """

    peer: str
    message: bytes
    vouched: bool = False
    mark: int | None = None
    admitted: asyncio.Future[None] | None = None


class Gossip:
    """One node's side of the exchange; lives on the daemon's event loop.

    Args:
        publisher: This node's ledger.
        dialer: Makes the client that calls them; says who calls.
        peers: The other members' base URLs, newest knowledge at each call.
        check_update: Fetches and checks an update's ciphertexts; given the transaction and the URL it came from.
        over: Whether a round has ended, by number: what it brought is settled, so its ciphertexts need no check.
        anchors: Ids of transactions that the chain vouches for, oldest first, newest knowledge at each call.
        config: Limits and times.
    """

    def __init__(
        self,
        publisher: Publisher,
        dialer: Dialer,
        peers: Callable[[], tuple[str, ...]],
        check_update: Callable[[Transaction, str | None], None],
        *,
        over: Callable[[int], bool] = lambda _round: False,
        anchors: Callable[[], tuple[bytes, ...]] = tuple,
        config: SyncConfig = DAEMON,
    ) -> None:
        self._publisher = publisher
        self._peers = peers
        self._check_update = check_update
        self._anchors = anchors
        chance = random.Random()  # noqa: S311  (whom to ask next is no secret)
        self._machine = SyncMachine(
            PublisherPort(publisher),
            config,
            chance,
            needs_check=lambda transaction: transaction.kind is Kind.UPDATE and not over(transaction.round),
        )
        self._calls = Calls(dialer)
        self.presence = Presence()
        """Which peers are there."""
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="gossip")
        self._checkers = ThreadPoolExecutor(config.max_checks, thread_name_prefix="check")
        self._wake = asyncio.Event()
        self._inbox: deque[Arrival] = deque()
        self._news: deque[Callable[[float], list[Effect]]] = deque()
        self._spread: deque[bytes] = deque()
        """What enough peers have and the outbox still lists."""
        self._announce = self._chain_news = True
        self._connected: frozenset[str] = frozenset()
        self._marks = count(1)
        self._questions: dict[int, asyncio.Future[bytes]] = {}
        self._callers: Counter[str] = Counter()
        self._hearing = 0
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Work until cancelled."""
        loop = asyncio.get_running_loop()
        try:
            while True:
                self._wake.clear()
                effects, pause = await loop.run_in_executor(self._thread, self._turn, loop)
                for effect in effects:
                    self._carry(effect)
                if pause > 0:
                    await _either(self._wake, min(pause, LONGEST_PAUSE_SECONDS))
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            self._checkers.shutdown(wait=False, cancel_futures=True)
            await asyncio.to_thread(self._thread.shutdown, cancel_futures=True)  # the running turn ends first
            await self._calls.close()

    # ---- what the node tells -----------------------------------------------------------------------------------------

    def announce_soon(self) -> None:
        """The outbox has something new."""
        self._announce = True
        self._wake.set()

    def retry_held(self) -> None:
        """The chain told something new: what was too early may be in time now."""
        self._chain_news = True
        self._wake.set()

    async def hear(self, message: bytes, caller: str | None) -> bytes:
        """A message that somebody called with.

        Args:
            message: The bytes.
            caller: Base URL of the member that called; None where it has none.

        Returns:
            The answer; empty if there is none.

        Raises:
            MalformedMessage: The bytes are no message.
            PeerBusy: The caller has too much waiting here.
        """
        peer = caller or ANYBODY
        self.presence.heard(peer)
        crowded = self._callers[peer] and self._hearing + len(message) > MAX_HEARING_BYTES
        if crowded or self._callers[peer] >= MAX_CALLERS:
            raise PeerBusy(f"too many calls of {peer or 'strangers'} are waiting here; call again later")
        self._callers[peer] += 1
        self._hearing += len(message)
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                return await self._admit(peer, message)
        except TimeoutError:
            raise PeerBusy("this node has no time for an answer; call again later") from None
        finally:
            self._hearing -= len(message)
            self._callers[peer] -= 1
            if not self._callers[peer]:
                del self._callers[peer]

    async def _admit(self, peer: str, message: bytes) -> bytes:
        """Hands a message to the machine and waits: for room in its queue, and for the answer if it is a question."""
        loop = asyncio.get_running_loop()
        admitted: asyncio.Future[None] = loop.create_future()
        try:
            asks = is_question(message)
        except MalformedMessage:
            self._put(Arrival(peer, b""))  # no message either, and shorter: it counts against the caller
            raise
        if not asks:
            self._put(Arrival(peer, message, admitted=admitted))
            await admitted
            return b""
        mark = next(self._marks)
        answer: asyncio.Future[bytes] = loop.create_future()
        self._questions[mark] = answer
        try:
            self._put(Arrival(peer, message, mark=mark, admitted=admitted))
            await admitted
            return await answer
        finally:
            del self._questions[mark]

    def _put(self, arrival: Arrival) -> None:
        self._inbox.append(arrival)
        self._wake.set()

    # ---- in the machine's thread -------------------------------------------------------------------------------------

    def _turn(self, loop: asyncio.AbstractEventLoop) -> tuple[list[Effect], float]:
        """Tells the machine everything new and lets it work once; what it wants done, and for how long it can wait."""
        now = time.monotonic()
        try:
            effects = [*self._tell_news(now), *self._tell_arrivals(now, loop)]
            if self._machine.next_deadline() <= now:
                effects += self._machine.tick(now)
            if self._machine.pending:
                effects += self._machine.work(now)
        except StoreError as error:
            return [Stuck(error)], LONGEST_PAUSE_SECONDS
        except Exception:
            # A bug of this node that a peer's bytes can reach must not end the exchange with everybody else.
            log.exception("gossip")
            return [], LONGEST_PAUSE_SECONDS
        for effect in effects:
            if isinstance(effect, Spread):
                self._spread.extend(effect.ids)
        try:
            while self._spread:
                self._publisher.sent(self._spread[0])
                self._spread.popleft()
        except StoreError as error:
            # A full disk: they are crossed out at a later turn, or announced again after a restart.
            effects.append(Stuck(error))
        return effects, 0.0 if self._machine.pending else self._machine.next_deadline() - time.monotonic()

    def _tell_news(self, now: float) -> list[Effect]:
        """Peers, own transactions, the chain, and what became of calls and checks."""
        effects: list[Effect] = []
        peers = frozenset(self._peers())
        for peer in sorted(peers - self._connected):
            effects += self._machine.connect(peer, now)
        for peer in sorted(self._connected - peers):
            effects += self._machine.disconnect(peer, now)
        self._connected = peers
        if self._announce:
            self._announce = False
            effects += self._machine.created((tx.id for tx in self._publisher.outbox()), now)
        if self._chain_news:
            self._chain_news = False
            effects += self._machine.context_changed(now)
            effects += self._machine.anchored(self._anchors(), now)
        while self._news:
            effects += self._news.popleft()(now)
        return effects

    def _tell_arrivals(self, now: float, loop: asyncio.AbstractEventLoop) -> list[Effect]:
        effects: list[Effect] = []
        for _ in range(len(self._inbox)):
            arrival = self._inbox.popleft()
            said = self._machine.receive(arrival.peer, arrival.message, now, vouched=arrival.vouched, mark=arrival.mark)
            effects += said
            if arrival.admitted is not None:
                loop.call_soon_threadsafe(_settle, arrival.admitted, _objection(said))
        return effects

    # ---- on the event loop -------------------------------------------------------------------------------------------

    def _carry(self, effect: Effect) -> None:
        match effect:
            case Send(reply_to=int(mark)):
                if (question := self._questions.get(mark)) is not None and not question.done():
                    question.set_result(effect.message)
            case Send():
                if effect.peer in self._connected:
                    self._start(self._call(effect))
            case Check():
                self._start(self._check(effect))
            case Misbehaved():
                severity = logging.DEBUG if effect.ignored_until is None else logging.WARNING
                log.log(severity, "from %s: %s", effect.peer or "a stranger", effect.error)
            case Stuck():
                log.error("nothing can be taken in: %s", effect.error)
            case Attached() | Spread() | Overloaded():
                pass

    def _start(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _call(self, send: Send) -> None:
        answered = await self._calls.call(send)
        if answered.arrived:
            self.presence.heard(send.peer)
        if answered.body:
            self._put(Arrival(send.peer, answered.body, vouched=True))
        self._news.append(lambda now: self._machine.outcome(send, answered.arrived, now))
        self._wake.set()

    async def _check(self, check: Check) -> None:
        loop = asyncio.get_running_loop()
        verdict = await loop.run_in_executor(self._checkers, self._judge, check)
        self._news.append(lambda now: self._machine.checked(check.transaction.id, verdict, now))
        self._wake.set()

    def _judge(self, check: Check) -> Verdict:
        transaction, sender = check.transaction, check.peer or "a stranger"
        try:
            self._check_update(transaction, check.peer or None)
        except (WrongRound, StorageError, PeerProblem) as error:
            log.debug("held back: %s", error)
            return Verdict.LATER
        except (MedweaveError, CryptoError, LedgerError) as error:
            log.warning("transaction %s… from %s: %s", transaction.id.hex()[:16], sender, error)
            return Verdict.BAD
        except Exception:
            # As above: a bug that a peer's bytes can reach. The transaction is tried again, more and more seldom.
            log.exception("transaction %s… from %s", transaction.id.hex()[:16], sender)
            return Verdict.LATER
        return Verdict.GOOD


def _objection(said: list[Effect]) -> Exception | None:
    """Why a message was not queued, or None."""
    for effect in said:
        if isinstance(effect, Misbehaved):
            return effect.error
        if isinstance(effect, Overloaded):
            return PeerBusy("too much of this caller waits here, or it misbehaved; call again later")
    return None


def _settle(future: asyncio.Future[None], error: Exception | None) -> None:
    if future.done():
        return
    if error is None:
        future.set_result(None)
    else:
        future.set_exception(error)


async def _either(event: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):  # wait_for of Python 3.11 can lose a cancellation
            await event.wait()
    except TimeoutError:
        return
