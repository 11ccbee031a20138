"""Memory of the streams: one vector sealed, added and opened through files; and what `benchmarks.sealing` shares with it.

`python -m benchmarks.streams D CORES` prints one JSON object. It stands alone because everything a process imports counts
as its memory, and is imported again by every worker.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import psutil

from crypto.ceremony import Dealer, finish, receive
from crypto.layout import Layout, TensorSpec
from crypto.opening import Opener
from crypto.packing import Quantiser
from crypto.parameters import STANDARD
from crypto.sealing import chunk_bytes
from crypto.secrets import BoxKey
from crypto.streaming import (
    SealingPool,
    add_stream,
    combine_stream,
    open_stream,
    pieces,
    quantise_stream,
    recut,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from crypto.keys import JointKey, MemberKey

RANGE: Final = "0.05"
"""Largest magnitude of one value."""


def ceremony(members: int, threshold: int) -> tuple[JointKey, tuple[MemberKey, ...]]:
    """Keys of a consortium that lives in this process."""
    boxes = [BoxKey.generate() for _ in range(members)]
    keys = [box.public for box in boxes]
    started = [Dealer.start(STANDARD, bytes(32), 1, k, members, threshold, keys) for k in range(members)]

    def deal(dealer: Dealer, commitment: bytes, receiver: int) -> Any:
        found = dealer.dealing()
        return receive(
            found.header,
            found.public,
            found.shares[receiver],
            boxes[receiver],
            terms=dealer.terms,
            commitment=commitment,
            dealer=dealer.index,
            receiver=receiver,
        )

    finished = [finish([deal(*one, k) for one in started]) for k in range(members)]
    return finished[0][1], tuple(member for member, _ in finished)


def uniform(size: int) -> NDArray[np.float32]:
    """A made-up update, within the range; float32 [D], made in place."""
    vector = np.random.default_rng(1).random(size, np.float32)
    vector -= np.float32(0.5)
    vector *= np.float32(1.6 * float(RANGE))
    return vector


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds it took, and what it gave."""
    started = time.perf_counter()
    result = work()
    return time.perf_counter() - started, result


def restrict(cores: int) -> None:
    """Keep this process, and what it starts, on so many cores."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[-cores:])


def measure_memory(size: int, cores: int) -> dict[str, float]:
    """Seal, add and open one vector through files: most memory of this process and its workers, the vector aside."""
    restrict(cores)
    vector = uniform(size)
    layout = Layout((TensorSpec("all", (size,), RANGE),))
    joint, members = ceremony(3, 2)
    limit = joint.value_limit
    with SealingPool(joint, max(1, cores - 1)) as pool, tempfile.TemporaryDirectory() as folder:
        sealed, added = Path(folder, "update"), Path(folder, "sum")

        def ints() -> Iterator[NDArray[np.int64]]:
            return quantise_stream(pieces(vector), layout, Quantiser(size, limit, bytes(32)), limit)

        seal, _ = timed(lambda: write(sealed, pool.seal(ints())))
        add, _ = timed(lambda: write(added, add_stream([read(sealed), read(sealed)], STANDARD)))
        openers = {k: Opener(members[k], (0, 2)) for k in (0, 2)}
        partials = {k: open_stream(opener, read(added), cores) for k, opener in openers.items()}
        opened = combine_stream(read(added), partials, STANDARD, 3)
        expected = recut(ints(), STANDARD.values_per_chunk)
        opening, same = timed(lambda: _agree(opened, expected))
        if not same:
            raise RuntimeError("the opened sum is not the sum of what was sealed")
        peak = high_water() + sum(held(pid) for pid in pool.processes)
    return {
        "peak_above_input_bytes": int(peak - vector.nbytes),
        "input_bytes": vector.nbytes,
        "seal_seconds": seal,
        "sum_seconds": add,
        "open_seconds": opening,
    }


def _agree(opened: Iterator[NDArray[np.int64]], sealed: Iterator[NDArray[np.int64]]) -> bool:
    """Whether the first is twice the second, block by block."""
    return all(np.array_equal(found, 2 * once) for found, once in zip(opened, sealed, strict=True))


def write(path: Path, chunks: Iterator[bytes]) -> None:
    with path.open("wb") as file:
        file.writelines(chunks)


def read(path: Path) -> Iterator[bytes]:
    """The chunks in a file, one at a time."""
    with path.open("rb") as file:
        yield from iter(lambda: file.read(chunk_bytes(STANDARD)), b"")


def high_water() -> int:
    """Most memory this process has held, bytes."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


def held(process: int) -> int:
    """What a worker holds now, bytes, with its part of the libraries all of them share."""
    return int(psutil.Process(process).memory_full_info().pss)


if __name__ == "__main__":
    print(json.dumps(measure_memory(int(sys.argv[1]), int(sys.argv[2]))))
