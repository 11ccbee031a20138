"""`medweave members request`, `propose-admit`, `approve`, `dismiss`: a hospital asks, the members answer."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from chain.deployment import fund
from chain.records import Hospital
from chain.sender import wei
from chain.votes import Admission
from node.cli.members_vote import desk_of, json_option, wait_option, yes_option
from node.cli.options import home_option, password_options, read_password
from node.cli.reader import Reader
from node.errors import BadInput, BadMotion
from node.home import Home, read_deployment, unlock_identity
from node.membership.fingerprint import fingerprint, letters
from node.membership.request import USUAL_SECONDS, read_request, write_request
from node.membership.waitingroom import WaitingRoom

if TYPE_CHECKING:
    from node.cli.members_vote import Desk
    from node.membership.motion import Motion
    from node.membership.request import Request

days_option = click.option(
    "--days",
    type=click.FloatRange(0.001, 90),
    default=USUAL_SECONDS / 86400,
    show_default=True,
    help="How long the request stands.",
)


@click.command("request")
@home_option
@password_options
@click.option(
    "--data-size", type=click.IntRange(1, 2**32 - 1), required=True, help="Training images, declared on chain."
)
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="File to write; else it is printed.")
@days_option
def request(
    home: Path, password_file: Path | None, password_fd: int | None, data_size: int, out: Path | None, days: float
) -> None:
    """Write a request to be admitted to a file, where `medweave join` reaches no member's node; any member may propose it.

    Read the fingerprint to the members by telephone: they compare it before they sign.
    """
    place = Home(home)
    identity, config = unlock_identity(place, read_password(password_file, password_fd)), place.config()
    account = str(identity.account.address)
    hospital = Hospital(account, identity.box.public, data_size, config.hospital.name, config.hospital.url)
    deadline = int(time.time() + days * 86400)
    text = write_request(hospital, deadline, read_deployment(place), identity.account)
    if out is None:
        click.echo(text)
    else:
        out.write_text(text + "\n", encoding="utf-8")
    click.echo(f"fingerprint {fingerprint(account, identity.box.public)}", err=True)


@click.command("propose-admit")
@home_option
@password_options
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False, exists=True))
@yes_option
@wait_option
@json_option
def propose_admit(
    home: Path,
    password_file: Path | None,
    password_fd: int | None,
    file: Path,
    wait: float,
    *,
    yes: bool,
    as_json: bool,
) -> None:
    """Propose to admit the hospital whose request lies in a file, and sign it. `approve` does it for one that came by `join`."""
    desk = desk_of(home, password_file, password_fd, as_json=as_json)
    asked = read_request(file.read_bytes(), desk.reader.chain.deployment, time.time())
    desk.sign(asked.motion(desk.reader.view.decisions, desk.reader.chain.deployment), yes=yes, wait=wait)


@click.command("approve")
@home_option
@password_options
@click.argument("what")
@click.option("--fund", "ether", help="Ether to bring a new hospital's account up to, from this hospital's own.")
@yes_option
@wait_option
@json_option
def approve(
    home: Path,
    password_file: Path | None,
    password_fd: int | None,
    what: str,
    ether: str | None,
    wait: float,
    *,
    yes: bool,
    as_json: bool,
) -> None:
    """Sign what `medweave members pending` lists: a motion by the beginning of its id, a hospital that asks by its fingerprint.

    A hospital's name or account will do too. Whoever types the fingerprint as it was read over the telephone has compared it,
    and is not asked again. A signature cannot be taken back: it counts until the deadline, or until another decision is
    carried out.
    """
    desk = desk_of(home, password_file, password_fd, as_json=as_json)
    compared, motion = find(desk, what)
    if ether is not None and not isinstance(motion.vote, Admission):
        raise BadInput("--fund: only a hospital that is being admitted is given funds")
    if ether is not None:
        wei(ether)  # what cannot be read is said before anything is signed
    desk.sign(motion, yes=yes or compared, wait=wait, then=lambda: _top_up(desk, motion, ether))


@click.command("dismiss")
@home_option
@click.argument("who")
def dismiss(home: Path, who: str) -> None:
    """Put away a request to be admitted that nobody here will sign, by name, account or fingerprint; it may be made again."""
    reader = Reader.of(home, None, None)
    with WaitingRoom(Home(home).requests, reader.chain.deployment) as room:
        found = [each for each in room.waiting(reader.view, time.time()) if _answers_to(each, who)]
        if len(found) != 1:
            raise BadInput(f"{who!r}: {len(found)} requests are of such a hospital: see `medweave members pending`")
        room.put_away(found[0])
    click.echo(f"put away: the request of {found[0].hospital.name}, fingerprint {found[0].fingerprint}")


def find(desk: Desk, what: str) -> tuple[bool, Motion]:
    """What is to be signed, and whether it was named by a fingerprint.

    Args:
        desk: The hospital's.
        what: The beginning of an id, a fingerprint, a name or an account.

    Raises:
        BadMotion: Nothing, or more than one thing, answers to it.
    """
    view, deployment = desk.reader.view, desk.reader.chain.deployment
    live = [motion for motion in desk.book.live() if not desk.standing(motion).ended]
    moved = {motion.vote.hospital.account for motion in live if isinstance(motion.vote, Admission)}
    with WaitingRoom(desk.home.requests, deployment) as room:
        asked = [each for each in room.waiting(view, time.time()) if each.hospital.account not in moved]
    motions = [*live, *(each.motion(view.decisions, deployment) for each in asked)]
    found = [motion for motion in motions if _named(motion, what)]
    if len(found) != 1:
        raise BadMotion(
            f"{what!r}: {len(found)} pending motions or requests answer to it: see `medweave members pending`"
        )
    vote = found[0].vote
    return isinstance(vote, Admission) and _prints(vote.hospital) == letters(what), found[0]


def _named(motion: Motion, what: str) -> bool:
    start = what.lower().removeprefix("0x")
    if start and motion.id.hex().startswith(start):
        return True
    return isinstance(motion.vote, Admission) and _is(motion.vote.hospital, what)


def _answers_to(asked: Request, who: str) -> bool:
    return _is(asked.hospital, who)


def _is(hospital: Hospital, who: str) -> bool:
    return who == hospital.name or who.lower() == hospital.account.lower() or _prints(hospital) == letters(who)


def _prints(hospital: Hospital) -> str:
    return letters(fingerprint(hospital.account, hospital.box_key))


def _top_up(desk: Desk, motion: Motion, ether: str | None) -> None:
    if ether is None or not isinstance(motion.vote, Admission):
        return
    hospital = motion.vote.hospital
    missing = wei(ether) - desk.reader.chain.balance(hospital.account)
    if missing <= 0:
        desk.say(f"{hospital.name} has {ether} ether or more already")
        return
    amount = f"{missing // 10**18}.{missing % 10**18:018d}"
    fund(desk.home.config().chain.rpc, desk.identity.account, [hospital.account], amount)
    desk.say(f"sent {amount.rstrip('0').rstrip('.')} ether to {hospital.name}")


ADMISSION: tuple[Any, ...] = (request, propose_admit, approve, dismiss)
