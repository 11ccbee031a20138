"""The plan in force and what follows from it: which one it is, when rounds are opened, what of new data is told.

    decided by vote     the plan the members admitted last and did not withdraw; its bytes are fetched from whoever has them
    nothing decided     this hospital's own `plan.toml`; without one, the plan of the newest round
    all withdrawn       none: the contract lets nobody open a round

Nobody copies a file or restarts: each look at the chain may put another plan in force.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from chain.votes import PlanDecision
from node.daemon.opening import RoundOpener
from node.errors import BadPlan
from node.planning.choice import Choice, choose, fewest_members, key_serves
from node.planning.images import ImageWatch
from node.planning.orders import OrderBook
from node.planning.outlook import Wishes, next_round
from node.planning.timetable import Opening
from node.rounds.plan import Plan
from node.storage import StorageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from chain.client import Chain
    from node.config import NodeConfig
    from node.consortium.view import ConsortiumView
    from node.daemon.plans import PlanBook
    from node.home import Home
    from node.membership.motion import Motion
    from node.planning.board import NoticeBoard
    from node.rounds.journal import Journal
    from node.storage import BlobStore

log = logging.getLogger("medweave.plans")

RETRY_SECONDS = 10.0
"""Between two tries to fetch a plan that no peer had."""


@dataclass(frozen=True)
class KeyWish:
    """The key that a plan needs."""

    parameters: str
    """Name of the parameter set."""
    openers: int
    """Members that open a sum, T."""
    cohort: int
    """How many members are to hold it, drawn by the contract; 0: all. A cohort is followed by one of its size."""
    present_serves: bool
    """Whether the present key, if it fits the members, does: always, where the plan is not in force by vote. Else hospitals with plans of
    their own would make keys in turn."""


class PlanInForce:
    """Which plan this node goes by; call `look` from one thread at a time.

    Args:
        file: This hospital's own plan, if it wrote one.
        plans: Reads plans by digest, of this hospital's blobs or its peers'.
        store: Receives the own plan, so that the others can fetch it.

    Raises:
        BadPlan: The own plan is malformed.
    """

    def __init__(self, file: Path, plans: PlanBook, store: BlobStore) -> None:
        self._own = Plan.from_toml(file) if file.exists() else None
        self._plans = plans
        self._said = ""
        self._again: dict[bytes, float] = {}
        self.plan: Plan | None = None
        """The plan in force; None: there is none, or it cannot be had."""
        if self._own is not None:
            store.put(self._own.to_bytes())

    def look(self, view: ConsortiumView, live: Iterable[Motion] = ()) -> Plan | None:
        """The plan in force now; plans that are put to the vote are fetched on the way, for people to look at.

        Args:
            view: What the chain said so far.
            live: Motions that are put to the vote.
        """
        self.plan = self._choose(view)
        for motion in live:
            if isinstance(motion.vote, PlanDecision) and motion.vote.admitted:
                self._obtain(motion.vote.plan)
        return self.plan

    def choice(self, view: ConsortiumView) -> Choice:
        """Where the plan in force comes from."""
        return choose(view, self._own)

    def _choose(self, view: ConsortiumView) -> Plan | None:
        choice = self.choice(view)
        if choice.source == "withdrawn":
            self._say("the members withdrew every plan: `medweave plan propose` puts another to the vote")
        if choice.source == "file" or choice.digest is None:
            return None if choice.digest is None else self._own
        return self._read(choice.digest)

    def _read(self, digest: bytes) -> Plan | None:
        """The plan in force, if it can be had."""
        plan = self._obtain(digest)
        if plan is not None and plan != self.plan:
            log.info("plan in force: %s (%s)", plan.name, digest.hex()[:16])
        return plan

    def _obtain(self, digest: bytes) -> Plan | None:
        """A plan by its digest; peers are asked for one that is missing now and then, not at every look."""
        if time.monotonic() < self._again.get(digest, 0.0):
            return None
        try:
            return self._plans.plan(digest)
        except (BadPlan, StorageError) as error:
            self._again[digest] = time.monotonic() + RETRY_SECONDS
            self._say(f"{digest.hex()[:16]} cannot be read: {error}")
            return None

    def _say(self, why: str) -> None:
        if why != self._said:
            self._said = why
            log.warning("plan: %s", why)


class Planning:
    """Plans, rounds to open and notices of one hospital; call `step` from one thread at a time.

    Args:
        home: The hospital's directory.
        config: Its configuration.
        me: Its seat.
        chain: The contracts, with its account.
        plans: Reads plans by digest.
        store: The blob store.
        journal: What must survive a crash.
        clock: Unix seconds.

    Raises:
        BadPlan: The hospital's own plan is malformed.
    """

    def __init__(
        self,
        home: Home,
        config: NodeConfig,
        me: int,
        chain: Chain,
        plans: PlanBook,
        store: BlobStore,
        journal: Journal,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._plans = plans
        self._waits = ""
        self._target, self._clock = config.rounds.target, clock
        self.orders = OrderBook(home.orders)
        self.in_force = PlanInForce(home.file(config.rounds.plan), plans, store)
        self.opener = RoundOpener(me, config.rounds.target, chain, journal, self.orders, clock)
        self.images = ImageWatch(home.file(config.data.train))

    @property
    def plan(self) -> Plan | None:
        """The plan in force, as of the last `step`."""
        return self.in_force.plan

    def close(self) -> None:
        """Close the orders' file."""
        self.orders.close()

    def step(self, view: ConsortiumView, live: Iterable[Motion], board: NoticeBoard) -> None:
        """Find the plan in force, and open what is to be opened by it.

        Args:
            view: What the chain said so far.
            live: Motions that are put to the vote.
            board: Which hospitals have new data.

        Raises:
            ChainError: The chain does not answer, or refuses.
        """
        plan = self.in_force.look(view, live)
        self.opener.step(view, plan, self._opened_at(view), len(board.fresh(view)))

    def choice(self, view: ConsortiumView) -> Choice:
        """Where the plan in force comes from."""
        return self.in_force.choice(view)

    def outlook(self, view: ConsortiumView, fresh: int) -> Opening:
        """When this hospital opens the next round, and why not before.

        Args:
            view: What the chain said so far.
            fresh: Hospitals that have announced new data since the last finalised round.
        """
        plan, current = self.plan, view.current
        if plan is None:
            return Opening(None, f"the plan in force: {self.choice(view).words}")
        asked = self.orders.wanted(current.round + 1 if current else 1)
        wishes = Wishes(asked=asked, paused=self.orders.paused, target=self._target)
        return next_round(view, plan, wishes, self._opened_at(view), fresh, self._clock())

    def key_wanted(self, view: ConsortiumView) -> KeyWish | None:
        """The key that rounds of the plan in force need; None where there is no plan, or nobody to train with: said once.

        A plan that the members have just decided about counts from the next `step` on, not before its bytes are here.
        """
        plan = self.plan
        if plan is None or plan.digest != self.choice(view).digest:
            return None
        fewest = fewest_members(plan)
        if not view.active_epoch and len(view.members) < fewest:
            text = f"plan {plan.name!r} waits for {fewest} members, there are {len(view.members)}"
            if text != self._waits:
                self._waits = text
                log.warning("no key is made: %s", text)
            return None
        present_serves = view.plan is None or key_serves(view, plan)
        active, members = view.epochs.get(view.active_epoch), len(view.members)
        cohort = min(len(active.seats), members) if active is not None and active.drawn else 0
        return KeyWish(plan.parameter_set, plan.threshold_for(cohort or members), cohort, present_serves)

    def _opened_at(self, view: ConsortiumView) -> float | None:
        """When the newest round was opened; where its plan cannot be had, when it stopped collecting."""
        row = view.current
        if row is None:
            return None
        try:
            return float(row.collect_by - self._plans.plan(row.plan).collect_seconds)
        except (BadPlan, StorageError):
            return float(row.collect_by)
