"""Disk and memory of one node's ledger, kept equal: the store, the graph index over it, and the waiting table."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from dag.bodies import Kind
from dag.closing import closed_by
from dag.equivocation import EquivocationProof, round_subject, subject_of
from dag.errors import MalformedTransaction, NotAMember, StoreCorrupt, WrongConsortium
from dag.ids import NO_ISSUER
from dag.store.recent import Recent
from dag.store.rechecking import Claim, Rechecker
from dag.store.schema import Row
from dag.store.waiting import Waiting
from dag.tangle import Tangle
from dag.transaction import Transaction, restore
from dag.work import first_sequence

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from dag.rules import Context
    from dag.store.port import LedgerStore

    Progress = Callable[[int, int], None]


_ROUNDS: Final = 64  # proposals whose round is remembered: every member's checkpoint asks for the same one


class Replica:
    """What `dag.rules.LedgerView` asks for, and the only way a transaction is attached."""

    tangle: Tangle
    waiting: Waiting
    recent: Recent

    def __init__(
        self,
        store: LedgerStore,
        provide: Callable[[], Context],
        max_waiting: int,
        decode: Callable[[bytes], Transaction] = Transaction.decode,
        progress: Progress | None = None,
    ) -> None:
        """Replays the store; the arguments and errors are those of `dag.ledger.Ledger`."""
        self.store = store
        self.provide = provide
        self.decode = decode
        self._max_waiting = max_waiting
        self._progress = progress
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
                store.append([_row(genesis, 1, (0, 0))])
        self._load(context, signatures=store.was_dirty)

    # -- the rules' view -----------------------------------------------------------------------------------------

    def __contains__(self, tx_id: bytes) -> bool:
        return self.recent.arrival(tx_id) is not None or tx_id in self.tangle

    def get(self, tx_id: bytes) -> Transaction:
        """An attached transaction. Raises UnknownTransaction, StoreCorrupt."""
        found = self.recent.transaction(tx_id)
        if found is None:
            row = self._row(tx_id)
            found = self._restore(row)
            self.recent.keep(found, row.arrival)
        return found

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
        ids = self.recent.answered(issuer, Kind.UPDATE, round_subject(round_))
        return tuple(self.get(tx_id) for tx_id in ids)

    def closes(self, round_: int) -> tuple[bytes, ...]:
        """Ids of a round's closes, by member (more than one of a member only of an equivocator)."""
        subject = round_subject(round_)
        members = self.provide().members
        return tuple(
            tx_id for issuer in members for tx_id in self.recent.answered(issuer, Kind.ACKNOWLEDGEMENT, subject)
        )

    def closed_within(self, heads: Iterable[bytes], round_: int) -> dict[int, int]:
        """What the round's closes inside the heads' past cone cover (`dag.closing.closed_by`)."""
        return closed_by(self.tangle, self.closes(round_), heads, round_)

    def round_ids(self, proposal: bytes) -> tuple[bytes, ...]:
        """Ascending ids of the proposal's round in its past cone. Raises UnknownTransaction."""
        found = self._rounds.get(proposal)
        if found is None:
            found = self._rounds[proposal] = self.tangle.round_cone(proposal)
            while len(self._rounds) > _ROUNDS:
                self._rounds.pop(next(iter(self._rounds)))
        return found

    def first_sequence(self, heads: Iterable[bytes], issuer: bytes, round_: int) -> int | None:
        """The smallest sequence number of the issuer's transactions of a round in the heads' past cone, or None."""
        member = self.provide().members.get(issuer)
        if member is None:
            return None
        return first_sequence(self.tangle, lambda tx_id: self.get(tx_id).sequence, heads, member.index, round_)

    # -- pages ---------------------------------------------------------------------------------------------------

    def page(
        self, after: int, limit: int, kind: Kind | None = None, round_: int | None = None
    ) -> tuple[tuple[int, Transaction], ...]:
        """Attached transactions with their arrival numbers, in order, after one of them."""
        rows = self.store.rows(after, limit, kind, round_)
        return tuple((row.arrival, self._restore(row)) for row in rows)

    def arrival(self, tx_id: bytes) -> int:
        """The transaction's arrival number. Raises UnknownTransaction."""
        return self.recent.arrival(tx_id) or self.tangle.position(tx_id) + 1

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
        parents = self._parents_of(transaction)
        row = _row(transaction, len(self.tangle) + 1, parents)
        self.store.append((row,))
        self.recent.attached(row, transaction)
        self.tangle.attach_at(row.id, (parents[0] - 1, parents[1] - 1), index, row.round, transaction.kind)

    def note(self, proof: EquivocationProof, context: Context) -> None:
        """Stops counting an equivocator, and ties its attached halves together."""
        member = context.members.get(proof.issuer)
        if member is None:
            return
        self.tangle.mark_faulty(member.index)
        if proof.first.id in self.tangle and proof.second.id in self.tangle:
            self.tangle.mark_conflict(proof.first.id, proof.second.id)

    def verify(self, progress: Progress | None = None) -> None:
        """Reads every row again and checks seal, id, signature and all columns. Raises StoreCorrupt."""
        done, total = 0, len(self.tangle)
        with Rechecker(self.store.path, total) as checker:
            for chunk in self.store.chunks():
                checker.check([Claim(row, self._named_parents(row)) for row in chunk])
                done += len(chunk)
                if progress:
                    progress(done, total)

    def _named_parents(self, row: Row) -> tuple[bytes, ...]:
        return (self.tangle.id_at(row.first - 1), self.tangle.id_at(row.second - 1)) if row.first else ()

    # -- inside --------------------------------------------------------------------------------------------------

    def _load(self, context: Context, *, signatures: bool) -> None:
        self.tangle = Tangle(context.quorum)
        self.recent = Recent(self.store)
        self._rounds: dict[bytes, tuple[bytes, ...]] = {}
        limit_per_issuer = max(64, self._max_waiting // max(1, len(context.members)))
        self.waiting = Waiting(self.store, self._max_waiting, limit_per_issuer)
        self._replay(context, signatures=signatures)
        for proof in self.evidence():
            self.note(proof, context)
        for raw in self.store.waiting():
            self.waiting.remember(self.decode(raw))

    def _replay(self, context: Context, *, signatures: bool) -> None:
        """Builds the graph from columns; the bytes were compared with their id, and the columns with their seal."""
        path, tangle, total = self.store.path, self.tangle, self.store.last_arrival()
        index_of = {address: member.index for address, member in context.members.items()} | {NO_ISSUER: -1}
        with Rechecker(path, total if signatures else 0) as checker:
            for chunk in self.store.chunks():
                _attach_rows(tangle, chunk, index_of, path)
                if signatures:
                    checker.check([Claim(row, self._named_parents(row)) for row in chunk])
                if self._progress:
                    self._progress(len(tangle), total)
        if len(tangle) != total:
            raise StoreCorrupt(path, -1, f"{len(tangle)} rows, but the last one is numbered {total}")

    def _parents_of(self, transaction: Transaction) -> tuple[int, int]:
        """Arrival numbers of the parents; zeros for genesis."""
        if not transaction.parents:
            return (0, 0)
        first, second = transaction.parents
        return (self.arrival(first), self.arrival(second))

    def _row(self, tx_id: bytes) -> Row:
        row = self.store.row(self.arrival(tx_id))
        if row is None or row.id != tx_id:
            raise StoreCorrupt(self.store.path, self.arrival(tx_id), "the row is missing or another one")
        return row

    def _restore(self, row: Row) -> Transaction:
        return restore(row.raw, row.issuer, self.decode)


_KINDS: Final = {kind.value: kind for kind in Kind}


def _attach_rows(tangle: Tangle, rows: list[Row], index_of: dict[bytes, int], path: str) -> None:
    """Enters stored rows into the graph, column by column. Raises StoreCorrupt naming the row that cannot be."""
    expected = len(tangle) + 1
    arrivals, ids, _, issuers, _, kinds, rounds, _, firsts, seconds = zip(*rows, strict=True)
    sound = arrivals == tuple(range(expected, expected + len(rows))) and min((*firsts[expected == 1 :], 1)) > 0
    if not sound or not index_of.keys() >= {*issuers}:
        raise _fault(rows, expected, index_of, path)
    try:
        tangle.attach_places(
            ids,
            [first - 1 for first in firsts],
            [second - 1 for second in seconds],
            [index_of[issuer] for issuer in issuers],
            rounds,
            [_KINDS[kind] for kind in kinds],
        )
    except MalformedTransaction:
        raise _fault(rows, expected, index_of, path) from None


def _fault(rows: list[Row], expected: int, index_of: dict[bytes, int], path: str) -> StoreCorrupt:
    """What is wrong with rows that cannot follow one another."""
    for number, row in enumerate(rows, expected):
        if row.arrival != number:
            return StoreCorrupt(path, number, "the row is missing")
        if not (0 < row.first < number and 0 < row.second < number) and number > 1:
            return StoreCorrupt(path, number, "a parent comes after its child")
        if row.issuer not in index_of:
            return StoreCorrupt(path, number, "its issuer is no member; the context must keep former members")
    return StoreCorrupt(path, rows[-1].arrival, "a transaction is stored twice, here or in the rows before")


def _row(transaction: Transaction, arrival: int, parents: tuple[int, int]) -> Row:
    return Row(
        arrival,
        transaction.id,
        transaction.raw,
        transaction.issuer,
        transaction.sequence,
        str(transaction.kind),
        transaction.round,
        subject_of(transaction),
        *parents,
    )


def _index_of(transaction: Transaction, context: Context) -> int | None:
    if transaction.kind is Kind.GENESIS:
        return None
    member = context.members.get(transaction.issuer)
    if member is None:
        raise NotAMember(transaction.id, "its issuer has left the member list; the context must keep former members")
    return member.index
