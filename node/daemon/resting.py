"""A hospital that rests, because the round's cohort was drawn without it: it follows the ledger and adopts the model.

It holds no content key of the epoch, so a member of the cohort passes the model on, sealed to the registered key of the one
that asks (`GET /v1/models/HASH/passed/SEAT`). Whoever answers, the hash on chain decides. Only the newest model is fetched: it
is what the next round trains from, should this hospital be drawn, and what its own people ask.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import httpx

from crypto.errors import CryptoError
from crypto.passing import OVERHEAD, receive_passed
from node.errors import LyingPeer, PeerProblem
from node.learning.modelfile import model_hash
from node.rounds.statement import Statement
from node.sealing.models import OWN, own_key, seal_own
from node.storage import raw_cid

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from node.calling import Dialer
    from node.consortium.records import RoundView
    from node.consortium.view import ConsortiumView
    from node.home import Identity
    from node.publishing.publisher import Publisher
    from node.rounds.journal import Journal
    from node.storage.source import BlobSource

log = logging.getLogger("medweave.rounds")

PASSING_SECONDS = 120.0
"""For one peer's answer with a model."""
HEADER_BYTES = 1 << 20
"""What a model file may hold beside its parameters."""


class Resting:
    """Adopts the newest model where the round that made it was another cohort's; call `step` from one thread at a time.

    Args:
        me: This hospital's seat.
        identity: Its unlocked keys.
        dialer: Makes the client that asks the others.
        blobs: This hospital's blobs, and the peers' where it lacks one.
        publisher: Its ledger.
        journal: Remembers which models it holds.
        size_of: The number of parameters of a round's model; raises while its plan is not known.
    """

    def __init__(
        self,
        me: int,
        identity: Identity,
        dialer: Dialer,
        blobs: BlobSource,
        publisher: Publisher,
        journal: Journal,
        size_of: Callable[[int], int],
    ) -> None:
        self._me, self._identity, self._dialer = me, identity, dialer
        self._blobs, self._publisher, self._journal, self._size_of = blobs, publisher, journal, size_of

    def step(self, view: ConsortiumView) -> None:
        """Fetch the newest model, if it is not here and this hospital rested in its round.

        Raises:
            PeerProblem: No member of the cohort gave it; call again.
            MedweaveError: Statement or plan cannot be had yet, or the disk is full; call again.
        """
        row = _round_of_head(view)
        if row is None or row.model is None or self._me not in row.resting or self._me not in view.members:
            return
        if self._journal.model(row.model) is not None:
            return
        self._check_statement(row)
        for name, url in self._members(view, row):
            data = self._ask(name, url, row)
            if data is not None:
                self._keep(row, data)
                log.info("round %d: its model is here, passed on by %s", row.round, name)
                return
        raise PeerProblem(f"round {row.round}: no member of its cohort passes its model on yet")

    def _check_statement(self, row: RoundView) -> None:
        """Have the statement here, as every member does, and see that it is about this model."""
        digest = row.statement or bytes(32)
        predicate = Statement.from_bytes(self._blobs.obtain(raw_cid(digest))).predicate
        if row.model is None or predicate.model.sha256 != row.model.hex():
            raise LyingPeer(f"statement {digest.hex()[:16]}… is not about the model of round {row.round}")
        self._publisher.anchored(row.round, digest)

    def _members(self, view: ConsortiumView, row: RoundView) -> Iterator[tuple[str, str]]:
        """Name and URL of each of the round's members, beginning with another at each hospital, to share the work."""
        cohort = sorted(row.standing.members & view.members)
        start = self._me % len(cohort) if cohort else 0
        for seat in (*cohort[start:], *cohort[:start]):
            hospital = view.hospitals[seat]
            if hospital.url:
                yield hospital.name, hospital.url

    def _ask(self, name: str, url: str, row: RoundView) -> bytes | None:
        """The model from one member; None where it has none, or another."""
        wanted = row.model or b""
        most = 4 * self._size_of(row.round) + HEADER_BYTES + OVERHEAD
        try:
            with self._dialer.client(PASSING_SECONDS) as http:
                sealed = _read(http, f"{url}/v1/models/{wanted.hex()}/passed/{self._me}", most)
            data = receive_passed(sealed, self._identity.box)
        except (httpx.HTTPError, httpx.InvalidURL, ValueError, CryptoError) as error:
            log.debug("%s: %s", name, error)
            return None
        if model_hash(data) != wanted:
            log.warning("round %d: %s passed another model on than the chain names", row.round, name)
            return None
        return data

    def _keep(self, row: RoundView, data: bytes) -> None:
        sealed = self._blobs.store.put(seal_own(own_key(self._identity.derive), row.round, data))
        self._journal.keep_model(row.model or b"", OWN, row.round, sealed)


def _round_of_head(view: ConsortiumView) -> RoundView | None:
    """The round that made the newest model; None where none did."""
    head = view.models.get(view.head) if view.head is not None else None
    return None if head is None else view.rounds.get(head.round)


def _read(http: httpx.Client, url: str, most: int) -> bytes:
    """An answer's bytes.

    Raises:
        ValueError: There are more than `most`.
    """
    with http.stream("GET", url, headers={"Accept-Encoding": "identity"}) as answer:
        answer.raise_for_status()
        body = bytearray()
        for piece in answer.iter_bytes(1 << 16):
            body += piece
            if len(body) > most:
                msg = f"more than {most} bytes"
                raise ValueError(msg)
    return bytes(body)
