"""How `medweave audit` answers: text, JSON or a page; progress with the time left on standard error."""

from __future__ import annotations

import functools
import json
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from node.errors import BadInput

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from node.audit import Report
    from node.audit.run import Progress as Told


@dataclass(frozen=True)
class Output:
    """What the command line says about the answer."""

    as_json: bool = False
    html: Path | None = None
    timings: bool = False
    progress: bool = False

    def show(self, report: Report) -> int:
        """Print a report, write its page; the exit code.

        Raises:
            BadInput: The page cannot be written.
        """
        if self.html is not None:
            from node.audit.page import to_html

            try:
                self.html.write_text(to_html(report), encoding="utf-8")
            except OSError as error:
                raise BadInput(f"{self.html}: cannot be written: {error.strerror or error}") from None
        content = report.to_json(timings=self.timings) if self.as_json else None
        click.echo(report.to_text(timings=self.timings) if content is None else json.dumps(content, indent=2))
        return report.exit_code

    @contextmanager
    def bar(self) -> Iterator[Told | None]:
        """A bar on standard error where that is a terminal, or lines where progress is asked for."""
        console = Console(stderr=True)
        if not self.progress and (self.as_json or not console.is_terminal):
            yield None
            return
        if not console.is_terminal:
            yield _Lines()
            return
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            TaskProgressColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=console, transient=True) as bar:
            task = bar.add_task("auditing")
            yield lambda what, done, total: bar.update(task, description=what, completed=done, total=total)


class _Lines:
    """Progress as plain lines, one each tenth of a step's way."""

    def __init__(self) -> None:
        self._last: tuple[str, int] = ("", -1)

    def __call__(self, what: str, done: int, total: int) -> None:
        tenth = 10 * done // max(1, total)
        if (what, tenth) != self._last:
            self._last = (what, tenth)
            click.echo(f"{what}: {100 * done // max(1, total)} %", err=True)


def output_options(*, page: bool = True) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """The options that say how to answer; the command gets them as one `Output`.

    Args:
        page: Whether the answer is a report, of which there is a page and a table of times.
    """
    options = [click.option("--json", "as_json", is_flag=True, help="Print JSON.")]
    if page:
        options += [
            click.option(
                "--html", type=click.Path(path_type=Path, dir_okay=False), help="Write the report as one HTML page."
            ),
            click.option("--timings", is_flag=True, help="Say how long each link took."),
        ]
    options.append(
        click.option("--progress", is_flag=True, help="Tell the progress on standard error, terminal or not.")
    )

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(command)
        def run(**values: Any) -> Any:
            names = ("as_json", "html", "timings", "progress")
            given = {name: values.pop(name) for name in names if name in values}
            return command(output=Output(**given), **values)

        for option in reversed(options):
            run = option(run)
        return run

    return decorate
