"""Whether rounds survive what goes wrong: runs of four hospital processes and a chain, one random fault in each.

    python -m benchmarks.faults [--runs 50] [--first 0] [--rounds 5] [--standard] [--keep DIR] [--json F]

Run K is `medweave demo --fault random:K`: a node killed, stopped, restarted, its disk full, its links cut or slow, its clock
wrong, or the chain killed, in a phase and at an instant that follow from K. The oracle of `node.demo.faults.oracle` says what
must hold afterwards. A run that fails keeps its directory and is named with the command that plays it again.

    noticed    from the fault to when another hospital said that the victim is silent
    recovery   from the fault, its length included, to when all hospitals hold the next model
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from rich.console import Console

from benchmarks import harness
from benchmarks.errors import NotMeasured
from benchmarks.harness import Result, Row, Target, median
from node.config import TESTING_VARIABLE
from node.demo.faults.spec import DETECTABLE_SECONDS, draw_fault

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from node.demo.faults.spec import Fault

HOSPITALS: Final = 4
ROUND_SECONDS: Final = 60
LIMIT_SECONDS: Final = 420
DEMO: Final = (
    *("--hospitals", str(HOSPITALS), "--architecture", "cnn", "--image-size", "32", "--samples", "96"),
    *("--epochs", "2", "--no-baseline", "--round-seconds", str(ROUND_SECONDS)),
)
"""A tiny model, so that a run takes under a minute: what is measured is the protocol."""


@dataclass(frozen=True, slots=True)
class Run:
    """One run and what was held against it."""

    seed: int
    fault: Fault
    seconds: float
    wrong: tuple[str, ...]
    happened: dict[str, Any]
    """The fault as the demo's report tells it; empty where there is no report."""
    aborted: int = 0
    """Rounds that carried their base over."""


def command(seed: int, rounds: int, out: Path, *, standard: bool) -> list[str]:
    """The command line that plays a run, and plays it again."""
    parameters = "standard" if standard else "minimal"
    asked = [*DEMO, "--rounds", str(rounds), "--parameters", parameters, "--fault", f"random:{seed}"]
    return [sys.executable, "-m", "node.cli.main", "demo", *asked, "--out", str(out), "--json", f"{out}.json"]


def play(seed: int, rounds: int, out: Path, *, standard: bool) -> Run:
    """Play one run; its directory is deleted if everything held.

    Raises:
        NotMeasured: The demo could not start: bad options, or something this machine lacks.
    """
    fault = draw_fault(seed, HOSPITALS, rounds)
    environment = os.environ | ({} if standard else {TESTING_VARIABLE: "1"})
    began = time.monotonic()
    with subprocess.Popen(
        command(seed, rounds, out, standard=standard),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment,
    ) as demo:
        try:
            said, late = demo.communicate(timeout=LIMIT_SECONDS)[0], False
        except subprocess.TimeoutExpired:
            demo.terminate()
            said, late = demo.communicate()[0], True
    seconds = time.monotonic() - began
    if demo.returncode in {2, 3, 4}:
        raise NotMeasured(f"run {seed}: medweave demo ended with {demo.returncode}: {_last(said)}")
    report = _report(Path(f"{out}.json"))
    if report is None or not report.get("fault"):
        reason = f"not over within {LIMIT_SECONDS} s" if late else f"ended with {demo.returncode}"
        return Run(seed, fault, seconds, (f"{reason}: {_last(said)}",), {})
    wrong = tuple(report["fault"]["wrong"])
    if not wrong:
        shutil.rmtree(out, ignore_errors=True)
    aborted = sum(row["status"] == "aborted" for row in report["rounds"])
    return Run(seed, fault, seconds, wrong, report["fault"], aborted)


def _last(said: str) -> str:
    return (said.strip() or "it said nothing").splitlines()[-1][-300:]


def _report(file: Path) -> dict[str, Any] | None:
    """A demo's report; None where it wrote none."""
    try:
        found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found


def summarise(runs: Sequence[Run], notes: Sequence[str] = ()) -> Result:
    """A line a run, and how many held."""
    rows = [_row(run) for run in runs]
    known = [run.happened["recovered"] for run in runs if run.happened.get("recovered") is not None]
    noticed = [run.happened["noticed"] for run in runs if run.fault.must_be_noticed and run.happened.get("noticed")]
    if known:
        figures = {"median_seconds": median(known), "longest_seconds": max(known)}
        rows.append(Row("over all runs", "recovery", figures))
    if noticed:
        rows.append(
            Row("over all runs", "noticed", {"median_seconds": median(noticed), "longest_seconds": max(noticed)})
        )
    held = sum(not run.wrong for run in runs)
    targets = [Target("runs in which everything held", held, "", "==", len(runs))]
    if noticed:
        targets.append(Target("longest until a dead member was noticed", max(noticed), "s", "<=", DETECTABLE_SECONDS))
    return Result(tuple(rows), tuple(targets), tuple(notes))


def _row(run: Run) -> Row:
    done = run.happened
    return Row(
        "runs",
        f"random:{run.seed}",
        {
            "fault": f"{run.fault.kind} {run.fault.amount:g}",
            "phase": f"{done.get('round', '?')}.{done.get('phase', run.fault.moment)}",
            "victim": done.get("victim") or run.fault.victim,
            "noticed_seconds": done.get("noticed"),
            "recovery_seconds": done.get("recovered"),
            "aborted": run.aborted,
            "run_seconds": run.seconds,
            "verdict": "held" if not run.wrong else "; ".join(run.wrong)[:120],
        },
    )


def measure(options: argparse.Namespace) -> Result:
    """Play all runs, one after the other.

    Raises:
        NotMeasured: A demo could not start.
    """
    console = Console(stderr=True)
    keep = options.keep or Path(tempfile.mkdtemp(prefix="medweave-faults-"))
    keep.mkdir(parents=True, exist_ok=True)
    runs = []
    for seed in range(options.first, options.first + options.runs):
        out = keep / f"run-{seed}"
        run = play(seed, options.rounds, out, standard=options.standard)
        runs.append(run)
        verdict = "held" if not run.wrong else f"{'; '.join(run.wrong)}\n  kept: {out}"
        console.print(f"{seed}: {run.fault} ({run.seconds:.0f} s): {verdict}", highlight=False, soft_wrap=True)
        if run.wrong:
            again = " ".join(
                command(seed, options.rounds, Path("runs") / f"again-{seed}", standard=options.standard)[3:]
            )
            testing = "" if options.standard else f"{TESTING_VARIABLE}=1 "
            console.print(f"  again: {testing}medweave {again}", highlight=False, soft_wrap=True)
    parameters = "standard" if options.standard else "minimal"
    note = (
        f"{HOSPITALS} hospitals as processes, {options.rounds} rounds of at most {ROUND_SECONDS} s, one fault a run, "
        f"{parameters} encryption parameters, a tiny network on SYNTHETIC images"
    )
    return summarise(runs, (note,))


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print."""
    parser = harness.parser(__doc__ or "")
    parser.add_argument("--runs", type=int, default=50, help="how many (default 50)")
    parser.add_argument("--first", type=int, default=0, help="seed of the first (default 0)")
    parser.add_argument("--rounds", type=int, default=5, help="rounds of each (default 5)")
    parser.add_argument("--standard", action="store_true", help="encrypt with the standard parameters")
    parser.add_argument(
        "--keep", type=Path, metavar="DIR", help="where runs are played; default: a temporary directory"
    )
    options = parser.parse_args(arguments)
    return harness.run(lambda: measure(options), options.json)


if __name__ == "__main__":
    sys.exit(main())
