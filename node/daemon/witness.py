"""Cosigning by itself: after each finalised round this hospital signs the log's new head, then gathers what others signed.

A head is signed only if this hospital's own ledger and the chain give it, and only if it contains the head signed before.
"""

from __future__ import annotations

import logging
import time
from functools import partial
from typing import TYPE_CHECKING

import httpx

from dag.bodies import Kind
from dag.errors import LedgerError, NotWitnessed
from dag.fields import MAX_MEMBERS
from dag.proofs.checkpoint import log_witnesses, parse_log_head
from dag.proofs.notes import MAX_NOTE_BYTES, Note
from dag.proofs.roundlog import RoundLog
from dag.proofs.witnesses import Witness, Witnesses
from node.calling import Dialer
from node.consortium.view import address_bytes
from node.errors import PeerProblem

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from dag.ledger import Ledger
    from dag.proofs.roundlog import FinalisedRound
    from node.consortium.records import RoundView
    from node.consortium.view import ConsortiumView
    from node.publishing.publisher import Publisher
    from node.publishing.witness import Cosigner

log = logging.getLogger("medweave.witness")

ASK_SECONDS = 5.0
"""For one peer's answer."""
FIRST_PAUSE_SECONDS = 2.0
LONGEST_PAUSE_SECONDS = 300.0
"""Between two rounds of asking those whose signature is not here yet; doubled each time, anew for each head."""
MOST_CHECKPOINTS = 4 * MAX_MEMBERS
"""Checkpoint transactions of one round that are looked at; an honest member posts one a proposal."""


