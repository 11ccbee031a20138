"""`medweave join`: ask the members of a consortium, at one member's node, to admit this hospital."""

from __future__ import annotations

import json
import os
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from chain.anvil import dev_account
from chain.client import Chain
from chain.deployment import Deployment, fund
from chain.records import Hospital
from node.cli.joining import anvil_option, count_images, refuse_public_payer
from node.cli.members_admit import days_option
from node.cli.members_vote import yes_option
from node.cli.options import home_option, password_options, read_password
from node.cli.reader import Reader
from node.config import TESTING_VARIABLE
from node.epochs.start import member_index
from node.errors import BadInput, BadMotion
from node.home import Home, unlock_identity, write_private
from node.membership.fingerprint import consortium_fingerprint, fingerprint, letters
from node.membership.funds import Funds, ether
from node.membership.invitation import Host
from node.membership.request import read_request, write_request
from node.membership.stranger import stranger_dialer
from node.planning.choice import refusals
from node.planning.first import images_of
from node.planning.text import plan_toml

if TYPE_CHECKING:
    from node.consortium.view import ConsortiumView
    from node.home import Identity
    from node.membership.invitation import Invitation
    from node.rounds.plan import Plan

LOCAL_STAKE = 100
"""Ether that `--anvil-account` gives the hospital's account."""


@dataclass(frozen=True)
class Asked:
    """What came of a join, as it is printed.

    Attributes:
        consortium: Its fingerprint.
        host: The member that was asked.
        member: Whether this hospital is a member already.
        account: This hospital's account.
        fingerprint: What its people read to the members.
        deadline: Unix seconds until which the request stands; 0 for a member.
        balance: Wei the account holds.
        joining: Wei a first key and round need.
    """

    consortium: str
    host: str
    member: bool
    account: str
    fingerprint: str
    deadline: int
    balance: int
    joining: int


@click.command("join")
@home_option
@password_options
@click.option("--to", "url", required=True, help="URL of a member's node.")
@click.option("--consortium", "expected", help="The consortium's fingerprint as you were told it; else you are asked.")
@click.option(
    "--data-size",
    type=click.IntRange(1, 2**32 - 1),
    help="Training images, declared on chain; default: those in [data] train.",
)
@days_option
@anvil_option
@yes_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(
    home: Path,
    password_file: Path | None,
    password_fd: int | None,
    url: str,
    expected: str | None,
    data_size: int | None,
    days: float,
    anvil_account: int | None,
    *,
    yes: bool,
    as_json: bool,
) -> None:
    """Ask a consortium's members, at the node of one of them, to admit this hospital.

    The contracts are compared with the chain's code, the consortium's fingerprint with --consortium, or by you. What is written are the
    contracts' addresses and the plan; what is sent is public. Run again, it asks again. `medweave node` then waits until the
    members have agreed.
    """
    place = Home(home)
    identity = unlock_identity(place, read_password(password_file, password_fd))
    size = data_size or count_images(place)
    host = Host(url, stranger_dialer(place, place.config()))
    found = host.invitation()
    check_consortium(place, found.deployment, expected)
    reader = Reader.at(Chain(place.config().chain.rpc, found.deployment))
    _check_plan(place, found.plan, len(reader.view.members))
    if not as_json:
        _show(found, reader.view, url)
    if expected is None and not yes:
        click.confirm("Is this the consortium whose fingerprint you were told?", abort=True)
    _write(place, found)
    if anvil_account is not None:
        _fund_locally(place, reader, identity, anvil_account)
    member = member_index(reader.view, str(identity.account.address)) is not None
    deadline = 0 if member else _ask(host, place, identity, found.deployment, size, days)
    asked = _outcome(found, reader, identity, member=member, deadline=deadline)
    click.echo(json.dumps(asdict(asked), indent=2) if as_json else _told(asked, home))


def check_consortium(place: Home, deployment: Deployment, expected: str | None) -> None:
    """Compare a consortium's fingerprint with what was told elsewhere, its contracts with those in this hospital's directory.

    Raises:
        BadInput: It is another one.
    """
    found = consortium_fingerprint(deployment)
    if expected is not None and letters(expected) != letters(found):
        raise BadInput(f"--consortium {expected}: the member's consortium is {found}: do not join before you know why")
    path = place.file(place.config().chain.deployment)
    if path.exists() and Deployment.from_json(path.read_bytes()) != deployment:
        raise BadInput(f"{path}: this hospital's directory belongs to another consortium: choose another --home")


