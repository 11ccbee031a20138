"""`medweave export`: a model this hospital holds, as a file."""

from __future__ import annotations

import os
from pathlib import Path

import click

from chain.client import Chain
from node.cli.options import home_option, password_options, read_password
from node.config import TESTING_VARIABLE
from node.epochs.vault import Vault
from node.errors import BadInput, RoundProblem
from node.home import Home, read_deployment, unlock_identity, write_private
from node.learning.modelfile import model_hash
from node.rounds.journal import Journal
from node.sealing.models import OWN, open_model, open_own, own_key
from node.storage.opening import open_store


@click.command("export")
@home_option
@password_options
@click.option("--model", "wanted", help="Hash of the model, hex; the newest where not given.")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), required=True, help="File to write.")
def command(home: Path, password_file: Path | None, password_fd: int | None, wanted: str | None, out: Path) -> None:
    """Write a model this hospital holds to a file. It leaves the members' hands: that is this hospital's decision."""
    place = Home(home)
    identity = unlock_identity(place, read_password(password_file, password_fd))
    journal = Journal(place.journal)
    held = {model: (epoch, number, sealed) for model, epoch, number, sealed in journal.models()}
    journal.close()
    if wanted is not None:
        chosen = _digest(wanted)
    else:
        chosen = Chain(place.config().chain.rpc, read_deployment(place)).models.head()
    if chosen not in held:
        raise RoundProblem(f"model {chosen.hex()[:16]}… is not held here; `GET /v1/models` lists the lineage")
    epoch, number, sealed = held[chosen]
    store = open_store(place.blobs, place.config().storage)
    if epoch == OWN:
        data = open_own(own_key(identity.derive), number, store.get(sealed))
    else:
        minimal = os.environ.get(TESTING_VARIABLE) == "1"
        keys = Vault(place, identity.password, store, allow_minimal=minimal).keys(epoch)
        if keys is None:
            raise RoundProblem(f"this hospital holds no keys of epoch {epoch}")
        data = open_model(keys.member, epoch, number, store.get(sealed))
    if model_hash(data) != chosen:
        raise RoundProblem(f"blob {sealed} is not model {chosen.hex()[:16]}…")
    write_private(out, data)
    click.echo(f"{chosen.hex()}  {out}")


def _digest(text: str) -> bytes:
    try:
        value = bytes.fromhex(text.removeprefix("0x"))
    except ValueError:
        value = b""
    if len(value) != 32:
        raise BadInput(f"--model {text}: expected 64 hex digits")
    return value
