"""`medweave doctor`: everything a node needs, looked at, with what to do where something is wrong."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.text import Text

from node.cli.options import PASSWORD_VARIABLE, home_option, password_options, read_password
from node.doctor.examine import Examination
from node.doctor.verdict import Verdict
from node.home import Home

if TYPE_CHECKING:
    from node.doctor.verdict import Check

STYLES = {Verdict.OK: "green", Verdict.WARN: "yellow", Verdict.FAIL: "bold red", Verdict.SKIPPED: "dim"}


@click.command("doctor")
@home_option
@password_options
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(home: Path, password_file: Path | None, password_fd: int | None, *, as_json: bool) -> int:
    """Look at everything a node needs: this machine, the chain, the other members. Nothing is changed.

    The password is not asked for: without one, the keys are not opened. What is shown counts images and never looks into one.

    Exit codes: 0 nothing failed, warnings aside; 1 something did.
    """
    given = password_file is not None or password_fd is not None or bool(os.environ.get(PASSWORD_VARIABLE))
    examination = Examination(Home(home), read_password(password_file, password_fd) if given else None)
    checks = examination.run()
    if as_json:
        click.echo(
            json.dumps({"healthy": examination.healthy, "checks": [check.to_json() for check in checks]}, indent=2)
        )
    else:
        _show(checks)
    return 0 if examination.healthy else 1


def _show(checks: list[Check]) -> None:
    console = Console(soft_wrap=True, highlight=False)
    for check in checks:
        line = Text(f"{check.verdict:<8}", style=STYLES[check.verdict])
        console.print(line.append(f"{check.name:<14}{check.found}", style="default"))
        if check.do:
            console.print(Text(f"{'':<22}-> {check.do}"))
    counts = {verdict: sum(check.verdict is verdict for check in checks) for verdict in Verdict}
    console.print(", ".join(f"{count} {verdict}" for verdict, count in counts.items() if count))
