"""The graph in memory: who approves whom, and by how many members.

A transaction approves its parents and all of their ancestors. *Approval weight* is the number of distinct members that
approve a transaction, its issuer being the first: counting transactions instead would let one member outvote the rest by
talking more. Each transaction keeps a bit mask of its approvers. A new transaction sets its issuer's bit on its ancestors
and stops where the bit is already set (the ancestors of a marked transaction are marked), so every bit is set once:
attaching costs O(N) amortised, however long the history (the idea of Lachesis' LowestAfter index).

Two views of confirmation exist. `is_confirmed` looks at everything this node has seen and may differ between nodes for a
while. `confirmed_within` looks only at the past cone of given heads, so every node computes the same: a proposal proves
by its own ancestors that its updates were confirmed.

Here transactions are ids; `dag.index` below knows them as places in the order of attachment and holds the arrays.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Final

import numpy as np

from dag.bodies import Kind
from dag.errors import MalformedTransaction, MissingParent, UnknownTransaction
from dag.index import searches
from dag.index.bulk import rows_by_places
from dag.index.columns import MAX_ISSUER, NONE, Rows
from dag.index.covers import Covers
from dag.index.entry import Entry
from dag.index.graph import Graph
from dag.index.ids import Ids

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence

    _Row = tuple[bytes, tuple[bytes, ...], int | None, int, Kind]

_KINDS: Final = tuple(Kind)
_NUMBERS: Final = {kind: number for number, kind in enumerate(_KINDS)}
_BATCH: Final = 4096
_REBUILD_SHARE: Final = 1024  # from a 1,024th of the graph on, looking once at every row costs less than after each


class Tangle:
    """Incremental index over attached transactions. Not thread-safe.

    Attributes:
        quorum: distinct approving members that confirm a transaction.
        graph: the same by places, for `dag.walks`.
    """

    def __init__(self, quorum: int) -> None:
        """An empty index.

        Args:
            quorum: distinct approving members that confirm a transaction, ≥ 1.
        """
        self.quorum = quorum
        self.graph = Graph(quorum)
        self._ids = Ids()
        self._tips: dict[int, None] = {}
        self._covers = Covers(self.graph, _NUMBERS[Kind.UPDATE])
        self._entry = Entry(self.graph, _NUMBERS[Kind.CHECKPOINT])
        self._conflicts: dict[int, list[tuple[int, int]]] = {}

    # -- growing -------------------------------------------------------------------------------------------------

    def attach(
        self, tx_id: bytes, parents: tuple[bytes, ...], issuer_index: int | None, round_: int, kind: Kind
    ) -> None:
        """Adds a transaction whose parents are attached; adding it again changes nothing.

        Args:
            tx_id: its id (32 bytes).
            parents: ids of its parents, two at most; none for genesis.
            issuer_index: member index of its issuer, 0 … 32,767; None for genesis.
            round_: its round.
            kind: its kind.

        Raises:
            MalformedIdentifier: the id is not 32 bytes long.
            MalformedTransaction: the issuer's index is out of range.
            MissingParent: a parent is not attached.
        """
        self._attach(tx_id, self._above(tx_id, parents), issuer_index, round_, kind)

    def attach_at(
        self, tx_id: bytes, parents: tuple[int, int], issuer_index: int | None, round_: int, kind: Kind
    ) -> None:
        """Like `attach`, for a caller that knows the parents' `position`; -1 twice for genesis.

        Raises:
            MalformedIdentifier: the id is not 32 bytes long.
            MalformedTransaction: the issuer's index is out of range.
            MissingParent: nothing is attached at a parent's position.
        """
        one, two = parents
        if not (0 <= one < len(self._ids) and 0 <= two < len(self._ids)) and parents != (NONE, NONE):
            raise MissingParent(tx_id, ())
        self._attach(tx_id, _distinct(one, two), issuer_index, round_, kind)

    def _attach(self, tx_id: bytes, above: tuple[int, ...], issuer_index: int | None, round_: int, kind: Kind) -> None:
        issuer, number = _issuer(issuer_index), _NUMBERS[kind]
        if not self._ids.add(tx_id):
            return
        at = self.graph.append(above, issuer, round_, number)
        for parent in above:
            self._tips.pop(parent, None)
        self._tips[at] = None
        self._covers.add(at, above, issuer, round_, number)
        self.graph.choose_engine()
        self._entry.grew(self.graph.link_newest())

    def attach_many(self, rows: Iterable[_Row]) -> None:
        """Attaches transactions in the order given, parents before children.

        Args:
            rows: id, parents' ids, issuer's member index or None, round, kind, as `attach` takes them.

        Raises:
            LedgerError: what `attach` raises; the rows before it stay.
        """
        source = iter(rows)
        while batch := list(islice(source, _BATCH)):
            if len(batch) * _REBUILD_SHARE >= len(self.graph):
                self._attach_batch(batch)
            else:
                for row in batch:
                    self.attach(*row)

    def _attach_batch(self, batch: list[_Row]) -> None:
        entered: list[tuple[int, int, int, int, int]] = []
        try:
            for tx_id, parents, issuer_index, round_, kind in batch:
                above, issuer = self._above(tx_id, parents), _issuer(issuer_index)
                if self._ids.add(tx_id):
                    first, second = (*above, NONE, NONE)[:2]
                    entered.append((first, second, issuer, round_, _NUMBERS[kind]))
        finally:
            if entered:
                self._enter(Rows(*np.array(entered, np.int64).T))

    def reserve(self, total: int) -> None:
        """Makes room for so many transactions at once, before that many are attached."""
        self._ids.reserve(total)
        self.graph.reserve(total)

    def attach_places(
        self,
        ids: Sequence[bytes],
        firsts: Sequence[int],
        seconds: Sequence[int],
        issuers: Sequence[int],
        rounds: Sequence[int],
        kinds: Sequence[Kind],
    ) -> None:
        """Attaches new transactions column by column, as a store reads them: no parent is searched for.

        Args:
            ids: their ids, none of them attached.
            firsts: `position` of each one's first parent, the batch counted on; -1 for genesis.
            seconds: of its second; -1 for genesis.
            issuers: member index of each one's issuer; -1 for genesis.
            rounds: each one's round.
            kinds: each one's kind.

        Raises:
            MalformedTransaction: a parent's position is not before its child's, an issuer's index is out of range, or an id
                is attached already or no id; says which row. Rows before a wrong id stay; otherwise nothing changes.
        """
        numbers = [_NUMBERS[kind] for kind in kinds]
        rows = rows_by_places(len(self.graph), firsts, seconds, issuers, rounds, numbers)
        added = self._ids.extend(ids)
        if added:
            self._enter(Rows(*(column[:added] for column in rows)))
        if added < len(ids):
            raise MalformedTransaction(f"rows[{added}]", f"{ids[added].hex()} is attached already, or no id")

    def _enter(self, rows: Rows) -> None:
        """Adds rows whose ids are in place."""
        start = self.graph.extend(rows)
        heads = self.graph.columns.column("head")
        for parent in np.union1d(rows.first, rows.second).tolist():
            self._tips.pop(parent, None)
        self._tips.update(dict.fromkeys((start + np.flatnonzero(heads[start:] == NONE)).tolist()))
        self._entry.stale = self._covers.stale = True

    def _above(self, tx_id: bytes, parents: tuple[bytes, ...]) -> tuple[int, ...]:
        """The distinct parents' places, ascending. Raises MissingParent."""
        if not parents:
            return ()
        one, two = self._ids.find(parents[0]), self._ids.find(parents[-1])
        if NONE in {one, two}:
            missing = (parent for parent in parents if parent not in self)
            raise MissingParent(tx_id, tuple(dict.fromkeys(missing)))
        return _distinct(one, two)

    def mark_conflict(self, one: bytes, two: bytes) -> None:
        """Records that two attached transactions of one issuer contradict each other; the issuer's approval stops counting.

        Raises:
            UnknownTransaction: one of them is not attached.
        """
        pair = (self._at(one), self._at(two))
        issuer = self.graph.table.issuer[pair[0]]
        self._conflicts.setdefault(issuer, []).append(pair)
        self.mark_faulty(issuer)

    def mark_faulty(self, issuer_index: int) -> None:
        """Stops counting a member's approval in this node's own view (`approval_weight`, `is_confirmed`, walks)."""
        if self.graph.stop_counting(issuer_index):
            self._entry.stale = True

    def anchor(self, tx_id: bytes) -> None:
        """Says that a checkpoint's round is final on chain: walks may enter there, whether or not it is confirmed here.

        Raises:
            UnknownTransaction: it is not attached.
        """
        self._entry.anchor(self._at(tx_id))

    def refuse(self, tx_id: bytes) -> None:
        """Keeps walks away from a transaction this node will not approve, such as one whose payload nobody delivers.

        Raises:
            UnknownTransaction: it is not attached.
        """
        self.graph.table.refused[self._at(tx_id)] = 1

    def allow(self, tx_id: bytes) -> None:
        """Takes `refuse` back.

        Raises:
            UnknownTransaction: it is not attached.
        """
        self.graph.table.refused[self._at(tx_id)] = 0

    def is_refused(self, tx_id: bytes) -> bool:
        """Whether `refuse` was said of it. Raises UnknownTransaction."""
        return bool(self.graph.table.refused[self._at(tx_id)])

    # -- looking -------------------------------------------------------------------------------------------------

    def __len__(self) -> int:
        return len(self._ids)

    def __contains__(self, tx_id: bytes) -> bool:
        return self._ids.find(tx_id) != NONE

    def ids(self) -> Iterator[bytes]:
        """All ids in the order they were attached (parents before children)."""
        return iter(self._ids)

    def parents(self, tx_id: bytes) -> tuple[bytes, ...]:
        """The distinct parents' ids."""
        return tuple(self._ids[parent] for parent in self.graph.above(self._at(tx_id)))

    def approvers(self, tx_id: bytes) -> tuple[bytes, ...]:
        """Ids of the transactions that have it as a parent, in the order they were attached."""
        return tuple(self._ids[child] for child in self.graph.below(self._at(tx_id)))

    def issuer(self, tx_id: bytes) -> int:
        """Member index of the issuer; -1 for genesis."""
        return self.graph.table.issuer[self._at(tx_id)]

    def round(self, tx_id: bytes) -> int:
        """The transaction's round."""
        return self.graph.table.round[self._at(tx_id)]

    def kind(self, tx_id: bytes) -> Kind:
        """The transaction's kind."""
        return _KINDS[self.graph.table.kind[self._at(tx_id)]]

    def depth(self, tx_id: bytes) -> int:
        """Length of the longest path back to genesis; larger than every ancestor's."""
        return self.graph.table.depth[self._at(tx_id)]

    def position(self, tx_id: bytes) -> int:
        """Its place in the order of attachment, from 0. Raises UnknownTransaction."""
        return self._at(tx_id)

    def id_at(self, position: int) -> bytes:
        """The id at a place in the order of attachment."""
        return self._ids[position]

    def tips(self) -> tuple[bytes, ...]:
        """Ids that nobody approves yet, in the order they were attached."""
        return tuple(self._ids[tip] for tip in self._tips)

    def tip_places(self) -> Iterable[int]:
        """The tips' places in the order of attachment, ascending."""
        return self._tips.keys()

    @property
    def tip_count(self) -> int:
        """How many tips there are."""
        return len(self._tips)

    def locator(self, dense: int = 32) -> tuple[bytes, ...]:
        """The tips, the `dense` newest ids, and older ones at doubling distances back to genesis.

        A peer that lacks our newest transactions still finds among these something near to them that it has (the idea of
        Bitcoin's block locator).
        """
        newest = len(self._ids) - 1
        back = [*range(min(dense, newest + 1))]
        step = dense
        while step <= newest:
            back.append(step)
            step *= 2
        places = [*self._tips, *(newest - distance for distance in back), *([0] if self._ids else [])]
        return tuple(dict.fromkeys(self._ids[at] for at in places))

    def cover(self, tx_id: bytes, round_: int) -> int:
        """Bit mask of the members whose update of a round the transaction approves; 0 if it belongs to another round.

        Found on paths through transactions of that round alone, so every node that holds it finds the same.
        """
        return self._covers.of(self._at(tx_id), round_)

    def cover_approvals(self, head: bytes) -> dict[int, int]:
        """For each member whose update of the head's round is in the head's cover, the mask of members that approve it there.

        One pass over the round's part of the past cone: a guide, which `confirmed_within` then proves.
        """
        start = self._at(head)
        issuers, round_ = self.graph.table.issuer, self.graph.table.round[start]
        covered: dict[int, int] = {}
        for at in self.graph.region(start, later=False):
            covered[issuers[at]] = covered.get(issuers[at], 0) | self._covers.of(at, round_)
        approvals: dict[int, int] = {}
        for issuer, cover in covered.items():
            left = cover
            while left:
                member = left.bit_length() - 1
                left ^= 1 << member
                approvals[member] = approvals.get(member, 0) | 1 << issuer
        return approvals

    def news(self, tx_id: bytes, issuer_index: int, round_: int) -> int:
        """Bit mask of the members whose update of a round the transaction approves and this member does not yet."""
        return self._covers.news(self._at(tx_id), issuer_index, round_)

    def approval_weight(self, tx_id: bytes) -> int:
        """Distinct members that approve it, its issuer included, proven equivocators excluded; 0 … N."""
        return self.graph.table.weight[self._at(tx_id)]

    def approved_by(self, tx_id: bytes, issuer_index: int) -> bool:
        """Whether the member issued the transaction or a descendant of it."""
        return self.graph.approved_by(self._at(tx_id), issuer_index)

    def approved_by_members(self, tx_id: bytes) -> int:
        """Bit mask of the members of whom `approved_by` is true."""
        return self.graph.approvers(self._at(tx_id))

    def is_confirmed(self, tx_id: bytes) -> bool:
        """Whether a quorum of members approves it, as far as this node has seen."""
        return self.approval_weight(tx_id) >= self.quorum

    def is_faulty(self, issuer_index: int) -> bool:
        """Whether the member is a proven equivocator."""
        return not self.graph.counts(issuer_index)

    @property
    def entry(self) -> bytes | None:
        """Where walks start; None in an empty graph.

        The checkpoint of the last round but one that has one which is anchored or confirmed: the lag leaves the running
        round's tips reachable. In a long round without one, a confirmed transaction one window back, so that a walk's
        length does not grow with history. Genesis before either exists. Costs nothing: it is kept up with every attach.
        """
        return self._ids[self._entry.at] if len(self._ids) else None

    # -- past cones ----------------------------------------------------------------------------------------------

    def cone(self, tx_id: bytes, stop: Collection[bytes] = ()) -> Iterator[bytes]:
        """The transaction and its ancestors, children before parents, without `stop` and what only `stop` leads to.

        Raises:
            UnknownTransaction: the id is not attached.
        """
        halt = {at for known in stop if (at := self._ids.find(known)) != NONE}
        for at in searches.descending(self.graph, [self._at(tx_id)], halt):
            yield self._ids[at]

    def in_cone(self, tx_id: bytes, heads: bytes | Iterable[bytes]) -> bool:
        """Whether the transaction is one of the heads or an ancestor of one."""
        return self.graph.reaches(self._places(heads), self._at(tx_id))

    def round_cone(self, head: bytes) -> tuple[bytes, ...]:
        """Ids of the head's round in its past cone, ascending; what a round's Merkle root is taken over.

        Walks back through transactions of this or a later round only, so the cost is the round's, not the history's.
        """
        start = self._at(head)
        rounds, round_ = self.graph.table.round, self.graph.table.round[start]
        return tuple(sorted(self._ids[at] for at in self.graph.region(start, later=True) if rounds[at] == round_))

    def confirmed_within(self, tx_id: bytes, heads: bytes | Iterable[bytes]) -> frozenset[int]:
        """Members that approve the transaction inside the past cone of the heads (the heads included).

        Depends on that cone alone, so every node that holds it computes the same set. A member is left out if the cone
        holds two transactions of it that contradict each other, one of them in the transaction's round or later; such a
        member's own transaction has no approval at all (it counts for neither side).

        Raises:
            UnknownTransaction: an id is not attached.
        """
        heads = (heads,) if isinstance(heads, bytes) else tuple(heads)
        at = self._at(tx_id)
        void = self.void_within(heads, self.graph.table.round[at])
        if self.graph.table.issuer[at] in void:
            return frozenset()
        return frozenset((self.graph.approving(self._places(heads), at) or set()) - void)

    def void_within(self, heads: Iterable[bytes], round_: int) -> frozenset[int]:
        """Members whose approval is void for a round: the heads' past cone holds two contradicting transactions of theirs.

        One of the two must belong to `round_` or later, so that a fault settled long ago is not looked up for ever.

        Raises:
            UnknownTransaction: a head is not attached.
        """
        heads = tuple(heads)
        return frozenset(
            issuer
            for issuer, pairs in self._conflicts.items()
            if any(
                max(self.graph.table.round[one], self.graph.table.round[two]) >= round_
                and self.in_cone(self._ids[one], heads)
                and self.in_cone(self._ids[two], heads)
                for one, two in pairs
            )
        )

    def beyond(self, known: Iterable[bytes]) -> list[bytes]:
        """Everything attached that is no ancestor of (and not in) `known`, parents before children.

        Ids in `known` that are not attached are ignored. Costs what it returns, plus the region around the border.
        """
        theirs = {at for tx_id in known if (at := self._ids.find(tx_id)) != NONE}
        return [self._ids[at] for at in searches.beyond(self.graph, self._tips.keys(), theirs)]

    # -- inside --------------------------------------------------------------------------------------------------

    def _at(self, tx_id: bytes) -> int:
        at = self._ids.find(tx_id)
        if at == NONE:
            raise UnknownTransaction(tx_id)
        return at

    def _places(self, heads: bytes | Iterable[bytes]) -> set[int]:
        return {self._at(head) for head in ((heads,) if isinstance(heads, bytes) else heads)}


def _distinct(one: int, two: int) -> tuple[int, ...]:
    """Two parents' places as the graph has them: distinct, ascending, none for genesis."""
    if one == two:
        return () if one == NONE else (one,)
    return (one, two) if one < two else (two, one)


def _issuer(member_index: int | None) -> int:
    issuer = NONE if member_index is None else member_index
    if not NONE <= issuer <= MAX_ISSUER:
        raise MalformedTransaction("issuer", f"member index {issuer} is outside 0…{MAX_ISSUER}")
    return issuer
