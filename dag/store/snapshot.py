"""A ledger read for looking at: the graph and its transactions, without the right to write.

A snapshot is taken from a node's ledger file while the node runs, or from transactions that somebody sent. It answers what
the rules ask of a ledger (`dag.rules.LedgerView`), so that a ledger can be checked again from outside.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Final

from dag.bodies import AcknowledgementBody, Kind
from dag.closing import closed_by
from dag.equivocation import EquivocationProof
from dag.errors import MissingParent, StoreCorrupt, UnknownTransaction
from dag.ids import NO_ISSUER
from dag.proofs.witnesses import Witness, Witnesses
from dag.tangle import Tangle
from dag.transaction import Transaction, restore
from dag.work import first_sequence

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from dag.store.sqlite import Store

    Progress = Callable[[int, int], None]

_CACHED: Final = 4096
_KINDS: Final = {kind.value: kind for kind in Kind}


@dataclass(frozen=True)
class Snapshot:
    """A ledger as it stood when it was read.

    Attributes:
        tangle: the graph.
        members: the members; where nobody named them, everybody who posted, ascending by address.
        members_known: whether somebody named them.
        where: path or address it was read from.
    """

    tangle: Tangle
    members: Witnesses
    members_known: bool
    where: str
    _fetch: Callable[[bytes], Transaction]
    _stream: Callable[[], Iterator[Transaction]]
    _indices: Mapping[bytes, int]

    # -- taking --------------------------------------------------------------------------------------------------

    @classmethod
    def of_store(cls, store: Store, members: Witnesses | None = None, progress: Progress | None = None) -> Snapshot:
        """The ledger in an open file; ids and seals are checked, signatures are not.

        Args:
            store: the file, best opened read-only.
            members: the members, if known.
            progress: told how many of how many rows were read.

        Raises:
            StoreCorrupt: a row does not hold what was written, or stands where it cannot.
            StoreFailed: it cannot be read.
        """
        total = store.last_arrival()
        issuers: dict[bytes, None] = {}
        rows: list[tuple[bytes, int, int, bytes, int, Kind]] = []
        for chunk in store.chunks():
            for row in chunk:
                if row.arrival != len(rows) + 1 or not 0 <= max(row.first, row.second) < row.arrival:
                    raise StoreCorrupt(store.path, row.arrival, "a row is missing, or a parent comes after its child")
                issuers[row.issuer] = None
                rows.append((row.id, row.first, row.second, row.issuer, row.round, _KINDS[row.kind]))
            if progress:
                progress(len(rows), total)
        consortium = _consortium_of(store, rows[0][0]) if rows else bytes(32)
        named, indices = _members(members, consortium, issuers)
        tangle = Tangle(named.quorum)
        tangle.attach_many(
            (tx_id, (rows[first - 1][0], rows[second - 1][0]) if first else (), indices.get(issuer), round_, kind)
            for tx_id, first, second, issuer, round_, kind in rows
        )
        _mark(
            tangle, map(EquivocationProof.decode, store.evidence()), indices, named, named_by_caller=members is not None
        )

        def fetch(tx_id: bytes) -> Transaction:
            found = store.row(tangle.position(tx_id) + 1)
            if found is None or found.id != tx_id:
                raise StoreCorrupt(store.path, tangle.position(tx_id) + 1, "the row is missing or another one")
            return restore(found.raw, found.issuer)

        def stream() -> Iterator[Transaction]:
            for chunk in store.chunks():
                yield from (restore(row.raw, row.issuer) for row in chunk if row.arrival <= len(tangle))

        return cls(tangle, named, members is not None, store.path, lru_cache(_CACHED)(fetch), stream, indices)

    @classmethod
    def of_transactions(
        cls, transactions: Iterable[Transaction], where: str, members: Witnesses | None = None
    ) -> Snapshot:
        """The ledger made of transactions, parents before children; each signature is recovered on the way.

        Args:
            transactions: genesis first.
            where: where they came from, for errors.
            members: the members, if known.

        Raises:
            BadSignature: nobody signed one of them.
            MissingParent: a parent comes after its child, or not at all.
        """
        held = {transaction.id: transaction for transaction in transactions}
        first = next(iter(held.values()), None)
        consortium = first.consortium if first else bytes(32)
        named, indices = _members(members, consortium, dict.fromkeys(tx.issuer for tx in held.values()))
        tangle = Tangle(named.quorum)
        for tx in held.values():
            if missing := tuple(parent for parent in tx.parents if parent not in tangle):
                raise MissingParent(tx.id, missing)
            tangle.attach(tx.id, tx.parents, indices.get(tx.issuer), tx.round, tx.kind)
        _mark(tangle, (), indices, named, named_by_caller=members is not None)

        def fetch(tx_id: bytes) -> Transaction:
            if tx_id not in held:
                raise UnknownTransaction(tx_id)
            return held[tx_id]

        return cls(tangle, named, members is not None, where, fetch, lambda: iter(held.values()), indices)

    # -- looking -------------------------------------------------------------------------------------------------

    @property
    def names(self) -> dict[int, str]:
        """Names of the members by index in the graph."""
        return {member.index: member.name for member in self.members.members}

    def __len__(self) -> int:
        return len(self.tangle)

    def __contains__(self, tx_id: bytes) -> bool:
        return tx_id in self.tangle

    def get(self, tx_id: bytes) -> Transaction:
        """A transaction. Raises UnknownTransaction, StoreCorrupt."""
        return self._fetch(tx_id)

    def transactions(self, kind: Kind | None = None, round_: int | None = None) -> Iterator[Transaction]:
        """Transactions in the order they were attached, of one kind or round if given."""
        return self._stream() if kind is None and round_ is None else map(self.get, self.ids(kind, round_))

    def ids(self, kind: Kind | None = None, round_: int | None = None) -> Iterator[bytes]:
        """Like `transactions`, the ids alone."""
        if round_ is None:
            return (tx_id for tx_id in self.tangle.ids() if kind in {None, self.tangle.kind(tx_id)})
        return (tx_id for tx_id in self._by_round.get(round_, ()) if kind in {None, self.tangle.kind(tx_id)})

    @cached_property
    def _by_round(self) -> dict[int, list[bytes]]:
        found: dict[int, list[bytes]] = {}
        for tx_id in self.tangle.ids():
            found.setdefault(self.tangle.round(tx_id), []).append(tx_id)
        return found

    @cached_property
    def _closes(self) -> dict[int, list[bytes]]:
        return {}

    # -- what the rules ask --------------------------------------------------------------------------------------

    def in_cone(self, tx_id: bytes, heads: Iterable[bytes]) -> bool:
        """Whether it is one of the heads or an ancestor of one. Raises UnknownTransaction."""
        return self.tangle.in_cone(tx_id, heads)

    def confirmed_within(self, tx_id: bytes, heads: Iterable[bytes]) -> frozenset[int]:
        """Members that approve it inside the heads' past cone. Raises UnknownTransaction."""
        return self.tangle.confirmed_within(tx_id, heads)

    def closed_within(self, heads: Iterable[bytes], round_: int) -> Mapping[int, int]:
        """What the round's closes inside the heads' past cone cover. Raises UnknownTransaction."""
        if round_ not in self._closes:
            self._closes[round_] = [
                tx.id
                for tx in self.transactions(Kind.ACKNOWLEDGEMENT, round_)
                if isinstance(tx.body, AcknowledgementBody) and tx.body.close
            ]
        return closed_by(self.tangle, self._closes[round_], heads, round_)

    def first_sequence(self, heads: Iterable[bytes], issuer: bytes, round_: int) -> int | None:
        """The smallest sequence number of the issuer's transactions of a round in the heads' past cone, or None."""
        return first_sequence(self.tangle, lambda tx_id: self.get(tx_id).sequence, heads, self._indices[issuer], round_)

    def void_within(self, heads: Iterable[bytes], round_: int) -> frozenset[int]:
        """Members that contradict themselves inside the heads' past cone. Raises UnknownTransaction."""
        return self.tangle.void_within(heads, round_)

    def updates_of(self, issuer: bytes, round_: int) -> tuple[Transaction, ...]:
        """The issuer's updates of a round (more than one only of an equivocator)."""
        return tuple(tx for tx in self.transactions(Kind.UPDATE, round_) if tx.issuer == issuer)

    def round_ids(self, proposal: bytes) -> tuple[bytes, ...]:
        """Ascending ids of the proposal's round in its past cone. Raises UnknownTransaction."""
        return self.tangle.round_cone(proposal)


