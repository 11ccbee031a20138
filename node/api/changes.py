"""What has changed at a node between two looks: pure comparisons, told as events."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from dag.ids import cid_of
from node.api.shapes import checksummed

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from dag.ledger import Ledger
    from node.api.service import Service
    from node.consortium.view import ConsortiumView

    Told = tuple[str, dict[str, Any]]

MOST_TRANSACTIONS: Final = 50
"""More than these at once are told as a number."""
PROGRESS_STEP: Final = 0.05
"""Progress of long work is told in steps of this share."""


@dataclass(frozen=True)
class Seen:
    """One look at a node.

    Attributes:
        view: What the chain had said; None before the first look.
        transactions: How many the ledger had.
        round: The round this hospital took part in: number, phase, leader; None for none.
        doing: One line about it.
        progress: Of the long work under way, in steps.
        rounds: Status by round.
        epochs: State by key epoch.
        silent: Base URLs of members that are silent.
    """

    view: ConsortiumView | None = None
    transactions: int = 0
    round: tuple[int, str, bool] | None = None
    doing: str = ""
    progress: float = 0.0
    rounds: Mapping[int, str] = field(default_factory=dict)
    epochs: Mapping[int, str] = field(default_factory=dict)
    silent: frozenset[str] = frozenset()

    @classmethod
    def of(cls, service: Service, before: Seen) -> Seen:
        """Look now; a view that is the same object as before is not gone through again."""
        view = service.view
        same = view is before.view
        runners = service.conductor.runners if service.conductor else {}
        newest = max(tuple(runners), default=None)
        runner = None if newest is None else runners.get(newest)
        return cls(
            view=view,
            transactions=service.publisher.read(len),
            round=None if runner is None else (runner.state.facts.round, runner.phase, runner.state.rank == 0),
            doing="" if runner is None else runner.doing,
            progress=0.0 if runner is None else runner.progress[1] // PROGRESS_STEP * PROGRESS_STEP,
            rounds=before.rounds if same else {number: row.status for number, row in view.rounds.items()},
            epochs=before.epochs if same else _epochs(view),
            silent=service.gossip.presence.silent,
        )


def changes(before: Seen, now: Seen, service: Service) -> Iterator[Told]:
    """Names and data of the events between two looks; none before the first.

    Args:
        before: The look before.
        now: This one.
        service: The node, asked about transactions that came.
    """
    if before.view is None or now.view is None:
        return
    if now.round is not None and (now.round, now.progress) != (before.round, before.progress):
        number, phase, leader = now.round
        data = {"round": number, "phase": phase, "leader": leader, "doing": now.doing}
        yield "phase", data | {"progress": round(min(1.0, max(0.0, now.progress)), 2)}
    if now.view is not before.view:
        yield from _told_by_chain(before, now, before.view, now.view)
    for seat, hospital in now.view.present:
        if (hospital.url in now.silent) != (hospital.url in before.silent):
            change = "silent" if hospital.url in now.silent else "heard"
            yield "member", {"index": seat, "name": hospital.name, "change": change}
    if now.transactions > before.transactions:
        yield from _transactions(before.transactions, now.transactions, service)


def _told_by_chain(before: Seen, now: Seen, was: ConsortiumView, view: ConsortiumView) -> Iterator[Told]:
    for number, status in now.rounds.items():
        if before.rounds.get(number) != status:
            yield "round", {"round": number, "status": status}
    for number, state in now.epochs.items():
        if before.epochs.get(number) != state:
            yield "epoch", {"epoch": number, "state": state}
    for model in view.models.values():
        if model.model not in was.models:
            yield "model", {"model": model.model.hex(), "round": model.round}
    for seat, hospital in enumerate(view.hospitals):
        change = _change(was, view, seat)
        if change:
            yield "member", {"index": seat, "name": hospital.name, "change": change}


def _change(was: ConsortiumView, view: ConsortiumView, seat: int) -> str:
    """What happened to a hospital, in one word; empty for nothing."""
    if (seat in view.members) != (seat in was.members):
        return "joined" if seat in view.members else "left"
    if seat >= len(was.hospitals):
        return ""
    if view.hospitals[seat].account != was.hospitals[seat].account:
        return "rotated"
    if view.standing.reputations[seat] != was.standing.reputations[seat]:
        return "reputation"
    if view.card_of(seat) != was.card_of(seat):
        return "card"
    return "changed" if view.hospitals[seat] != was.hospitals[seat] else ""


def _transactions(first: int, stop: int, service: Service) -> Iterator[Told]:
    if stop - first > MOST_TRANSACTIONS:
        yield "transactions", {"count": stop - first, "transactions": stop}
        return
    view = service.view

    def ask(ledger: Ledger) -> list[dict[str, Any]]:
        return [_transaction(ledger, place, view) for place in range(first, min(stop, len(ledger)))]

    for data in service.publisher.read(ask):
        yield "transaction", data


def _transaction(ledger: Ledger, place: int, view: ConsortiumView) -> dict[str, Any]:
    tangle = ledger.tangle
    tx_id = tangle.id_at(place)
    seat = tangle.issuer(tx_id)
    known = 0 <= seat < len(view.hospitals)
    return {
        "id": cid_of(tx_id),
        "kind": str(tangle.kind(tx_id)),
        "round": tangle.round(tx_id),
        "seat": seat if known else None,
        "issuer": checksummed(view.addresses[seat]) if known else None,
        "hospital": view.hospitals[seat].name if known else None,
    }


def _epochs(view: ConsortiumView) -> dict[int, str]:
    return {
        number: "refreshing"
        if epoch.refreshing
        else "running"
        if epoch.running
        else f"active, generation {epoch.generation}"
        if epoch.joint_key
        else "aborted"
        for number, epoch in view.epochs.items()
    }
