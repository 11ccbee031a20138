"""Rounds of one daemon: which are under way, what the chain and the ledger tell them, where their effects run."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from node.rounds.runner import RoundRunner
from node.rounds.state import Anchor, Anchored, Attached, Ended, Ending, Failed, RoundFacts, Tick
from node.rounds.worker import LONGEST_PAUSE_SECONDS, carry_out

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Mapping
    from concurrent.futures import Executor, Future

    from dag.transaction import Transaction
    from node.consortium.records import RoundView
    from node.consortium.view import ConsortiumView
    from node.rounds.effects import Effect
    from node.rounds.ports import Ports
    from node.rounds.state import Event

log = logging.getLogger("medweave.rounds")


class Conductor:
    """Lives on the event loop; effects run on the executor and come back as events.

    Args:
        loop: The daemon's event loop.
        executor: Threads for the effects.
        ports_for: What this hospital brings to a round of an epoch; None while it holds no keys of that epoch.
        replay: Tells `attached` again of all of a round's transactions.
        holds_model: Whether a model is in this hospital's store.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        executor: Executor,
        ports_for: Callable[[int], Ports | None],
        replay: Callable[[int], None],
        holds_model: Callable[[bytes], bool],
    ) -> None:
        self._loop = loop
        self._executor = executor
        self._ports_for = ports_for
        self._replay = replay
        self._holds_model = holds_model
        self.runners: dict[int, RoundRunner] = {}
        """By round; the newest few, for people to look at."""

    def look(self, view: ConsortiumView) -> None:
        """The chain may have told something new."""
        for row in view.rounds.values():
            runner = self.runners.get(row.round) or self._begin(row)
            if runner is not None:
                runner.feed(self._told(row, view))

    def tick(self) -> None:
        """Time passed."""
        now = time.time()
        for runner in list(self.runners.values()):
            if not runner.over:
                runner.feed([Tick(now)])

    def attached(self, transaction: Transaction, approvals: Mapping[bytes, int]) -> None:
        """The ledger took a transaction."""
        runner = self.runners.get(transaction.round)
        if runner is not None:
            runner.feed([Attached(transaction, approvals)])

    def _begin(self, row: RoundView) -> RoundRunner | None:
        """Take part in a round, or fetch the model of one that ended without this node."""
        missed = row.finalised and row.model is not None and not self._holds_model(row.model)
        ports = self._ports_for(row.epoch) if row.open or missed else None
        if ports is None:
            return None
        facts = RoundFacts(
            round=row.round,
            epoch=row.epoch,
            plan=row.plan,
            base=row.base,
            seed=row.seed,
            ranking=row.ranking,
            collect_by=row.collect_by,
            finalise_by=row.finalise_by,
        )
        runner = RoundRunner(ports, facts, self._start, time.time)
        self.runners[row.round] = runner
        for old in sorted(self.runners)[:-4]:
            if self.runners[old].over:
                del self.runners[old]
        log.info("round %d: %s", row.round, "taking part" if row.open else "fetching its model")
        self._replay(row.round)
        return runner

    def _told(self, row: RoundView, view: ConsortiumView) -> list[Event]:
        """What the chain says of a round, as events; telling it again changes nothing."""
        runner = self.runners[row.round]
        events: list[Event] = []
        for p in row.proposals:
            anchor = Anchor(view.addresses.index(p.leader), p.proposal, p.updates_root, p.sums_root)
            if anchor not in runner.state.anchors:
                events.append(Anchored(anchor))
        if not row.open and runner.state.ending is None:
            ending = Ending(row.finalised, row.model or row.base, row.statement or bytes(32))
            events.append(Ended(ending))
        return events

    def _start(self, runner: RoundRunner, effect: Effect) -> None:
        future = self._executor.submit(self._do, runner, effect)
        future.add_done_callback(lambda done: self._loop.call_soon_threadsafe(self._finish, runner, effect, done))

    @staticmethod
    def _do(runner: RoundRunner, effect: Effect) -> tuple[Event, ...]:
        return carry_out(runner.ports, runner.state, effect)

    @staticmethod
    def _finish(runner: RoundRunner, effect: Effect, done: Future[tuple[Event, ...]]) -> None:
        error = done.exception()
        if error is None:
            runner.feed(done.result())
            return
        # A bug of this node must not end its part in the round: it is logged in full, and the effect tried again.
        log.error("round %d: %s broke", runner.state.facts.round, type(effect).__name__, exc_info=error)
        runner.feed([Failed(effect, time.time() + LONGEST_PAUSE_SECONDS)])
