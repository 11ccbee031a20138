"""`medweave members url`: where the others find this hospital's node."""

from __future__ import annotations

from pathlib import Path

import click
from pydantic import ValidationError

from node.cli.options import home_option, password_options, read_password
from node.cli.reader import signing_reader
from node.config import Hospital, NodeConfig
from node.epochs.start import member_index
from node.errors import BadInput
from node.home import Home


@click.command("url")
@home_option
@password_options
@click.argument("url", required=False)
def url(home: Path, password_file: Path | None, password_fd: int | None, url: str | None) -> None:
    """Register this hospital's own URL on chain, and write it to node.toml; without one, the URL of node.toml is registered.

    It takes no vote: everybody speaks for its own address. The daemon reads it when it is started again.
    """
    place = Home(home)
    config = NodeConfig.read(place.config_file, {})  # what is written back must not hold what the environment overrides
    moved = config if url is None else _moved(config, url)
    reader = signing_reader(place, read_password(password_file, password_fd))
    account = str(reader.chain.account)
    seat = member_index(reader.view, account)
    if seat is None:
        raise BadInput(f"account {account} is no member's: `medweave join` sends the URL along")
    if reader.view.hospitals[seat].url != moved.hospital.url:
        reader.chain.registry.set_url(moved.hospital.url)
    if moved != config:
        moved.write(place.config_file)
    click.echo(f"{moved.hospital.url} is registered")


def _moved(config: NodeConfig, url: str) -> NodeConfig:
    try:
        hospital = Hospital(**config.hospital.model_dump() | {"url": url})
    except ValidationError as error:
        raise BadInput(f"{url!r}: {error.errors()[0]['msg']}") from None
    return config.model_copy(update={"hospital": hospital})
