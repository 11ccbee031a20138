"""`medweave found`: a new consortium whose one member, for now, is this hospital; others join it by `medweave join`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from chain.anvil import dev_account
from chain.client import Chain
from chain.connection import Connection
from chain.deployment import Deployment, deploy, fund
from chain.fees import price_now
from chain.intents import IntentBook
from chain.records import Hospital
from node.cli.chain_deploy import consortium_id
from node.cli.joining import anvil_option, count_images, refuse_public_payer
from node.cli.options import cohort_option, home_option, password_options, read_password
from node.errors import BadEnvironment, BadInput
from node.home import Home, unlock_identity, write_private
from node.membership.fingerprint import consortium_fingerprint
from node.membership.funds import FOUNDING_GAS, ether
from node.planning.choice import fewest_members
from node.planning.first import first_plan, images_of
from node.planning.text import plan_toml
from node.rounds.plan import Plan

if TYPE_CHECKING:
    from eth_account.signers.local import LocalAccount

    from node.home import Identity

LOCAL_STAKE = 100
"""Ether that `--anvil-account` gives the hospital's account."""


@click.command("found")
@home_option
@password_options
@click.option(
    "--name", required=True, help="The consortium's name; with the founder's keys it gives the consortium's id."
)
@click.option(
    "--data-size",
    type=click.IntRange(1, 2**32 - 1),
    help="Training images, declared on chain; default: those in [data] train.",
)
@cohort_option
@anvil_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(
    home: Path,
    password_file: Path | None,
    password_fd: int | None,
    name: str,
    data_size: int | None,
    smallest_cohort: int,
    anvil_account: int | None,
    *,
    as_json: bool,
) -> None:
    """Found a consortium: put its contracts on the chain, with this hospital as its first member, and write a first plan.

    After a crash the same command goes on where it was and sends nothing twice. The contracts take some 10 M gas, which this
    hospital's account pays; afterwards it has no more rights than any member.
    """
    place = Home(home)
    config = place.config()
    identity = unlock_identity(place, read_password(password_file, password_fd))
    size = data_size or count_images(place)
    founder = Hospital(
        str(identity.account.address), identity.box.public, size, config.hospital.name, config.hospital.url
    )
    deployment = _deployed(place, founder, name) or _deploy(
        place, identity, founder, name, anvil_account, smallest_cohort
    )
    planned = _write_plan(place)
    waits = max(2, config.rounds.min_group) if planned is None else fewest_members(Plan.from_toml(planned))
    if as_json:
        found = {
            "deployment": json.loads(deployment.to_json()),
            "fingerprint": consortium_fingerprint(deployment),
            "plan": None if planned is None else str(planned),
            "members_needed": waits,
        }
        click.echo(json.dumps(found, indent=2))
        return
    shown = "none: there are no images yet; `medweave plan new` writes one"
    if planned is not None:
        shown = f"{planned}: look it over (`medweave plan show`)"
    click.echo(
        f"founded {name} on chain {deployment.chain_id}\n  fingerprint  {consortium_fingerprint(deployment)}\n"
        f"  plan         {shown}\n"
        f"Rounds begin with {waits} members. Next:\n  medweave node --home {home}\n"
        f"Tell the hospitals that are to join this node's URL, {config.hospital.url}, and, by another way, the fingerprint:\n"
        f"  medweave join --home DIR --to {config.hospital.url} --consortium {consortium_fingerprint(deployment)}"
    )


def _deployed(place: Home, founder: Hospital, name: str) -> Deployment | None:
    """What this command has done before.

    Raises:
        BadInput: The directory belongs to another consortium.
        NotDeployed: The file does not agree with the chain.
    """
    path = place.file(place.config().chain.deployment)
    if not path.exists():
        return None
    deployment = Deployment.from_json(path.read_bytes())
    if deployment.consortium != consortium_id(name, [founder]):
        raise BadInput(
            f"{path}: this hospital belongs to consortium {deployment.consortium.hex()[:16]}… already, or was founded under "
            "another name: choose another --home"
        )
    Chain(place.config().chain.rpc, deployment).verify()
    return deployment


def _deploy(
    place: Home, identity: Identity, founder: Hospital, name: str, anvil_account: int | None, smallest_cohort: int
) -> Deployment:
    rpc, path = place.config().chain.rpc, place.file(place.config().chain.deployment)
    payer = _payer(rpc, identity, anvil_account)
    book = IntentBook(path.with_name(path.name + ".intents.sqlite"))
    try:
        deployment = deploy(
            rpc, payer, consortium_id(name, [founder]), [founder], smallest_cohort=smallest_cohort, book=book
        )
        if anvil_account is not None:
            fund(rpc, payer, [founder.account], LOCAL_STAKE, book=book, purpose=f"fund/{founder.account}")
    finally:
        book.close()
    Chain(rpc, deployment).verify()
    write_private(path, deployment.to_json().encode())
    path.chmod(0o644)
    return deployment


def _payer(rpc: str, identity: Identity, anvil_account: int | None) -> LocalAccount:
    """Who pays for the contracts.

    Raises:
        BadEnvironment: This hospital's account cannot.
    """
    connection = Connection(rpc)
    if anvil_account is not None:
        refuse_public_payer(connection.chain_id())
        return dev_account(anvil_account)
    account = identity.account
    needed = FOUNDING_GAS * price_now(connection)
    held = int(connection.run("eth_getBalance", lambda: connection.w3.eth.get_balance(account.address)))
    if held < needed:
        raise BadEnvironment(
            f"account {account.address} holds {ether(held)} ether, the contracts may cost {ether(needed)}: have it sent there "
            f"(chain {connection.chain_id()}) and run the command again; on a local Anvil, --anvil-account 0 pays"
        )
    return account


def _write_plan(place: Home) -> Path | None:
    """The plan's file: the one that is there, or a first one with the images' classes and this hospital's `min_group`.

    Returns:
        The file; None where there is none, and no images to take the classes from.
    """
    config = place.config()
    path, train = place.file(config.rounds.plan), place.file(config.data.train)
    if path.exists():
        return path
    if not train.exists():
        return None
    images = images_of(train)
    plan = first_plan(images.classes, crop_lungs=images.cropped, min_group=config.rounds.min_group)
    path.write_text(plan_toml(plan), encoding="utf-8")
    return path
