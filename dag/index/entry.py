"""Where walks start, kept up to date with every attach: asking costs nothing, however long the history."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dag.index.graph import Graph

_MIN_WINDOW: Final = 1024
# Measured: orphans stay rare while the window is about 50 times the transactions in flight, at most one a member. The
# quorum is two thirds of the members, so 75 a member of the quorum is 50 a member.
_WINDOW_PER_MEMBER: Final = 75


class _Mark(NamedTuple):
    """The checkpoint that stands for a round: an anchored one before others, then the earliest."""

    round: int
    at: int
    anchored: bool


class Entry:
    """The later of two places: the checkpoint of the newest round but one that has one, and a confirmed place one window back.

    A checkpoint counts once it is anchored on chain or confirmed. Going one round back leaves the tips of the running round
    reachable. The window keeps walks short in a long round without a checkpoint. Genesis before either exists.

    Attributes:
        window: transactions that walks may have to cross.
        stale: set after many rows were attached at once or weights fell: the next question looks at every row again.
    """

    def __init__(self, graph: Graph, checkpoint: int) -> None:
        """Genesis, for an empty graph.

        Args:
            graph: what it is the entry of.
            checkpoint: number of that kind.
        """
        self.window = max(_MIN_WINDOW, _WINDOW_PER_MEMBER * graph.quorum)
        self.stale = False
        self._graph = graph
        self._checkpoint = checkpoint
        self._newest: list[_Mark] = []
        self._anchored: list[_Mark] = []
        self._recent = 0

    @property
    def at(self) -> int:
        """The place."""
        if self.stale:
            self._rebuild()
        return max(self._newest[0].at if len(self._newest) == 2 else 0, self._recent)

    def grew(self, confirmed: Sequence[int]) -> None:
        """A row was attached, and by it these places reached the quorum."""
        if self.stale:
            return
        table, newest_allowed = self._graph.table, len(self._graph) - self.window
        for at in confirmed:
            if at <= newest_allowed:
                self._recent = max(self._recent, at)
            if table.kind[at] == self._checkpoint:
                _note(self._newest, _Mark(table.round[at], at, anchored=False))
        if newest_allowed > self._recent and table.weight[newest_allowed] >= self._graph.quorum:
            self._recent = newest_allowed

    def anchor(self, at: int) -> None:
        """A checkpoint was anchored."""
        mark = _Mark(self._graph.table.round[at], at, anchored=True)
        _note(self._newest, mark)
        _note(self._anchored, mark)

    def _rebuild(self) -> None:
        columns = self._graph.columns
        enough = columns.column("weight") >= self._graph.quorum
        before = np.flatnonzero(enough[: max(0, columns.size - self.window + 1)])
        self._recent = int(before[-1]) if before.size else 0
        points = np.flatnonzero(enough & (columns.column("kind") == self._checkpoint))
        rounds = columns.column("round")[points]
        self._newest = []
        for _ in range(2):
            if rounds.size:
                newest = int(rounds.max())
                _note(self._newest, _Mark(newest, int(points[rounds == newest][0]), anchored=False))
                points, rounds = points[rounds < newest], rounds[rounds < newest]
        for mark in self._anchored:
            _note(self._newest, mark)
        self.stale = False


def _note(marks: list[_Mark], mark: _Mark) -> None:
    """Keeps the two newest rounds' marks, the older first, the best mark of each."""
    best: dict[int, _Mark] = {}
    for one in sorted((*marks, mark), key=lambda other: (other.round, not other.anchored, other.at)):
        best.setdefault(one.round, one)
    marks[:] = list(best.values())[-2:]
