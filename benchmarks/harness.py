"""The convention of all benchmarks: rows of figures, targets they are held against, one JSON form, one exit code.

A benchmark is a module with a `main`, started by `python -m benchmarks.NAME [--json F] [--repeats N]`. It prints tables
for people and, with `--json F`, writes

    {"environment": {…}, "rows": [{"table", "name", …figures}], "targets": [{"name", "value", "unit", "op", "target", "holds"}]}

It ends with 0 whenever it measured, whatever holds, and with 2 where it could not measure: a machine that is slow today
must not look like a program that is broken. Baselines run in the same run, in turn with what they are compared with, and
what is reported is the median of several repeats.

The unit of a figure is the end of its name: `_seconds`, `_bytes`, `_ratio`; anything else is a plain number.
"""

from __future__ import annotations

import argparse
import json
import math
import operator
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import psutil
from rich.console import Console
from rich.table import Table

from benchmarks.errors import NotMeasured
from node.demo import report

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

Figure = float | int | str | None
"""What a cell may hold; None is a dash."""

Op = Literal["<=", ">=", "=="]

DEFAULT_REPEATS = 3
MEASURED, NOT_MEASURED = 0, 2
"""Exit codes."""

LIBRARIES = ("medweave", "numpy", "tenseal", "torch", "web3")
"""Whose versions decide a figure."""

MEGA = 1e6
WIDTH = 200
"""Columns of the tables where the output is no terminal: no figure is cut."""
_LEAST, _MOST = "_least_seconds", "_most_seconds"
_COMPARE: Mapping[Op, Callable[[float, float], bool]] = {"<=": operator.le, ">=": operator.ge, "==": operator.eq}
_REPOSITORY = Path(__file__).resolve().parents[1]


@dataclass(frozen=True, slots=True)
class Row:
    """One line of one table."""

    table: str
    """Title of the table it belongs to; rows of one table need not have the same figures."""
    name: str
    """What was measured."""
    figures: Mapping[str, Figure]
    """By name, with the unit at the name's end."""

    def to_json(self) -> dict[str, Figure]:
        """One flat object."""
        return {"table": self.table, "name": self.name, **self.figures}


@dataclass(frozen=True, slots=True)
class Target:
    """A promise and what was measured of it."""

    name: str
    value: float
    """As measured, in `unit`."""
    unit: str
    op: Op
    target: float
    """The bound, in `unit`."""

    def __post_init__(self) -> None:
        """Refuse what is no number: JSON cannot say it, and nothing can be promised of it.

        Raises:
            NotMeasured: The value is not finite.
        """
        if not math.isfinite(self.value):
            raise NotMeasured(f"target {self.name!r}: {self.value} was measured, which is no number")

    @property
    def holds(self) -> bool:
        """Whether the value keeps the bound."""
        return _COMPARE[self.op](self.value, self.target)

    def to_json(self) -> dict[str, Any]:
        """The fields and whether it holds."""
        return asdict(self) | {"holds": self.holds}


@dataclass(frozen=True, slots=True)
class Result:
    """Everything one benchmark measured."""

    rows: tuple[Row, ...]
    targets: tuple[Target, ...] = ()
    notes: tuple[str, ...] = ()
    """What a reader of the tables must know, a sentence each; not in the JSON."""

    def to_json(self, environment: Mapping[str, Any]) -> dict[str, Any]:
        """The JSON form of the module's docstring."""
        return {
            "environment": dict(environment),
            "rows": [row.to_json() for row in self.rows],
            "targets": [target.to_json() for target in self.targets],
        }


def median(values: Iterable[float]) -> float:
    """The median of several repeats.

    Raises:
        NotMeasured: There is no value.
    """
    found = list(values)
    if not found:
        raise NotMeasured("nothing was measured: there is no value to take a median of")
    return statistics.median(found)


def spread(name: str, values: Iterable[float]) -> dict[str, Figure]:
    """Median, smallest and largest of several repeats, for a row.

    Args:
        name: What they are, such as `overhead`.
        values: All in one unit: seconds.

    Raises:
        NotMeasured: There is no value.
    """
    found = list(values)
    middle = median(found)
    return {f"{name}_seconds": middle, name + _LEAST: min(found), name + _MOST: max(found)}


