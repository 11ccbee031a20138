"""Runs with a fault: how one is played, and the file that keeps what came of each, a line a run, as it ends."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from benchmarks.errors import NotMeasured
from node.config import TESTING_VARIABLE
from node.demo.faults.spec import draw_fault

if TYPE_CHECKING:
    from node.demo.faults.spec import Fault

HOSPITALS: Final = 4
ROUND_SECONDS: Final = 60
LIMIT_SECONDS: Final = 420
DEMO: Final = (
    *("--hospitals", str(HOSPITALS), "--architecture", "cnn", "--image-size", "32", "--samples", "96"),
    *("--epochs", "2", "--no-baseline", "--round-seconds", str(ROUND_SECONDS)),
)
"""A tiny model, so that a run takes under a minute: what is measured is the protocol."""
REPOSITORY: Final = Path(__file__).resolve().parents[1]


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


class RunBook:
    """The file of the runs of one kind: those that ended are not played again after an interruption.

    A run is written down, and on the disk, before the next begins. A line that was torn, or tells of another draw of a
    seed, counts for nothing.

    Args:
        file: Where.
        rounds: Of each run.
        standard: Whether with the standard encryption parameters.
    """

    def __init__(self, file: Path, rounds: int, *, standard: bool) -> None:
        self._file, self._rounds, self._standard = file, rounds, standard

    def add(self, run: Run) -> None:
        """Write a run down for good."""
        row = {
            "seed": run.seed,
            "fault": str(run.fault),
            "rounds": self._rounds,
            "standard": self._standard,
            "commit": _commit(),
            "ended": round(time.time()),
            "seconds": round(run.seconds, 1),
            "wrong": list(run.wrong),
            "happened": run.happened,
            "aborted": run.aborted,
        }
        with self._file.open("a+b") as file:
            torn = file.tell() and not self._file.read_bytes().endswith(b"\n")
            file.write((b"\n" if torn else b"") + json.dumps(row).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())

    def runs(self) -> list[Run]:
        """All that were written down, oldest first; a seed may be there more than once."""
        try:
            lines = self._file.read_text(encoding="utf-8", errors="replace").splitlines()
        except FileNotFoundError:
            return []
        return [run for line in lines if (run := self._read(line)) is not None]

    def _read(self, line: str) -> Run | None:
        try:
            row = json.loads(line)
            fault = draw_fault(int(row["seed"]), HOSPITALS, self._rounds)
            if (row["rounds"], row["standard"], row["fault"]) != (self._rounds, self._standard, str(fault)):
                return None
            wrong = tuple(map(str, row["wrong"]))
            return Run(int(row["seed"]), fault, float(row["seconds"]), wrong, dict(row["happened"]), row["aborted"])
        except (ValueError, KeyError, TypeError):
            return None


def _commit() -> str:
    """The commit that is checked out, with `+` where files differ from it; empty where there is no git."""
    command = ["git", "describe", "--always", "--dirty=+", "--abbrev=10", "--exclude=*"]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else ""


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
    if not wrong and demo.returncode:
        wrong = (f"ended with {demo.returncode}: {_last(said)}",)
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
