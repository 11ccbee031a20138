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

import heapq
from itertools import islice
from typing import TYPE_CHECKING, Final

from dag.bodies import Kind
from dag.errors import MalformedTransaction, MissingParent, UnknownTransaction
from dag.index.columns import MAX_ISSUER, NONE
from dag.index.covers import Covers
from dag.index.entry import Entry
from dag.index.graph import Graph
from dag.index.ids import Ids

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    _Parents = tuple[bytes, ...] | tuple[int, ...]
    _Row = tuple[bytes, _Parents, int | None, int, Kind]

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
        self._attach((tx_id, parents, issuer_index, round_, kind))

    def attach_many(self, rows: Iterable[_Row]) -> None:
        """Attaches transactions in the order given, parents before children.

        Args:
            rows: id, parents, issuer's member index or None, round, kind, as `attach` takes them. Parents may also be given
                by `position`, which a store knows without asking and which costs no search.

        Raises:
            LedgerError: what `attach` raises; the rows before it stay.
        """
        source, whole = iter(rows), False
        try:
            while batch := list(islice(source, _BATCH)):
                if len(batch) * _REBUILD_SHARE >= len(self.graph):
                    whole = True
                    self._attach_batch(batch)
                else:
                    for row in batch:
                        self._attach(row)
        finally:
            self._entry.stale |= whole

    def _attach(self, row: _Row) -> None:
        if self._append(*row):
            self.graph.choose_engine()
            self._entry.grew(self.graph.link_newest())

    def _attach_batch(self, rows: Iterable[_Row]) -> None:
        """Attaches rows but leaves the entry point where it is."""
        start = len(self.graph)
        try:
            for row in rows:
                self._append(*row)
        finally:
            self.graph.choose_engine()
            self.graph.link_many(start, len(self.graph))

    def _append(self, tx_id: bytes, parents: _Parents, issuer_index: int | None, round_: int, kind: Kind) -> bool:
        """Adds a transaction everywhere but to its parents' links and masks; False if it is attached."""
        above = self._above(tx_id, parents)
        issuer = NONE if issuer_index is None else issuer_index
        if not NONE <= issuer <= MAX_ISSUER:
            raise MalformedTransaction("issuer", f"member index {issuer} is outside 0…{MAX_ISSUER}")
        if not self._ids.add(tx_id):
            return False
        number = _NUMBERS[kind]
        at = self.graph.append(above, issuer, round_, number)
        for parent in above:
            self._tips.pop(parent, None)
        self._tips[at] = None
        self._covers.add(at, above, issuer, round_, number)
        return True

    def _above(self, tx_id: bytes, parents: _Parents) -> tuple[int, ...]:
        """The distinct parents' places, ascending. Raises MissingParent."""
        if not parents:
            return ()
        first, last, size = parents[0], parents[-1], self.graph.columns.size
        one = first if isinstance(first, int) else self._ids.find(first)
        two = last if isinstance(last, int) else self._ids.find(last)
        if not (0 <= one < size and 0 <= two < size):
            missing = (parent for parent in parents if isinstance(parent, bytes) and parent not in self)
            raise MissingParent(tx_id, tuple(dict.fromkeys(missing)))
        return (one,) if one == two else (one, two) if one < two else (two, one)

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
        for at in self._descending([self._at(tx_id)], halt):
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
        heap = [-at for at in theirs | self._tips.keys()]
        heapq.heapify(heap)
        queued = {-at for at in heap}
        ours_left = sum(at not in theirs for at in queued)
        found: list[int] = []
        while heap and ours_left:
            at = -heapq.heappop(heap)
            shared = at in theirs
            if not shared:
                ours_left -= 1
                found.append(at)
            for parent in self.graph.above(at):
                if shared and parent not in theirs:
                    theirs.add(parent)
                    ours_left -= parent in queued
                if parent not in queued:
                    queued.add(parent)
                    heapq.heappush(heap, -parent)
                    ours_left += parent not in theirs
        return [self._ids[at] for at in reversed(found)]

    # -- inside --------------------------------------------------------------------------------------------------

    def _at(self, tx_id: bytes) -> int:
        at = self._ids.find(tx_id)
        if at == NONE:
            raise UnknownTransaction(tx_id)
        return at

    def _places(self, heads: bytes | Iterable[bytes]) -> set[int]:
        return {self._at(head) for head in ((heads,) if isinstance(heads, bytes) else heads)}

    def _descending(self, starts: Iterable[int], halt: Collection[int]) -> Iterator[int]:
        heap = [-at for at in starts if at not in halt]
        seen = set(heap)
        heapq.heapify(heap)
        while heap:
            at = -heapq.heappop(heap)
            yield at
            for parent in self.graph.above(at):
                if -parent not in seen and parent not in halt:
                    seen.add(-parent)
                    heapq.heappush(heap, -parent)
