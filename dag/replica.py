"""Disk and memory of one node's ledger, kept equal: the store, the graph index over it, and the waiting table."""

from __future__ import annotations

from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING

from dag.bodies import Kind
from dag.closing import closed_by
from dag.equivocation import EquivocationProof, round_subject, subject_of
from dag.errors import MissingParent, NotAMember, StoreCorrupt, UnknownTransaction, WrongConsortium
from dag.store import Row, Store
from dag.tangle import Tangle
from dag.transaction import Transaction, restore
from dag.waiting import Waiting

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from dag.rules import Context


class Replica:
    """What `dag.rules.LedgerView` asks for, and the only way a transaction is attached."""

    tangle: Tangle
    waiting: Waiting

    def __init__(self, store: Store, provide: Callable[[], Context], max_waiting: int) -> None:
        """Replays the store; the arguments and errors are those of `dag.ledger.Ledger`."""
        self.store = store
        self.provide = provide
        self._max_waiting = max_waiting
        self._cached = lru_cache(maxsize=4096)(self._fetch)
        context = provide()
        genesis = context.genesis()
        self.genesis_id = genesis.id
        stored = store.meta("genesis")
        if stored not in {None, genesis.id}:
            raise WrongConsortium(
                genesis.id, f"{store.path} is another consortium's ledger; give this one its own file"
            )
        if stored is None:
            with store.batch():
                store.set_meta("genesis", genesis.id)
                store.append([_row(genesis, store.last_arrival() + 1)])
        self._load(context, signatures=store.was_dirty)

    # -- the rules' view -----------------------------------------------------------------------------------------

    def __contains__(self, tx_id: bytes) -> bool:
        return tx_id in self.tangle

    def get(self, tx_id: bytes) -> Transaction:
        """An attached transaction. Raises UnknownTransaction, StoreCorrupt."""
        return self._cached(tx_id)

    def in_cone(self, tx_id: bytes, heads: Iterable[bytes]) -> bool:
        """Whether it is one of the heads or an ancestor of one. Raises UnknownTransaction."""
        return self.tangle.in_cone(tx_id, heads)

    def confirmed_within(self, tx_id: bytes, heads: bytes | Iterable[bytes]) -> frozenset[int]:
        """Members that approve it inside the heads' past cone (`Tangle.confirmed_within`)."""
        return self.tangle.confirmed_within(tx_id, heads)

    def void_within(self, heads: Iterable[bytes], round_: int) -> frozenset[int]:
        """Members that contradict themselves inside the heads' past cone (`Tangle.void_within`)."""
        return self.tangle.void_within(heads, round_)

    def updates_of(self, issuer: bytes, round_: int) -> tuple[Transaction, ...]:
        """The issuer's attached updates of a round (more than one only of an equivocator)."""
        ids = self.store.ids_by_subject(issuer, Kind.UPDATE, round_subject(round_))
        return tuple(self.get(tx_id) for tx_id in ids)

    def closes(self, round_: int) -> tuple[bytes, ...]:
        """Ids of a round's closes, by member (more than one of a member only of an equivocator)."""
        subject = round_subject(round_)
        members = self.provide().members
        return tuple(
            tx_id for issuer in members for tx_id in self.store.ids_by_subject(issuer, Kind.ACKNOWLEDGEMENT, subject)
        )

    def closed_within(self, heads: Iterable[bytes], round_: int) -> dict[int, int]:
        """What the round's closes inside the heads' past cone cover (`dag.closing.closed_by`)."""
        return closed_by(self.tangle, self.closes(round_), heads, round_)

    def round_ids(self, proposal: bytes) -> tuple[bytes, ...]:
        """Ascending ids of the proposal's round in its past cone. Raises UnknownTransaction."""
        return self.tangle.round_cone(proposal)

    # -- pages ---------------------------------------------------------------------------------------------------

    def page(
        self, after: int, limit: int, kind: Kind | None = None, round_: int | None = None
    ) -> tuple[tuple[int, Transaction], ...]:
        """Attached transactions with their arrival numbers, in order, after one of them."""
        rows = self.store.rows(after, limit, kind, round_)
        return tuple((row.arrival, restore(row.raw, row.issuer)) for row in rows)

    def arrival(self, tx_id: bytes) -> int:
        """The transaction's arrival number. Raises UnknownTransaction."""
        return self._row(tx_id).arrival

    def evidence(self) -> tuple[EquivocationProof, ...]:
        """Every proof of equivocation that was kept."""
        return tuple(EquivocationProof.decode(raw) for raw in self.store.evidence())

    # -- growing -------------------------------------------------------------------------------------------------

    @contextmanager
    def batch(self) -> Iterator[None]:
        """One durable commit; if it fails, memory goes back to what the disk holds."""
        try:
            with self.store.batch():
                yield
        except BaseException:
            self._load(self.provide(), signatures=False)
            raise

    def attach(self, transaction: Transaction, context: Context) -> None:
        """Writes a verified transaction and enters it into the graph. Raises StoreFailed."""
        index = _index_of(transaction, context)
        self.store.append([_row(transaction, self.store.last_arrival() + 1)])
        self.tangle.attach(transaction.id, transaction.parents, index, transaction.round, transaction.kind)

    def note(self, proof: EquivocationProof, context: Context) -> None:
        """Stops counting an equivocator, and ties its attached halves together."""
        member = context.members.get(proof.issuer)
        if member is None:
            return
        self.tangle.mark_faulty(member.index)
        if proof.first.id in self.tangle and proof.second.id in self.tangle:
            self.tangle.mark_conflict(proof.first.id, proof.second.id)

    def verify(self) -> None:
        """Reads every row again and checks seal, id, signature and issuer. Raises StoreCorrupt, BadSignature."""
        for row in self.store.rows():
            self._verify_row(row)

    # -- inside --------------------------------------------------------------------------------------------------

    def _load(self, context: Context, *, signatures: bool) -> None:
        self.tangle = Tangle(context.quorum)
        self._cached.cache_clear()
        limit_per_issuer = max(64, self._max_waiting // max(1, len(context.members)))
        self.waiting = Waiting(self.store, self._max_waiting, limit_per_issuer)
        for row in self.store.rows():
            if signatures:
                self._verify_row(row)
            self._replay(row, context)
        for proof in self.evidence():
            self.note(proof, context)
        for raw in self.store.waiting():
            self.waiting.remember(Transaction.decode(raw))

    def _replay(self, row: Row, context: Context) -> None:
        transaction = restore(row.raw, row.issuer)
        try:
            index = _index_of(transaction, context)
            self.tangle.attach(row.id, transaction.parents, index, row.round, transaction.kind)
        except (MissingParent, NotAMember) as error:
            raise StoreCorrupt(self.store.path, row.arrival, str(error)) from None

    def _verify_row(self, row: Row) -> None:
        if row != _row(Transaction.decode(row.raw), row.arrival):
            raise StoreCorrupt(self.store.path, row.arrival, "columns do not agree with the signed transaction")

    def _row(self, tx_id: bytes) -> Row:
        row = self.store.row(tx_id)
        if row is None:
            raise UnknownTransaction(tx_id)
        return row

    def _fetch(self, tx_id: bytes) -> Transaction:
        row = self._row(tx_id)
        return restore(row.raw, row.issuer)


def _row(transaction: Transaction, arrival: int) -> Row:
    return Row(
        arrival,
        transaction.id,
        transaction.encode(),
        transaction.issuer,
        transaction.sequence,
        str(transaction.kind),
        transaction.round,
        subject_of(transaction),
    )


def _index_of(transaction: Transaction, context: Context) -> int | None:
    if transaction.kind is Kind.GENESIS:
        return None
    member = context.members.get(transaction.issuer)
    if member is None:
        raise NotAMember(transaction.id, "its issuer has left the member list; the context must keep former members")
    return member.index
