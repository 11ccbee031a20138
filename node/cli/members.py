"""`medweave members`: who belongs to the consortium, how they stand, what is put to their vote."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from chain.conduct import Fault
from node.cli.members_vote import PROPOSALS, find_seat
from node.cli.options import home_option
from node.cli.reader import Reader, chain_options
from node.home import Home
from node.membership.book import MotionBook
from node.membership.fingerprint import fingerprint
from node.membership.tally import describe, tally

if TYPE_CHECKING:
    from node.consortium.view import ConsortiumView

_json = click.option("--json", "as_json", is_flag=True, help="Print as JSON.")


@click.group("members")
def command() -> None:
    """The members of the consortium: who they are, how they stand, and what they vote on.

    A change takes a quorum of two thirds. One hospital proposes it, the others see it with `pending` and sign it with
    `approve`; their daemons carry the signatures to each other, and whichever has a quorum first sends the transaction.
    """


for proposal in PROPOSALS:
    command.add_command(proposal)


@command.command("list")
@chain_options
@click.option("--all", "everybody", is_flag=True, help="Former members too.")
@_json
def list_(home: Path | None, rpc: str | None, contracts: Path | None, *, everybody: bool, as_json: bool) -> None:
    """Every member: seat, name, account, declared images, reputation, address, fingerprint."""
    view = Reader.of(home, rpc, contracts).view
    rows = [facts(view, seat) for seat in range(len(view.hospitals)) if everybody or seat in view.members]
    if as_json:
        click.echo(json.dumps({"quorum": view.quorum, "members": rows}, indent=2, ensure_ascii=False))
        return
    for row in rows:
        left = "" if row["member"] else "  (left)"
        click.echo(
            f"{row['seat']:>3}  {row['name']:<24}  {row['account']}  {row['data_size']:>8} images  "
            f"reputation {row['reputation']:>3}  {row['fingerprint']}{left}"
        )
    click.echo(f"{len(view.members)} members, {view.quorum} decide")


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
    """What is put to the vote, as far as this hospital's daemon has heard, and who has signed."""
    reader = Reader.of(home, None, None)
    book, view = MotionBook(Home(home).motions, reader.chain.deployment), reader.view
    rows: list[dict[str, Any]] = []
    for motion in book.live():
        standing = tally(motion, book.signatures(motion), view, time.time())
        rows.append(
            {
                "id": motion.id.hex(),
                "what": describe(motion, view),
                "signed": [view.hospitals[seat].name for seat in sorted(standing.signatures)],
                "quorum": standing.quorum,
                "deadline": motion.deadline,
                "ended": standing.ended,
            }
        )
    past = [(motion, how) for motion, how in book.ended() if ended]
    rows += [{"id": m.id.hex(), "what": describe(m, view), "ended": how} for m, how in past]
    book.close()
    if as_json:
        click.echo(json.dumps({"motions": rows}, indent=2, ensure_ascii=False))
        return
    for row in rows:
        click.echo(f"{row['id'][:16]}  {row['what']}")
        if row["ended"]:
            click.echo(f"                  {row['ended']}")
        else:
            until = time.strftime("%Y-%m-%d %H:%M", time.localtime(row["deadline"])) if row["deadline"] else "any time"
            names = ", ".join(row["signed"]) or "nobody who is a member now"
            click.echo(f"                  {len(row['signed'])} of {row['quorum']} signed ({names}), until {until}")
    if not rows:
        click.echo("nothing is put to the vote")


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
        "reputation": view.standing.reputations[seat],
        "equivocator": seat in view.standing.equivocators,
    }
