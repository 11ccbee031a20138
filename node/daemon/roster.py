"""Who takes part in a round and whose signatures end it, read off the chain's view; and asking peers for a model."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING

import httpx

from node.consortium.records import quorum_of
from node.consortium.view import address_bytes
from node.rounds.history import PastRound
from node.rounds.ports import Consortium, Electorate

if TYPE_CHECKING:
    from chain.deployment import Deployment
    from node.calling import Dialer
    from node.consortium.records import RoundView
    from node.consortium.view import ConsortiumView

log = logging.getLogger("medweave.rounds")

ASK_SECONDS = 5.0
"""For one peer's answer about a model."""
MAX_ANSWER_BYTES = 4096
MAX_CID_CHARS = 100


class Seats(Mapping[bytes, int]):
    """Every account that ever was a member's and its seat, as the chain tells it now.

    Args:
        view: Gives the newest view.
    """

    def __init__(self, view: Callable[[], ConsortiumView]) -> None:
        self._view = view

    def __getitem__(self, address: bytes) -> int:
        return self._view().seats[address]

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._view().seats)

    def __len__(self) -> int:
        return len(self._view().seats)


def past_rounds(view: ConsortiumView, number: int) -> tuple[PastRound, ...]:
    """The rounds finalised before round `number`, oldest first, each with its members' accounts of that time."""
    before = [view.rounds[other] for other in sorted(view.rounds) if other < number and view.rounds[other].finalised]
    return tuple(past_round(row) for row in before if row.statement is not None)


def past_round(row: RoundView) -> PastRound:
    """A finalised round as later ones look back on it."""
    accounts = {address_bytes(row.standing.accounts[seat]): seat for seat in sorted(row.standing.members)}
    return PastRound(row.round, row.statement or bytes(32), accounts)


def consortium_of(deployment: Deployment, view: ConsortiumView, row: RoundView) -> Consortium:
    """The consortium as it is for one round: members, accounts and sizes when it was opened."""
    epoch = view.epochs.get(row.epoch)
    accounts = row.standing.accounts
    return Consortium(
        id=deployment.consortium,
        chain_id=deployment.chain_id,
        contract=address_bytes(deployment.rounds),
        addresses=tuple(map(address_bytes, accounts)),
        sizes=row.sizes,
        quorum=row.quorum,
        left=frozenset(range(len(accounts))) - row.standing.members,
        holders=frozenset(epoch.seats) if epoch else None,
    )


def electorate(view: ConsortiumView, row: RoundView) -> Electorate:
    """Whose signatures the chain takes now for a round: the present members', of its cohort where it is one's."""
    epoch = view.epochs.get(row.epoch)
    among = frozenset(epoch.seats) if epoch is not None and epoch.drawn else view.members
    accounts = {seat: address_bytes(hospital.account) for seat, hospital in view.present if seat in among}
    return Electorate(accounts, quorum_of(len(accounts)))


def why_not(view: ConsortiumView, row: RoundView, me: int) -> str | None:
    """Why a hospital takes no part in a round; None if it does, or once the round has ended.

    Args:
        view: What the chain said so far.
        row: The round.
        me: The hospital's seat.
    """
    if me in row.resting:
        return "this hospital rests: its cohort was drawn without it"
    if me not in row.standing.members:
        return "this hospital was no member when it was opened"
    if not row.open:
        return None
    if me not in view.members:
        return "this hospital is no member any more"
    if row.standing.accounts[me] != view.hospitals[me].account:
        return "this hospital has exchanged its account since it was opened"
    return None


def sealed_at_peers(dialer: Dialer, peers: tuple[str, ...], model: bytes, epoch: int) -> Iterator[tuple[int, str]]:
    """What each peer says of where a model lies sealed under an epoch: (round that made it, CID), unchecked but for form.

    Args:
        dialer: Makes the client that asks them.
        peers: Base URLs.
        model: Hash of the model.
        epoch: The key epoch.
    """
    with dialer.client(ASK_SECONDS) as http:
        for peer in peers:
            try:
                found = _answer(http, f"{peer}/v1/models/{model.hex()}/sealed/{epoch}")
            except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
                log.debug("%s: %s", peer, error)
                continue
            round_number, cid = found.get("round"), found.get("cid")
            if (
                type(round_number) is int
                and 0 <= round_number < 2**53
                and isinstance(cid, str)
                and len(cid) < MAX_CID_CHARS
            ):
                yield round_number, cid


def _answer(http: httpx.Client, url: str) -> dict[str, object]:
    with http.stream("GET", url, headers={"Accept-Encoding": "identity"}) as answer:
        answer.raise_for_status()
        body = bytearray()
        for piece in answer.iter_bytes(MAX_ANSWER_BYTES):
            body += piece
            if len(body) > MAX_ANSWER_BYTES:
                msg = f"more than {MAX_ANSWER_BYTES} bytes"
                raise ValueError(msg)
        found = httpx.Response(200, content=bytes(body)).json()
    return found if isinstance(found, dict) else {}
