"""Following a round on the terminal, or as lines of JSON."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from node.planning.words import duration

if TYPE_CHECKING:
    from collections.abc import Callable

    from node.cli.round_source import RoundDesk
    from node.planning.progress import Progress, Step

POLL_SECONDS = 0.25
BAR_WIDTH = 20


def follow(desk: RoundDesk, number: int, timeout: float | None, *, once: bool, as_json: bool) -> int:
    """Show a round until it ends.

    Args:
        desk: The hospital.
        number: The round.
        timeout: Seconds after which to stop; None: never.
        once: Show it once, and end.
        as_json: A line of JSON whenever something changes.

    Returns:
        0 finalised, or `once`; 1 aborted; 2 not over in time.
    """
    console = Console()
    if as_json or once or not console.is_terminal:
        return _until_over(desk, number, timeout, _lines(desk, as_json=as_json), once=once)
    with Live(console=console, refresh_per_second=4) as live:
        return _until_over(desk, number, timeout, lambda found: live.update(table(found, desk.names)), once=False)


def _until_over(
    desk: RoundDesk, number: int, timeout: float | None, show: Callable[[Progress], None], *, once: bool
) -> int:
    end = None if timeout is None else time.monotonic() + timeout
    while True:
        found = desk.progress(desk.view.rounds[number])
        show(found)
        if once or found.status == "finalised":
            return 0
        if found.status == "aborted":
            return 1
        if end is not None and time.monotonic() >= end:
            return 2
        time.sleep(POLL_SECONDS)
        desk.look()


def _lines(desk: RoundDesk, *, as_json: bool) -> Callable[[Progress], None]:
    """Prints a line whenever something but the time left has changed."""
    said = ""

    def show(found: Progress) -> None:
        nonlocal said
        row = found.to_json(desk.names)
        key = json.dumps(row | {"seconds_left": None})
        if key == said:
            return
        said = key
        click.echo(json.dumps(row, ensure_ascii=False) if as_json else line(found, desk.names))

    return show


def line(found: Progress, names: dict[int, str]) -> str:
    """Where a round stands, in a line."""
    step = next((s for s in found.steps if s.name == found.phase), None)
    text = f"round {found.round}  {found.phase}"
    if step is not None:
        text += f"  {len(step.there)}/{step.needed}{_missing(step, names)}"
    return text + _left(found)


def _missing(step: Step, names: dict[int, str]) -> str:
    return (
        f", missing: {', '.join(names.get(seat, str(seat)) for seat in sorted(step.missing))}" if step.missing else ""
    )


def _left(found: Progress) -> str:
    if found.status != "open":
        return ""
    given_up = f"given up in {duration(max(0.0, found.finalise_by - time.time()))}"
    return f"  ({f'about {duration(found.seconds_left)} left, ' if found.seconds_left else ''}{given_up})"


def table(found: Progress, names: dict[int, str]) -> Table:
    """Where a round stands, for a terminal."""
    shown = Table(title=f"round {found.round}: {found.phase}{_left(found)}", title_justify="left", box=None)
    for heading in ("step", "", "", "missing"):
        shown.add_column(heading)
    for step in found.steps:
        needed = max(step.needed, 1)
        done = len(step.there)
        missing = "" if step.name != found.phase else _missing(step, names).removeprefix(", missing: ")
        shown.add_row(
            Text(step.name, style="bold" if step.name == found.phase else ""),
            ProgressBar(total=needed, completed=min(done, needed), width=BAR_WIDTH),
            f"{done}/{step.needed or done}",
            missing,
        )
    return shown