def _consortium_of(store: Store, genesis: bytes) -> bytes:
    row = store.row(1)
    if row is None or row.id != genesis:
        raise StoreCorrupt(store.path, 1, "the first row is missing")
    return restore(row.raw, row.issuer).consortium


def _members(
    given: Witnesses | None, consortium: bytes, issuers: Iterable[bytes]
) -> tuple[Witnesses, dict[bytes, int]]:
    """The members and everybody's index in the graph; strangers get indices above the members'."""
    others = sorted(set(issuers) - {NO_ISSUER})
    if given is None:
        made = [Witness(index, f"0x{address.hex()[:10]}…", address) for index, address in enumerate(others)]
        return Witnesses(consortium, tuple(made)), {member.address: member.index for member in made}
    indices = {member.address: member.index for member in given.members}
    free = max(indices.values()) + 1
    strangers = [address for address in others if address not in indices]
    return given, indices | {address: free + place for place, address in enumerate(strangers)}


def _mark(
    tangle: Tangle,
    proofs: Iterable[EquivocationProof],
    indices: Mapping[bytes, int],
    members: Witnesses,
    *,
    named_by_caller: bool,
) -> None:
    """Stops counting proven equivocators, and strangers where it is known who is a member."""
    for proof in proofs:
        if proof.issuer in indices:
            tangle.mark_faulty(indices[proof.issuer])
            if proof.first.id in tangle and proof.second.id in tangle:
                tangle.mark_conflict(proof.first.id, proof.second.id)
    if named_by_caller:
        for address, index in indices.items():
            if address not in members.by_address:
                tangle.mark_faulty(index)
