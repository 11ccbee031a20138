"""The chain's events folded into one frozen view: members, key epochs, rounds, models.

`fold(view, event)` is pure. A local chain that was killed comes back a second older; that is handled by
folding again from the first block, so nothing here is ever taken back piece by piece.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, TypeVar

from chain import events as ev
from chain.errors import MalformedAnswer
from chain.records import Hospital, bitmap_members
from chain.standing import Standing, follow
from node.consortium.records import ComplaintView, Draw, EpochView, ModelView, ProposedView, RoundView, quorum_of
from node.consortium.rotation import rotated

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
    """Every hospital that ever had a seat, by seat, as it was last; see `members`."""
    seats: Mapping[bytes, int] = field(default_factory=lambda: MappingProxyType({}))
    """Every account (20 bytes) that ever was a member's, and its seat."""
    epochs: Mapping[int, EpochView] = field(default_factory=lambda: MappingProxyType({}))
    rounds: Mapping[int, RoundView] = field(default_factory=lambda: MappingProxyType({}))
    models: Mapping[bytes, ModelView] = field(default_factory=lambda: MappingProxyType({}))
    """Models by hash, in the order they were recorded; the first is the genesis model."""
    active_epoch: int = 0
    """0 while there is none."""
    standing: Standing = field(default_factory=Standing)
    """Who the members are and how they stand."""
    founding: bytes = b""
    """Hash of the transaction in which the founders became members; empty before."""
    decisions: int = 0
    """Votes about members that were carried out, as the registry counts them."""
    plan_decisions: int = 0
    """Votes about plans that were carried out, as the rounds count them."""
    plans: tuple[bytes, ...] = ()
    """Digests of the plans admitted by vote and not withdrawn, the last decided last."""
    cards: Mapping[int, tuple[bytes, ...]] = field(default_factory=lambda: MappingProxyType({}))
    """The digest (32 bytes) of the data card that each seat registered last, alone in a tuple; seats without one are missing."""
    faults: frozenset[tuple[int, int, int]] = frozenset()
    """Faults on record: (round, `chain.conduct.Fault`, seat)."""

    @classmethod
    def of(cls, hospitals: Iterable[Hospital]) -> ConsortiumView:
        """A consortium of which nothing is known but its founders."""
        return fold(
            cls(),
            (
                ev.HospitalAdmitted(
                    block=0,
                    log_index=seat,
                    tx=bytes(32),
                    index=seat,
                    account=h.account,
                    box_key=h.box_key,
                    data_size=h.data_size,
                    name=h.name,
                    url=h.url,
                )
                for seat, h in enumerate(hospitals)
            ),
        )

    @property
    def members(self) -> frozenset[int]:
        """The seats of the present members."""
        return self.standing.members

    @property
    def present(self) -> tuple[tuple[int, Hospital], ...]:
        """The present members with their seats, by ascending seat."""
        return tuple((seat, self.hospitals[seat]) for seat in sorted(self.members))

    @property
    def addresses(self) -> tuple[bytes, ...]:
        """The newest account (20 bytes) of every seat."""
        return tuple(address_bytes(h.account) for h in self.hospitals)

    @property
    def quorum(self) -> int:
        """⌈2N/3⌉ of the present members."""
        return quorum_of(len(self.members))

    @property
    def fitting(self) -> bool:
        """Whether the active key is held by exactly the present members, or by a cohort whose members all are: a change of
        membership needs a new one (CRY-5).
        """
        active = self.epochs.get(self.active_epoch)
        if active is None:
            return False
        return self.members.issuperset(active.seats) if active.drawn else set(active.seats) == self.members

    @property
    def rounds_seed(self) -> bytes | None:
        """The seed by which the contract would draw a cohort now; None before the first round."""
        row = self.current
        return None if row is None else row.seed if row.open else row.next_seed

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
    def plan(self) -> bytes | None:
        """Digest of the plan in force by the members' vote, the last admitted; None where they decided about none, or withdrew it."""
        return self.plans[-1] if self.plans else None

    def card_of(self, seat: int) -> bytes | None:
        """The digest (32 bytes) of the data card that a hospital registered last; None where it registered none.

        Args:
            seat: Its seat.
        """
        return self.cards[seat][-1] if seat in self.cards else None

    @property
    def finalised(self) -> int:
        """How many rounds were finalised."""
        return sum(r.finalised for r in self.rounds.values())


def fold(view: ConsortiumView, events: Iterable[Event]) -> ConsortiumView:
    """The view after these events, in chain order.

    Raises:
        MalformedAnswer: An event is about a seat, epoch or round that the chain never told of.
    """
    for event in events:
        try:
            view = _fold_one(replace(view, standing=follow(view.standing, event)), event)
        except (KeyError, IndexError) as error:
            raise MalformedAnswer(
                f"{type(event).__name__} in block {event.block} is about {error}, of which nothing was said before"
            ) from None
    return view


