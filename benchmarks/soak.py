"""Whether a network that runs for long grows: memory, descriptors and disk of four tiny hospitals over many rounds.

Real processes and a local chain, `minimal` parameters, a small network on synthetic images of 32x32 pixels. After every
round each hospital's processes and files are looked at (`soaking.py` says how). Growth is the slope through the second half
of the rounds (the median of the slopes between all pairs of rounds: Theil, 1950, doi:10.1007/978-94-011-2546-8_20), times
its length, as a share of what there was in its middle.
"""

from __future__ import annotations

import sys
import tempfile
from dataclasses import asdict
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from benchmarks import harness
from benchmarks.errors import NotMeasured
from benchmarks.harness import Result, Row, Target, median
from benchmarks.soaking import HOSPITALS, soak

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.harness import Figure
    from benchmarks.soaking import Soak

ROUNDS: Final = 200
LEAST_ROUNDS: Final = 8
"""A half must hold a few."""
MOST_MEMORY_GROWTH: Final = 0.05
MOST_DESCRIPTORS: Final = 1.0
"""Growth of a hospital's open files over the second half; one may be open by chance."""
MOST_DISK_RATIO, LEAST_DISK_RATIO = 1.1, 0.9
"""Of measured to predicted bytes a round."""

GROWTH: Final = "growth over the second half of the rounds"
DISK: Final = "what a round leaves on a hospital's disk"
COURSE: Final = "course, all hospitals together"


def slope(rounds: Sequence[int], values: Sequence[float]) -> float:
    """What a round adds: the median of the slopes between all pairs.

    Args:
        rounds: Ascending, without repeats.
        values: As many.

    Raises:
        NotMeasured: Fewer than two.
    """
    if len(rounds) < 2:
        raise NotMeasured(f"{len(rounds)} rounds were looked at: a slope needs two")
    x, y = np.asarray(rounds, dtype=np.float64), np.asarray(values, dtype=np.float64)
    first, second = np.triu_indices(len(x), 1)
    return float(np.median((y[second] - y[first]) / (x[second] - x[first])))


def second_half(found: Soak, hospital: int, name: str) -> tuple[list[int], list[float]]:
    """Rounds and one figure of a hospital in the second half."""
    samples = found.of(hospital)
    samples = samples[len(samples) // 2 :]
    return [sample.round for sample in samples], [float(getattr(sample, name)) for sample in samples]


def growth(rounds: Sequence[int], values: Sequence[float]) -> float:
    """What is added over all rounds given."""
    return slope(rounds, values) * (rounds[-1] - rounds[0])


def summarise(found: Soak) -> Result:
    """Tables and targets of one run."""
    grown, left, memory, descriptors, disk = [], [], [], [], []
    for hospital in range(HOSPITALS):
        rounds, used = second_half(found, hospital, "memory_bytes")
        _, daemon = second_half(found, hospital, "daemon_bytes")
        _, opened = second_half(found, hospital, "descriptors")
        _, threads = second_half(found, hospital, "threads")
        memory.append(growth(rounds, used) / median(used))
        descriptors.append(growth(rounds, opened))
        name = f"hospital {hospital + 1}"
        figures: dict[str, Figure] = {
            "memory_bytes": median(used),
            "memory_growth": f"{memory[-1]:+.2%}",
            "daemon_bytes": median(daemon),
            "daemon_growth": f"{growth(rounds, daemon) / median(daemon):+.2%}",
            "descriptors": median(opened),
            "descriptors_growth": f"{descriptors[-1]:+.1f}",
            "threads_growth": f"{growth(rounds, threads):+.1f}",
        }
        grown.append(Row(GROWTH, name, figures))
        added = {part: slope(*second_half(found, hospital, f"{part}_bytes")) for part in ("blob", "database", "home")}
        disk.append(added["blob"] / found.predicted_blob_bytes)
        left.append(
            Row(DISK, name, {f"{part}_bytes": value for part, value in added.items()} | {"blob_ratio": disk[-1]})
        )
    left.append(Row(DISK, "predicted", {"blob_bytes": found.predicted_blob_bytes}))
    targets = (
        Target("growth of memory, worst hospital", max(memory), "", "<=", MOST_MEMORY_GROWTH),
        Target("growth of descriptors, worst hospital", max(descriptors), "", "<=", MOST_DESCRIPTORS),
        Target("blobs a round as a multiple of what was predicted", max(disk), "x", "<=", MOST_DISK_RATIO),
        Target("the same, least", min(disk), "x", ">=", LEAST_DISK_RATIO),
    )
    return Result((*grown, *left, *_course(found)), targets, _notes(found))


def _course(found: Soak) -> list[Row]:
    """Five looks on the way."""
    rounds = [sample.round for sample in found.of(0)]
    rows = []
    for place in sorted({round(share * (len(rounds) - 1)) for share in (0, 0.25, 0.5, 0.75, 1)}):
        now = [asdict(found.of(hospital)[place]) for hospital in range(HOSPITALS)]
        sums = {
            name: sum(each[name] for each in now) for name in ("memory_bytes", "descriptors", "threads", "home_bytes")
        }
        rows.append(Row(COURSE, f"after round {rounds[place]}", sums | {"chain_bytes": found.chain_bytes[place]}))
    return rows


def _notes(found: Soak) -> tuple[str, ...]:
    last, seconds = found.samples[-1].round, median(found.round_seconds)
    return (
        f"{HOSPITALS} hospitals, {last} rounds of {seconds:.2f} s (median); no old blobs are deleted",
        "chain: the local Anvil, which keeps every state; it is no part of a hospital",
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print."""
    parser = harness.parser(__doc__ or "", repeats=1)
    parser.add_argument("--rounds", type=int, default=ROUNDS, metavar="N", help=f"default {ROUNDS}")
    options = parser.parse_args(arguments)
    if options.rounds < LEAST_ROUNDS:
        parser.error(f"--rounds {options.rounds}: at least {LEAST_ROUNDS}")
    return harness.run(lambda: measure(options.rounds, options.repeats), options.json)


def measure(rounds: int, repeats: int) -> Result:
    """Run the network, as often as asked for; every run has its own lines.

    Raises:
        NotMeasured: It did not run to its end.
    """
    results = []
    for _ in range(repeats):
        with tempfile.TemporaryDirectory(prefix="medweave-soak-") as name:
            found = soak(Path(name), rounds, lambda line: print(line, file=sys.stderr, flush=True))
        results.append(summarise(found))
    return Result(*(tuple(chain.from_iterable(parts)) for parts in zip(*map(_parts, results), strict=True)))


def _parts(result: Result) -> tuple[tuple[Row, ...], tuple[Target, ...], tuple[str, ...]]:
    return result.rows, result.targets, result.notes


if __name__ == "__main__":
    sys.exit(main())
