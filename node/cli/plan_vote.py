"""`medweave plan propose`, `approve`, `withdraw`, `pending`: plans put to the members' vote."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from chain.votes import PlanDecision, sign_vote
from node.cli.members_vote import Desk, desk_of, hours_option, wait_option
from node.cli.options import home_option, password_options
from node.cli.plan_source import PlanShelf
from node.errors import BadInput, PolicyRefusal
from node.home import Home
from node.membership.book import MotionBook
from node.membership.motion import Motion
from node.membership.tally import tally
from node.planning.difference import difference
from node.rounds.plan import Plan

if TYPE_CHECKING:
    from node.planning.difference import Change

_json = click.option("--json", "as_json", is_flag=True, help="Print as JSON; asks nothing, as --yes.")
_yes = click.option("--yes", is_flag=True, help="Do not ask.")


@click.command("propose")
@home_option
@password_options
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@hours_option
@_yes
@wait_option
@_json
def propose(
    home: Path,
    password_file: Path | None,
    password_fd: int | None,
    file: Path,
    hours: float,
    wait: float,
    *,
    yes: bool,
    as_json: bool,
) -> None:
    """Put a plan to the members' vote, and sign it.

    The first plan that is approved ends the time in which every member could open rounds with any plan: afterwards the contract takes
    approved ones alone.
    """
    plan = Plan.from_toml(file)
    desk = desk_of(home, password_file, password_fd)
    shelf = PlanShelf(Home(home), desk.reader)
    _refuse(shelf, plan)
    shelf.store.put(plan.to_bytes())
    _sign(
        desk,
        shelf,
        plan,
        _decision(desk, plan.digest, hours, admitted=True),
        wait,
        ask=not (yes or as_json),
        as_json=as_json,
    )


@click.command("approve")
@home_option
@password_options
@click.argument("digest")
@_yes
@wait_option
@_json
def approve(
    home: Path,
    password_file: Path | None,
    password_fd: int | None,
    digest: str,
    wait: float,
    *,
    yes: bool,
    as_json: bool,
) -> None:
    """Sign a plan that another member proposed (or its withdrawal), by the beginning of the plan's digest or of the motion's id.

    What it would change is shown first. A signature cannot be taken back.
    """
    desk = desk_of(home, password_file, password_fd)
    shelf = PlanShelf(Home(home), desk.reader)
    motion = _pending_one(desk, shelf, digest)
    plan = shelf.held(_plan_of(motion))
    if _vote(motion).admitted:
        _refuse(shelf, plan)
    _sign(desk, shelf, plan, motion, wait, ask=not (yes or as_json), as_json=as_json)


@click.command("withdraw")
@home_option
@password_options
@click.argument("digest")
@hours_option
@_yes
@wait_option
@_json
def withdraw(
    home: Path,
    password_file: Path | None,
    password_fd: int | None,
    digest: str,
    hours: float,
    wait: float,
    *,
    yes: bool,
    as_json: bool,
) -> None:
    """Propose that no more rounds be opened with a plan, by the beginning of its digest, and sign it.

    The plan admitted before it comes into force again; where there is none, nobody can open a round: the consortium pauses.
    """
    desk = desk_of(home, password_file, password_fd)
    shelf = PlanShelf(Home(home), desk.reader)
    plan, _ = shelf.by_prefix(digest)
    if plan.digest not in shelf.view.plans:
        raise BadInput(f"plan {plan.digest.hex()[:16]}… is not admitted: there is nothing to withdraw")
    motion = _decision(desk, plan.digest, hours, admitted=False)
    _sign(desk, shelf, plan, motion, wait, ask=not (yes or as_json), as_json=as_json)


@click.command("pending")
@home_option
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
def pending(home: Path, *, as_json: bool) -> None:
    """Plans put to the vote: who has signed, and what each would change in the plan in force."""
    shelf = PlanShelf(Home(home))
    rows = [_row(shelf, motion) for motion in shelf.motions()]
    if as_json:
        click.echo(json.dumps({"motions": rows}, indent=2, ensure_ascii=False))
        return
    for row in rows:
        until = time.strftime("%Y-%m-%d %H:%M", time.localtime(row["deadline"]))
        names = ", ".join(row["signed"]) or "nobody who is a member now"
        click.echo(f"{row['plan'][:16]}  {row['what']} {row['name'] or '(its bytes are not here yet)'}")
        click.echo(f"                  {len(row['signed'])} of {row['quorum']} signed ({names}), until {until}")
        for change in row["changes"]:
            click.echo(f"                  {change['field']}: {change['before']} -> {change['after']}")
    if not rows:
        click.echo("no plan is put to the vote")


def _row(shelf: PlanShelf, motion: Motion) -> dict[str, Any]:
    book = MotionBook(shelf.home.motions, shelf.reader.chain.deployment)
    standing = tally(motion, book.signatures(motion), shelf.view, time.time())
    book.close()
    plan = shelf.plan(_plan_of(motion))
    return {
        "motion": motion.id.hex(),
        "plan": _plan_of(motion).hex(),
        "name": plan.name if plan else None,
        "what": "admit" if _vote(motion).admitted else "withdraw",
        "signed": [shelf.view.hospitals[seat].name for seat in sorted(standing.signatures)],
        "quorum": standing.quorum,
        "deadline": motion.deadline,
        "ended": standing.ended,
        "changes": [change.to_json() for change in _changes(shelf, plan)],
    }


def _changes(shelf: PlanShelf, plan: Plan | None) -> tuple[Change, ...]:
    """What a plan changes in the one in force; nothing where either is not at hand."""
    try:
        present, _ = shelf.in_force()
    except BadInput:
        return ()
    return () if plan is None else difference(present, plan)


def _decision(desk: Desk, plan: bytes, hours: float, *, admitted: bool) -> Motion:
    now = max(int(time.time()), desk.reader.chain.now())
    decision = desk.reader.view.plan_decisions
    vote = PlanDecision(plan=plan, admitted=admitted, decision=decision, deadline=now + int(hours * 3600))
    return Motion.of(vote, desk.reader.chain.deployment)


def _pending_one(desk: Desk, shelf: PlanShelf, prefix: str) -> Motion:
    """The live motion about a plan whose digest, or its own id, begins so; of several about one plan, the one most have signed."""
    wanted = prefix.lower().removeprefix("0x")
    found = [m for m in shelf.motions() if m.id.hex().startswith(wanted) or _plan_of(m).hex().startswith(wanted)]
    found = [motion for motion in found if not desk.standing(motion).ended]
    if not wanted or len({(_plan_of(m), _vote(m).admitted) for m in found}) != 1:
        raise BadInput(f"{prefix!r}: {len(found)} motions about plans begin so: see `medweave plan pending`")
    return max(found, key=lambda motion: len(desk.standing(motion).signatures))


def _refuse(shelf: PlanShelf, plan: Plan) -> None:
    reasons = tuple(shelf.refusals(plan, shelf.members))
    if reasons:
        raise PolicyRefusal(f"this hospital would take no part in rounds of plan {plan.name!r}: {'; '.join(reasons)}")


def _sign(desk: Desk, shelf: PlanShelf, plan: Plan, motion: Motion, wait: float, *, ask: bool, as_json: bool) -> None:
    """Show what would change, ask, sign, keep the signature for the daemon to carry, wait if told to."""
    view, account = desk.reader.view, desk.account
    if all(hospital.account != account for _, hospital in view.present):
        raise BadInput(f"account {account} is no member's: only members vote")
    changes = _changes(shelf, plan) if _vote(motion).admitted else ()
    if not as_json:
        click.echo(f"{'admit' if _vote(motion).admitted else 'withdraw'} plan {plan.name!r}  {plan.digest.hex()}")
        for change in changes:
            click.echo(f"  {change.field}: {change.before} -> {change.after}  ({change.consequence})")
    if ask:
        click.confirm("Sign it?", abort=True)
    desk.book.add(motion, account, sign_vote(motion.vote, desk.reader.chain.deployment, desk.identity.account))
    standing = desk.standing(motion)
    if as_json:
        row = _row(shelf, motion)
        click.echo(json.dumps(row, indent=2, ensure_ascii=False))
    else:
        click.echo(f"signed: {len(standing.signatures)} of {standing.quorum}; this hospital's node tells the others")
    desk.wait(motion, wait)


def _vote(motion: Motion) -> PlanDecision:
    if not isinstance(motion.vote, PlanDecision):
        raise BadInput(f"motion {motion.id.hex()[:16]}… is not about a plan: see `medweave members pending`")
    return motion.vote


def _plan_of(motion: Motion) -> bytes:
    return _vote(motion).plan
