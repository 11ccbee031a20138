"""The ledger's index and store: attach and two walks, memory a transaction, ingest, restart.

A synthetic ledger: ten members post in turn, five transactions are always under way (issued on what had arrived before
them), two weighted walks choose the parents. A round has a hundred transactions, the last ten of them checkpoints. Every
size has a process of its own, grown by the walks themselves.
"""

from __future__ import annotations

import gc
import hashlib
import multiprocessing
import random
import statistics
import sys
from collections import deque
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from time import perf_counter_ns
from typing import TYPE_CHECKING, Any

import networkx as nx
import psutil

from benchmarks import harness, ledger_store
from benchmarks.harness import Result, Row, Target
from dag.bodies import Kind
from dag.index.engine import COMPILE_FROM, compile_from, compiled
from dag.tangle import Tangle
from dag.walks import choose_parents, orphan_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

SIZES = (10_000, 100_000, 1_000_000)
MEMBERS, QUORUM = 10, 7
IN_FLIGHT = 5
ROUND = 100
OPERATIONS = 2_000
"""Attaches with walks in one repeat."""
NAIVE_ATTACHES = 3
OLD = 500
"""Transactions after which a tip counts as an orphan: a hundred times those under way."""
MICRO = 1e-3
"""Microseconds in a nanosecond."""


@dataclass(frozen=True)
class Sample:
    """What one process measured."""

    p50: float
    """Attach and two walks, median of the repeats' medians, microseconds."""
    p99: float
    longest: float
    publish_p50: float
    """The choice a member publishes with: up to 16 walks, of whose ends the pair with most news is taken; microseconds."""
    publish_p99: float
    index_bytes: int
    """Growth of the process's resident memory while the ledger grew, without numba."""
    process_bytes: int
    """The whole process: interpreter, numpy, numba, ledger."""
    numba_bytes: int
    """What importing numba and compiling added."""
    orphans: int
    """Tips that 500 newer transactions passed by."""


class Synthetic:
    """A ledger that grows as a consortium's does."""

    def __init__(self, seed: int = 1) -> None:
        self.tangle = Tangle(QUORUM)
        self.rng = random.Random(seed)
        genesis = _id(0)
        self.tangle.attach(genesis, (), None, 0, Kind.GENESIS)
        self._issued = 0
        self._under_way = deque([(genesis, genesis)] * IN_FLIGHT)

    def step(self) -> None:
        """One transaction arrives; another is issued on two walks, or on one and an orphan of its issuer's."""
        number = self._issued = self._issued + 1
        self.tangle.attach(
            _id(number), self._under_way.popleft(), number % MEMBERS, 1 + number // ROUND, _kind(number % ROUND)
        )
        orphan = orphan_of(self.tangle, (number + IN_FLIGHT) % MEMBERS)
        self._under_way.append(choose_parents(self.tangle, self.rng, rescue=orphan))

    def orphans(self) -> int:
        """Tips that were passed by."""
        return sum(at <= len(self.tangle) - OLD for at in self.tangle.tip_places())


def _id(number: int) -> bytes:
    return hashlib.sha256(number.to_bytes(8, "big")).digest()


def _kind(place: int) -> Kind:
    if place < MEMBERS:
        return Kind.UPDATE
    return Kind.CHECKPOINT if place >= ROUND - MEMBERS else Kind.ACKNOWLEDGEMENT


