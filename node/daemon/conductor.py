"""Rounds of one daemon: which are under way, what the chain and the ledger tell them, where their effects run."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from node.logs import bound
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

AHEAD_SECONDS = 3.0
"""A runner may know from its own receipts what the view does not show yet; after this long the chain took it back."""


class Conductor:
    """Lives on the event loop; effects run on the executor and come back as events.

    A chain may take back what it said (a local one that was killed, a reorganisation). A runner that knows more than the
    view shows is dropped then, and its round begun again from chain, ledger and journal, as after a crash.

    Args:
        loop: The daemon's event loop.
        executor: Threads for the effects.
        ports_for: What this hospital brings to a round; None while it holds no keys of its epoch, or takes no part.
        replay: Tells `attached` again of all of a round's transactions.
        holds_model: Whether a model is in this hospital's store.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        executor: Executor,
        ports_for: Callable[[RoundView], Ports | None],
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
        self._busy: WeakKeyDictionary[RoundRunner, int] = WeakKeyDictionary()
        self._dropped: dict[int, RoundRunner] = {}
        self._ahead_since: dict[int, float] = {}
        self._stopped = False

    def look(self, view: ConsortiumView) -> None:
        """The chain may have told something new, or taken something back."""
        for number in [n for n, runner in self.runners.items() if self._taken_back(runner, view.rounds.get(n), view)]:
            log.warning("round %d: the chain took back what it said of it: beginning it again", number)
            self._drop(number)
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

    def leave(self, number: int, why: str = "as this hospital's operator asked") -> None:
        """Take no further part in a round, whose ports are refused from now on; nothing happens where none is taken."""
        runner = self.runners.get(number)
        if runner is not None and not runner.over:
            log.warning("round %d: left, %s", number, why)
            self._drop(number)

    def stop(self) -> None:
        """The daemon ends: nothing is told to the rounds any more, whatever still comes back; they go on after a restart."""
        self._stopped = True

    def attached(self, transaction: Transaction, approvals: Mapping[bytes, int]) -> None:
        """The ledger took a transaction."""
        runner = self.runners.get(transaction.round)
        if runner is not None and not self._stopped:
            runner.feed([Attached(transaction, approvals)])

    def _taken_back(self, runner: RoundRunner, row: RoundView | None, view: ConsortiumView) -> bool:
        """Whether a runner was told what the chain says no longer."""
        known = runner.state
        if row is None or not _same_opening(known.facts, row):
            return True
        ending = _ending(row)
        if known.ending is not None and ending is not None:
            return known.ending != ending
        ahead = known.ending is not None or not set(known.anchors) <= set(_anchors(row, view))
        if not ahead:
            self._ahead_since.pop(row.round, None)
            return False
        return time.monotonic() - self._ahead_since.setdefault(row.round, time.monotonic()) > AHEAD_SECONDS

    def _drop(self, number: int) -> None:
        runner = self.runners.pop(number)
        self._ahead_since.pop(number, None)
        if self._busy.get(runner):
            self._dropped[number] = runner

    def _begin(self, row: RoundView) -> RoundRunner | None:
        """Take part in a round, or fetch the model of one that ended without this node."""
        if row.round in self._dropped:  # what its last runner started must end first
            return None
        missed = row.finalised and row.model is not None and not self._holds_model(row.model)
        ports = self._ports_for(row) if row.open or missed else None
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
        known = self.runners[row.round].state
        events: list[Event] = [Anchored(a) for a in _anchors(row, view) if a not in known.anchors]
        ending = _ending(row)
        if ending is not None and known.ending is None:
            events.append(Ended(ending))
        return events

    def _start(self, runner: RoundRunner, effect: Effect) -> None:
        self._busy[runner] = self._busy.get(runner, 0) + 1
        future = self._executor.submit(self._do, runner, effect)
        future.add_done_callback(lambda done: self._loop.call_soon_threadsafe(self._finish, runner, effect, done))

    @staticmethod
    def _do(runner: RoundRunner, effect: Effect) -> tuple[Event, ...]:
        with bound(round=runner.state.facts.round, phase=runner.phase):
            return carry_out(runner.ports, runner.state, effect)

    def _finish(self, runner: RoundRunner, effect: Effect, done: Future[tuple[Event, ...]]) -> None:
        if self._stopped or done.cancelled():
            return
        number = runner.state.facts.round
        self._busy[runner] -= 1
        if self._dropped.get(number) is runner:
            if not self._busy[runner]:
                del self._dropped[number]
            return
        error = done.exception()
        if error is None:
            runner.feed(done.result())
            return
        # A bug of this node must not end its part in the round: it is logged in full, and the effect tried again.
        log.error("round %d: %s broke", number, type(effect).__name__, exc_info=error)
        runner.feed([Failed(effect, time.time() + LONGEST_PAUSE_SECONDS)])


def _same_opening(facts: RoundFacts, row: RoundView) -> bool:
    """Whether a round is still the one that was begun; its deadlines move if the chain opens it again."""
    began = (facts.epoch, facts.plan, facts.base, facts.seed, facts.collect_by, facts.finalise_by)
    return began == (row.epoch, row.plan, row.base, row.seed, row.collect_by, row.finalise_by)


def _anchors(row: RoundView, view: ConsortiumView) -> list[Anchor]:
    """The proposals the chain recorded for a round, by its members: who joined later may record one, and it counts for nothing."""
    anchors = (Anchor(view.seats[p.leader], p.proposal, p.updates_root, p.sums_root) for p in row.proposals)
    return [anchor for anchor in anchors if anchor.leader in row.standing.members]


def _ending(row: RoundView) -> Ending | None:
    """How the chain ended a round."""
    return None if row.open else Ending(row.finalised, row.model or row.base, row.statement or bytes(32))
