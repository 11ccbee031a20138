"""Whose updates of a round a transaction approves through its round alone: kept for the newest rounds, searched for others.

Rules ask this of any round, so what is not kept must come out the same; walks ask it of the running round, a hundred times
a choice.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dag.index.graph import Graph

KEPT_ROUNDS: Final = 8
"""Rounds that covers are kept for: more than ever run side by side, so a search is rare."""


class Covers:
    """A bit mask of members for each transaction of the newest rounds, found on paths through its round alone.

    Attributes:
        stale: set after many rows were attached at once: the newest rounds are gone through before the next question.
    """

    def __init__(self, graph: Graph, update: int) -> None:
        """Nothing yet.

        Args:
            graph: where the rest is looked up.
            update: number of that kind.
        """
        self.stale = False
        self._graph = graph
        self._update = update
        self._rounds: dict[int, dict[int, int]] = {}
        self._approved: dict[int, tuple[int, int]] = {}

    def add(self, at: int, above: Sequence[int], issuer: int, round_: int, kind: int) -> None:
        """Enters a transaction below its parents.

        Args:
            at: its place.
            above: its parents' places.
            issuer: member index; -1 for genesis.
            round_: its round.
            kind: number of its kind.
        """
        if self.stale:
            self._rebuild()  # finds this row too, and finding it again changes nothing
        covers = self._rounds.get(round_)
        if covers is None:
            covers = self._open(round_)
        cover = 1 << issuer if kind == self._update else 0
        for parent in above:
            cover |= covers.get(parent, 0)
        if cover:
            covers[at] = cover
        if issuer >= 0:
            before, approved = self._approved.get(issuer, (round_, 0))
            if before <= round_:
                self._approved[issuer] = (round_, cover | (approved if before == round_ else 0))

    def of(self, at: int, round_: int) -> int:
        """The mask of a transaction of that round; 0 if it is of another."""
        if self.stale:
            self._rebuild()
        covers = self._rounds.get(round_)
        if covers is not None:
            return covers.get(at, 0)
        return self._searched(at) if self._graph.table.round[at] == round_ else 0

    def news(self, at: int, issuer: int, round_: int) -> int:
        """The mask less what the member's own transactions of the round approve."""
        cover = self.of(at, round_)
        newest, approved = self._approved.get(issuer, (round_, 0))
        return cover & ~(approved if newest == round_ else 0)

    def _rebuild(self) -> None:
        self.stale = False
        self._rounds, self._approved = {}, {}
        rounds, table = self._graph.columns.column("round"), self._graph.table
        newest = rounds
        for _ in range(KEPT_ROUNDS - 1):
            older = newest[newest < newest.max(initial=0)]
            newest = older if older.size else newest
        oldest_kept = newest.max(initial=0)
        for at in np.flatnonzero(rounds >= oldest_kept).tolist():
            self.add(at, self._graph.above(at), table.issuer[at], table.round[at], table.kind[at])

    def _searched(self, at: int) -> int:
        table, mask = self._graph.table, 0
        for place in self._graph.region(at, later=False):
            if table.kind[place] == self._update:
                mask |= 1 << table.issuer[place]
        return mask

    def _open(self, round_: int) -> dict[int, int]:
        """A place for a new round's covers; a round older than those kept gets one that nobody keeps."""
        covers: dict[int, int] = {}
        if len(self._rounds) == KEPT_ROUNDS:
            oldest = min(self._rounds)
            if round_ < oldest:
                return covers
            del self._rounds[oldest]
        self._rounds[round_] = covers
        return covers
