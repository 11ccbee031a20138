"""`python -m dag.simulator`: one run, its figures as a table, its curves as a picture.

python -m dag.simulator --nodes 1000 --minutes 60 --loss 0.2 --partition 1/3:10-40 --byzantine 0.1 --seed 7
"""

from __future__ import annotations

import argparse
import gc
import json
import sys
import time
from contextlib import contextmanager
from dataclasses import asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from dag.index.engine import compile_from
from dag.simulator import plots
from dag.simulator.errors import BadScenario, PropertyBroken
from dag.simulator.scenario import BEHAVIOURS, Latency, Partition, Scenario, parse_behaviours
from dag.simulator.world import World

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

HELD, BROKEN, USAGE = 0, 1, 2
"""Exit codes: every property holds; one does not; the scenario is none."""
MANY = 100
"""Nodes from which graphs are compiled from their first transaction on, links are few and rounds long."""
PROGRESS_SECONDS = 10.0
"""Real seconds between two lines of progress, at least."""
_MEGA = 1e6
_HELP = {
    "nodes": "members, one node each (default 10)",
    "minutes": "virtual minutes in which members post (default 10)",
    "seed": "of all chance; the same seed gives the same run (default 0)",
    "peers": "links of a node; 0 links everybody (default 0, or 12 from 100 nodes on)",
    "loss": "share of messages lost, such as 0.2",
    "duplication": "share of messages that arrive twice",
    "bandwidth": "bytes a second that a node can send; 0 for no limit",
    "crashes": "share of honest nodes that crash once and come back",
    "down_seconds": "mean time a crashed node stays down",
    "skew_seconds": "how far clocks are off at most",
    "drift_ppm": "how fast or slow they run at most, parts per million",
    "byzantine": "share of nodes that misbehave, below 1/3",
    "round_seconds": "the chain opens a round so often (default 180, or 1800 from 100 nodes on)",
    "ack_seconds": "mean pause between a member's acknowledgements (default 10, or 720 from 100 nodes on)",
    "work_seconds": "pause between messages coming in and being taken in (default 0.05, or 1 from 100 nodes on)",
    "frontier_seconds": "pause between two comparisons of frontiers (default 5, or 10 from 100 nodes on)",
    "alpha": "greed of the walks",
    "observers": "honest nodes followed on the way; 0 for all (default 0, or 20 from 100 nodes on)",
    "settle_minutes": "longest time to get even after the last news (default 30, or 120 from 100 nodes on)",
}
_LARGE = {
    "peers": 12,
    "round_seconds": 1800.0,
    "ack_seconds": 720.0,
    "work_seconds": 1.0,
    "frontier_seconds": 10.0,
    "observers": 20,
    "settle_minutes": 120.0,
}


def parser() -> argparse.ArgumentParser:
    """The command's options: every setting of a scenario, and where results go."""
    found = argparse.ArgumentParser(
        prog="python -m dag.simulator",
        description="Run a network of ledgers on virtual time, say what it came to, and whether every property holds.",
        epilog="Exit code 0: every property holds. 1: one does not, and is named. 2: the scenario is none.",
    )
    for field in fields(Scenario):
        if field.name in _HELP:
            kind = int if field.type == "int" else float
            name = f"--{field.name.replace('_', '-')}"
            found.add_argument(name, type=kind, metavar="N", help=_HELP[field.name], default=argparse.SUPPRESS)
    found.add_argument(
        "--latency", metavar="SHAPE:…", help="constant:S, uniform:A,B or lognormal:MEDIAN,SIGMA[,SPREAD] in seconds"
    )
    found.add_argument(
        "--partition", action="append", metavar="SHARE:START-END", help="such as 1/3:10-40, in minutes; may be repeated"
    )
    found.add_argument("--behaviours", metavar="NAMES", help=f"of Byzantine nodes, default all: {','.join(BEHAVIOURS)}")
    found.add_argument("--quiet", action="store_true", help="do not say now and then where the run stands")
    found.add_argument("--json", type=Path, metavar="F", help="write scenario, figures and samples to this file")
    found.add_argument("--svg", type=Path, metavar="F", help="draw the curves into this file")
    return found


