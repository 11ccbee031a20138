"""The chain's side of an audit: its events folded round by round, and the calldata of every finalising transaction.

The calldata is read so that the quorum's signatures can be verified here; the contract's word is not taken for them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from chain import events as ev
from chain.errors import BadArgument, ChainError, MalformedAnswer
from chain.standing import Standing
from node.audit.calls import Signed, decode_finalise
from node.audit.errors import IncoherentChain, MalformedBlock, UnseenCreation
from node.consortium.records import quorum_of
from node.consortium.view import ConsortiumView, address_bytes, fold

if TYPE_CHECKING:
    from collections.abc import Mapping

    from chain.deployment import Deployment
    from chain.records import ModelRecord
    from node.audit.history import History
    from node.consortium.records import EpochView, ProposedView, RoundView


@dataclass(frozen=True)
class Finalised:
    """One finalised round as the chain tells it."""

    row: RoundView
    epoch: EpochView | None
    """The key epoch it names; None if the chain has no such epoch."""
    tx: bytes
    """Hash of the transaction that finalised it."""
    signed: Signed | None
    """What that transaction carried; None where the endpoint does not give a finalise call."""
    why: str
    """Why `signed` is None."""
    signatories: Standing = field(default_factory=Standing)
    """Who the members were when it was finalised, of its cohort where it is one's: whose signatures the contract counts."""

    @property
    def number(self) -> int:
        """The round."""
        return self.row.round

    @property
    def quorum(self) -> int:
        """⌈2N/3⌉ of the round's members."""
        return self.row.quorum

    @property
    def signing_quorum(self) -> int:
        """⌈2N/3⌉ of those who were members when it was finalised."""
        return quorum_of(len(self.signatories.members))

    @property
    def accounts(self) -> tuple[bytes, ...]:
        """The account (20 bytes) of every seat when the round was opened, former members' included."""
        return tuple(address_bytes(account) for account in self.row.standing.accounts)

    @property
    def seats(self) -> dict[bytes, int]:
        """The round's members: the seat of each account."""
        return seats_of(self.row)

    @property
    def proposed(self) -> ProposedView | None:
        """The leader's proposal as recorded on chain; None if it recorded none, or another."""
        leader = address_bytes(self.row.leader or "")
        return next((p for p in self.row.proposals if (p.leader, p.proposal) == (leader, self.row.proposal)), None)


@dataclass(frozen=True)
class ChainFacts:
    """Everything an audit takes from the chain."""

    deployment: Deployment
    view: ConsortiumView
    """All events folded."""
    finalised: Mapping[int, Finalised]
    """By round number, ascending."""
    records: Mapping[bytes, ModelRecord]
    """What ModelLedger holds of every model of the view, as far as that can be told."""


def seats_of(row: RoundView) -> dict[bytes, int]:
    """The members of a round, which are those at its opening: the seat of each account (20 bytes)."""
    return {address_bytes(row.standing.accounts[seat]): seat for seat in sorted(row.standing.members)}


def read_history(history: History) -> ChainFacts:
    """Read and fold everything the four contracts emitted, and every finalising transaction.

    Raises:
        ChainError: The endpoint does not answer, or serves something else than the deployment.
        IncoherentChain: The events contradict each other.
        MalformedBlock: A block is not what it is said to be.
        UnseenCreation: The blocks do not show a contract's creation.
    """
    history.verify()
    view, finalised, records = ConsortiumView(), {}, {}
    for event in history.events():
        try:
            view = fold(view, [event])
        except MalformedAnswer as error:
            raise IncoherentChain(str(error)) from None
        if isinstance(event, ev.RoundFinalised):
            finalised[event.round] = _finalised(history, view, event)
        if isinstance(event, ev.ModelRecorded) and (record := history.record(event)) is not None:
            records[event.model] = record
    return ChainFacts(history.deployment, view, finalised, records)


def _finalised(history: History, view: ConsortiumView, event: ev.RoundFinalised) -> Finalised:
    row = view.rounds[event.round]
    signed, why = None, ""
    try:
        signed = decode_finalise(history.calldata(event.tx))
    except (MalformedAnswer, BadArgument) as error:
        why = str(error)
    epoch = view.epochs.get(row.epoch)
    signatories = view.standing.among(frozenset(epoch.seats)) if epoch is not None and epoch.drawn else view.standing
    return Finalised(row, epoch, event.tx, signed, why, signatories)


UNREADABLE = (ChainError, IncoherentChain, MalformedBlock, UnseenCreation)
"""What `read_history` raises."""