def environment() -> dict[str, Any]:
    """Where and with what the figures were measured."""
    return report.environment() | {
        "processor": _processor(),
        "load_before": list(os.getloadavg()) if hasattr(os, "getloadavg") else None,
        "scratch_filesystem": _filesystem(Path(tempfile.gettempdir())),
        "libraries": {name: _version(name) for name in LIBRARIES},
        "commit": _commit(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _processor() -> str:
    """The processor's model, where Linux tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")


def _filesystem(directory: Path) -> str:
    """Kind of the file system a directory is on: what `fsync` costs depends on it."""
    place = directory.resolve()
    holding = [part for part in psutil.disk_partitions(all=True) if place.is_relative_to(part.mountpoint)]
    return max(holding, key=lambda part: len(part.mountpoint)).fstype if holding else "unknown"


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _commit() -> str | None:
    """The checkout's commit, with a `+` where files differ from it; None outside a checkout."""
    try:
        head, status = (
            subprocess.run(["git", *words], cwd=_REPOSITORY, capture_output=True, text=True, check=True).stdout.strip()
            for words in (("rev-parse", "HEAD"), ("status", "--porcelain", "--untracked-files=no"))
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return head + ("+" if status else "")


# ---- for people ------------------------------------------------------------------------------------------------------


def text(name: str, value: Figure) -> str:
    """A figure as people read it; the unit is the end of its name."""
    if value is None or isinstance(value, str):
        return value or "-"
    if name.endswith("_seconds"):
        return f"{value:.3f} s"
    if name.endswith("_bytes"):
        return f"{value / MEGA:,.2f} MB"
    if name.endswith("_ratio"):
        return f"{value:,.2f} x"
    return f"{value:,}" if isinstance(value, int) else f"{value:,.3f}"


def show(result: Result, console: Console) -> None:
    """Print every table, then the targets, then the notes."""
    for title in dict.fromkeys(row.table for row in result.rows):
        console.print(_table(title, [row for row in result.rows if row.table == title]))
    if result.targets:
        console.print(_targets(result.targets))
    for note in result.notes:
        console.print(note, highlight=False, soft_wrap=True)


def _table(title: str, rows: Sequence[Row]) -> Table:
    names = [name for name in dict.fromkeys(name for row in rows for name in row.figures) if not _is_bound(name)]
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    table.add_column("", no_wrap=True)
    for name in names:
        table.add_column(_heading(name), justify="right", no_wrap=True)
    for row in rows:
        table.add_row(row.name, *(_cell(name, row.figures) for name in names))
    return table


def _is_bound(name: str) -> bool:
    """Whether a figure is shown in the cell of its median."""
    return name.endswith((_LEAST, _MOST))


def _cell(name: str, figures: Mapping[str, Figure]) -> str:
    """A figure, with the range of its repeats where there is one."""
    found, stem = text(name, figures.get(name)), name.removesuffix("_seconds")
    least, most = figures.get(stem + _LEAST), figures.get(stem + _MOST)
    if isinstance(least, float) and isinstance(most, float):
        found += f" ({least:.3f} to {most:.3f})"
    return found


def _heading(name: str) -> str:
    for unit in ("_seconds", "_bytes", "_ratio"):
        name = name.removesuffix(unit)
    return name.replace("_", " ")


def _targets(targets: Sequence[Target]) -> Table:
    table = Table("target", title="targets", title_justify="left", box=None, pad_edge=False)
    for heading in ("measured", "wanted", ""):
        table.add_column(heading, justify="right")
    for target in targets:
        verdict = "[green]holds[/]" if target.holds else "[bold red]missed[/]"
        table.add_row(
            target.name, f"{target.value:.4g} {target.unit}", f"{target.op} {target.target:g} {target.unit}", verdict
        )
    return table


# ---- as a command ----------------------------------------------------------------------------------------------------


def parser(about: str, repeats: int = DEFAULT_REPEATS) -> argparse.ArgumentParser:
    """The options every benchmark has; it may add its own.

    Args:
        about: What it measures: the module's docstring.
        repeats: How often it measures where it is not told.
    """
    found = argparse.ArgumentParser(description=about.splitlines()[0])
    found.add_argument("--json", type=Path, metavar="F", help="also write environment, rows and targets to this file")
    found.add_argument("--repeats", type=_positive, default=repeats, metavar="N", help=f"default {repeats}")
    return found


def _positive(word: str) -> int:
    number = int(word)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{number}: measure at least once")
    return number


def run(measure: Callable[[], Result], json_file: Path | None) -> int:
    """Measure, print, write.

    Args:
        measure: The benchmark.
        json_file: Where the JSON goes; its directory is made.

    Returns:
        `MEASURED`, whatever holds; `NOT_MEASURED` where there are no figures, or they could not be written.
    """
    where = environment()
    try:
        result = measure()
        show(result, Console(width=None if sys.stdout.isatty() else WIDTH))
        if json_file is not None:
            json_file.parent.mkdir(parents=True, exist_ok=True)
            json_file.write_text(json.dumps(result.to_json(where), indent=2) + "\n", encoding="utf-8")
    except (NotMeasured, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return NOT_MEASURED
    return MEASURED