def _fold_one(view: ConsortiumView, event: Event) -> ConsortiumView:
    match event:
        case ev.HospitalAdmitted():
            hospital = Hospital(event.account, event.box_key, event.data_size, event.name, event.url)
            seats = _put(view.seats, address_bytes(event.account), event.index)
            founding = view.founding or event.tx
            decisions = view.decisions + (event.tx != founding)
            hospitals = (*view.hospitals, hospital)
            return replace(view, hospitals=hospitals, seats=seats, founding=founding, decisions=decisions)
        case ev.HospitalRemoved():
            return replace(view, decisions=view.decisions + 1)
        case ev.PlanDecided(plan=plan, admitted=admitted):
            others = tuple(known for known in view.plans if known != plan)
            plans = (*others, plan) if admitted else others
            return replace(view, plan_decisions=view.plan_decisions + 1, plans=plans)
        case ev.UrlChanged(account=account, url=url):
            return _changed(view, view.seats[address_bytes(account)], url=url)
        case ev.CardRegistered():
            return _registered(view, event)
        case ev.DataSizeChanged(index=seat, data_size=size):
            return _changed(replace(view, decisions=view.decisions + 1), seat, data_size=size)
        case ev.KeysRotated(index=seat, account=old, new_account=new):
            seats = _put(view.seats, address_bytes(new), seat)
            epochs = rotated(view.epochs, address_bytes(old), address_bytes(new))
            turned = replace(view, seats=seats, epochs=epochs, decisions=view.decisions + 1)
            return _changed(turned, seat, account=new, box_key=event.box_key)
        case ev.FaultRecorded():
            return replace(view, faults=view.faults | {(event.round, event.fault, event.index)})
        case ev.FaultAnnulled():
            return replace(view, faults=view.faults - {(event.round, event.fault, event.index)})
        case ev.EpochActivated(epoch=epoch, joint_key=joint_key):
            active = replace(view.epochs[epoch], joint_key=joint_key, running=False)
            return replace(view, epochs=_put(view.epochs, epoch, active), active_epoch=epoch)
        case ev.EpochOpened():
            holders = tuple(address_bytes(hospital.account) for _, hospital in view.present)
            opened = EpochView(
                event.epoch,
                event.parameter_set[:16],
                event.threshold,
                event.deadline,
                holders,
                tuple(sorted(view.members)),
            )
            return replace(view, epochs=_put(view.epochs, event.epoch, opened))
        case ev.CohortDrawn(epoch=epoch):
            return replace(view, epochs=_put(view.epochs, epoch, _drawn(view, event)))
        case ev.RefreshOpened() | ev.RefreshActivated() | ev.RefreshAborted():
            return replace(view, epochs=_put(view.epochs, event.epoch, _refreshed(view, event)))
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


def _changed(view: ConsortiumView, seat: int, **fields: object) -> ConsortiumView:
    """A view in which one hospital's record is another."""
    hospital = replace(view.hospitals[seat], **fields)  # type: ignore[arg-type]  # (fields are Hospital's own)
    return replace(view, hospitals=(*view.hospitals[:seat], hospital, *view.hospitals[seat + 1 :]))


def _registered(view: ConsortiumView, event: ev.CardRegistered) -> ConsortiumView:
    """A view in which one hospital has another data card; the round that is open knows both."""
    if event.index >= len(view.hospitals):
        raise KeyError(event.index)
    row, rounds = view.current, view.rounds
    if row is not None and row.open:
        both = (*row.cards.get(event.index, ()), event.digest)
        rounds = _put(rounds, row.round, replace(row, cards=_put(row.cards, event.index, both)))
    return replace(view, cards=_put(view.cards, event.index, (event.digest,)), rounds=rounds)


def _drawn(view: ConsortiumView, event: ev.CohortDrawn) -> EpochView:
    """A ceremony that was just opened, among a cohort alone."""
    known = view.epochs[event.epoch]
    seats = tuple(sorted(bitmap_members(event.holders)))
    members = tuple(address_bytes(view.hospitals[seat].account) for seat in seats)
    return replace(known, members=members, seats=seats, drawn=Draw(known.seats, event.seed, view.rounds_seed))


def _refreshed(view: ConsortiumView, event: ev.RefreshOpened | ev.RefreshActivated | ev.RefreshAborted) -> EpochView:
    """An epoch whose shares begin to be refreshed, or ceased to."""
    epoch = view.epochs[event.epoch]
    if isinstance(event, ev.RefreshOpened):
        refresh = EpochView(
            epoch.epoch,
            epoch.parameter_set,
            epoch.threshold,
            event.deadline,
            tuple(view.addresses[seat] for seat in epoch.seats),
            epoch.seats,
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
        epoch = view.epochs.get(event.epoch)
        standing = view.standing.among(frozenset(epoch.seats)) if epoch and epoch.drawn else view.standing
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
            standing=standing,
            resting=view.members - standing.members,
            sizes=tuple(hospital.data_size for hospital in view.hospitals),
            cards=view.cards,
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
