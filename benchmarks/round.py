"""What a round costs beyond training: chain, ledger and threshold encryption together, against averaging in the clear.

Four hospitals as processes, three rounds, a network of 529,347 parameters on synthetic images of 64x64 pixels, tiny
training. Every repeat runs `medweave demo` and then `benchmarks.plain` on the same images, plan and seed; with `--peers` also
Flower's deployment engine and NVFlare's provisioned job under homomorphic encryption (`benchmarks.peers`).

    overhead   a round after the first, from the end of the round before it, less the slowest member's training
    upload     one hospital's sealed update, manifest included
    peak       largest proportional set size (PSS) over all processes, sampled once a second
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import tomli_w
from rich.console import Console

from benchmarks import harness, plain, sealed
from benchmarks.errors import NotMeasured
from benchmarks.harness import Result, Row, Target, median, spread
from benchmarks.peers import flower, nvflare
from benchmarks.severity import severities
from node.demo.data import prepare, write
from node.demo.network import plan_for
from node.demo.options import DemoOptions
from node.images.dataset import save
from node.learning.parameters import layout_of, size_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from benchmarks.plain import PlainRun
    from benchmarks.sealed import SealedRun
    from node.rounds.plan import Plan

HOSPITALS: Final = 4
ROUNDS: Final = 3
ARCHITECTURE: Final = "cnn-529k"
PIXELS: Final = 64
IMAGES_A_SCANNER: Final = 40
"""So that a hospital trains on some 25 images: two steps."""
PLAIN_SECONDS: Final = 300
FLOAT_BYTES: Final = 4

MOST_OVERHEAD_SECONDS: Final = 4.0
MOST_UPLOAD_MB: Final = 7.0
MOST_PEAK_GB: Final = 2.5

LATER: Final = "a round after the first"
PEERS: Final[Mapping[str, Callable[[Path, Path, int, int], PlainRun]]] = {
    "Flower 1.41, in the clear": flower.run,
    "NVFlare 2.9, CKKS": nvflare.run,
}

PHASE_NAMES: Final = {
    "begin": "open the round",
    "plan": "read the plan",
    "train": "load the base, seal the update",
    "post": "post the update",
    "confirm": "confirm by a quorum",
    "propose": "add, propose, recompute the sums",
    "open": "open the sums",
    "score": "verdicts of a quorum",
    "sign": "statement and signatures",
    "finalise": "finalise on chain",
    "adopt": "adopt the model",
}
STEP_NAMES: Final = {
    "aggregate": "the leader adds the sums",
    "verify": "a member recomputes them",
    "share": "partial openings",
    "open": "fetch and combine the openings",
    "score": "score the sums",
    "report": "measure on the test images",
}


@dataclass(frozen=True, slots=True)
class Task:
    """What both sides do, laid out in one temporary directory."""

    directory: Path
    data: Path
    """The npz that `medweave demo` is given."""
    plan: Plan
    parameters: int
    train: tuple[int, ...]
    """Images each hospital trains on."""

    @property
    def demo_arguments(self) -> list[str]:
        """The command line of `medweave demo`."""
        return [
            *("--hospitals", str(HOSPITALS), "--rounds", str(ROUNDS), "--architecture", ARCHITECTURE),
            *("--data", str(self.data), "--image-size", str(PIXELS), "--partition", "iid", "--epochs", "1"),
            "--no-baseline",
        ]


def lay_out(directory: Path) -> Task:
    """Draw the images, share them out as the demo does, write what the baseline reads."""
    data = directory / "synthetic.npz"
    save(severities(HOSPITALS, IMAGES_A_SCANNER, PIXELS, seed=0), data)
    options = DemoOptions(
        out=directory / "unused",
        hospitals=HOSPITALS,
        rounds=ROUNDS,
        data=data,
        partition="iid",
        epochs=1,
        architecture=ARCHITECTURE,
        image_size=PIXELS,
    )
    shares = prepare(options)
    plan = plan_for(options, shares)
    there = directory / "plain"
    train = tuple(write(shares, index, there / f"hospital-{index}", options.seed) for index in range(HOSPITALS))
    (there / "plan.toml").write_text(tomli_w.dumps(plan.model_dump(mode="json")), encoding="utf-8")
    return Task(directory, data, plan, size_of(layout_of(ARCHITECTURE, len(plan.classes))), train)


def run_plain(directory: Path) -> PlainRun:
    """Average in the clear, in processes of its own.

    Raises:
        NotMeasured: It failed.
    """
    command = [sys.executable, "-m", "benchmarks.plain", str(directory)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=PLAIN_SECONDS)
    except subprocess.TimeoutExpired:
        raise NotMeasured(f"averaging in the clear did not end within {PLAIN_SECONDS} s") from None
    except subprocess.CalledProcessError as error:
        words = (error.stderr.strip() or "it said nothing").splitlines()[-1]
        raise NotMeasured(f"averaging in the clear ended with {error.returncode}: {words}") from None
    return plain.from_json(done.stdout)


def measure(repeats: int, *, peers: bool = False) -> Result:
    """Run all sides in turn.

    Args:
        repeats: How often each.
        peers: Whether other systems run too; the first time, they are installed.

    Raises:
        NotMeasured: One of them did not run to its end.
    """
    console = Console(stderr=True)
    networks, averagings = [], []
    others: dict[str, list[PlainRun]] = {name: [] for name in PEERS} if peers else {}
    with tempfile.TemporaryDirectory(prefix="medweave-benchmark-") as name:
        task = lay_out(Path(name))
        for number in range(1, repeats + 1):
            with console.status(f"repeat {number} of {repeats}: medweave demo"):
                networks.append(sealed.run(task.demo_arguments, task.directory / f"run-{number}", ROUNDS))
            with console.status(f"repeat {number} of {repeats}: averaging in the clear"):
                averagings.append(run_plain(task.directory / "plain"))
            for place, (peer, runs) in enumerate(others.items()):
                with console.status(f"repeat {number} of {repeats}: {peer}"):
                    out = task.directory / f"peer-{place}-{number}"
                    runs.append(PEERS[peer](task.directory / "plain", out, HOSPITALS, ROUNDS))
    return summarise(task, networks, averagings, others)


def summarise(
    task: Task,
    networks: Sequence[SealedRun],
    averagings: Sequence[PlainRun],
    others: Mapping[str, Sequence[PlainRun]] | None = None,
) -> Result:
    """Tables and targets from the repeats; rounds after the first only."""
    later = [row for run in networks for row in run.rounds[1:]]
    clear = [row for run in averagings for row in run.rounds[1:]]
    overhead = [row.overhead_seconds for row in later]
    clear_overhead = [row.wall_seconds - row.training_seconds for row in clear]
    upload, clear_upload = max(row.upload_bytes for row in later), max(row.upload_bytes for row in clear)
    peak, clear_peak = max(run.peak_bytes for run in networks), max(run.peak_bytes for run in averagings)
    rows = [
        Row(
            LATER,
            "medweave",
            spread("overhead", overhead)
            | {
                "training_seconds": median(row.training_seconds for row in later),
                "upload_bytes": upload,
                "peak_bytes": peak,
                "test_accuracy": median(run.test_accuracy for run in networks),
            },
        ),
        _clear(LATER, "averaging in the clear", averagings),
        *(_clear(LATER, name, runs) for name, runs in (others or {}).items()),
        Row(
            "medweave as a multiple of averaging in the clear",
            "medians",
            {
                "overhead_ratio": median(overhead) / median(clear_overhead),
                "upload_ratio": upload / clear_upload,
                "peak_ratio": peak / clear_peak,
            },
        ),
        *(_multiple(name, runs, median(overhead), upload, peak) for name, runs in (others or {}).items()),
        *_phases(later),
        *_steps(later),
        Row(
            "once a run",
            "medweave",
            {
                "key_ceremony_seconds": median(run.ceremony_seconds for run in networks),
                "whole_demo_seconds": median(run.total_seconds for run in networks),
                "share_bytes": max(row.share_bytes for row in later),
                "gas_a_round": round(median(row.gas for row in later)),
            },
        ),
    ]
    targets = (
        Target("overhead of a round", median(overhead), "s", "<=", MOST_OVERHEAD_SECONDS),
        Target("one upload", upload / 1e6, "MB", "<=", MOST_UPLOAD_MB),
        Target("peak memory of all processes", peak / 1e9, "GB", "<=", MOST_PEAK_GB),
        Target("runs whose audit verified", sum(run.verified for run in networks), "", "==", len(networks)),
    )
    return Result(tuple(rows), targets, _notes(task, len(networks)))


def _clear(table: str, name: str, runs: Sequence[PlainRun]) -> Row:
    """What the baseline or a peer came to."""
    later = [row for run in runs for row in run.rounds[1:]]
    figures = {
        "training_seconds": median(row.training_seconds for row in later),
        "upload_bytes": max(row.upload_bytes for row in later),
        "peak_bytes": max(run.peak_bytes for run in runs),
        "test_accuracy": median(run.test_accuracy for run in runs),
    }
    return Row(table, name, spread("overhead", [row.wall_seconds - row.training_seconds for row in later]) | figures)


def _multiple(name: str, runs: Sequence[PlainRun], overhead: float, upload: int, peak: int) -> Row:
    """A peer's figures divided by ours: above 1, ours is the smaller."""
    theirs = _clear("", name, runs).figures
    ratios = {"overhead": (overhead, "seconds"), "upload": (upload, "bytes"), "peak": (peak, "bytes")}
    found = {f"{what}_ratio": float(theirs[f"{what}_{unit}"] or 0) / ours for what, (ours, unit) in ratios.items()}
    return Row("peers as a multiple of medweave", name, found)


