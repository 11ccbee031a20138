"""`medweave members`: who belongs to the consortium, how they stand, what is put to their vote."""

from __future__ import annotations

import json
import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from chain.conduct import Fault
from chain.votes import Admission
from node.cli.members_admit import ADMISSION
from node.cli.members_url import url
from node.cli.members_vote import PROPOSALS, find_seat, motion_facts
from node.cli.options import home_option
from node.cli.reader import Reader, chain_options
from node.home import Home
from node.membership.book import MotionBook
from node.membership.fingerprint import consortium_fingerprint, fingerprint
from node.membership.tally import describe, tally
from node.membership.waitingroom import WaitingRoom

if TYPE_CHECKING:
    from node.consortium.view import ConsortiumView
    from node.membership.request import Request

_json = click.option("--json", "as_json", is_flag=True, help="Print as JSON.")


@click.group("members")
def command() -> None:
    """The members of the consortium: who they are, how they stand, and what they vote on.

    A change takes a quorum of two thirds. One hospital asks or proposes, the others see it with `pending` and sign it with
    `approve`; their daemons carry the signatures to each other, and whichever has a quorum first sends the transaction.
    """


for proposal in (*ADMISSION, *PROPOSALS, url):
    command.add_command(proposal)


@command.command("list")
@chain_options
@click.option("--all", "everybody", is_flag=True, help="Former members too.")
@_json
def list_(home: Path | None, rpc: str | None, contracts: Path | None, *, everybody: bool, as_json: bool) -> None:
    """Every member: seat, name, account, declared images, reputation, address, fingerprint."""
    reader = Reader.of(home, rpc, contracts)
    view, consortium = reader.view, consortium_fingerprint(reader.chain.deployment)
    rows = [facts(view, seat) for seat in range(len(view.hospitals)) if everybody or seat in view.members]
    if as_json:
        click.echo(
            json.dumps({"consortium": consortium, "quorum": view.quorum, "members": rows}, indent=2, ensure_ascii=False)
        )
        return
    for row in rows:
        left = "" if row["member"] else "  (left)"
        click.echo(
            f"{row['seat']:>3}  {row['name']:<24}  {row['account']}  {row['data_size']:>8} images  "
            f"reputation {row['reputation']:>3}  {row['fingerprint']}{left}"
        )
    click.echo(f"{len(view.members)} members, {view.quorum} decide; consortium {consortium}")


@command.command("show")
@chain_options
@click.argument("who")
@_json
def show(home: Path | None, rpc: str | None, contracts: Path | None, who: str, *, as_json: bool) -> None:
    """One hospital, by seat, name or account: its keys' fingerprint, its standing, the faults on record."""
    view = Reader.of(home, rpc, contracts).view
    seat = find_seat(view, who)
    row = facts(view, seat)
    row["faults"] = [
        {"round": number, "fault": Fault(fault).name.lower()} for number, fault, at in sorted(view.faults) if at == seat
    ]
    row["accounts_before"] = [
        "0x" + address.hex() for address, at in view.seats.items() if at == seat and address != view.addresses[seat]
    ]
    if as_json:
        click.echo(json.dumps(row, indent=2, ensure_ascii=False))
        return
    for name, value in row.items():
        shown = ", ".join(f"{v['fault']} in round {v['round']}" if isinstance(v, dict) else str(v) for v in value) \
            if isinstance(value, list) else value  # fmt: skip
        click.echo(f"{name.replace('_', ' '):<16} {shown if shown != '' else 'none'}")


@command.command("pending")
@home_option
@click.option("--ended", is_flag=True, help="Motions that have ended too, and how.")
@_json
def pending(home: Path, *, ended: bool, as_json: bool) -> None:
    """Who asks to be admitted, what is put to the vote, as far as this hospital's daemon has heard, and who has signed."""
    reader, now = Reader.of(home, None, None), time.time()
    view, deployment = reader.view, reader.chain.deployment
    with closing(MotionBook(Home(home).motions, deployment)) as book:
        live = book.live()
        motions = [motion_facts(motion, tally(motion, book.signatures(motion), view, now), view) for motion in live]
        past = [{"id": m.id.hex(), "what": describe(m, view), "ended": how} for m, how in book.ended() if ended]
    moved = {motion.vote.hospital.account for motion in live if isinstance(motion.vote, Admission)}
    with WaitingRoom(Home(home).requests, deployment) as room:
        asking = [_request_row(each) for each in room.waiting(view, now) if each.hospital.account not in moved]
    if as_json:
        click.echo(json.dumps({"requests": asking, "motions": motions + past}, indent=2, ensure_ascii=False))
        return
    for row in asking:
        click.echo(
            f"{row['name']} asks to be admitted ({row['account']}, {row['data_size']} images, {row['url'] or 'no address'})\n"
            f"                  fingerprint {row['fingerprint']}, until {_time(row['deadline'])}\n"
            f"                  compare it by telephone, then: medweave members approve --home {home} {row['fingerprint']}"
        )
    for row in [*motions, *past]:
        click.echo(f"{row['id'][:16]}  {row['what']}")
        if row["ended"]:
            click.echo(f"                  {row['ended']}")
        else:
            names = ", ".join(row["signed"]) or "nobody who is a member now"
            until = _time(row["deadline"])
            click.echo(f"                  {len(row['signed'])} of {row['quorum']} signed ({names}), until {until}")
    if not (asking or motions or past):
        click.echo("nobody asks to be admitted, nothing is put to the vote")


def _request_row(asked: Request) -> dict[str, Any]:
    hospital = asked.hospital
    return {
        "name": hospital.name,
        "account": hospital.account,
        "data_size": hospital.data_size,
        "url": hospital.url,
        "fingerprint": asked.fingerprint,
        "deadline": asked.deadline,
    }


def _time(deadline: int | None) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(deadline)) if deadline else "any time"


def facts(view: ConsortiumView, seat: int) -> dict[str, Any]:
    """A hospital as people are shown it."""
    hospital = view.hospitals[seat]
    return {
        "seat": seat,
        "name": hospital.name,
        "member": seat in view.members,
        "account": hospital.account,
        "box_key": hospital.box_key.hex(),
        "fingerprint": fingerprint(hospital.account, hospital.box_key),
        "url": hospital.url,
        "data_size": hospital.data_size,
        "data_card": card.hex() if (card := view.card_of(seat)) is not None else "",
        "reputation": view.standing.reputations[seat],
        "equivocator": seat in view.standing.equivocators,
    }
