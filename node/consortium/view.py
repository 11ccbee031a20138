"""The chain's events folded into one frozen view: members, key epochs, rounds, models.

`fold(view, event)` is pure. A local chain that was killed comes back a second older; that is handled by
folding again from the first block, so nothing here is ever taken back piece by piece.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, TypeVar

from chain import events as ev
from chain.records import Hospital
from chain.standing import Standing, follow
from node.consortium.records import ComplaintView, EpochView, ModelView, ProposedView, RoundView

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from chain.events import Event

K = TypeVar("K")
V = TypeVar("V")


def address_bytes(checksummed: str) -> bytes:
    """The 20 bytes of a hex address."""
    return bytes.fromhex(checksummed.removeprefix("0x"))


@dataclass(frozen=True)
class ConsortiumView:
    """Everything the chain said so far."""

    hospitals: tuple[Hospital, ...] = ()
    """Members in index order."""
    epochs: Mapping[int, EpochView] = field(default_factory=lambda: MappingProxyType({}))
    rounds: Mapping[int, RoundView] = field(default_factory=lambda: MappingProxyType({}))
    models: Mapping[bytes, ModelView] = field(default_factory=lambda: MappingProxyType({}))
    """Models by hash, in the order they were recorded; the first is the genesis model."""
    active_epoch: int = 0
    """0 while there is none."""
    standing: Standing = field(default_factory=Standing)
    """Who the members are and how they stand."""

    @property
    def addresses(self) -> tuple[bytes, ...]:
        """Member addresses (20 bytes) in index order."""
        return tuple(address_bytes(h.account) for h in self.hospitals)

    @property
    def quorum(self) -> int:
        """⌈2N/3⌉."""
        return -(-2 * len(self.hospitals) // 3)

    @property
    def ceremony(self) -> EpochView | None:
        """The ceremony or refresh that is running, or None; the chain lets one run at a time."""
        for epoch in self.epochs.values():
            if epoch.running or epoch.refreshing:
                return epoch if epoch.running else epoch.refreshing
        return None

    @property
    def head(self) -> bytes | None:
        """The newest model; None before the genesis model."""
        return next(reversed(tuple(self.models)), None)

    @property
    def current(self) -> RoundView | None:
        """The newest round."""
        return self.rounds[max(self.rounds)] if self.rounds else None

    @property
    def finalised(self) -> int:
        """How many rounds were finalised."""
        return sum(r.finalised for r in self.rounds.values())


def fold(view: ConsortiumView, events: Iterable[Event]) -> ConsortiumView:
    """The view after these events, in chain order."""
    for event in events:
        view = _fold_one(replace(view, standing=follow(view.standing, event)), event)
    return view


def _fold_one(view: ConsortiumView, event: Event) -> ConsortiumView:
    match event:
        case ev.HospitalAdmitted():
            hospital = Hospital(event.account, event.box_key, event.data_size, event.name, event.url)
            return replace(view, hospitals=(*view.hospitals, hospital))
        case ev.UrlChanged(account=account, url=url):
            moved = (replace(h, url=url) if h.account == account else h for h in view.hospitals)
            return replace(view, hospitals=tuple(moved))
        case ev.EpochActivated(epoch=epoch, joint_key=joint_key):
            active = replace(view.epochs[epoch], joint_key=joint_key, running=False)
            return replace(view, epochs=_put(view.epochs, epoch, active), active_epoch=epoch)
        case ev.EpochOpened():
            opened = EpochView(event.epoch, event.parameter_set[:16], event.threshold, event.deadline, view.addresses)
            return replace(view, epochs=_put(view.epochs, event.epoch, opened))
        case ev.RefreshOpened() | ev.RefreshActivated() | ev.RefreshAborted():
            return replace(view, epochs=_put(view.epochs, event.epoch, _refreshed(view.epochs[event.epoch], event)))
        case (
            ev.Announced()
            | ev.Committed()
            | ev.Dealt()
            | ev.Tested()
            | ev.Confirmed()
            | ev.Complained()
            | ev.EpochAborted()
        ):
            return replace(view, epochs=_put(view.epochs, event.epoch, _epoch(view.epochs[event.epoch], event)))
        case ev.RoundOpened() | ev.Proposed() | ev.RoundFinalised() | ev.RoundAborted():
            return replace(view, rounds=_put(view.rounds, event.round, _round(view, event)))
        case ev.ModelRecorded():
            model = ModelView(event.model, event.parent, event.round, event.statement, event.block)
            return replace(view, models=_put(view.models, event.model, model))
        case _:
            return view


def _refreshed(epoch: EpochView, event: ev.RefreshOpened | ev.RefreshActivated | ev.RefreshAborted) -> EpochView:
    """An epoch whose shares begin to be refreshed, or ceased to."""
    if isinstance(event, ev.RefreshOpened):
        refresh = EpochView(
            epoch.epoch,
            epoch.parameter_set,
            epoch.threshold,
            event.deadline,
            epoch.members,
            refresh=event.refresh,
            generation=event.generation,
        )
        return replace(epoch, refreshes=(*epoch.refreshes, refresh))
    if not epoch.refreshes:
        raise KeyError(event.epoch)
    *before, last = epoch.refreshes
    if isinstance(event, ev.RefreshAborted):
        return replace(epoch, refreshes=(*before, replace(last, running=False)))
    done = replace(last, running=False, joint_key=epoch.joint_key)
    return replace(epoch, refreshes=(*before, done), generation=event.generation)


def _epoch(
    known: EpochView,
    event: (ev.Announced | ev.Committed | ev.Dealt | ev.Tested | ev.Confirmed | ev.Complained | ev.EpochAborted),
) -> EpochView:
    """A ceremony one step on; while a refresh of it runs, all steps are of that refresh."""
    if known.refreshing is not None:
        return replace(known, refreshes=(*known.refreshes[:-1], _epoch(known.refreshing, event)))
    match event:
        case ev.Announced(member=member, box_key=key):
            return replace(known, announcements=_put(known.announcements, address_bytes(member), key))
        case ev.Committed(member=member, commitment=digest):
            return replace(known, commitments=_put(known.commitments, address_bytes(member), digest))
        case ev.Dealt(member=member, dealing=digest):
            return replace(known, dealings=_put(known.dealings, address_bytes(member), digest))
        case ev.Tested(member=member, report=digest):
            return replace(known, reports=_put(known.reports, address_bytes(member), digest))
        case ev.Confirmed(member=member, joint_key=digest):
            return replace(known, confirmations=_put(known.confirmations, address_bytes(member), digest))
        case ev.Complained(member=member, offender=offender, evidence=digest):
            complaint = ComplaintView(address_bytes(member), address_bytes(offender), digest)
            return replace(known, complaints=(*known.complaints, complaint))
        case _:
            return replace(known, running=False)


def _round(
    view: ConsortiumView, event: ev.RoundOpened | ev.Proposed | ev.RoundFinalised | ev.RoundAborted
) -> RoundView:
    if isinstance(event, ev.RoundOpened):
        return RoundView(
            round=event.round,
            epoch=event.epoch,
            plan=event.plan,
            base=event.base,
            seed=event.seed,
            opener=event.opener,
            collect_by=event.collect_by,
            finalise_by=event.finalise_by,
            opened_in=event.block,
            standing=view.standing,
        )
    known = view.rounds[event.round]
    match event:
        case ev.Proposed():
            epoch = view.epochs.get(known.epoch)
            proposed = ProposedView(
                address_bytes(event.leader),
                event.proposal,
                event.updates_root,
                event.sums_root,
                event.block,
                epoch.generation if epoch else 0,
            )
            return replace(known, proposals=(*known.proposals, proposed))
        case ev.RoundFinalised():
            return replace(
                known,
                finalised=True,
                model=event.model,
                leader=event.leader,
                proposal=event.proposal,
                statement=event.statement,
                signers=event.signers,
                ended_in=event.block,
                next_seed=event.seed,
            )
        case _:
            return replace(known, aborted=True, ended_in=event.block, next_seed=event.seed)


def _put(table: Mapping[K, V], key: K, value: V) -> Mapping[K, V]:
    return MappingProxyType({**table, key: value})
