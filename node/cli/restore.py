"""`medweave restore`: a backup back into a directory, so that the node may be started at once."""

from __future__ import annotations

import json
import time
from pathlib import Path

import click

from chain.client import Chain
from node.cli.backup import progress_bar
from node.cli.keeping import check_shares
from node.cli.options import password_options, read_password
from node.cli.reader import Reader
from node.home import Home, read_deployment
from node.keeping.restoring import forget, fresh_directory, read_backup

_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.command("restore")
@click.option(
    "--home",
    type=click.Path(path_type=Path, file_okay=False),
    help="The hospital's directory; new or empty. Not needed with --list.",
)
@password_options
@click.option(
    "--from",
    "source",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    required=True,
    help="File that `medweave backup` wrote.",
)
@click.option("--list", "only_list", is_flag=True, help="Check every byte, say what it holds, and write nothing.")
@click.option("--offline", is_flag=True, help="Do not ask the chain whether the shares in it are still in force.")
@click.option(
    "--without-old-shares", "drop", is_flag=True, help="Leave out shares that were refreshed since the backup was made."
)
@_json
def command(
    home: Path | None,
    password_file: Path | None,
    password_fd: int | None,
    source: Path,
    *,
    only_list: bool,
    offline: bool,
    drop: bool,
    as_json: bool,
) -> None:
    """Put a backup back into a new directory; the node may be started on it at once, if the old one never runs again.

    The restored node does not know what the lost one said after the backup. So it sits out every round that is open when it
    first starts, and never uses a sequence number again that the lost one may have used.

    A backup from before a refresh is refused: its shares open nothing together with those in force. With
    --without-old-shares everything else is restored; `medweave keys rotate` then gives the hospital a share again.
    """
    password = read_password(password_file, password_fd)
    if only_list:
        with progress_bar("check", quiet=as_json) as progress:
            found = read_backup(source, password, None, progress)
        _say({"made": found.manifest.made, "hospital": found.manifest.hospital, "account": found.manifest.account,
              "medweave": found.manifest.medweave, "bytes": found.size, "files": found.names,
              "left_out": found.manifest.left_out}, as_json=as_json)  # fmt: skip
        return
    if home is None:
        raise click.UsageError("--home is missing: a new directory to restore into")
    if drop and offline:
        raise click.UsageError("--without-old-shares asks the chain which shares are old: leave out --offline")
    with fresh_directory(home) as fresh, progress_bar("restore", quiet=as_json) as progress:
        found = read_backup(source, password, fresh, progress)
        place = Home(fresh)
        forget(place, password, time.time())
        reader = None if offline else Reader.at(Chain(place.config().chain.rpc, read_deployment(place)))
        left_out = check_shares(reader, found.names, place, drop=drop) if reader else ()
    newest = max(reader.view.rounds, default=0) if reader else None
    facts = {"home": str(home), "made": found.manifest.made, "files": len(found.names), "left_out": left_out}
    if as_json:
        click.echo(json.dumps({**facts, "sits_out_through_round": newest}))
        return
    click.echo(f"{home}: {len(found.names):,} files of {found.manifest.made}")
    for name in left_out:
        click.echo(f"  left out: {name}")
    click.echo(
        "its node takes part from the first round on that is opened after it has started"
        + (f"; the newest round now is {newest}" if newest else "")
    )
    click.echo("make sure that the lost node never runs again, and make new API tokens: they are not in a backup")


def _say(facts: dict[str, object], *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(facts))
        return
    for name, value in facts.items():
        if isinstance(value, tuple):
            click.echo(f"{name}:" + "".join(f"\n  {line}" for line in value))
        else:
            click.echo(f"{name}: {value}")
