"""`medweave plan`: write a training plan, see what it means, compare it, put it to the members' vote."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from node.cli.plan_source import PlanShelf
from node.cli.plan_vote import approve, pending, propose, withdraw
from node.errors import BadInput
from node.home import Home
from node.planning.difference import difference
from node.planning.first import Images, first_plan, images_of
from node.planning.text import plan_toml
from node.planning.words import explain
from node.rounds.plan import Plan

if TYPE_CHECKING:
    from collections.abc import Sequence

    from node.planning.difference import Change
    from node.planning.words import Explanation

USUAL_MEMBERS = 3
"""What a plan is explained for where neither a consortium nor --members says how many there are."""

json_option = click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
_home = click.option("--home", type=click.Path(path_type=Path, file_okay=False), help="The hospital's directory.")
_members = click.option("--members", type=click.IntRange(1, 256), help="Explain for so many hospitals.")


@click.group("plan")
def command() -> None:
    """Training plans: what is learnt, what is hidden, when rounds are opened.

    `new` writes a first one, `check` and `show` say what it means, `propose` puts it to the vote; the other members see it with
    `pending` and sign it with `approve`. From then on every hospital's node goes by it; nobody copies a file or restarts.
    """


for voted in (propose, approve, withdraw, pending):
    command.add_command(voted)


@command.command("new")
@_home
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="File to write; else it is printed.")
@click.option("--classes", help="Class names in label order, separated by commas; default: those of the home's images.")
@click.option("--name", help="A label for people.")
@click.option("--architecture", help="Registry name of the model.")
@click.option("--image-size", type=int, help="Images are resized to this many pixels square.")
@click.option("--rounds", type=int, help="Rounds planned.")
@click.option("--epochs", type=int, help="Local epochs a round.")
@click.option("--min-group", type=int, help="Fewest updates in an opened sum.")
@click.option("--threshold", type=int, help="Members that open a sum; 0 follows the number of members.")
@click.option("--every-hours", type=int, help="Open a round so many hours after the last.")
@click.option("--new-data-from", type=int, help="Open a round once so many hospitals have new data.")
@click.option("--open-between", help='Open rounds by these rules only then (UTC), as "20:00-06:00".')
@click.option("--parameters", "parameter_set", help="Encryption parameters.")
@click.option("--measure", is_flag=True, help="Train a few seconds on the home's images and set the deadlines by it.")
@click.option("--force", is_flag=True, help="Overwrite the file.")
def new(home: Path | None, out: Path | None, classes: str | None, *, measure: bool, force: bool, **fields: Any) -> None:
    """Write a commented plan with defaults for a first run; edit it, then `check` it.

    Exit codes: 0 written; 3 a field is out of range, or the images cannot be read.
    """
    if out is not None and out.exists() and not force:
        raise BadInput(f"--out {out}: exists already; --force overwrites it")
    chosen = {name: value for name, value in fields.items() if value is not None}
    images = _images(home, classes)
    plan = first_plan(images.classes, **({"crop_lungs": images.cropped} | chosen))
    if measure:
        plan = _measured(home, plan)
    text = plan_toml(plan)
    if out is None:
        click.echo(text, nl=False)
    else:
        out.write_text(text, encoding="utf-8")
        click.echo(f"{out}: plan {plan.name!r}; see what it means with `medweave plan check {out}`", err=True)


def _images(home: Path | None, given: str | None) -> Images:
    if given is not None:
        return Images(tuple(name.strip() for name in given.split(",")))
    if home is None:
        raise click.UsageError("give --home DIR, whose images name the classes, or --classes A,B")
    place = Home(home)
    return images_of(place.file(place.config().data.train))


def _measured(home: Path | None, plan: Plan) -> Plan:
    if home is None:
        raise click.UsageError("--measure trains on a hospital's images: give --home DIR")
    # Only here: torch takes seconds to load.
    from node.cli.plan_pace import measured

    return measured(Home(home), plan)


@command.command("check")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@_home
@_members
@json_option
def check(file: Path, home: Path | None, members: int | None, *, as_json: bool) -> int:
    """Whether a plan is sound, what it costs and hides, and, with --home, whether this hospital would train by it.

    Exit codes: 0 sound; 1 this hospital would refuse it; 3 it is malformed.
    """
    plan = Plan.from_toml(file)
    shelf = PlanShelf(Home(home)) if home else None
    count = members or (shelf.members if shelf else USUAL_MEMBERS)
    refused = tuple(shelf.refusals(plan, count)) if shelf else ()
    explained = explain(plan, count)
    if as_json:
        found = _described(plan, explained) | {"refusals": list(refused)}
        click.echo(json.dumps(found, indent=2, ensure_ascii=False))
    else:
        _print(plan, explained)
        for sentence in refused:
            click.echo(f"refused here: {sentence}")
    return 1 if refused else 0


@command.command("show")
@click.argument("what", required=False)
@_home
@_members
@click.option("--active", is_flag=True, help="The plan in force; also without WHAT.")
@click.option("--toml", "as_toml", is_flag=True, help="Print it as the TOML file that people edit.")
@json_option
def show(
    what: str | None, home: Path | None, members: int | None, *, active: bool, as_toml: bool, as_json: bool
) -> None:
    """Explain a plan: a file, the beginning of a digest, or the one in force.

    Exit codes: 0 shown; 3 there is no such plan.
    """
    if what is not None and active:
        raise click.UsageError("WHAT and --active name two plans: give one")
    file = Path(what) if what is not None and Path(what).is_file() else None
    if file is None and home is None:
        missing = "" if what is None else f"there is no file {what[:80]!r}; "
        raise click.UsageError(f"{missing}give a file, or --home DIR for a digest or the plan in force")
    shelf = PlanShelf(Home(home)) if home else None
    plan, where = (Plan.from_toml(file), str(file)) if file else _found(shelf, what)
    if as_toml:
        click.echo(plan_toml(plan), nl=False)
        return
    count = members or (shelf.members if shelf else USUAL_MEMBERS)
    explained = explain(plan, count)
    if as_json:
        click.echo(json.dumps(_described(plan, explained) | {"source": where}, indent=2, ensure_ascii=False))
    else:
        click.echo(f"{where}")
        _print(plan, explained)


def _found(shelf: PlanShelf | None, what: str | None) -> tuple[Plan, str]:
    if shelf is None:
        raise click.UsageError("give --home DIR")
    return shelf.in_force() if what is None else shelf.by_prefix(what)


@command.command("diff")
@click.argument("before")
@click.argument("after", required=False)
@_home
@json_option
def diff(before: str, after: str | None, home: Path | None, *, as_json: bool) -> int:
    """What differs between two plans, each a file or the beginning of a digest; of one, to the plan in force.

    Exit codes: 0 nothing differs; 1 something does; 3 there is no such plan.
    """
    shelf = PlanShelf(Home(home)) if home else None
    if after is None:
        changes = difference(_found(shelf, None)[0], _one(shelf, before))
    else:
        changes = difference(_one(shelf, before), _one(shelf, after))
    if as_json:
        click.echo(json.dumps({"changes": [change.to_json() for change in changes]}, indent=2, ensure_ascii=False))
    else:
        print_changes(changes)
    return 1 if changes else 0


def _one(shelf: PlanShelf | None, what: str) -> Plan:
    return Plan.from_toml(Path(what)) if Path(what).is_file() else _found(shelf, what)[0]


@command.command("list")
@click.option(
    "--home", type=click.Path(path_type=Path, file_okay=False), required=True, help="The hospital's directory."
)
@json_option
def list_(home: Path, *, as_json: bool) -> None:
    """Every plan the chain names: admitted, or used by a round; which one is in force."""
    rows = PlanShelf(Home(home)).rows()
    if as_json:
        click.echo(json.dumps({"plans": rows}, indent=2, ensure_ascii=False))
        return
    for row in rows:
        marks = ", ".join(mark for mark in ("in force", "admitted") if row[mark.replace(" ", "_")])
        rounds = f"rounds {', '.join(map(str, row['rounds']))}" if row["rounds"] else "no round yet"
        click.echo(f"{row['digest'][:16]}  {row['name'] or '(not held here)':<24}  {rounds}  {marks}")
    if not rows:
        click.echo("no plan was admitted, and no round opened")


def print_changes(changes: Sequence[Change]) -> None:
    """What differs, a line each."""
    for change in changes:
        click.echo(f"{change.field}: {change.before} -> {change.after}  ({change.consequence})")
    if not changes:
        click.echo("the same plan")


def _print(plan: Plan, explained: Explanation) -> None:
    click.echo(f"plan {plan.name!r}  {plan.digest.hex()}")
    for heading, sentences in explained.parts:
        for number, sentence in enumerate(sentences):
            click.echo(f"  {heading if number == 0 else '':<13} {sentence}")
    for warning in explained.warnings:
        click.echo(f"  note          {warning}")


def _described(plan: Plan, explained: Explanation) -> dict[str, Any]:
    fields = plan.model_dump(mode="json")
    return {"digest": plan.digest.hex(), "plan": fields, **explained.to_json()}
