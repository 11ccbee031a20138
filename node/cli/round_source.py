"""Rounds as a hospital's chain, ledger and journal show them, read only: works beside a running node."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from dag.store.sqlite import Store
from dag.transaction import Transaction, restore
from node.cli.plan_source import PlanShelf
from node.consortium.view import address_bytes
from node.planning.board import NoticeBoard
from node.planning.choice import choose
from node.planning.orders import OrderBook
from node.planning.outlook import Wishes, next_round
from node.planning.progress import Progress, progress_of, usual_seconds
from node.planning.timetable import Opening
from node.rounds.journal import Journal

if TYPE_CHECKING:
    from node.cli.reader import Reader
    from node.consortium.records import RoundView
    from node.consortium.view import ConsortiumView
    from node.home import Home
    from node.rounds.plan import Plan

REMEMBERED_ROUNDS = 5
"""How many rounds before tell how long one takes."""


class RoundDesk:
    """The rounds of one hospital.

    Args:
        home: Its directory.
        reader: The chain, where the caller has it already.
    """

    def __init__(self, home: Home, reader: Reader | None = None) -> None:
        self.home = home
        self.shelf = PlanShelf(home, reader)
        self.orders = OrderBook(home.orders)

    @property
    def view(self) -> ConsortiumView:
        """What the chain said so far."""
        return self.shelf.view

    @property
    def names(self) -> dict[int, str]:
        """Every hospital's name by seat."""
        return {seat: hospital.name for seat, hospital in enumerate(self.view.hospitals)}

    def look(self) -> None:
        """Read what is new on chain."""
        self.shelf.reader.follower.look()

    def plan_in_force(self) -> Plan | None:
        """The plan in force; None where there is none, or it is not held here yet."""
        return self.shelf.chosen()

    def opened_at(self, row: RoundView) -> float | None:
        """When a round was opened, Unix seconds; None where its plan is not held here."""
        plan = self.shelf.plan(row.plan)
        return None if plan is None else float(row.collect_by - plan.collect_seconds)

    def progress(self, row: RoundView) -> Progress:
        """Where a round stands now."""
        plan, seats = self.shelf.plan(row.plan), self.view.seats
        epoch = self.view.epochs.get(row.epoch)
        openers = plan.threshold_for(len(row.standing.members)) if plan else (epoch.threshold if epoch else 1)
        return progress_of(
            row, self._transactions(row.round), seats, openers, self._usual(), self.opened_at(row), time.time()
        )

    def next(self) -> Opening:
        """When this hospital would open the next round, and why."""
        view, plan = self.view, self.plan_in_force()
        if plan is None:
            return Opening(None, f"the plan in force: {choose(view, self.shelf.own).words}")
        current = view.current
        wishes = Wishes(
            asked=self.orders.wanted(current.round + 1 if current else 1),
            paused=self.orders.paused,
            target=self.shelf.config.rounds.target,
        )
        opened_at = self.opened_at(current) if current else None
        return next_round(view, plan, wishes, opened_at, len(self.fresh()), time.time())

    def fresh(self) -> frozenset[int]:
        """Seats of the members that have announced new data since the last finalised round, as far as this hospital has heard."""
        board = NoticeBoard(self.home.notices, self.shelf.reader.chain.deployment, lambda: self.view)
        return board.fresh(self.view)

    def facts(self, number: int) -> dict[str, Any]:
        """What this hospital's journal holds of a round."""
        if not self.home.journal.exists():
            return {}
        journal = Journal(self.home.journal)
        try:
            return journal.facts(number)
        finally:
            journal.close()

    def row(self, row: RoundView) -> dict[str, Any]:
        """A round as plain values."""
        names = self.names
        leader = self.view.seats.get(address_bytes(row.leader)) if row.leader else None
        return {
            "round": row.round,
            "status": row.status,
            "epoch": row.epoch,
            "plan": row.plan.hex(),
            "base": row.base.hex(),
            "model": row.model.hex() if row.model else None,
            "opener": row.opener,
            "leader": None if leader is None else names[leader],
            "members": [names[seat] for seat in sorted(row.standing.members)],
            "collect_by": row.collect_by,
            "finalise_by": row.finalise_by,
            "signers": [names[seat] for seat in sorted(row.standing.members) if row.signers >> seat & 1],
        }

    def _transactions(self, number: int) -> list[Transaction]:
        if not self.home.ledger.exists():
            return []
        with Store(self.home.ledger, read_only=True) as store:
            return [restore(row.raw, row.issuer) for row in store.rows(round_=number)]

    def _usual(self) -> float | None:
        done = [number for number, row in self.view.rounds.items() if row.finalised]
        return usual_seconds(self.facts(number).get("marks", {}) for number in sorted(done)[-REMEMBERED_ROUNDS:])
