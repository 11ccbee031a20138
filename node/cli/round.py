"""`medweave round`: open a round, watch it, leave it, see all that were; open none for a while."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from node.cli.options import home_option, password_options, read_password
from node.cli.round_source import RoundDesk
from node.cli.round_start import send_opening
from node.cli.round_watch import follow
from node.errors import BadInput, PeerProblem
from node.home import Home
from node.planning.words import duration

if TYPE_CHECKING:
    from node.consortium.records import RoundView

POLL_SECONDS = 0.2

json_option = click.option("--json", "as_json", is_flag=True, help="Print as JSON.")


@click.group("round")
def command() -> None:
    """Rounds of training: open one, watch it, leave it.

    What is asked for with `start`, `cancel`, `pause` and `resume` is written into the hospital's directory and carried out by its running
    node, also after a restart. Asking twice is asking once.
    """


@command.command("start")
@home_option
@password_options
@click.option(
    "--wait", type=click.FloatRange(0), default=30.0, show_default=True, help="Wait so many seconds for it to be open."
)
@click.option("--direct", is_flag=True, help="Send it from here, where this hospital's node does not run.")
@json_option
def start(
    home: Path, password_file: Path | None, password_fd: int | None, wait: float, *, direct: bool, as_json: bool
) -> None:
    """Open the next round now, by the plan in force; nothing happens where one is open already.

    Exit codes: 0 a round is open, or --wait 0 has left the order with the node; 3 there is no plan, or --direct while the node
    runs; 5 it was not opened in time, the order stays.
    """
    desk = RoundDesk(Home(home))
    current = desk.view.current
    number = current.round + 1 if current else 1
    if current is not None and current.open:
        _say(desk, current.round, "open already", as_json=as_json)
        return
    if desk.plan_in_force() is None:
        desk.shelf.in_force()  # says why
    if direct:
        send_opening(desk, read_password(password_file, password_fd))
    else:
        desk.orders.start(number)
    if not wait and not direct:
        _say(desk, number, "asked for; this hospital's node opens it", as_json=as_json)
        return
    _until_open(desk, number, max(wait, 10.0) if direct else wait)
    _say(desk, number, "open", as_json=as_json)


def _until_open(desk: RoundDesk, number: int, seconds: float) -> None:
    end = time.monotonic() + seconds
    while number not in desk.view.rounds:
        if time.monotonic() > end:
            raise PeerProblem(
                f"round {number} was not opened within {seconds:g} s ({desk.next().why}); the order stays: is this hospital's node "
                "running? `medweave doctor` looks"
            )
        time.sleep(POLL_SECONDS)
        desk.look()


def _say(desk: RoundDesk, number: int, what: str, *, as_json: bool) -> None:
    row = desk.view.rounds.get(number)
    if as_json:
        found = desk.row(row) if row else {"round": number, "status": "asked for"}
        click.echo(json.dumps(found, ensure_ascii=False))
    else:
        click.echo(f"round {number}: {what}")


@command.command("watch")
@home_option
@click.argument("number", required=False, type=click.IntRange(1))
@click.option("--once", is_flag=True, help="Say where it stands, and end.")
@click.option("--timeout", type=click.FloatRange(0), help="Stop watching after so many seconds.")
@click.option("--json", "as_json", is_flag=True, help="Print a line of JSON whenever something changes.")
def watch(home: Path, number: int | None, timeout: float | None, *, once: bool, as_json: bool) -> int:
    """Follow a round until it ends: which step it is in, who is missing, how long it may take. Default: the newest.

    It is what this hospital's ledger and chain show; no password and no running node are needed.

    Exit codes: 0 finalised, or --once; 1 aborted; 2 not over within --timeout; 3 there is no such round.
    """
    desk = RoundDesk(Home(home))
    wanted = number or (desk.view.current.round if desk.view.current else None)
    if wanted is None:
        raise BadInput(f"no round was opened yet: {desk.next().why}")
    return follow(desk, _known(desk, wanted).round, timeout, once=once, as_json=as_json)


@command.command("cancel")
@home_option
@click.argument("number", required=False, type=click.IntRange(1))
@click.option("--pause", is_flag=True, help="And open no further rounds from here until `resume`.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
def cancel(home: Path, number: int | None, *, pause: bool, yes: bool, as_json: bool) -> None:
    """Take no further part in an open round. It cannot be taken back.

    The contract knows no early end: a round that has begun is aborted when its time is over and no quorum signed an outcome. One hospital's
    `cancel` takes its own training, share and signature away; once so many have left that the rest are no quorum, the round cannot
    end otherwise. What this hospital posted before stays posted and may be counted.

    Exit codes: 0 left; 3 no such round is open.
    """
    desk = RoundDesk(Home(home))
    current = desk.view.current
    row = _known(desk, number) if number else current
    if row is None or not row.open:
        raise BadInput(f"round {row.round} is {row.status}" if row else "no round was opened yet")
    if not yes and not as_json:
        click.confirm(f"Leave round {row.round}? This hospital's part in it is lost.", abort=True)
    desk.orders.leave(row.round)
    if pause:
        desk.orders.pause()
    spare = len(row.standing.members) - row.quorum
    left = duration(max(0.0, row.finalise_by - time.time()))
    if as_json:
        found = {"round": row.round, "left": True, "paused": desk.orders.paused, "may_be_missing": spare}
        click.echo(json.dumps(found | {"finalise_by": row.finalise_by}))
        return
    click.echo(f"round {row.round}: this hospital's node takes no further part")
    click.echo(
        f"it still ends without {spare} of {len(row.standing.members)} members; with more gone it is aborted in {left}"
    )


@command.command("pause")
@home_option
@json_option
def pause(home: Path, *, as_json: bool) -> None:
    """Open no rounds from here, by target or timetable, until `resume`; `start` still opens one.

    The other members go on. A whole consortium pauses by `medweave plan withdraw`.
    """
    _set_paused(home, paused=True, as_json=as_json)


@command.command("resume")
@home_option
@json_option
def resume(home: Path, *, as_json: bool) -> None:
    """Open rounds again as the plan in force and [rounds] target say."""
    _set_paused(home, paused=False, as_json=as_json)


def _set_paused(home: Path, *, paused: bool, as_json: bool) -> None:
    desk = RoundDesk(Home(home))
    changed = desk.orders.pause() if paused else desk.orders.resume()
    if as_json:
        click.echo(json.dumps({"paused": paused, "changed": changed}))
    else:
        click.echo(
            ("opens no rounds from now on" if paused else "opens rounds again") if changed else "it was so already"
        )


@command.command("next")
@home_option
@json_option
def next_(home: Path, *, as_json: bool) -> None:
    """When the next round is opened, and why not before."""
    desk = RoundDesk(Home(home))
    opening = desk.next()
    if as_json:
        fresh = [desk.names[seat] for seat in sorted(desk.fresh())]
        click.echo(json.dumps({"at": opening.at, "why": opening.why, "paused": desk.orders.paused, "new_data": fresh}))
    elif opening.at is None:
        click.echo(f"not by itself: {opening.why}")
    else:
        when = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(opening.at))
        click.echo(f"{'now' if opening.due(time.time()) else when} ({opening.why})")


@command.command("list")
@home_option
@click.option("--last", type=click.IntRange(1), default=20, show_default=True, help="So many rounds, the newest.")
@json_option
def list_(home: Path, last: int, *, as_json: bool) -> None:
    """Every round: how it ended, who led it, by which plan."""
    desk = RoundDesk(Home(home))
    rows = [desk.row(desk.view.rounds[number]) for number in sorted(desk.view.rounds)[-last:]]
    if as_json:
        click.echo(json.dumps({"rounds": rows}, indent=2, ensure_ascii=False))
        return
    for row in rows:
        leader = row["leader"] or "-"
        click.echo(
            f"{row['round']:>5}  {row['status']:<9}  {leader:<24}  plan {row['plan'][:16]}  {len(row['signers'])} signed"
        )
    if not rows:
        click.echo(f"no round was opened yet: {desk.next().why}")


@command.command("show")
@home_option
@click.argument("number", type=click.IntRange(1))
@json_option
def show(home: Path, number: int, *, as_json: bool) -> None:
    """One round: what the chain says, and how it went at this hospital.

    Exit codes: 0 shown; 3 there is no such round.
    """
    desk = RoundDesk(Home(home))
    row = _known(desk, number)
    found: dict[str, Any] = desk.row(row) | {
        "here": desk.facts(number),
        "progress": desk.progress(row).to_json(desk.names),
    }
    if as_json:
        click.echo(json.dumps(found, indent=2, ensure_ascii=False))
        return
    for name, value in found.items():
        if name not in {"here", "progress"}:
            shown = _time(value) if name in {"collect_by", "finalise_by"} else value
            shown = ", ".join(value) if isinstance(value, list) else shown
            click.echo(f"{name.replace('_', ' '):<12} {shown if shown not in (None, '') else '-'}")
    for step in found["progress"]["steps"]:
        click.echo(f"{step['name']:<12} {', '.join(step['there']) or '-'}")


def _time(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _known(desk: RoundDesk, number: int) -> RoundView:
    if number not in desk.view.rounds:
        raise BadInput(f"there is no round {number}: `medweave round list` shows all")
    return desk.view.rounds[number]
