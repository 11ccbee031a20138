"""Sealing, adding and opening updates, held against TenSEAL's CKKS with NVFlare's defaults in the same run.

The peer does what NVFlare 2.9 does: CKKS, n = 8192, primes of 60, 40 and 40 bits, scale 2^40, symmetric encryption, one
vector per tensor, each sent with its serialised context (`nvflare/lighter/impl/he.py`, `nvflare/app_opt/he`).

    python -m benchmarks.sealing [--params D ...] [--memory-params D] [--json F] [--repeats N]
"""

from __future__ import annotations

import itertools
import json
import multiprocessing
import operator
import os
import statistics
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from benchmarks import harness
from benchmarks.errors import NotMeasured
from benchmarks.harness import Result, Row, Target
from benchmarks.streams import RANGE, ceremony, restrict, timed, uniform
from crypto.layout import Layout, TensorSpec
from crypto.opening import Opener
from crypto.packing import Quantiser, dequantise
from crypto.parameters import STANDARD
from crypto.streaming import SealingPool, add_stream, combine_stream, open_stream, pieces, quantise_stream

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

SIZES: Final = (529_347, 10_000_000)
MEMORY_SIZE: Final = 50_000_000
UPDATES: Final = 10
"""How many updates a sum holds, and how many members there are."""
THRESHOLD: Final = 7
WARM_UP: Final = 200
"""Chunks sealed before the clock starts: by then every process of the pool is up."""
FLOAT_BYTES: Final = 4
FAIREST: Final = "seal, additions alone, open (nothing read or checked)"
PEER: Final = "NVFlare's CKKS"
OURS: Final = "Medweave"


@dataclass(frozen=True, slots=True)
class Sample:
    """One pass over one vector, seconds and bytes."""

    seal: float
    total: float
    """The sum of ten updates, from their bytes on the wire."""
    addition: float
    """Of that, what is neither parsing nor checking: for the peer its additions, for us numpy's on the same bytes."""
    open: float
    wire: int

    @property
    def path(self) -> float:
        return self.seal + self.total + self.open


