"""`medweave storage`: how much a hospital keeps, whether it is intact, and letting go of what it need not keep."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import click

from node.calling.member import member_dialer
from node.cli.ledger_files import keep_option, prune_home
from node.cli.ledger_sources import progress_bar
from node.cli.options import home_option, password_options, read_password
from node.cli.reader import Reader
from node.home import Home, unlock_identity
from node.publishing.blobs import LIMITS
from node.storage import FileStore, fetch_blob
from node.storage.care import examine, repair
from node.storage.opening import GIBIBYTE, open_backend, open_store

if TYPE_CHECKING:
    from node.home import Identity
    from node.storage import BlobStore
    from node.storage.care import Finding

_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.group("storage", context_settings={"help_option_names": ["-h", "--help"]})
def command() -> None:
    """A hospital's blobs: ciphertexts, manifests, sealed models and statements."""


@command.command("stat")
@home_option
@_json
def stat(home: Path, *, as_json: bool) -> None:
    """Say how many blobs there are, and how much room they take and have."""
    place = Home(home)
    settings = place.config().storage
    store = open_backend(place.blobs, settings)
    sizes = [store.size(cid) for cid in store.iterate()]
    content: dict[str, object] = {
        "store": repr(store),
        "blobs": len(sizes),
        "bytes": sum(sizes),
        "quota_bytes": int(settings.quota_gib * GIBIBYTE) or None,
        "free_bytes": shutil.disk_usage(place.root).free if isinstance(store, FileStore) else None,
        "unfinished": len(store.unfinished()) if isinstance(store, FileStore) else None,
    }
    if as_json:
        click.echo(json.dumps(content))
        return
    click.echo(f"{content['store']}: {len(sizes)} blobs, {sum(sizes):,} bytes")
    for name, key in (("quota", "quota_bytes"), ("free on its disk", "free_bytes")):
        if content[key] is not None:
            click.echo(f"  {name}: {content[key]:,} bytes")
    if content["unfinished"]:
        click.echo(f"  transfers under way, or cut off within the last day: {content['unfinished']}")


@command.command("verify")
@home_option
@click.option(
    "--repair", "mend", is_flag=True, help="Fetch what is damaged from the other members' nodes; needs the password."
)
@password_options
@_json
def verify(home: Path, password_file: Path | None, password_fd: int | None, *, mend: bool, as_json: bool) -> int:
    """Read every blob and compare it with its name; exit code 1 if one is damaged and was not repaired.

    A running node finds and mends a damaged blob by itself when it needs it; this finds all of them now.
    """
    place = Home(home)
    store = open_store(place.blobs, place.config().storage)
    with progress_bar(quiet=as_json) as report:
        step = (lambda done, total: report("verifying", done, total)) if report else None
        found = examine(store, progress=step)
    left = found
    if mend and found:
        identity = unlock_identity(place, read_password(password_file, password_fd))
        left = _mend(place, store, found, identity)
    if as_json:
        repaired = sorted({finding.cid for finding in found} - {finding.cid for finding in left})
        rows = [{"cid": finding.cid, "problem": finding.problem, "detail": finding.detail} for finding in left]
        click.echo(json.dumps({"blobs": _count(store), "repaired": repaired, "damaged": rows}))
    else:
        for finding in left:
            click.echo(f"{finding.problem}: {finding.cid}: {finding.detail}")
        click.echo(f"{_count(store)} blobs, {len(found) - len(left)} repaired, {len(left)} damaged")
    return 1 if left else 0


@command.command("gc")
@home_option
@keep_option
@_json
def collect(home: Path, keep: int, *, as_json: bool) -> int:
    """Let go of ciphertexts of old rounds and free their room; the hospital's node stopped.

    What `medweave ledger prune` does, and an IPFS node's own garbage collection after it. Transactions, proofs, statements and models
    always stay.
    """
    place = Home(home)
    freed = prune_home(home, keep)
    store = open_backend(place.blobs, place.config().storage)
    blocks = None if isinstance(store, FileStore) else store.collect()
    if as_json:
        click.echo(json.dumps(freed.content | {"blocks_collected": blocks}))
    else:
        click.echo(freed.line)
        if blocks is not None:
            click.echo(f"the IPFS node collected {blocks} blocks")
    return 0


def _mend(place: Home, store: BlobStore, found: tuple[Finding, ...], identity: Identity) -> tuple[Finding, ...]:
    """Asks every member's node, as the chain has their addresses."""
    config = place.config()
    reader = Reader.of(place.root, None, None)
    dialer = member_dialer(place, config, identity.private_key, reader.chain.deployment.consortium)
    peers = [hospital.url for hospital in reader.view.hospitals if hospital.url and hospital.url != config.hospital.url]
    with dialer.client(LIMITS.timeout()) as client:
        return repair(found, lambda cid: fetch_blob(store, cid, peers, limits=LIMITS, client=client))


def _count(store: BlobStore) -> int:
    return sum(1 for _ in store.iterate())
