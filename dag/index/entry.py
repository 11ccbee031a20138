"""Where walks start, kept up to date with every attach: asking costs nothing, however long the history."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from dag.index.columns import Columns

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
    """

    def __init__(self, quorum: int) -> None:
        self.window = max(_MIN_WINDOW, _WINDOW_PER_MEMBER * quorum)
        self._quorum = quorum
        self._newest: list[_Mark] = []
        self._anchored: list[_Mark] = []
        self._recent = 0

    @property
    def at(self) -> int:
        """The place."""
        return max(self._newest[0].at if len(self._newest) == 2 else 0, self._recent)

    def moved(self, size: int, weight: int) -> None:
        """The graph has grown to `size`; `weight` is the approval weight of the place that the window now ends at."""
        if weight >= self._quorum:
            self._recent = max(self._recent, size - self.window)

    def confirmed(self, at: int, size: int) -> None:
        """A place reached the quorum."""
        if at <= size - self.window:
            self._recent = max(self._recent, at)

    def stands(self, at: int, round_: int, *, anchored: bool) -> None:
        """A checkpoint was confirmed or anchored."""
        mark = _Mark(round_, at, anchored)
        _note(self._newest, mark)
        if anchored:
            _note(self._anchored, mark)

    def rebuild(self, columns: Columns, checkpoint: int) -> None:
        """Finds everything again, after many rows were attached at once or weights fell.

        Args:
            columns: the graph's arrays.
            checkpoint: number of the kind.
        """
        enough = columns.column("weight") >= self._quorum
        before = np.flatnonzero(enough[: max(0, columns.size - self.window + 1)])
        self._recent = int(before[-1]) if before.size else 0
        points = np.flatnonzero(enough & (columns.column("kind") == checkpoint))
        rounds = columns.column("round")[points]
        self._newest = []
        for _ in range(2):
            if rounds.size:
                newest = int(rounds.max())
                _note(self._newest, _Mark(newest, int(points[rounds == newest][0]), anchored=False))
                points, rounds = points[rounds < newest], rounds[rounds < newest]
        for mark in self._anchored:
            _note(self._newest, mark)


def _note(marks: list[_Mark], mark: _Mark) -> None:
    """Keeps the two newest rounds' marks, the older first, the best mark of each."""
    rivals = [*marks, mark]
    best: dict[int, _Mark] = {}
    for one in sorted(rivals, key=lambda other: (other.round, not other.anchored, other.at)):
        best.setdefault(one.round, one)
    marks[:] = list(best.values())[-2:]
