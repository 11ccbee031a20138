"""Whether rounds survive what goes wrong: runs of four hospital processes and a chain, one random fault in each.

    python -m benchmarks.faults [--runs 50] [--first 0] [--rounds 5] [--standard] [--keep DIR] [--json F]

Run K is `medweave demo --fault random:K`: a node killed, stopped, restarted, its disk full, its links cut or slow, its clock
wrong, or the chain or the hospitals' IPFS node ended or stopped, in a phase and at an instant that follow from K. The oracle of
`node.demo.faults.oracle` says what must hold afterwards. A run that fails keeps its directory and is named with the command
that plays it again.

What came of a run is in DIR/runs.jsonl before the next begins: asked again with the same DIR, only what is not there or failed
is played, and the tables have what every seed came to last.

    noticed    from the fault to when another hospital said that the victim is silent
    recovery   from the fault, its length included, to when all hospitals hold the next model
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

from rich.console import Console

from benchmarks import harness
from benchmarks.faulting import HOSPITALS, ROUND_SECONDS, Run, RunBook, command, play
from benchmarks.harness import Result, Row, Target, median
from node.config import TESTING_VARIABLE
from node.demo.faults.spec import DETECTABLE_SECONDS

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

BOOK: Final = "runs.jsonl"


def summarise(runs: Sequence[Run], notes: Sequence[str] = ()) -> Result:
    """A line a run, a line a kind of fault, and how many held."""
    rows = [_row(run) for run in runs]
    rows += [_kind_row(kind, [run for run in runs if _kind(run) == kind]) for kind in sorted({_kind(r) for r in runs})]
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


def _kind(run: Run) -> str:
    """What was done, with to whom where that is no hospital."""
    victim = run.fault.victim
    return run.fault.kind if victim.startswith("member-") or victim in {"leader", "opener"} else f"{victim} ended"


def _kind_row(kind: str, runs: Sequence[Run]) -> Row:
    known = [run.happened["recovered"] for run in runs if run.happened.get("recovered") is not None]
    return Row(
        "by kind",
        kind,
        {
            "runs": len(runs),
            "held": sum(not run.wrong for run in runs),
            "recovery_median_seconds": median(known) if known else None,
            "recovery_longest_seconds": max(known, default=None),
            "aborted": sum(run.aborted for run in runs),
        },
    )


def _row(run: Run) -> Row:
    done = run.happened
    return Row(
        "runs",
        f"random:{run.seed}",
        {
            "fault": f"{run.fault.kind} {run.fault.amount:g}",
            "phase": f"{done.get('round', '?')}.{done.get('phase', run.fault.moment)}",
            "victim": _victim(run),
            "noticed_seconds": done.get("noticed"),
            "recovery_seconds": done.get("recovered"),
            "aborted": run.aborted,
            "run_seconds": run.seconds,
            "verdict": "held" if not run.wrong else "; ".join(run.wrong)[:120],
        },
    )


def _victim(run: Run) -> str:
    """Who it was, and by which role it was chosen."""
    named = run.happened.get("victim") or run.fault.victim
    return f"{named} ({run.fault.victim})" if run.fault.victim in {"leader", "opener"} else named


def measure(options: argparse.Namespace) -> Result:
    """Play what is not written down as held, one run after the other.

    Raises:
        NotMeasured: A demo could not start.
    """
    console = Console(stderr=True)
    keep = options.keep or Path(tempfile.mkdtemp(prefix="medweave-faults-"))
    keep.mkdir(parents=True, exist_ok=True)
    book = RunBook(keep / BOOK, options.rounds, standard=options.standard)
    seeds = range(options.first, options.first + options.runs)
    held = {run.seed for run in book.runs() if not run.wrong}
    for seed in seeds:
        if seed in held:
            continue
        out = keep / f"run-{seed}"
        shutil.rmtree(out, ignore_errors=True)  # of a try that failed or was interrupted
        run = play(seed, options.rounds, out, standard=options.standard)
        book.add(run)
        verdict = "held" if not run.wrong else f"{'; '.join(run.wrong)}\n  kept: {out}"
        done = f"{seed - options.first + 1}/{options.runs}"
        console.print(f"{done} {run.fault} ({run.seconds:.0f} s): {verdict}", highlight=False, soft_wrap=True)
        if run.wrong:
            _say_again(console, seed, options)
    last = {run.seed: run for run in book.runs()}
    again = sum(bool(run.wrong) and not last[run.seed].wrong for run in book.runs() if run.seed in seeds)
    return summarise([last[seed] for seed in seeds], _notes(options, again))


def _say_again(console: Console, seed: int, options: argparse.Namespace) -> None:
    again = " ".join(command(seed, options.rounds, Path("runs") / f"again-{seed}", standard=options.standard)[3:])
    testing = "" if options.standard else f"{TESTING_VARIABLE}=1 "
    console.print(f"  again: {testing}medweave {again}", highlight=False, soft_wrap=True)


def _notes(options: argparse.Namespace, again: int) -> tuple[str, ...]:
    parameters = "standard" if options.standard else "minimal"
    note = (
        f"{HOSPITALS} hospitals as processes, {options.rounds} rounds of at most {ROUND_SECONDS} s, one fault a run, "
        f"{parameters} encryption parameters, a tiny network on SYNTHETIC images"
    )
    failed = f"{again} runs had failed before and were played again: {BOOK} has both"
    return (note, failed) if again else (note,)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print."""
    parser = harness.parser(__doc__ or "")
    parser.add_argument("--runs", type=int, default=50, help="how many (default 50)")
    parser.add_argument("--first", type=int, default=0, help="seed of the first (default 0)")
    parser.add_argument("--rounds", type=int, default=5, help="rounds of each (default 5)")
    parser.add_argument("--standard", action="store_true", help="encrypt with the standard parameters")
    parser.add_argument(
        "--keep",
        type=Path,
        metavar="DIR",
        help="where runs are played and written down; what held there is not played again; default: a temporary directory",
    )
    options = parser.parse_args(arguments)
    return harness.run(lambda: measure(options), options.json)


if __name__ == "__main__":
    sys.exit(main())