class LogWitness:
    """Signs and gathers; one caller at a time.

    Args:
        consortium: Its id, 32 bytes.
        me: This hospital's seat.
        cosigner: Signs with its key and keeps the head.
        publisher: Its ledger.
        fetch: Gets a member's head from its URL; raises PeerProblem.
        clock: Unix time in seconds.

    Attributes:
        log: the finalised rounds as they were last read; None before the first.
    """

    def __init__(
        self,
        consortium: bytes,
        me: int,
        cosigner: Cosigner,
        publisher: Publisher,
        fetch: Callable[[str], Note] | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._consortium, self._me = consortium, me
        self._cosigner = cosigner
        self._publisher = publisher
        self._fetch = fetch or partial(fetch_head, Dialer())
        self._clock = clock
        self._rounds: dict[int, FinalisedRound] = {}
        self._signed: tuple[tuple[int, bytes], ...] = ()
        self._refused = ""
        self._next, self._pause = 0.0, FIRST_PAUSE_SECONDS
        self.log: RoundLog | None = None

    def step(self, view: ConsortiumView) -> None:
        """Sign the head over all rounds that are final, if that is a new one; ask others for theirs from time to time.

        A round whose checkpoints have not all arrived is waited for.

        Raises:
            LedgerError: The ledger cannot be read.
            OSError: The head cannot be written.
        """
        rows = sorted((row for row in view.rounds.values() if row.finalised), key=lambda row: row.round)
        known = tuple(self._read(view, rows))
        content = tuple((one.record.round, one.record.proposal) for one in known)
        grown = RoundLog(present_witnesses(self._consortium, view), known)
        self.log = grown if content else None
        if not content or self._me not in view.members:
            return
        if content != self._signed:
            self._sign(grown, content)
        if content == self._signed and self._clock() >= self._next:
            self._gather(grown, view)

    def _read(self, view: ConsortiumView, rows: list[RoundView]) -> Iterator[FinalisedRound]:
        """The final rounds in order, up to the first whose checkpoints are not here; read once each."""
        for row in rows:
            held = self._rounds.get(row.round)
            if held is None or held.record.proposal != row.proposal:
                try:
                    held = self._publisher.read(partial(self._finalised, view, row))
                except NotWitnessed as error:
                    log.debug("round %d: %s", row.round, error)
                    return
                self._rounds[row.round] = held
            yield held

    def _finalised(self, view: ConsortiumView, row: RoundView, ledger: Ledger) -> FinalisedRound:
        """A round as this ledger has it, under the outcome that the chain took."""
        said = ledger.transactions(Kind.CHECKPOINT, row.round, limit=MOST_CHECKPOINTS)
        anchored = {row.round: row.proposal or b""}
        return RoundLog.read(ledger.tangle, said, signers_of(self._consortium, view, row), anchored).rounds[0]

    def _sign(self, grown: RoundLog, content: tuple[tuple[int, bytes], ...]) -> None:
        try:
            held = self._cosigner.last()
            own = held is not None and self._me in {one.index for one in log_witnesses(held, grown.witnesses)}
            if not own or held is None or held.text != grown.head.render():
                self._cosigner.sign(grown, len(content), int(self._clock()))
        except LedgerError as error:  # a split view: the chain took rounds back after they were signed, or worse
            if str(error) != self._refused:
                self._refused = str(error)
                log.warning("the log's head of %d rounds is not signed: %s", len(content), error)
            return
        self._signed, self._refused = content, ""
        self._next, self._pause = 0.0, FIRST_PAUSE_SECONDS

    def _gather(self, grown: RoundLog, view: ConsortiumView) -> None:
        """Take over what the other members' nodes serve under the same head; what does not fit is left out."""
        held = self._cosigner.last()
        have = {witness.index for witness in log_witnesses(held, grown.witnesses)} if held else set()
        notes = [note for seat, note in self._heads(view, have) if _fits(note, grown, seat)]
        if notes:
            self._cosigner.add(grown, notes)
        self._next = self._clock() + self._pause
        self._pause = min(LONGEST_PAUSE_SECONDS, 2 * self._pause)

    def _heads(self, view: ConsortiumView, have: set[int]) -> Iterator[tuple[int, Note]]:
        for seat, hospital in view.present:
            if seat in have or seat == self._me or not hospital.url:
                continue
            try:
                yield seat, self._fetch(hospital.url)
            except PeerProblem as error:
                log.debug("%s: %s", hospital.name, error)


def present_witnesses(consortium: bytes, view: ConsortiumView) -> Witnesses:
    """The members there are now: whose cosignatures convince."""
    present = sorted(view.present, key=lambda pair: pair[0])
    return Witnesses(consortium, tuple(Witness(seat, row.name, address_bytes(row.account)) for seat, row in present))


def signers_of(consortium: bytes, view: ConsortiumView, row: RoundView) -> Witnesses:
    """The members whose signatures the chain took under a round's outcome, by the accounts they had then."""
    seats = [seat for seat in sorted(row.standing.members) if row.signers >> seat & 1]
    accounts = row.standing.accounts
    return Witnesses(
        consortium, tuple(Witness(seat, view.hospitals[seat].name, address_bytes(accounts[seat])) for seat in seats)
    )


def fetch_head(dialer: Dialer, url: str) -> Note:
    """The head of the log that a member's node serves; its signatures are the caller's to check.

    Args:
        dialer: Makes the client that asks; says who asks.
        url: The node's base address.

    Raises:
        PeerProblem: It does not answer, has none, or serves something else.
    """
    try:
        with dialer.client(ASK_SECONDS) as http:
            return Note.parse(_body(http, f"{url}/v1/checkpoint"))
    except (LedgerError, httpx.HTTPError, httpx.InvalidURL) as error:
        raise PeerProblem(f"{url}: no head of the log: {error}") from None


def _body(http: httpx.Client, url: str) -> bytes:
    """What is answered, as far as a note may be long; longer ones fail where they are parsed."""
    body = bytearray()
    with http.stream("GET", url, headers={"Accept-Encoding": "identity"}) as answer:
        answer.raise_for_status()
        for piece in answer.iter_bytes(1 << 16):
            body += piece
            if len(body) > MAX_NOTE_BYTES:
                break
    return bytes(body)


def _fits(note: Note, grown: RoundLog, seat: int) -> bool:
    """Whether what a member serves is a head of the same log; one that is not is worth a warning."""
    try:
        if parse_log_head(note.text, grown.witnesses.consortium).size > len(grown.rounds):
            return False  # it is ahead; this hospital will be there soon
        grown.verified_size(note)
        log_witnesses(note, grown.witnesses)
    except LedgerError as error:
        log.warning("the member at seat %d serves a head of the log that does not fit this hospital's: %s", seat, error)
        return False
    return True
