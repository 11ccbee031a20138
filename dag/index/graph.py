"""The graph by places: attaching, approval by distinct members, cones and walks."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from dag.index.columns import NONE, Columns
from dag.index.engine import PLAIN, Engine, engine_for
from dag.index.kernels import MODULUS, WORD_BITS, WORD_SHIFT

if TYPE_CHECKING:
    import random
    from collections.abc import Collection, Sequence

    from dag.index.columns import Floats, Lots, Readable, Rows

_LAST_STAMP: Final = 2**31 - 3


class Views(NamedTuple):
    """What walks go by that is no column; indexed as columns are."""

    rating: Readable
    """Of each place."""
    barred: Readable
    """Where a walk may not go."""
    powers: Readable
    """exp(-alpha · difference), by difference of two ratings."""


class Graph:
    """Rows and the kernels over them. Not thread-safe.

    Attributes:
        columns: the arrays.
        table: the same, read cell by cell.
        quorum: weight that confirms.
    """

    def __init__(self, quorum: int) -> None:
        self.quorum = quorum
        self.columns = Columns()
        self._stamp = 0
        self._engine = engine_for(0)
        self._kept: Lots | None = None
        self._bind()

    def __len__(self) -> int:
        return self.columns.size

    # -- growing -------------------------------------------------------------------------------------------------

    def append(self, above: Sequence[int], issuer: int, round_: int, kind: int) -> int:
        """Adds a row below its distinct parents (ascending), not linked to them yet; returns its place."""
        first = above[0] if above else NONE
        second = above[1] if len(above) > 1 else NONE
        at = self.columns.append(first, second, issuer, round_, kind)
        if self.columns.arrays is not self._bound:
            self._bind()
        return at

    def reserve(self, rows: int) -> None:
        """Makes room for so many rows at once."""
        self.columns.reserve(rows)
        self._bind()

    def extend(self, rows: Rows) -> int:
        """Adds and enters many rows, parents before children; returns the first one's place."""
        start = self.columns.extend(rows)
        self.choose_engine()
        if self.columns.arrays is not self._bound:
            self._bind()
        words, counts = self.columns.words, self._counts
        self._engine.attach_rows(self._fast, start, len(self), words, counts, self.quorum, self._scratch)
        return start

    def link_newest(self) -> list[int]:
        """Enters the newest row; returns the places that reached the quorum by it."""
        at = self.columns.size - 1
        crossed = self._engine.attach_row(self._fast, at, self.columns.words, self._counts, self.quorum, self._scratch)
        last = len(self._scratch) - 1
        return [int(self._scratch[last - place]) for place in range(crossed)]

    def choose_engine(self) -> None:
        """Compiles the kernels once the graph is large enough for that to pay."""
        if not self._engine.compiled and (engine := engine_for(len(self))) is not self._engine:
            self._engine = engine
            self._bind()

    def stop_counting(self, member: int) -> bool:
        """Takes a member out of every weight; False if it was out already."""
        columns = self.columns
        columns.room_for(member)
        self._bind()
        if not columns.counts[member]:
            return False
        columns.counts[member] = 0
        word = columns.column("mask")[member >> WORD_SHIFT :: columns.words]
        columns.column("weight")[:] -= (word >> np.uint32(member % WORD_BITS) & np.uint32(1)).astype(np.int16)
        return True

    def counts(self, member: int) -> bool:
        """Whether the member's approval counts."""
        return member >= self.columns.members or bool(self.columns.counts[member])

    # -- looking -------------------------------------------------------------------------------------------------

    def above(self, at: int) -> tuple[int, ...]:
        """The distinct parents' places, ascending."""
        return tuple(parent for parent in (self.table.first[at], self.table.second[at]) if parent >= 0)

    def below(self, at: int) -> list[int]:
        """The approvers' places, ascending."""
        found = []
        edge = self.table.head[at]
        while edge >= 0:
            found.append(edge >> 1)
            edge = self.table.following[edge]
        return found[::-1]

    def approved_by(self, at: int, member: int) -> bool:
        """Whether the member issued the row or a descendant of it."""
        if not 0 <= member < self.columns.members:
            return False
        word = self.table.mask[at * self.columns.words + (member >> WORD_SHIFT)]
        return bool(word >> (member % WORD_BITS) & 1)

    def approvers(self, at: int) -> int:
        """Bit mask of the members that issued the row or a descendant of it."""
        words, start = self.columns.words, at * self.columns.words
        return sum(int(self.table.mask[start + place]) << (WORD_BITS * place) for place in range(words))

    def reaches(self, heads: Collection[int], target: int) -> bool:
        """Whether the target is one of the heads or an ancestor of one."""
        self._load(heads)
        return bool(self._engine.reaches(self._fast, self._scratch, len(heads), target, self._next_stamp(1)))

    def approving(self, heads: Collection[int], target: int) -> set[int] | None:
        """Members that approve the target inside the heads' past cone; None if it is not in there."""
        self._load(heads)
        array = np.zeros(self.columns.members, np.int8)
        voted, stamp = self._engine.cells(array), self._next_stamp(2)
        inside = self._engine.approving(self._fast, self._scratch, len(heads), target, stamp, voted)
        return set(np.flatnonzero(array).tolist()) if inside else None

    def region(self, head: int, *, later: bool) -> list[int]:
        """The head and what it reaches through rows of its round, or also through those of later ones."""
        found = self._engine.region(self._fast, self._scratch, head, later, self._next_stamp(1))
        places: list[int] = self.columns.scratch[:found].tolist()
        return places

    # -- walking -------------------------------------------------------------------------------------------------

    def find_tips(
        self, starts: Sequence[int], alpha: float, rng: random.Random, enough: int, tries: int, by: Views | None = None
    ) -> list[int]:
        """Different ends of walks: of one walk from each of `starts` but the last, of `tries` at most from the last.

        Args:
            starts: where walks begin.
            alpha: greed, ≥ 0.
            rng: gives one seed.
            enough: stop once so many different ends are known.
            tries: walks from the last start.
            by: other ratings or bars than approval weight and `refused`; read by plain Python.
        """
        engine = self._engine if by is None else PLAIN
        table, ends = engine.table(self.columns), len(starts) + tries
        # Callbacks may raise in the middle of a step and leave the working memory as it is then: they get their own.
        lots = self._lots(ends) if by is None else engine.lots(self.columns.members, ends)
        by = by or Views(table.weight, table.refused, _powers(alpha, self.columns.members, engine))
        seed = rng.randrange(1, MODULUS)
        for place, start in enumerate(starts):
            goal, walks = (enough, tries) if place == len(starts) - 1 else (place + 1, 1)
            seed = engine.find_tips(table, start, walks, goal, by.rating, by.barred, by.powers, seed, lots)
        return [int(lots.ends[place]) for place in range(lots.known[0])]

    # -- inside --------------------------------------------------------------------------------------------------

    def _bind(self) -> None:
        columns, engine = self.columns, self._engine
        self.table, self._bound, self._kept = columns.views, columns.arrays, None
        self._fast = engine.table(columns)
        self._counts, self._scratch = engine.cells(columns.counts), engine.cells(columns.scratch)

    def _lots(self, ends: int) -> Lots:
        """Working memory for walks, kept from call to call."""
        lots = self._kept
        if lots is None or len(lots.ends) < ends:
            lots = self._kept = self._engine.lots(self.columns.members, ends)
        lots.known[0] = 0
        return lots

    def _load(self, heads: Collection[int]) -> None:
        for place, head in enumerate(heads):
            self._scratch[place] = head

    def _next_stamp(self, used: int) -> int:
        if self._stamp > _LAST_STAMP - used:
            self.columns.column("seen")[:] = 0
            self._stamp = 0
        first, self._stamp = self._stamp + 1, self._stamp + used
        return first


@lru_cache(maxsize=32)
def _powers(alpha: float, members: int, engine: Engine) -> Floats:
    """exp(-alpha · difference) for every difference of approval weights."""
    return engine.powers(tuple(math.exp(-alpha * difference) for difference in range(members + 1)))