def measure(size: int, repeats: int, compile_at: int) -> Sample:
    """Grow a ledger to `size`, then time what comes next; in this process."""
    compile_from(compile_at)
    process = psutil.Process()
    _id(0)
    gc.collect()
    bare = process.memory_info().rss
    if size >= compile_at:
        compiled()
    gc.collect()
    before = process.memory_info().rss
    book = Synthetic()
    while len(book.tangle) < size:
        book.step()
    gc.collect()
    after = process.memory_info().rss
    stepping = [_times(book.step) for _ in range(repeats)]
    publishing = [_times(lambda: _publish(book), OPERATIONS // 4) for _ in range(repeats)]
    return Sample(
        statistics.median(_quantile(block, 0.5) for block in stepping),
        statistics.median(_quantile(block, 0.99) for block in stepping),
        max(max(block) for block in stepping),
        statistics.median(_quantile(block, 0.5) for block in publishing),
        statistics.median(_quantile(block, 0.99) for block in publishing),
        after - before,
        after,
        before - bare,
        book.orphans(),
    )


def _publish(book: Synthetic) -> None:
    choose_parents(book.tangle, book.rng, member=3, round_=1 + len(book.tangle) // ROUND)


def _times(work: Callable[[], Any], count: int = OPERATIONS) -> list[float]:
    """Microseconds of each call."""
    found = []
    for _ in range(count):
        start = perf_counter_ns()
        work()
        found.append((perf_counter_ns() - start) * MICRO)
    return found


def _quantile(values: Sequence[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def naive(size: int) -> tuple[float, int]:
    """The same ledger in networkx, where an attach adds one to the weight of every ancestor.

    Returns:
        Microseconds an attach, the median of a few; bytes of resident memory the graph took.
    """
    process = psutil.Process()
    before = process.memory_info().rss
    graph = nx.DiGraph()
    rng = random.Random(1)
    ids = [_id(0)]
    graph.add_node(ids[0], issuer=-1, round=0, weight=1)
    for number in range(1, size):
        _add(graph, ids, number, rng)
    taken = process.memory_info().rss - before
    times = []
    for number in range(size, size + NAIVE_ATTACHES):
        start = perf_counter_ns()
        _add(graph, ids, number, rng)
        for ancestor in nx.descendants(graph, ids[-1]):  # edges lead from child to parent
            graph.nodes[ancestor]["weight"] += 1
        times.append((perf_counter_ns() - start) * MICRO)
    return statistics.median(times), taken


def _add(graph: nx.DiGraph, ids: list[bytes], number: int, rng: random.Random) -> None:
    tx_id = _id(number)
    graph.add_node(tx_id, issuer=number % MEMBERS, round=1 + number // ROUND, weight=1)
    recent = min(len(ids), 2 * IN_FLIGHT)
    graph.add_edges_from((tx_id, ids[-rng.randint(1, recent)]) for _ in range(2))
    ids.append(tx_id)


# ---- as a command ----------------------------------------------------------------------------------------------------


def benchmark(sizes: Sequence[int], repeats: int, naive_up_to: int) -> Result:
    """The index at every size, compiled; the smallest also in plain Python; networkx."""
    samples = {size: alone(measure, size, repeats, 0) for size in sizes}
    rows = [row for size, sample in samples.items() for row in _rows(f"{size:,}", sample, size)]
    if sizes[0] < COMPILE_FROM:
        rows += _rows(f"{sizes[0]:,}, plain Python", alone(measure, sizes[0], repeats, sys.maxsize), sizes[0])
    for size in sizes:
        if size <= naive_up_to:
            microseconds, taken = alone(naive, size)
            name = f"{size:,}, networkx"
            rows += [Row(SPEED, name, {"p50_us": microseconds}), Row(MEMORY, name, {"a_transaction": taken / size})]
    return Result(tuple(rows), tuple(promises(samples)), NOTES)


SPEED = "attach and two walks, microseconds"
MEMORY = "memory, bytes a transaction"
NOTES = (
    f"{MEMBERS} members, {IN_FLIGHT} transactions under way, {ROUND} a round; p99 of {OPERATIONS:,} operations, median of repeats.",
    "publish: the choice a member posts with, up to 16 walks of whose ends the best pair is taken.",
    "bytes a transaction: growth of resident memory; all in: with what numba takes, once a process.",
    f"A process compiles its walks once a ledger holds {COMPILE_FROM:,}; below, it walks in plain Python.",
    "networkx: attach alone, which counts up the weights of all ancestors; parents at random among the newest ten.",
)


def _rows(name: str, sample: Sample, size: int) -> list[Row]:
    speed = {"p50_us": sample.p50, "p99_us": sample.p99, "longest_us": sample.longest}
    publishing = {"publish_p50_us": sample.publish_p50, "publish_p99_us": sample.publish_p99}
    memory: dict[str, harness.Figure] = {
        "a_transaction": sample.index_bytes / size,
        "all_in": (sample.index_bytes + sample.numba_bytes) / size,
        "process_bytes": sample.process_bytes,
        "orphans": sample.orphans,
    }
    return [Row(SPEED, name, speed | publishing), Row(MEMORY, name, memory)]


def promises(samples: dict[int, Sample]) -> list[Target]:
    """What the project promises of the largest size, and of the growth from the smallest to it."""
    least, most = min(samples), max(samples)
    small, large = samples[least], samples[most]
    found = [Target(f"{most:,}: attach and two walks, p99", large.p99, "us", "<=", 100)]
    if least < most:
        found.append(Target(f"{most:,} of {least:,}: p99", large.p99 / small.p99, "x", "<=", 1.5))
    all_in = (large.index_bytes + large.numba_bytes) / most
    found.append(Target(f"{most:,}: memory a transaction, all in", all_in, "bytes", "<=", 300))
    return found


def alone(work: Callable[..., Any], *arguments: Any) -> Any:
    """``work(*arguments)`` in a fresh process, whose memory is its own."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(work, *arguments).result()


def main(arguments: list[str] | None = None) -> int:
    """Measure what the arguments ask for."""
    parser = harness.parser(__doc__ or "", repeats=5)
    parser.add_argument("--size", type=int, nargs="+", default=list(SIZES), metavar="N", help="default %(default)s")
    parser.add_argument(
        "--naive-up-to", type=int, default=SIZES[-1], metavar="N", help="largest size for networkx, default %(default)s"
    )
    parser.add_argument("--part", choices=("index", "store", "both"), default="both", help="default %(default)s")
    options = parser.parse_args(arguments)
    sizes = sorted(set(options.size))
    return harness.run(lambda: _parts(options.part, sizes, options.repeats, options.naive_up_to), options.json)


def _parts(part: str, sizes: Sequence[int], repeats: int, naive_up_to: int) -> Result:
    """The index in memory, the store on disk, or both."""
    found = [benchmark(sizes, repeats, naive_up_to)] if part != "store" else []
    if part != "index":
        found.append(ledger_store.benchmark(sizes, repeats))
    return Result(
        tuple(row for result in found for row in result.rows),
        tuple(target for result in found for target in result.targets),
        tuple(note for result in found for note in result.notes),
    )


if __name__ == "__main__":
    sys.exit(main())