def _check_plan(place: Home, plan: Plan | None, members: int) -> None:
    """What can be seen before joining of whether this hospital could take part.

    Raises:
        BadInput: It would take no part, as its images have other classes or its own policy forbids the plan.
    """
    if plan is None:
        return
    config = place.config()
    train = place.file(config.data.train)
    images = images_of(train) if train.exists() else None
    minimal = os.environ.get(TESTING_VARIABLE) == "1"
    for why in refusals(plan, config.rounds, members + 1, images, allow_minimal=minimal):
        raise BadInput(
            f"the consortium's plan {plan.name!r}: {why}: agree with its members, or change this hospital's part"
        )


def _show(found: Invitation, view: ConsortiumView, url: str) -> None:
    click.echo(
        f"consortium  {consortium_fingerprint(found.deployment)}\n"
        f"chain       {found.deployment.chain_id}; its contracts are ours, byte for byte\n"
        f"members     {len(view.members)}, {view.quorum} decide"
    )
    for _, hospital in view.present:
        asked = "  <- asked" if hospital.url.rstrip("/") == url.rstrip("/") else ""
        click.echo(f"            {hospital.name:<24} {fingerprint(hospital.account, hospital.box_key)}{asked}")
    if all(hospital.url.rstrip("/") != url.rstrip("/") for _, hospital in view.present):
        click.echo(f"            no member is registered under {url}: ask why before you go on")


def _write(place: Home, found: Invitation) -> None:
    path = place.file(place.config().chain.deployment)
    if not path.exists():
        write_private(path, found.deployment.to_json().encode())
        path.chmod(0o644)
    plan = place.file(place.config().rounds.plan)
    if found.plan is not None and not plan.exists():
        plan.write_text(plan_toml(found.plan), encoding="utf-8")


def _fund_locally(place: Home, reader: Reader, identity: Identity, anvil_account: int) -> None:
    refuse_public_payer(reader.chain.deployment.chain_id)
    account = str(identity.account.address)
    if reader.chain.balance(account) < LOCAL_STAKE * 10**18:
        fund(place.config().chain.rpc, dev_account(anvil_account), [account], LOCAL_STAKE)


def _ask(host: Host, place: Home, identity: Identity, deployment: Deployment, size: int, days: float) -> int:
    """Hand in the request: the one made before, where it still stands, so that all members asked vote on the same.

    Returns:
        Unix seconds until which it stands.
    """
    hospital = place.config().hospital
    record = Hospital(str(identity.account.address), identity.box.public, size, hospital.name, hospital.url)
    now = int(time.time())
    with suppress(OSError, BadMotion):
        text = place.request.read_bytes()
        before = read_request(text, deployment, now)
        if before.hospital == record and before.deadline <= now + days * 86400:
            host.ask(text)
            return before.deadline
    deadline = int(now + days * 86400)
    text = write_request(record, deadline, deployment, identity.account).encode()
    write_private(place.request, text)
    host.ask(text)
    return deadline


def _outcome(found: Invitation, reader: Reader, identity: Identity, **more: Any) -> Asked:
    account = str(identity.account.address)
    funds = Funds(reader.chain.balance(account), reader.chain.gas_price())
    print_of = fingerprint(account, identity.box.public)
    consortium = consortium_fingerprint(found.deployment)
    return Asked(
        consortium,
        found.host,
        account=account,
        fingerprint=print_of,
        balance=funds.balance,
        joining=funds.joining,
        **more,
    )


def _told(asked: Asked, home: Path) -> str:
    if asked.member:
        return f"this hospital is a member. Next:\n  medweave node --home {home}"
    lines = [
        f"asked {asked.host}. Read this fingerprint to the members by telephone:",
        f"  {asked.fingerprint}",
        "Each of them signs with `medweave members approve` and that fingerprint.",
    ]
    if asked.balance < asked.joining:
        lines.append(
            f"Account {asked.account} holds {ether(asked.balance)} ether; a first key and round cost {ether(asked.joining)}: have "
            "it sent there (a member can, with `approve --fund`)."
        )
    return "\n".join([*lines, f"Next, without waiting:\n  medweave node --home {home}"])
