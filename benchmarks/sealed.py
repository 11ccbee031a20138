"""One run of `medweave demo`, and where its rounds' time went.

The demo's report gives seconds a phase; when rounds began and ended is read from the hospitals' journals, so that time
*between* rounds counts as well: a round lasts from the end of the one before.
"""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from benchmarks.errors import NotMeasured
from node.home import Home
from node.rounds.journal import Journal
from node.rounds.phases import PHASES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

LIMIT_SECONDS = 300
STEPS = ("aggregate", "verify", "share", "open", "score", "report")
"""What hospitals time inside phases: add the sums, recompute them, make partial openings, combine them, score, report."""


@dataclass(frozen=True, slots=True)
class SealedRound:
    """One round of the whole network."""

    period_seconds: float
    """From the end of the round before (the first: from its own beginning) to when the slowest hospital had the model."""
    training_seconds: float
    """Of the slowest hospital."""
    phases: Mapping[str, float]
    """Seconds beyond training by phase, `begin` first, slowest hospital to slowest hospital; they add up to the overhead."""
    steps: Mapping[str, float]
    """Seconds of each of `STEPS` at the hospital it took longest."""
    upload_bytes: int
    """Largest sealed update."""
    share_bytes: int
    """Largest partial openings."""
    gas: int

    @property
    def overhead_seconds(self) -> float:
        """The round beyond the slowest member's training."""
        return self.period_seconds - self.training_seconds


@dataclass(frozen=True, slots=True)
class SealedRun:
    """A whole run."""

    rounds: tuple[SealedRound, ...]
    peak_bytes: int
    """Proportional set size over the demo, its daemons and the chain."""
    ceremony_seconds: float
    total_seconds: float
    test_accuracy: float
    verified: bool
    """Whether the audit verified the last model."""


def run(arguments: Sequence[str], out: Path, rounds: int) -> SealedRun:
    """Run `medweave demo` once and read what it left behind.

    Args:
        arguments: Its options, without `--out` and `--json`.
        out: Run directory, not there yet.
        rounds: Rounds it is told to finalise.

    Raises:
        NotMeasured: It ended without a report, or not every round was finalised.
    """
    file = out.with_suffix(".json")
    command = [sys.executable, "-m", "node.cli.main", "demo", *arguments, "--out", str(out), "--json", str(file)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=LIMIT_SECONDS)
    except subprocess.TimeoutExpired:
        raise NotMeasured(f"medweave demo did not end within {LIMIT_SECONDS} s") from None
    if not file.is_file():
        words = (done.stderr.strip() or done.stdout.strip() or "it said nothing").splitlines()[-1]
        raise NotMeasured(f"medweave demo ended with {done.returncode} and no report: {words}")
    report: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return read(report, _facts(out, rounds), rounds)


def _facts(out: Path, rounds: int) -> list[list[Mapping[str, Any]]]:
    """By round, what each hospital's journal remembers."""
    homes = [Home(path) for path in sorted((out / "hospitals").iterdir())]
    by_hospital = []
    for home in homes:
        with closing(Journal(home.journal)) as journal:
            by_hospital.append([journal.facts(number) for number in range(1, rounds + 1)])
    return [list(each) for each in zip(*by_hospital, strict=True)]


def read(report: Mapping[str, Any], facts: Sequence[Sequence[Mapping[str, Any]]], rounds: int) -> SealedRun:
    """A run from its report and its hospitals' journals.

    Args:
        report: What `medweave demo --json` wrote.
        facts: By round, by hospital, what the journal remembers.
        rounds: Rounds that must have been finalised.

    Raises:
        NotMeasured: Not all of them were, or marks are missing.
    """
    rows = [row for row in report["rounds"] if row["status"] == "finalised"]
    if [row["round"] for row in rows] != list(range(1, rounds + 1)):
        raise NotMeasured(f"medweave demo finalised rounds {[row['round'] for row in rows]}, expected 1 to {rounds}")
    found, before = [], None
    for row, here in zip(rows, facts, strict=True):
        measured, before = _round(row, here, before)
        found.append(measured)
    return SealedRun(
        rounds=tuple(found),
        peak_bytes=report["peak_bytes"],
        ceremony_seconds=report["ceremony_seconds"],
        total_seconds=report["total_seconds"],
        test_accuracy=report["final"]["federated"]["accuracy"],
        verified=report["audit"].get("verdict") == "verified",
    )


def _round(
    row: Mapping[str, Any], here: Sequence[Mapping[str, Any]], before: float | None
) -> tuple[SealedRound, float]:
    """A round, and when it ended; `before` is when the one before did."""
    marks = [facts["marks"] for facts in here]
    start = min(mark["begin"] for mark in marks) if before is None else before
    training = max(facts["training"]["seconds"] for facts in here)
    at = max(start, min(mark["begin"] for mark in marks))
    phases = {"begin": at - start}
    for name, _ in PHASES:
        # A phase may end at one hospital before the one ahead of it ends at another: then it took no time of its own.
        ended = max((mark[name] for mark in marks if name in mark), default=at)
        phases[name], at = max(0.0, ended - at), max(at, ended)
    phases["train"] -= training
    steps = {name: max((facts.get(f"{name}_seconds", 0.0) for facts in here), default=0.0) for name in STEPS}
    return (
        SealedRound(
            period_seconds=at - start,
            training_seconds=training,
            phases=phases,
            steps=steps,
            upload_bytes=max(row["upload_bytes"]),
            share_bytes=max(row["share_bytes"]),
            gas=row["gas"],
        ),
        at,
    )
