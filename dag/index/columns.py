"""The arrays: one row a transaction, some 50 bytes of it at ten members, grown by doubling."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol

import numpy as np

from dag.index.kernels import WORD_BITS

if TYPE_CHECKING:
    from numpy.typing import NDArray

NONE: Final = -1
"""No parent, no approver, no issuer (genesis)."""

MAX_ISSUER: Final = 2**15 - 1
"""Largest member index."""

_FIRST_ROWS: Final = 256


class Cells(Protocol):
    """A row of integers: an array, or a memoryview of one, whose cells plain Python reads faster."""

    def __len__(self) -> int: ...

    def __getitem__(self, at: int, /) -> int: ...

    def __setitem__(self, at: int, value: int, /) -> None: ...


class Floats(Protocol):
    """A row of floats."""

    def __getitem__(self, at: int, /) -> float: ...

    def __setitem__(self, at: int, value: float, /) -> None: ...


class Readable(Protocol):
    """What walks may go by instead of columns: anything indexed by place, or by a difference of ratings."""

    def __getitem__(self, at: Any, /) -> Any: ...


class Table(NamedTuple):
    """The columns. An edge 2·a + s says that row a has its first (s = 0) or second (s = 1) parent there."""

    first: Cells
    """Place of the earlier parent; NONE for genesis. int32"""
    second: Cells
    """Place of the later parent; NONE where both parents are one. int32"""
    issuer: Cells
    """Member index; NONE for genesis. int16"""
    round: Cells
    """Its round. int64"""
    kind: Cells
    """Number of its kind. int8"""
    depth: Cells
    """Length of the longest path back to genesis. int32"""
    head: Cells
    """Edge to the newest approver; NONE at a tip. int32"""
    following: Cells
    """By edge, the next older approver's edge of the same parent. int32, two a row"""
    mask: Cells
    """Bits of the members that approve it. uint32, as many words a row as the members need"""
    weight: Cells
    """How many of these members' approval counts. int16"""
    refused: Cells
    """1 where this node will not approve it. int8"""
    seen: Cells
    """Stamp of the last search that came by. int32"""


class Lots(NamedTuple):
    """What walks work with; as long as there are members, `ends` as long as there may be walks."""

    slots: Cells
    """By member, its candidate's place among the candidates of this step; NONE between steps."""
    picks: Cells
    """By candidate, its row."""
    ratings: Cells
    """By candidate, its rating."""
    ties: Cells
    """By candidate, how many equally rated ones its member had so far."""
    shares: Floats
    """By candidate, its unnormalised probability."""
    ends: Cells
    """Different ends of walks."""
    known: Cells
    """One cell: how many ends."""


class Rows(NamedTuple):
    """What `Columns.extend` is given, by columns of `Table`."""

    first: NDArray[np.integer]
    second: NDArray[np.integer]
    issuer: NDArray[np.integer]
    round: NDArray[np.integer]
    kind: NDArray[np.integer]


_TYPES: Final = {
    "first": "i4",
    "second": "i4",
    "issuer": "i2",
    "round": "i8",
    "kind": "i1",
    "depth": "i4",
    "head": "i4",
    "following": "i4",
    "mask": "u4",
    "weight": "i2",
    "refused": "i1",
    "seen": "i4",
}


class Columns:
    """Growing arrays, seen as numpy arrays (`arrays`) and as memoryviews of the same memory (`views`).

    Memory that no row has used yet is the operating system's: it hands out pages when they are first written.

    Attributes:
        size: rows in use.
        words: 32-bit words of an approval mask.
        arrays: the columns as numpy arrays.
        views: the same as memoryviews.
        counts: by member, 1 if its approval counts. int8
        scratch: working memory of a search, as long as the columns. int32
    """

    def __init__(self) -> None:
        self.size = 0
        self.words = 1
        self.counts: NDArray[np.int8] = np.ones(WORD_BITS, np.int8)
        self._rows = 0
        self._reshape(_FIRST_ROWS, 1)

    @property
    def members(self) -> int:
        """Members that the masks have a bit for; a multiple of 32."""
        return self.words * WORD_BITS

    def append(self, first: int, second: int, issuer: int, round_: int, kind: int) -> int:
        """Adds a row without links, depth or mask, which `dag.index.kernels.attach_row` fills; returns its place."""
        at = self.size
        if at == self._rows:
            self._reshape(2 * self._rows, self.words)
        if issuer >= self.words * WORD_BITS:
            self.room_for(issuer)
        t = self.views
        t.first[at], t.second[at], t.issuer[at], t.round[at], t.kind[at] = first, second, issuer, round_, kind
        self.size = at + 1
        return at

    def extend(self, rows: Rows) -> int:
        """Adds many rows as `append` adds one; returns the first one's place."""
        start, stop = self.size, self.size + len(rows.issuer)
        if stop > self._rows:
            self.reserve(max(stop, 2 * self._rows))
        self.room_for(int(rows.issuer.max(initial=NONE)))
        for name, values in rows._asdict().items():
            getattr(self.arrays, name)[start:stop] = values
        self.size = stop
        return start

    def reserve(self, rows: int) -> None:
        """Makes room for so many rows at once."""
        if rows > self._rows:
            self._reshape(rows, self.words)

    def room_for(self, member: int) -> None:
        """Widens the masks until they have a bit for the member."""
        if member >= self.members:
            self._reshape(self._rows, member // WORD_BITS + 1)

    def column(self, name: str) -> NDArray[np.integer]:
        """The used part of a column, as an array over the same memory."""
        whole: NDArray[np.integer] = getattr(self.arrays, name)
        return whole[: self.size * _cells_a_row(name, self.words)]

    def _reshape(self, rows: int, words: int) -> None:
        arrays = {}
        for name, kind in _TYPES.items():
            after = np.zeros((rows, _cells_a_row(name, words)), kind)
            if self.size:
                before = self.column(name).reshape(self.size, -1)
                after[: self.size, : before.shape[1]] = before
            arrays[name] = after.reshape(-1)
        counts = np.ones(words * WORD_BITS, np.int8)
        counts[: self.counts.size] = self.counts
        self._rows, self.words, self.counts = rows, words, counts
        self.arrays = Table(**arrays)
        self.views = Table(**{name: array.data for name, array in arrays.items()})
        self.scratch: NDArray[np.int32] = np.empty(rows, np.int32)


def _cells_a_row(name: str, words: int) -> int:
    return {"following": 2, "mask": words}.get(name, 1)
