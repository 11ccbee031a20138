"""`medweave access`: the record of who asked a node what: show it, check that it is whole."""

from __future__ import annotations

import json
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from node.api.access.errors import BrokenLog
from node.api.access.records import check, read_lines
from node.cli.options import home_option
from node.errors import BadConfig
from node.home import Home

if TYPE_CHECKING:
    from node.api.access.records import Place


@click.group("access")
def command() -> None:
    """Show and check the access log: who asked the node what, when, with which answer."""


_as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@command.command("show")
@home_option
@click.option("--last", type=click.IntRange(1, 1_000_000), default=50, show_default=True, help="So many lines.")
@click.option("--who", help="Only lines of this token's, hospital's or address's name.")
@click.option("--role", help="Only lines of this role.")
@click.option("--refused", is_flag=True, help="Only what was refused.")
@_as_json
def show(home: Path, last: int, who: str | None, role: str | None, *, refused: bool, as_json: bool) -> None:
    """Print the newest lines, oldest of them first. Nothing is checked; `verify` does that."""

    def wanted(line: dict[str, Any]) -> bool:
        asked = "route" in line
        return (
            (who is None or line.get("who") == who)
            and (role is None or line.get("role") == role)
            and (not refused or (asked and line.get("status", 0) >= 400))
            and (asked or "note" in line)
        )

    lines = deque((place for place in read_lines(Home(home).access) if wanted(place.content)), maxlen=last)
    for place in lines:
        click.echo(place.raw.decode().rstrip() if as_json else _text(place))


@command.command("verify")
@home_option
@click.option(
    "--head", default="", help="A head that was kept elsewhere, as `verify` prints it: the log has to contain it."
)
@_as_json
def verify(home: Path, head: str, *, as_json: bool) -> int:
    """Check that no line was changed, removed or moved; exit code 1 and the place where one was.

    Lines after the newest signed head are bound to each other, but whoever holds the disk could write them anew.
    """
    place = Home(home)
    number, _, digest = head.partition(":")
    if head and not (number.isdecimal() and len(digest) == 64):
        raise click.UsageError("--head: expected N:HEX, as an earlier `medweave access verify` printed it")
    try:
        found = check(place.access, _accounts(place), head)
    except BrokenLog as error:
        if as_json:
            click.echo(json.dumps({"whole": False, "file": error.segment, "line": error.row, "problem": error.problem}))
        else:
            click.echo(str(error))
        return 1
    if as_json:
        click.echo(json.dumps({"whole": True, **vars(found)}))
    else:
        click.echo(
            f"whole: {found.lines} lines from {found.first}, {found.heads} signed heads, {found.unsigned} lines after"
        )
        click.echo(f"head {found.head or '-'}")
    return 0


def _accounts(place: Home) -> frozenset[bytes]:
    """The hospital's accounts, earlier ones included; keystores name their address in the clear."""
    found = set()
    for path in place.secrets.glob("account*.json"):
        try:
            found.add(bytes.fromhex(str(json.loads(path.read_bytes())["address"]).removeprefix("0x")))
        except (OSError, ValueError, KeyError, TypeError):
            continue
    if not found:
        raise BadConfig(f"{place.secrets}: no account, so nothing says whose signatures count")
    return frozenset(found)


def _text(place: Place) -> str:
    line = place.content
    if "note" in line:
        return f"{line.get('time', '-')}  note: {line['note']}"
    what = " ".join([str(line.get("route", "-")), *map(str, line.get("values", []))])
    times = f" x{line['count']}" if "count" in line else ""
    who = f"{line.get('who', '-')} ({line.get('role', '-')})"
    return (
        f"{line.get('time', '-')}  {line.get('status', '-')}  {who}  {what}{times}  {line.get('request', '')}".rstrip()
    )