def scenario_of(options: argparse.Namespace) -> Scenario:
    """The scenario that the options ask for.

    Raises:
        BadScenario: names the option.
    """
    given: dict[str, Any] = {name: value for name, value in vars(options).items() if name in _HELP}
    if given.get("nodes", 0) >= MANY:
        given = _LARGE | given
    if options.latency:
        given["latency"] = Latency.parse(options.latency)
    if options.partition:
        given["partitions"] = tuple(Partition.parse(text) for text in options.partition)
    if options.behaviours:
        given["behaviours"] = parse_behaviours(options.behaviours)
    return Scenario(**given)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one scenario; returns the exit code."""
    options = parser().parse_args(arguments)
    try:
        scenario = scenario_of(options)
    except BadScenario as error:
        Console(stderr=True, soft_wrap=True, highlight=False).print(f"error: {error}", markup=False)
        return USAGE
    begin = time.perf_counter()
    world = World(scenario, watch=_progress(options, begin))
    broken: str | None = None
    try:
        with _for_many(scenario.nodes):
            world.run()
    except PropertyBroken as error:
        broken = f"{type(error).__name__}: {error}"
    _show(world, broken, time.perf_counter() - begin)
    _write(world, broken, options)
    return HELD if broken is None else BROKEN


def _progress(options: argparse.Namespace, begin: float) -> Callable[[World], None] | None:
    """What says now and then where the run stands: hours of a thousand nodes would pass in silence."""
    if options.quiet:
        return None
    errors = Console(stderr=True, soft_wrap=True, highlight=False)
    told = begin

    def tell(world: World) -> None:
        nonlocal told
        now = time.perf_counter()
        if now - told < PROGRESS_SECONDS:
            return
        told = now
        errors.print(
            f"{now - begin:,.0f} s: virtual minute {world.agenda.now / 60:,.0f}"
            f"{', settling' if world.is_over else f' of {world.scenario.minutes:g}'}, "
            f"{world.agenda.events:,} events, {len(world.deeds.honest):,} honest transactions, "
            f"{world.behind():,} of {len(world.honest):,} honest nodes not up to date"
        )

    return tell


@contextmanager
def _for_many(nodes: int) -> Iterator[None]:
    """What pays only in a large network: compiled graphs, and no search for cycles among millions of lasting objects.

    That search took half of the time of a thousand nodes and found next to nothing.
    """
    if nodes < MANY:
        yield
        return
    compile_from(0)
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()  # or the first search afterwards goes through all of it, minutes before anything is printed
        gc.enable()


def _show(world: World, broken: str | None, seconds: float) -> None:
    figures = world.metrics.figures
    table = Table(title=_title(world.scenario), title_justify="left", box=None, pad_edge=False, show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(justify="right", no_wrap=True)
    for name, value in {} if figures is None else asdict(figures).items():
        table.add_row(name.replace("_", " "), _text(name, value))
    for name, count in world.metrics.faults.items():
        table.add_row(f"  blamed for {name}", f"{count:,}")
    table.add_row("trace", world.agenda.trace[:16])
    table.add_row("real time", f"{seconds:,.1f} s")
    table.add_row("properties", "all hold" if broken is None else f"BROKEN: {broken}")
    Console(soft_wrap=True, highlight=False).print(table)


def _text(name: str, value: float | None) -> str:
    if value is None:
        return "-"
    if name.endswith("seconds"):
        return f"{value:,.1f} s"
    if name.endswith("ratio"):
        return f"{100 * value:.2f} %"
    if name.startswith("bytes") or name.endswith("bytes"):
        return f"{value / _MEGA:,.2f} MB"
    return f"{value:,}" if isinstance(value, int) else f"{value:,.2f}"


def _title(scenario: Scenario) -> str:
    cuts = ", ".join(f"{cut.share} parted minutes {cut.start:g}-{cut.end:g}" for cut in scenario.partitions)
    return (
        f"{scenario.nodes} nodes, {scenario.minutes:g} minutes, {scenario.loss:.0%} loss, {cuts or 'never parted'}, "
        f"{scenario.byzantine_nodes} Byzantine, seed {scenario.seed}"
    )


def _write(world: World, broken: str | None, options: argparse.Namespace) -> None:
    scenario = world.scenario
    if options.json is not None:
        shown = asdict(scenario) | {"partitions": [f"{c.share}:{c.start:g}-{c.end:g}" for c in scenario.partitions]}
        found = {"scenario": shown, "trace": world.agenda.trace, "broken": broken, **world.metrics.to_json()}
        options.json.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    if options.svg is not None:
        options.svg.write_text(plots.draw(scenario, world.metrics.samples, _title(scenario)), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