def _phases(later: Sequence[sealed.SealedRound]) -> list[Row]:
    """Where the overhead goes; medians of phases add up to about the median of their sums."""
    whole = median(row.overhead_seconds for row in later)
    rows = []
    for phase, label in PHASE_NAMES.items():
        seconds = spread("phase", (row.phases[phase] for row in later))
        share = f"{median(row.phases[phase] for row in later) / whole:.0%}"
        rows.append(Row("overhead by phase (slowest hospital)", label, seconds | {"share": share}))
    return rows


def _steps(later: Sequence[sealed.SealedRound]) -> list[Row]:
    return [
        Row("steps inside the phases (slowest hospital)", label, spread("step", (row.steps[step] for row in later)))
        for step, label in STEP_NAMES.items()
    ]


def _notes(task: Task, repeats: int) -> tuple[str, ...]:
    size = task.parameters * FLOAT_BYTES / harness.MEGA
    images = ", ".join(map(str, task.train))
    return (
        f"{HOSPITALS} hospitals, {ROUNDS} rounds, {task.parameters:,} parameters ({size:.2f} MB as float32)",
        f"SYNTHETIC images of {PIXELS}x{PIXELS} pixels, {images} at the hospitals, one epoch a round",
        f"medians over {len(range(1, ROUNDS)) * repeats} rounds of {repeats} runs; upload and peak are the largest",
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print."""
    parser = harness.parser(__doc__ or "")
    parser.add_argument("--peers", action="store_true", help="also Flower and NVFlare, installed below .cache/peers")
    options = parser.parse_args(arguments)
    return harness.run(lambda: measure(options.repeats, peers=options.peers), options.json)


if __name__ == "__main__":
    sys.exit(main())
