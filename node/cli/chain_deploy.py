"""`medweave chain deploy`: the contracts of a new consortium, once, however often it is cut off."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from chain import jsontext
from chain.anvil import dev_account
from chain.client import Chain
from chain.deployment import Deployment, fund
from chain.deployment import deploy as deploy_contracts
from chain.errors import BadArgument
from chain.intents import IntentBook
from chain.keystore import unlock
from chain.records import MAX_MEMBERS, Hospital
from node.cli.options import cohort_option, password_options, read_password
from node.errors import BadInput
from node.home import write_private

if TYPE_CHECKING:
    from eth_account.signers.local import LocalAccount

    from chain.records import Receipt

MAX_FILE_BYTES = 1_000_000
_FIELDS = ("account", "box_key", "data_size", "name", "url")


@click.command("deploy")
@click.option("--rpc", required=True, help="JSON-RPC endpoint of the chain.")
@click.option("--name", required=True, help="The consortium's name; with the members it gives the consortium's id.")
@click.option(
    "--members",
    "members_file",
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    help="JSON list of the founding members: account, box_key, url, name as `medweave init --json` prints them, data_size.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    help="File for the contracts' addresses, which every member copies to its directory.",
)
@click.option(
    "--keystore", type=click.Path(path_type=Path, dir_okay=False), help="The account that pays (keystore v3)."
)
@click.option(
    "--anvil-account", type=click.IntRange(0, 9), help="Pay with an account every Anvil knows: local chains only."
)
@cohort_option
@click.option("--fund", "ether", default="0", show_default=True, help="Ether to give each member's account.")
@password_options
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def deploy(
    rpc: str,
    name: str,
    members_file: Path,
    out: Path,
    keystore: Path | None,
    anvil_account: int | None,
    smallest_cohort: int,
    ether: str,
    password_file: Path | None,
    password_fd: int | None,
    *,
    as_json: bool,
) -> None:
    """Put a consortium's contracts on a chain.

    Every transaction is written down beside OUT before it is sent: after a crash the same command goes on where it was,
    and sends nothing twice. Where OUT is complete, it is compared with the chain and nothing is sent.
    """
    members = read_founders(members_file)
    consortium = consortium_id(name, members)
    done = _deployed(out, rpc, consortium)
    rows: list[dict[str, Any]] = []
    if done is None:
        payer = _payer(keystore, anvil_account, password_file, password_fd)
        book = IntentBook(out.with_name(out.name + ".intents.sqlite"))

        def told(contract: str, receipt: Receipt, address: str) -> None:
            row = {"contract": contract, "address": address, "block": receipt.block, "gas": receipt.gas_used}
            rows.append(row)
            if not as_json:
                click.echo(f"{contract:<18} {address}  block {receipt.block}  {receipt.gas_used:>10,} gas")

        done = deploy_contracts(rpc, payer, consortium, members, smallest_cohort=smallest_cohort, book=book, told=told)
        if ether != "0":
            purpose = f"fund/{consortium.hex()}"
            paid = fund(rpc, payer, [m.account for m in members], ether, book=book, purpose=purpose)
            rows.append({"contract": "funds", "gas": sum(receipt.gas_used for receipt in paid)})
        book.close()
        Chain(rpc, done).verify()
        write_private(out, done.to_json().encode())
        out.chmod(0o644)
    gas = sum(row["gas"] for row in rows)
    if as_json:
        click.echo(json.dumps({"deployment": json.loads(done.to_json()), "steps": rows, "gas": gas}, indent=2))
    elif rows:
        click.echo(f"{gas:,} gas in all; addresses in {out}")
    else:
        click.echo(f"deployed already: {out} agrees with the chain; nothing was sent")


def read_founders(path: Path) -> list[Hospital]:
    """The founding members in a file.

    Raises:
        BadInput: It cannot be read; the message names the member and the field.
    """
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise BadInput(f"{path}: more than {MAX_FILE_BYTES} bytes")
        rows = jsontext.parse(path.read_bytes())
    except OSError as error:
        raise BadInput(f"{path}: {error.strerror}") from None
    except ValueError as error:
        raise BadInput(f"{path}: not JSON ({error})") from None
    if not isinstance(rows, list) or not 1 <= len(rows) <= MAX_MEMBERS:
        raise BadInput(f"{path}: expected a JSON list of 1 to {MAX_MEMBERS} members")
    return [_founder(path, number, row) for number, row in enumerate(rows)]


def _founder(path: Path, number: int, row: object) -> Hospital:
    where = f"{path}, member {number}"
    if not isinstance(row, dict) or not set(_FIELDS) <= set(row):
        raise BadInput(f"{where}: expected an object with {', '.join(_FIELDS)}")
    try:
        box_key = bytes.fromhex(str(row["box_key"]).removeprefix("0x"))
    except ValueError:
        raise BadInput(f"{where}: box_key: expected 64 hex digits") from None
    if not all(isinstance(row[field], str) for field in ("account", "name", "url")):
        raise BadInput(f"{where}: account, name and url: expected text")
    try:
        return Hospital(row["account"], box_key, row["data_size"], row["name"], row["url"])
    except BadArgument as error:
        raise BadInput(f"{where}: {error}") from None


def consortium_id(name: str, members: list[Hospital]) -> bytes:
    """The id of a consortium: a digest of its name and its founding members (32 bytes)."""
    rows = [[m.account, m.box_key.hex(), m.data_size, m.name, m.url] for m in members]
    return hashlib.sha256(b"medweave/consortium" + json.dumps([name, rows]).encode()).digest()


def _deployed(out: Path, rpc: str, consortium: bytes) -> Deployment | None:
    """What a command before this one has deployed.

    Raises:
        BadInput: The file is of another consortium.
        NotDeployed: It does not agree with the chain.
    """
    if not out.exists():
        return None
    deployment = Deployment.from_json(out.read_bytes())
    if deployment.consortium != consortium:
        raise BadInput(f"{out}: of another consortium, {deployment.consortium.hex()[:16]}…: choose another --out")
    Chain(rpc, deployment).verify()
    return deployment


def _payer(
    keystore: Path | None, anvil_account: int | None, password_file: Path | None, password_fd: int | None
) -> LocalAccount:
    if (keystore is None) == (anvil_account is None):
        raise click.UsageError("give --keystore FILE or --anvil-account N")
    if keystore is None:
        return dev_account(anvil_account or 0)
    try:
        text = keystore.read_bytes()
    except OSError as error:
        raise BadInput(f"--keystore {keystore}: {error.strerror}") from None
    return unlock(text, read_password(password_file, password_fd))
