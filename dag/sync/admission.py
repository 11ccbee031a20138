"""From a peer's bytes to the ledger: what is known already, what must be checked first, what waits, what is refused."""

from __future__ import annotations

from collections import Counter, OrderedDict
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import TYPE_CHECKING

from dag.errors import (
    Equivocation,
    FalsePayload,
    LedgerError,
    MalformedTransaction,
    NotAMember,
    StoreError,
    WaitingFull,
    WrongRound,
)
from dag.sync.config import EARLY, FALSE_PAYLOAD, INVALID, MALFORMED
from dag.sync.effects import Check, Effect, Stuck, Verdict
from dag.sync.held import Held
from dag.sync.peers import Recent
from dag.transaction import Transaction

if TYPE_CHECKING:
    from collections.abc import Callable

    from dag.equivocation import EquivocationProof
    from dag.ledger import Received
    from dag.sync.config import SyncConfig
    from dag.sync.held import Entry
    from dag.sync.peers import Lane, Peers
    from dag.sync.ports import LedgerPort


@dataclass
class Outcome:
    """What a batch came to.

    Attributes:
        attached: what entered, parents before children.
        missing: parents that are not here, each with an entry that has it as a parent.
        blamed: senders at fault, with the error and the points it costs.
        effects: payload checks to make, and the store's refusal if it refused.
        proofs: what convicts members of contradicting themselves.
    """

    attached: tuple[Transaction, ...] = ()
    missing: list[tuple[bytes, Entry]] = field(default_factory=list)
    blamed: list[tuple[Lane, LedgerError, float]] = field(default_factory=list)
    effects: list[Effect] = field(default_factory=list)
    proofs: list[EquivocationProof] = field(default_factory=list)


