"""What a daemon does for ever: each job is a coroutine that looks, does what is due, and waits."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sqlite3
from typing import TYPE_CHECKING

from chain.heads import HeadWatcher
from node.daemon.supervisor import stay_alive
from node.membership.succession import is_due
from node.provenance.envelopes import EnvelopeKeeper
from node.publishing.presence import listen
from node.rounds.worker import EXPECTED

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine

    from node.daemon.parts import Parts

log = logging.getLogger("medweave")

TICK_SECONDS = 0.1
LONGEST_PAUSE_SECONDS = 5.0
PASSING = (*EXPECTED, sqlite3.OperationalError, OSError)
"""What a job survives: on a full disk every store fails, and works again once there is room."""
HOUSE_SECONDS = 1.0
"""Between two looks whether a head of the log is to be signed, or ciphertexts are to be deleted."""
WATCHED_POLL_SECONDS = 5.0
"""While new blocks are announced over a WebSocket, the chain is asked all the same, this seldom."""


class Jobs:
    """The jobs of one node; all on its event loop, what blocks in threads.

    Args:
        parts: The node.
    """

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._block_announced = asyncio.Event()
        self._chain_news = asyncio.Event()
        address = parts.config.chain.websocket
        self.heads = HeadWatcher(address, self._block_announced.set) if address else None

    def all(self) -> tuple[Coroutine[object, object, None], ...]:
        """The jobs, to be made tasks of; none of them ever ends by itself."""
        jobs = (
            self._follow(),
            self._keep_epochs(),
            self._keep_envelopes(),
            self._rest(),
            self._open_rounds(),
            self._announce(),
            self._govern(),
            self._keep_house(),
            self._tick(),
            stay_alive(self._doing),
            self._parts.gossip.run(),
            listen(self._parts.gossip.presence, self._parts.dialer, self._parts.peers),
        )
        return jobs if self.heads is None else (*jobs, self.heads.run())

    def _doing(self) -> str:
        """What the node does now, in one line for its supervisor."""
        runners = self._parts.conductor.runners if self._parts.conductor is not None else {}
        under_way = [number for number, runner in runners.items() if not runner.over]
        return f"round {max(under_way)}: {runners[max(under_way)].doing}" if under_way else "waits for a round"

    async def until_succession(self) -> None:
        """Ends when the members have agreed to this hospital's next keys."""
        due = asyncio.Event()

        def look() -> None:
            if is_due(self._parts.home, self._parts.view):
                due.set()

        watching = asyncio.create_task(self._again_and_again("succession", look))
        try:
            await due.wait()
        finally:
            watching.cancel()

    async def _follow(self) -> None:
        parts = self._parts

        async def look() -> None:
            changed = await asyncio.to_thread(parts.follower.look)
            try:
                if changed:
                    self._chain_news.set()
                    for problem in await asyncio.to_thread(parts.plans.read_all, parts.view):
                        log.info("%s", problem)
                    parts.gossip.retry_held()
                if parts.conductor is not None:
                    parts.conductor.look(parts.view)
            finally:
                if parts.follower.news is not None:
                    await asyncio.to_thread(parts.chain.watch, parts.follower.news)

        await self._again_and_again("chain", look, self._until_a_block)

    async def _until_a_block(self, seconds: float) -> None:
        if self.heads is not None and self.heads.connected:
            seconds = max(seconds, WATCHED_POLL_SECONDS)
        await _until(self._block_announced, seconds)

    async def _until_chain_news(self, seconds: float) -> None:
        """A round that ends calls for the next one."""
        await _until(self._chain_news, seconds)

    async def _keep_envelopes(self) -> None:
        parts = self._parts
        keeper = EnvelopeKeeper(parts.publisher, parts.store, parts.journal)
        await self._again_and_again("envelopes", lambda: asyncio.to_thread(keeper.look, parts.view))

    async def _keep_epochs(self) -> None:
        parts = self._parts

        async def step() -> None:
            view = parts.view
            wish = parts.planning.key_wanted(view)
            if wish is not None and (parts.config.membership.new_epochs or not view.active_epoch):
                await asyncio.to_thread(
                    parts.keeper.open_if_due,
                    view,
                    wish.parameters,
                    wish.openers,
                    cohort=wish.cohort,
                    present_serves=wish.present_serves,
                )
            await asyncio.to_thread(parts.keeper.step, parts.view)

        await self._again_and_again("key epoch", step)

    async def _rest(self) -> None:
        parts = self._parts
        await self._again_and_again("resting", lambda: asyncio.to_thread(parts.resting.step, parts.view))

    async def _govern(self) -> None:
        parts = self._parts

        async def step() -> None:
            await asyncio.to_thread(parts.council.step, parts.view)
            await asyncio.to_thread(parts.prosecutor.step, parts.view)

        await self._again_and_again("membership", step)

    async def _open_rounds(self) -> None:
        parts = self._parts

        def step() -> frozenset[int]:
            parts.planning.step(parts.view, parts.book.live(), parts.notices)
            return parts.planning.orders.left()

        async def look() -> None:
            for number in await asyncio.to_thread(step):
                if parts.conductor is not None:
                    parts.conductor.leave(number)

        await self._again_and_again("opening", look, self._until_chain_news)

    async def _announce(self) -> None:
        parts = self._parts

        def step() -> None:
            parts.announcer.step(parts.planning.plan)
            parts.cards.step(parts.view)  # last, and in a job that no round waits for: it waits for the chain

        await self._again_and_again("new data", lambda: asyncio.to_thread(step), _unhurried)

    async def _keep_house(self) -> None:
        parts = self._parts

        def step() -> None:
            parts.witness.step(parts.view)
            parts.pruner.step(parts.view)
            parts.inference.rest()

        await self._again_and_again("housekeeping", lambda: asyncio.to_thread(step), _unhurried)

    async def _tick(self) -> None:
        while True:
            if self._parts.conductor is not None:
                self._parts.conductor.tick()
            await asyncio.sleep(TICK_SECONDS)

    async def _again_and_again(
        self, what: str, once: Callable[[], object], wait: Callable[[float], Awaitable[None]] = asyncio.sleep
    ) -> None:
        """Do something for ever; what can go wrong is logged once a spell and tried again, slower and slower."""
        shortest = self._parts.config.chain.poll_seconds
        pause, said = shortest, ""
        while True:
            try:
                result = once()
                if asyncio.iscoroutine(result):
                    await result
                pause, said = shortest, ""
            except PASSING as error:
                if str(error) != said:
                    said = str(error)
                    log.warning("%s: %s", what, said)
                pause = min(LONGEST_PAUSE_SECONDS, pause * 2)
            await wait(pause)


async def _unhurried(seconds: float) -> None:
    """Wait longer than others do: nothing waits for the house to be kept."""
    await asyncio.sleep(max(seconds, HOUSE_SECONDS))


async def _until(event: asyncio.Event, seconds: float) -> None:
    """Wait for an event, but not for ever; it counts once."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):  # wait_for of Python 3.11 can lose a cancellation
            await event.wait()
    event.clear()
