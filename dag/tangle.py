"""The graph in memory: who approves whom, and by how many members.

A transaction approves its parents and all of their ancestors. *Approval weight* is the number of distinct members that
approve a transaction, its issuer being the first: counting transactions instead would let one member outvote the rest by
talking more. Each transaction keeps a bit mask of its approvers. A new transaction sets its issuer's bit on its ancestors
and stops where the bit is already set (the ancestors of a marked transaction are marked), so every bit is set once:
attaching costs O(N) amortised, however long the history (the idea of Lachesis' LowestAfter index).

Two views of confirmation exist. `is_confirmed` looks at everything this node has seen and may differ between nodes for a
while. `confirmed_within` looks only at the past cone of given heads, so every node computes the same: a proposal proves
by its own ancestors that its updates were confirmed.
"""

from __future__ import annotations

import heapq
from array import array
from typing import TYPE_CHECKING, Final

from dag.bodies import Kind
from dag.errors import MissingParent, UnknownTransaction

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

_KINDS: Final = tuple(Kind)
_GENESIS_ISSUER: Final = -1
_MIN_WINDOW: Final = 1024
_WINDOW_PER_MEMBER: Final = 75  # of the quorum, which is two thirds of the members: 50 a member


class Tangle:
    """Incremental index over attached transactions. Not thread-safe."""

    def __init__(self, quorum: int) -> None:
        """An empty index.

        Args:
            quorum: distinct approving members that confirm a transaction, ≥ 1.
        """
        self.quorum = quorum
        self._index: dict[bytes, int] = {}
        self._ids: list[bytes] = []
        self._first = array("i")  # index of each parent; -1 where there is none
        self._second = array("i")
        self._issuer = array("h")
        self._round = array("q")
        self._depth = array("i")
        self._kind = bytearray()
        self._masks: list[int] = []
        self._covers: list[int] = []
        self._covered_by: dict[int, tuple[int, int]] = {}
        self._approvers: dict[int, list[int]] = {}
        self._tips: dict[int, None] = {}
        self._checkpoints: dict[int, list[int]] = {}
        self._conflicts: dict[int, list[tuple[int, int]]] = {}
        self._faulty = 0

    # -- growing -------------------------------------------------------------------------------------------------

    def attach(
        self, tx_id: bytes, parents: tuple[bytes, ...], issuer_index: int | None, round_: int, kind: Kind
    ) -> None:
        """Adds a transaction whose parents are attached; adding it again changes nothing.

        Args:
            tx_id: its id (32 bytes).
            parents: ids of its parents; none for genesis.
            issuer_index: member index of its issuer, 0 … 255; None for genesis.
            round_: its round.
            kind: its kind.

        Raises:
            MissingParent: a parent is not attached.
        """
        if tx_id in self._index:
            return
        if missing := tuple(dict.fromkeys(parent for parent in parents if parent not in self._index)):
            raise MissingParent(tx_id, missing)
        at = len(self._ids)
        above = sorted({self._index[parent] for parent in parents})
        self._index[tx_id] = at
        self._ids.append(tx_id)
        self._first.append(above[0] if above else -1)
        self._second.append(above[1] if len(above) > 1 else -1)
        self._issuer.append(_GENESIS_ISSUER if issuer_index is None else issuer_index)
        self._round.append(round_)
        self._depth.append(1 + max((self._depth[parent] for parent in above), default=-1))
        self._kind.append(_KINDS.index(kind))
        self._masks.append(0)
        self._covers.append(self._cover(above, issuer_index, round_, kind))
        for parent in above:
            self._approvers.setdefault(parent, []).append(at)
            self._tips.pop(parent, None)
        self._tips[at] = None
        if kind is Kind.CHECKPOINT:
            self._checkpoints.setdefault(round_, []).append(at)
        if issuer_index is not None:
            self._spread(at, 1 << issuer_index)

    def attach_many(self, rows: Iterable[tuple[bytes, tuple[bytes, ...], int | None, int, Kind]]) -> None:
        """Attaches transactions in the order given, parents before children; each row as `attach` takes it.

        Args:
            rows: id, parents' ids, issuer's member index or None, round, kind.

        Raises:
            MissingParent: a parent is not attached; the rows before it stay.
        """
        for tx_id, parents, issuer_index, round_, kind in rows:
            self.attach(tx_id, parents, issuer_index, round_, kind)

    def _cover(self, above: list[int], issuer_index: int | None, round_: int, kind: Kind) -> int:
        """Mask of the members whose update of this round is in the past cone of a transaction being attached."""
        cover = 0
        for parent in above:
            if self._round[parent] == round_:
                cover |= self._covers[parent]
        if issuer_index is not None:
            cover |= (kind is Kind.UPDATE) << issuer_index
            before, approved = self._covered_by.get(issuer_index, (round_, 0))
            if before <= round_:
                self._covered_by[issuer_index] = (round_, cover | (approved if before == round_ else 0))
        return cover

    def mark_conflict(self, one: bytes, two: bytes) -> None:
        """Records that two attached transactions of one issuer contradict each other; the issuer's approval stops counting.

        Raises:
            UnknownTransaction: one of them is not attached.
        """
        pair = (self._at(one), self._at(two))
        issuer = self._issuer[pair[0]]
        self._conflicts.setdefault(issuer, []).append(pair)
        self.mark_faulty(issuer)

    def mark_faulty(self, issuer_index: int) -> None:
        """Stops counting a member's approval in this node's own view (`approval_weight`, `is_confirmed`, walks)."""
        self._faulty |= 1 << issuer_index

    def _spread(self, start: int, bit: int) -> None:
        stack = [start]
        masks, first, second = self._masks, self._first, self._second
        while stack:
            at = stack.pop()
            if at < 0 or masks[at] & bit:
                continue
            masks[at] |= bit
            stack.append(first[at])
            stack.append(second[at])

    # -- looking -------------------------------------------------------------------------------------------------

    def __len__(self) -> int:
        return len(self._ids)

    def __contains__(self, tx_id: bytes) -> bool:
        return tx_id in self._index

    def ids(self) -> Iterator[bytes]:
        """All ids in the order they were attached (parents before children)."""
        return iter(self._ids)

    def parents(self, tx_id: bytes) -> tuple[bytes, ...]:
        """The distinct parents' ids."""
        return tuple(self._ids[parent] for parent in self._above(self._at(tx_id)))

    def approvers(self, tx_id: bytes) -> tuple[bytes, ...]:
        """Ids of the transactions that have it as a parent, in the order they were attached."""
        return tuple(self._ids[child] for child in self._approvers.get(self._at(tx_id), ()))

    def issuer(self, tx_id: bytes) -> int:
        """Member index of the issuer; -1 for genesis."""
        return self._issuer[self._at(tx_id)]

    def round(self, tx_id: bytes) -> int:
        """The transaction's round."""
        return self._round[self._at(tx_id)]

    def kind(self, tx_id: bytes) -> Kind:
        """The transaction's kind."""
        return _KINDS[self._kind[self._at(tx_id)]]

    def depth(self, tx_id: bytes) -> int:
        """Length of the longest path back to genesis; larger than every ancestor's."""
        return self._depth[self._at(tx_id)]

    def position(self, tx_id: bytes) -> int:
        """Its place in the order of attachment, from 0. Raises UnknownTransaction."""
        return self._at(tx_id)

    def id_at(self, position: int) -> bytes:
        """The id at a place in the order of attachment."""
        return self._ids[position]

    def tips(self) -> tuple[bytes, ...]:
        """Ids that nobody approves yet, in the order they were attached."""
        return tuple(self._ids[tip] for tip in self._tips)

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

        Found on paths through transactions of that round alone: a quick guide for choosing parents, not a proof.
        """
        at = self._at(tx_id)
        return self._covers[at] if self._round[at] == round_ else 0

    def cover_approvals(self, head: bytes) -> dict[int, int]:
        """For each member whose update of the head's round is in the head's cover, the mask of members that approve it there.

        One pass over the round's part of the past cone; like `cover` a guide, which `confirmed_within` then proves.
        """
        approvals: dict[int, int] = {}
        start = self._at(head)
        seen, stack = {start}, [start]
        while stack:
            at = stack.pop()
            covered, bit = self._covers[at], 1 << self._issuer[at]
            while covered:
                member = covered.bit_length() - 1
                covered ^= 1 << member
                approvals[member] = approvals.get(member, 0) | bit
            for parent in self._above(at):
                if parent not in seen and self._round[parent] == self._round[start]:
                    seen.add(parent)
                    stack.append(parent)
        return approvals

    def news(self, heads: Iterable[bytes], issuer_index: int, round_: int) -> int:
        """How many members' updates of a round a transaction on these heads would approve that the member has not."""
        cover = 0
        for head in heads:
            cover |= self.cover(head, round_)
        newest, approved = self._covered_by.get(issuer_index, (round_, 0))
        return (cover & ~(approved if newest == round_ else 0)).bit_count()

    def approval_weight(self, tx_id: bytes) -> int:
        """Distinct members that approve it, its issuer included, proven equivocators excluded; 0 … N."""
        return (self._masks[self._at(tx_id)] & ~self._faulty).bit_count()

    def approved_by(self, tx_id: bytes, issuer_index: int) -> bool:
        """Whether the member issued the transaction or a descendant of it."""
        return bool(self._masks[self._at(tx_id)] >> issuer_index & 1)

    def is_confirmed(self, tx_id: bytes) -> bool:
        """Whether a quorum of members approves it, as far as this node has seen."""
        return self.approval_weight(tx_id) >= self.quorum

    def is_faulty(self, issuer_index: int) -> bool:
        """Whether the member is a proven equivocator."""
        return bool(self._faulty >> issuer_index & 1)

    @property
    def entry(self) -> bytes | None:
        """Where walks start; None in an empty graph.

        A confirmed checkpoint of the last round but one that has any: the lag leaves the running round's tips reachable.
        In a long round without one, a confirmed transaction one window back, so that a walk's length does not grow with
        history. Genesis before either exists.
        """
        if not self._ids:
            return None
        return self._ids[max(self._entry_by_checkpoint(), self._entry_by_window())]

    def _entry_by_checkpoint(self) -> int:
        rounds_seen = 0
        for round_ in sorted(self._checkpoints, reverse=True):
            confirmed = (at for at in self._checkpoints[round_] if self.is_confirmed(self._ids[at]))
            if (first := next(confirmed, None)) is not None:
                rounds_seen += 1
                if rounds_seen == 2:
                    return first
        return 0

    def _entry_by_window(self) -> int:
        # Measured: orphans stay rare while the window is about 50 times the transactions in flight, at most one a member.
        window = max(_MIN_WINDOW, _WINDOW_PER_MEMBER * self.quorum)
        newest = len(self._ids) - window
        for at in range(newest, max(0, newest - window), -1):
            if self.is_confirmed(self._ids[at]):
                return at
        return 0

    # -- past cones ----------------------------------------------------------------------------------------------

    def cone(self, tx_id: bytes, stop: Collection[bytes] = ()) -> Iterator[bytes]:
        """The transaction and its ancestors, children before parents, without `stop` and what only `stop` leads to.

        Raises:
            UnknownTransaction: the id is not attached.
        """
        halt = {self._index[known] for known in stop if known in self._index}
        for at in self._descending([self._at(tx_id)], halt):
            yield self._ids[at]

    def in_cone(self, tx_id: bytes, heads: bytes | Iterable[bytes]) -> bool:
        """Whether the transaction is one of the heads or an ancestor of one."""
        at = self._at(tx_id)
        return at in self._cone_from(heads, self._depth[at])

    def round_cone(self, head: bytes) -> tuple[bytes, ...]:
        """Ids of the head's round in its past cone, ascending; what a round's Merkle root is taken over.

        Walks back through transactions of this or a later round only, so the cost is the round's, not the history's.
        """
        start = self._at(head)
        round_ = self._round[start]
        seen, stack = {start}, [start]
        while stack:
            for parent in self._above(stack.pop()):
                if parent not in seen and self._round[parent] >= round_:
                    seen.add(parent)
                    stack.append(parent)
        return tuple(sorted(self._ids[at] for at in seen if self._round[at] == round_))

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
        cone = self._cone_from(heads, self._depth[at])
        void = self.void_within(heads, self._round[at])
        if at not in cone or self._issuer[at] in void:
            return frozenset()
        approving, members = {at}, {self._issuer[at]}
        for other in sorted(cone):
            if self._first[other] in approving or self._second[other] in approving:
                approving.add(other)
                members.add(self._issuer[other])
        return frozenset(members - void - {_GENESIS_ISSUER})

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
                max(self._round[one], self._round[two]) >= round_
                and self.in_cone(self._ids[one], heads)
                and self.in_cone(self._ids[two], heads)
                for one, two in pairs
            )
        )

    def beyond(self, known: Iterable[bytes]) -> list[bytes]:
        """Everything attached that is no ancestor of (and not in) `known`, parents before children.

        Ids in `known` that are not attached are ignored. Costs what it returns, plus the region around the border.
        """
        theirs = {self._index[tx_id] for tx_id in known if tx_id in self._index}
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
            for parent in self._above(at):
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
        try:
            return self._index[tx_id]
        except KeyError:
            raise UnknownTransaction(tx_id) from None

    def _above(self, at: int) -> tuple[int, ...]:
        return tuple(parent for parent in (self._first[at], self._second[at]) if parent >= 0)

    def _descending(self, starts: Iterable[int], halt: Collection[int]) -> Iterator[int]:
        heap = [-at for at in starts if at not in halt]
        seen = set(heap)
        heapq.heapify(heap)
        while heap:
            at = -heapq.heappop(heap)
            yield at
            for parent in self._above(at):
                if -parent not in seen and parent not in halt:
                    seen.add(-parent)
                    heapq.heappush(heap, -parent)

    def _cone_from(self, heads: bytes | Iterable[bytes], min_depth: int) -> set[int]:
        """Indices in the heads' past cones at `min_depth` or deeper: no ancestor of them is a descendant of that depth."""
        stack = [self._at(head) for head in ((heads,) if isinstance(heads, bytes) else heads)]
        cone: set[int] = set()
        while stack:
            at = stack.pop()
            if at >= 0 and at not in cone and self._depth[at] >= min_depth:
                cone.add(at)
                stack.append(self._first[at])
                stack.append(self._second[at])
        return cone