class Admission:
    """Everything that is on its way into the ledger."""

    def __init__(
        self,
        port: LedgerPort,
        config: SyncConfig,
        peers: Peers,
        needs_check: Callable[[Transaction], bool] | None,
    ) -> None:
        """Nothing is on its way yet; `needs_check` is the machine's."""
        self._port = port
        self._config = config
        self._needs_check = needs_check
        self.held = Held(config, peers.pause)
        self.parked = Recent(config.max_remembered)
        self.refused: OrderedDict[bytes, bool] = OrderedDict()
        """Ids that may not enter, and whether nothing built on them can either. Not so for a contradiction, on which a member
        may have built before it was known to be one, and for a payload that this node finds false."""
        self._batch: OrderedDict[bytes, Entry] = OrderedDict()
        self._unchecked: OrderedDict[bytes, tuple[Transaction, Entry]] = OrderedDict()
        self._checking: dict[bytes, tuple[Transaction, Entry]] = {}

    @property
    def pending(self) -> bool:
        """Whether something can be judged now."""
        return bool(self._batch)

    @property
    def checking(self) -> int:
        """How many transactions have or await a payload check."""
        return len(self._checking) + len(self._unchecked)

    def is_coming(self, tx_id: bytes) -> bool:
        """Whether asking for it would be of no use: it is here, on its way, or can never enter."""
        return self._is_here(tx_id) or self.refused.get(tx_id, False)

    def is_settled(self, tx_id: bytes) -> bool:
        """Whether hearing of it is no news: as `is_coming`, or it was refused before."""
        return self._is_here(tx_id) or tx_id in self.refused

    def bring(self, entry: Entry) -> None:
        """Queues bytes for the next batch, unless they are on their way already or can never enter."""
        if not self.is_coming(entry.tx_id):
            self._batch[entry.tx_id] = entry

    def retry_due(self, now: float) -> None:
        """What was held back long enough is judged again."""
        for entry in self.held.due(now):
            self._batch[entry.tx_id] = entry

    def retry_all(self) -> None:
        """Everything held back is judged again."""
        for entry in self.held.all():
            self._batch[entry.tx_id] = entry

    def next_deadline(self) -> float:
        """When something held back is due; infinity if nothing is."""
        return self.held.next_deadline()

    def commit(self, now: float) -> Outcome:
        """Judges what was brought and takes it into the ledger, in one durable commit."""
        outcome = Outcome()
        entries: dict[bytes, Entry] = {}
        for tx_id in tuple(islice(self._batch, max(self._config.work_units, self._config.page))):
            entry = self._batch.pop(tx_id)
            if tx_id not in self._port and not self._set_aside(entry, outcome, now):
                entries[tx_id] = entry
        if entries:
            self._take(entries, outcome, now)
        outcome.effects += self._start_checks()
        return outcome

    def checked(self, tx_id: bytes, verdict: Verdict, now: float) -> Outcome:
        """What a payload check came to; the transaction is judged with the next batch if it was good."""
        outcome = Outcome()
        found = self._checking.pop(tx_id, None)
        if found is None:
            return outcome
        transaction, entry = found
        if verdict is Verdict.GOOD:
            self._batch[tx_id] = replace(entry, checked=True)
        elif verdict is Verdict.LATER:
            self.held.hold(entry, now)
        else:
            error = FalsePayload(f"the payload of {tx_id.hex()[:16]}…, kind {transaction.kind}, is not what it says")
            self._remember(tx_id, final=False)  # others may have found otherwise, and built on it
            outcome.blamed.append((entry.lane, error, FALSE_PAYLOAD))
        outcome.effects += self._start_checks()
        return outcome

    # -- inside --------------------------------------------------------------------------------------------------

    def _is_here(self, tx_id: bytes) -> bool:
        return (
            tx_id in self._port
            or tx_id in self._batch
            or tx_id in self.parked
            or tx_id in self.held
            or tx_id in self._checking
            or tx_id in self._unchecked
        )

    def _set_aside(self, entry: Entry, outcome: Outcome, now: float) -> bool:
        """Whether its payload must be checked before it enters, or it turned out to be nothing at all."""
        if self._needs_check is None or entry.checked:
            return False
        try:
            if not self._needs_check(Transaction.decode(entry.raw)):
                return False
            transaction = self._port.inspect(entry.raw)
        except LedgerError as error:
            self._refuse(entry, error, outcome, now)
            return True
        if len(self._unchecked) >= self._config.max_unchecked:
            self.held.hold(entry, now)
        else:
            self._unchecked[entry.tx_id] = transaction, entry
        return True

    def _start_checks(self) -> list[Effect]:
        """Checks in turn: one of an issuer at a time, of the sender first that has the fewest under way."""
        effects: list[Effect] = []
        while self._unchecked and len(self._checking) < self._config.max_checks:
            issuers = {transaction.issuer for transaction, _ in self._checking.values()}
            load = Counter(entry.lane.peer for _, entry in self._checking.values())
            able = [found for found in self._unchecked.values() if found[0].issuer not in issuers]
            if not able:
                break
            transaction, entry = min(able, key=lambda found: load[found[1].lane.peer])
            self._checking[entry.tx_id] = self._unchecked.pop(entry.tx_id)
            effects.append(Check(transaction, entry.lane.peer))
        return effects

    def _take(self, entries: dict[bytes, Entry], outcome: Outcome, now: float) -> None:
        try:
            received = self._port.receive_many([entry.raw for entry in entries.values()])
        except StoreError as error:
            for entry in entries.values():
                self.held.hold(entry, now)
            outcome.effects.append(Stuck(error))
            return
        outcome.attached = received.attached
        self._note(received, entries, outcome, now)

    def _note(self, received: Received, entries: dict[bytes, Entry], outcome: Outcome, now: float) -> None:
        for transaction in received.attached:
            self.parked.drop(transaction.id)
            self.held.drop(transaction.id)
            self.refused.pop(transaction.id, None)
        refused = dict(received.refused)
        for tx_id, error in refused.items():
            self.parked.drop(tx_id)
            if tx_id in entries:
                self._refuse(entries[tx_id], error, outcome, now)
        for tx_id in entries:
            if tx_id not in self._port and tx_id not in refused:
                self.parked.add(tx_id)
        for parent in received.missing:
            # An id stands in its child's bytes as it is: no need to decode them to know who asked for it.
            children = [entry for entry in entries.values() if parent in entry.raw]
            outcome.missing += [(parent, child) for child in children[:4] or list(entries.values())[:1]]

    def _refuse(self, entry: Entry, error: LedgerError, outcome: Outcome, now: float) -> None:
        """Remembers a refusal and whose fault it is. What this node may merely not know yet is held back instead."""
        match error:
            case WrongRound() | WaitingFull():
                self.held.hold(entry, now)
            case Equivocation():
                self._remember(entry.tx_id, final=False)
                outcome.proofs.append(error.proof)
            case NotAMember():
                outcome.blamed.append((entry.lane, error, EARLY))
            case _:
                self._remember(entry.tx_id, final=True)
                points = MALFORMED if isinstance(error, MalformedTransaction) else INVALID
                outcome.blamed.append((entry.lane, error, points))

    def _remember(self, tx_id: bytes, *, final: bool) -> None:
        self.refused[tx_id] = final
        if len(self.refused) > self._config.max_remembered:
            self.refused.popitem(last=False)
