"""Vectors that never lie in memory as a whole: quantise, seal, add, open and combine from and to iterators (CRY-6).

Every function takes an iterator and gives one, in order, and holds a few chunks at a time: what is begun and not yet
taken is bounded by the number of workers. Sealing uses processes, because TenSEAL holds Python's global lock while it
encrypts; opening uses threads, because a share must not leave its process, and numpy, hashlib and libsodium release the
lock; adding is as fast as memory on one core. README.md has the figures.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from types import TracebackType
from typing import Final, Self, TypeVar

import numpy as np

from crypto.errors import MalformedBytes, ValueOutOfRange
from crypto.keys import JointKey
from crypto.layout import Layout
from crypto.modular import Signed
from crypto.opening import Opener, combine
from crypto.packing import Floats, Quantiser
from crypto.parameters import ParameterSet
from crypto.sealing import Sealer, add
from crypto.workers import Workers

T = TypeVar("T")
R = TypeVar("R")

PIECE: Final = 1 << 18
"""Values quantised at a time."""

OPENING_THREADS: Final = 2
"""Most threads that open: hashing, masks and transforms run side by side, the steps between them do not."""


def pieces(vector: Floats, size: int = PIECE) -> Iterator[Floats]:
    """A vector in views of at most ``size`` values."""
    return (vector[at : at + size] for at in range(0, vector.size, size))


def quantise_stream(blocks: Iterable[Floats], layout: Layout, quantiser: Quantiser, limit: int) -> Iterator[Signed]:
    """A vector that comes in blocks of any size, as integers, block by block.

    Args:
        blocks: float [B] each, D values in all.
        layout: tells each value's step.
        quantiser: made for ``layout.size`` values; afterwards its ``clipped`` is that of the whole vector.
        limit: the quantiser's limit.

    Raises:
        ValueOutOfRange: not D values, or one is not finite.
    """
    at = 0
    for block in blocks:
        yield quantiser.take(block, layout.steps_between(limit, at, at + block.size))
        at += block.size
    if at != layout.size:
        raise ValueOutOfRange(f"{at} values came, the layout has {layout.size}")


def recut(blocks: Iterable[Signed], size: int) -> Iterator[Signed]:
    """The same values in blocks of exactly ``size``; only the last may be shorter, and none is empty."""
    kept: list[Signed] = []
    count = 0
    for block in blocks:
        at = 0
        while at < block.size:
            part = block[at : at + size - count]
            kept.append(part)
            at, count = at + part.size, count + part.size
            if count == size:
                yield np.concatenate(kept) if len(kept) > 1 else kept[0]
                kept, count = [], 0
    if count:
        yield np.concatenate(kept)


class SealingPool:
    """Seals on several cores: every process holds its own :class:`Sealer` of the (public) joint key.

    Use it as a context manager and for many vectors: starting a process takes a third of a second, and each holds about
    40 MB. With one worker there is no process but this one.
    """

    def __init__(self, joint: JointKey, workers: int = 1, sealer: Sealer | None = None) -> None:
        """Start ``workers`` processes, ≥ 1, when the first vector comes; one worker uses ``sealer``, if there is one."""
        self._params = joint.params
        self._sealer = (sealer or Sealer(joint)) if workers == 1 else Workers(joint, workers)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def processes(self) -> tuple[int, ...]:
        """Ids of the running processes; none with one worker, or before the first vector."""
        return self._sealer.pids if isinstance(self._sealer, Workers) else ()

    def close(self) -> None:
        """End the processes."""
        if isinstance(self._sealer, Workers):
            self._sealer.close()

    def seal(self, blocks: Iterable[Signed]) -> Iterator[bytes]:
        """The chunks of a vector whose values come in blocks of any size.

        Args:
            blocks: int64 [B] each; a whole vector is one block.

        Raises:
            ValueOutOfRange: as :meth:`crypto.sealing.Sealer.seal_chunk`, or there is no value.
            CryptoError: a process of the pool was ended from outside.
        """
        empty = True
        for chunk in self._chunks(enumerate(recut(blocks, self._params.values_per_chunk))):
            empty = False
            yield chunk
        if empty:
            raise ValueOutOfRange("0 values: expected at least 1")

    def _chunks(self, parts: Iterable[tuple[int, Signed]]) -> Iterator[bytes]:
        sealer = self._sealer
        if isinstance(sealer, Workers):
            return sealer.seal(parts)
        return (sealer.seal_chunk(index, part) for index, part in parts)


def add_stream(updates: Sequence[Iterable[bytes]], params: ParameterSet) -> Iterator[bytes]:
    """The sum of several updates, chunk by chunk; one thread, because memory is the limit and not the core.

    Args:
        updates: the chunks of each update, in order; all of one length.
        params: their parameter set.

    Raises:
        MalformedBytes: as :func:`crypto.sealing.add`, or one update has more chunks than another.
        TooManyTerms: as :func:`crypto.sealing.add`.
    """
    return (add(column, params) for column in _columns(updates, "sum.chunks", "the updates of a sum"))


def open_stream(opener: Opener, sums: Iterable[bytes], workers: int = 1) -> Iterator[bytes]:
    """One member's partial openings of a sum, chunk by chunk.

    Args:
        opener: holds the member's share; it stays in this process, so threads are all there is.
        sums: the chunks of the sum.
        workers: threads; more than two only wait for each other.

    Raises:
        MalformedBytes: as :meth:`crypto.opening.Opener.partial`.
    """
    if workers == 1:
        yield from map(opener.partial, sums)
        return
    with ThreadPoolExecutor(min(workers, OPENING_THREADS)) as pool:
        yield from _ordered(pool, opener.partial, sums, 2 * OPENING_THREADS)


def combine_stream(
    sums: Iterable[bytes], partials: Mapping[int, Iterable[bytes]], params: ParameterSet, members: int
) -> Iterator[Signed]:
    """The plain sum, int64 [values of a chunk] at a time.

    Args:
        sums: the chunks of the sum.
        partials: for each opener, its partial openings of them in order.
        params: the parameter set.
        members: N.

    Raises:
        MalformedBytes: as :func:`crypto.opening.combine`, or sums and partial openings differ in number.
        WrongOpeners, OpeningFailed: as :func:`crypto.opening.combine`.
    """
    for chunk, *parts in _columns((sums, *partials.values()), "opening.chunks", "a sum and its partial openings"):
        yield combine(chunk, dict(zip(partials, parts, strict=True)), params, members)


def _columns(rows: Sequence[Iterable[bytes]], field: str, what: str) -> Iterator[tuple[bytes, ...]]:
    """The rows' elements at each position; they must be of one length."""
    streams = [iter(row) for row in rows]
    while True:
        column = tuple(chunk for stream in streams if (chunk := next(stream, None)) is not None)
        if not column:
            return
        if len(column) != len(streams):
            raise MalformedBytes(
                field, f"{what} must have one number of chunks: ask for what is missing, or leave it out"
            )
        yield column


def _ordered(pool: Executor, work: Callable[[T], R], items: Iterable[T], ahead: int) -> Iterator[R]:
    """``work(item)`` of every item in order, at most ``ahead`` of them begun and not yet taken."""
    waiting: deque[Future[R]] = deque()
    try:
        for item in items:
            waiting.append(pool.submit(work, item))
            if len(waiting) == ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        for future in waiting:
            future.cancel()