def tensors(size: int) -> tuple[int, ...]:
    """Sizes of the tensors of a network with ``size`` parameters: cnn-529k's, scaled."""
    from node.learning.parameters import layout_of, size_of

    model = layout_of("cnn-529k", 3)
    scaled = [max(1, int(np.prod(shape)) * size // size_of(model)) for _, shape in model]
    scaled[int(np.argmax(scaled))] += size - sum(scaled)
    if min(scaled) < 1:
        raise NotMeasured(f"{size} parameters are too few for {len(scaled)} tensors: ask for more")
    return tuple(scaled)


class Medweave:
    """This project's path; keys and processes are ready before the clock starts, as in a running node."""

    def __init__(self, sizes: Sequence[int], workers: int) -> None:
        self._layout = Layout(tuple(TensorSpec(f"t{i}", (n,), RANGE) for i, n in enumerate(sizes)))
        self._workers = workers
        self._joint, members = ceremony(UPDATES, THRESHOLD)
        self._openers = [Opener(member, range(THRESHOLD)) for member in members[:THRESHOLD]]
        self._pool = SealingPool(self._joint, max(1, workers - 1))  # this process quantises and cuts beside them
        list(self._pool.seal([np.zeros(WARM_UP * STANDARD.values_per_chunk, np.int64)]))

    def close(self) -> None:
        self._pool.close()

    def sample(self, vector: NDArray[np.float32]) -> Sample:
        limit, workers = self._joint.value_limit, self._workers
        quantiser = Quantiser(vector.size, limit, bytes(32))
        seal, chunks = timed(
            lambda: list(self._pool.seal(quantise_stream(pieces(vector), self._layout, quantiser, limit)))
        )
        updates = [[bytes(bytearray(chunk)) for chunk in chunks] for _ in range(UPDATES)]
        for _ in range(2):  # the second time counts: neither of the two finds the bytes colder than the other
            total, sums = timed(lambda: list(add_stream(updates, STANDARD)))
            addition, _ = timed(lambda: plain_sum(updates))
        first, partial = timed(lambda: list(open_stream(self._openers[0], sums, workers)))
        others = [list(open_stream(opener, sums, workers)) for opener in self._openers[1:]]
        second, opened = timed(lambda: self._combined(sums, [partial, *others]))
        error = np.abs(opened - UPDATES * vector).max() / float(RANGE)
        if error > UPDATES / limit:
            raise NotMeasured(f"the opened sum is off by {error:.2e} of the range")
        return Sample(seal, total, addition, first + second, sum(map(len, chunks)))

    def _combined(self, sums: list[bytes], partials: list[list[bytes]]) -> NDArray[np.float64]:
        """The opened sum as reals, [D]."""
        limit, at = self._joint.value_limit, 0
        result = np.empty(self._layout.size)
        for ints in combine_stream(sums, dict(enumerate(partials)), STANDARD, UPDATES):
            steps = self._layout.steps_between(limit, at, at + ints.size)
            result[at : at + ints.size] = dequantise(ints, steps)
            at += ints.size
        return result


def plain_sum(updates: Sequence[Sequence[bytes]]) -> list[NDArray[np.uint64]]:
    """What numpy needs for adding the same bytes, chunk by chunk, neither parsed nor checked nor reduced: the memory's limit."""

    def one(column: Sequence[bytes]) -> NDArray[np.uint64]:
        words = [np.frombuffer(chunk, np.uint64) for chunk in column]
        total = words[0].copy()
        for other in words[1:]:
            total += other
        return total

    return [one(column) for column in zip(*updates, strict=True)]


class Peer:
    """CKKS as NVFlare configures and sends it. Its own threads are TenSEAL's default: one a core."""

    def __init__(self, sizes: Sequence[int]) -> None:
        import tenseal

        self._tenseal: Any = tenseal
        self._cuts = np.cumsum(sizes)[:-1]
        self._context: Any = tenseal.context(
            tenseal.SCHEME_TYPE.CKKS,
            poly_modulus_degree=8192,
            coeff_mod_bit_sizes=[60, 40, 40],
            encryption_type=tenseal.ENCRYPTION_TYPE.SYMMETRIC,
        )
        self._context.generate_relin_keys()
        self._context.global_scale = 2**40

    def close(self) -> None:
        """Nothing to end."""

    def sample(self, vector: NDArray[np.float32]) -> Sample:
        seal, sent = timed(lambda: [self._seal(part) for part in np.split(vector, self._cuts)])
        total = addition = 0.0
        opened, opening = [], 0.0
        for tensor in sent:
            seconds, result = timed(partial(self._received, tensor))
            total += seconds
            for _ in range(UPDATES - 1):  # one after the other: ten updates of a large model need not lie in memory
                reading, other = timed(partial(self._received, tensor))
                adding, result = timed(partial(operator.iadd, result, other))
                total, addition = total + reading + adding, addition + adding
            result.link_context(self._context)
            seconds, values = timed(partial(_decrypted, result))
            opening += seconds
            opened.append(values)
        if np.abs(np.concatenate(opened) - UPDATES * vector).max() > 1e-3:
            raise NotMeasured("the peer's opened sum is wrong")
        return Sample(seal, total, addition, opening, sum(len(a) + len(b) for a, b in sent))

    def _seal(self, part: NDArray[np.float32]) -> tuple[bytes, bytes]:
        vector = self._tenseal.ckks_vector(self._context, part)
        return vector.serialize(), vector.context().serialize()

    def _received(self, sent: tuple[bytes, bytes]) -> Any:
        vector, context = sent
        return self._tenseal.ckks_vector_from(self._tenseal.context_from(context), vector)


def _decrypted(vector: Any) -> NDArray[np.float64]:
    return np.array(vector.decrypt(), np.float64)


def measure(size: int, sizes: tuple[int, ...], cores: int, repeats: int) -> tuple[list[Sample], list[Sample]]:
    """Samples of ours and of the peer in turn, in this process, on ``cores`` cores."""
    restrict(cores)
    vector = uniform(size)
    ours, peer = Medweave(sizes, cores), Peer(sizes)
    samples: tuple[list[Sample], list[Sample]] = ([], [])
    try:
        for _ in range(repeats):
            samples[0].append(ours.sample(vector))
            samples[1].append(quietly(lambda: peer.sample(vector)))
    finally:
        ours.close()
    return samples


def quietly(work: Callable[[], Any]) -> Any:
    """Without TenSEAL's warning, on standard output, about vectors longer than one ciphertext."""
    sys.stdout.flush()
    kept = os.dup(1)
    with Path(os.devnull).open("wb") as nowhere:
        os.dup2(nowhere.fileno(), 1)
    try:
        return work()
    finally:
        sys.stdout.flush()
        os.dup2(kept, 1)
        os.close(kept)


# ---- as a command ----------------------------------------------------------------------------------------------------


def benchmark(sizes: Sequence[int], memory_size: int, repeats: int) -> Result:
    """Every size on one core and on all, then memory."""
    rows: list[Row] = []
    targets: list[Target] = []
    every = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    for size, cores in itertools.product(sizes, dict.fromkeys((1, every))):
        ours, peer = alone(measure, size, tensors(size), cores, repeats)
        where = f"{size:,} parameters, {cores} core{'s' * (cores > 1)}"
        rows += [row(where, OURS, ours, size), row(where, PEER, peer, size)]
        rows.append(
            Row(
                FAIREST,
                where,
                {"faster_than_the_peer_ratio": compared(ours, peer, lambda s: s.seal + s.addition + s.open)},
            )
        )
        targets += promises(where, ours, peer, size)
    if memory_size:
        for cores in dict.fromkeys((1, every)):
            figures = memory(memory_size, cores)
            rows.append(Row(f"memory, {memory_size:,} parameters", f"{cores} cores", figures))
            peak = figures["peak_above_input_bytes"] / 2**20
            targets.append(Target(f"peak memory above the input, {cores} cores", peak, "MiB", "<=", 256))
    notes = (
        f"sum: of {UPDATES} updates from their bytes; addition: of that the peer's additions alone, for us numpy's.",
        f"open: ours is one member's partial opening and the combination of {THRESHOLD}; members open side by side.",
        "Keys are ready beforehand on both sides. Quantising and its reverse count as ours.",
    )
    return Result(tuple(rows), tuple(targets), notes)


def alone(work: Callable[..., Any], *arguments: Any) -> Any:
    """``work(*arguments)`` in a fresh process, whose memory and cores are its own."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(work, *arguments).result()


def memory(size: int, cores: int) -> dict[str, float]:
    """What `benchmarks.streams` measures, in a process that has loaded nothing else.

    Raises:
        NotMeasured: It broke.
    """
    command = [sys.executable, "-m", "benchmarks.streams", str(size), str(cores)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        raise NotMeasured(f"the memory of streams was not measured: {done.stderr.strip().splitlines()[-1]}")
    found: dict[str, float] = json.loads(done.stdout)
    return found


def row(table: str, name: str, samples: Sequence[Sample], size: int) -> Row:
    wire = samples[0].wire
    figures = {
        **harness.spread("seal", (s.seal for s in samples)),
        "wire_bytes": wire,
        "of_float32_ratio": wire / (FLOAT_BYTES * size),
        "sum_seconds": harness.median(s.total for s in samples),
        "addition_seconds": harness.median(s.addition for s in samples),
        "open_seconds": harness.median(s.open for s in samples),
        **harness.spread("path", (s.path for s in samples)),
    }
    return Row(table, name, figures)


def compared(ours: Sequence[Sample], peer: Sequence[Sample], part: Callable[[Sample], float]) -> float:
    """How many times longer the peer takes for a part: median over neighbouring samples."""
    return statistics.median(part(b) / part(a) for a, b in zip(ours, peer, strict=True))


def promises(where: str, ours: Sequence[Sample], peer: Sequence[Sample], size: int) -> list[Target]:
    """What the project promises of one size on so many cores; ratios of neighbouring samples."""
    return [
        Target(f"{where}: upload of float32", ours[0].wire / (FLOAT_BYTES * size), "x", "<=", 3.0),
        Target(f"{where}: seal, faster than the peer", compared(ours, peer, lambda s: s.seal), "x", ">=", 4.0),
        Target(f"{where}: seal, sum, open, faster", compared(ours, peer, lambda s: s.path), "x", ">=", 4.0),
        Target(
            f"{where}: sum of numpy's addition", statistics.median(s.total / s.addition for s in ours), "x", "<=", 2
        ),
    ]


def main(arguments: list[str] | None = None) -> int:
    """Measure what the arguments ask for."""
    parser = harness.parser(__doc__ or "", repeats=5)
    parser.add_argument("--params", type=int, nargs="+", default=list(SIZES), metavar="D", help="default %(default)s")
    parser.add_argument(
        "--memory-params", type=int, default=MEMORY_SIZE, metavar="D", help="default %(default)s; 0 leaves memory out"
    )
    options = parser.parse_args(arguments)
    return harness.run(lambda: benchmark(options.params, options.memory_params, options.repeats), options.json)


if __name__ == "__main__":
    sys.exit(main())
