"""`medweave keys backup` and `restore`: the safekeeping of one member's secrets."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from chain.client import Chain
from node.cli.options import home_option, password_options, read_password
from node.cli.reader import Reader
from node.epochs.backup import RESTORED, back_up, generations, open_backup, restore, without_shares
from node.errors import BadInput
from node.home import Home, erase_private, read_deployment, write_private
from node.keeping.restoring import forget
from node.rounds.journal import Journal

if TYPE_CHECKING:
    from collections.abc import Collection

_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.command("backup")
@home_option
@password_options
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), required=True, help="File to write.")
@_json
def backup(home: Path, password_file: Path | None, password_fd: int | None, out: Path, *, as_json: bool) -> None:
    """Write this hospital's secrets to one file, sealed under its keystore password.

    Keep it off this machine, and make a new one after every key epoch and every refresh: a share that is lost cannot be
    made again. After a refresh destroy older backups: what they hold is of no use to you, and helps a thief.
    """
    if out.exists():
        raise BadInput(f"--out {out}: exists already; a backup never overwrites")
    data, names = back_up(Home(home), read_password(password_file, password_fd))
    write_private(out, data)
    if as_json:
        shares = {str(epoch): generation for epoch, generation in generations(names).items()}
        click.echo(json.dumps({"file": str(out), "bytes": len(data), "holds": names, "generations": shares}))
    else:
        click.echo(f"{out}: {len(data):,} bytes, {len(names)} files, sealed under the keystore password")
        for epoch, generation in generations(names).items():
            click.echo(f"  share of epoch {epoch}, generation {generation}")


@click.command("restore")
@home_option
@password_options
@click.option(
    "--from",
    "source",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    required=True,
    help="File that `medweave keys backup` wrote.",
)
@click.option("--offline", is_flag=True, help="Do not ask the chain anything. Read the help first.")
@click.option(
    "--without-old-shares", "drop", is_flag=True, help="Leave out shares that were refreshed since the backup was made."
)
@_json
def restore_command(
    home: Path,
    password_file: Path | None,
    password_fd: int | None,
    source: Path,
    *,
    offline: bool,
    drop: bool,
    as_json: bool,
) -> None:
    """Put a backup's secrets into a new directory.

    What the lost node said and promised is not known any more, so the restored one sits out every round that is open when
    it first starts: otherwise two sums that differ by one update might be opened. Ledger and models come from the members.

    A backup whose shares were refreshed since is refused: they open nothing together with those in force, and should have
    been destroyed. With --without-old-shares everything else is restored; the hospital opens no sums until the next
    `medweave keys rotate` gives it a share again.
    """
    if home.exists() and any(home.iterdir()):
        raise BadInput(f"--home {home}: is not empty; restore into a new directory")
    password = read_password(password_file, password_fd)
    files = open_backup(source.read_bytes(), password)
    if drop and offline:
        raise click.UsageError("--without-old-shares asks the chain which shares are old: leave out --offline")
    fresh = home.with_name(home.name + ".restoring")
    shutil.rmtree(fresh, ignore_errors=True)
    try:
        restore(files, fresh, password)
        reader = None if offline else Reader.at(Chain(Home(fresh).config().chain.rpc, read_deployment(Home(fresh))))
        left_out = check_shares(reader, files, Home(fresh), drop=drop) if reader else ()
        number = _sit_out(reader, Home(fresh)) if reader else None
        forget(Home(fresh), password, time.time())
        if home.exists():
            home.rmdir()
        fresh.rename(home)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    kept = sorted(set(files) - set(left_out))
    if as_json:
        rows = {"home": str(home), "restored": kept, "left_out": left_out, "sits_out_round": number}
        click.echo(json.dumps(rows))
    else:
        click.echo(f"{home}: {len(kept)} files restored" + (f"; sits out round {number}" if number else ""))
        for name in left_out:
            click.echo(f"  left out: {name}")


def check_shares(reader: Reader, files: Collection[str], fresh: Home, *, drop: bool) -> tuple[str, ...]:
    """Refuse, or remove where asked to, shares of an older generation than the chain has in force.

    Args:
        reader: Knows the generations in force.
        files: Names in the backup.
        fresh: Where they were restored to.
        drop: Remove instead of refusing.

    Returns:
        The names of what was removed.

    Raises:
        BadInput: There are such shares, and they are not to be removed.
    """
    present = {number: epoch.generation for number, epoch in reader.view.epochs.items()}
    old = {epoch: g for epoch, g in generations(files).items() if g < present.get(epoch, 0)}
    if old and not drop:
        named = "; ".join(f"epoch {epoch}: generation {g}, in force is {present[epoch]}" for epoch, g in old.items())
        raise BadInput(
            f"the backup is older than the last refresh ({named}): its shares open nothing together with the present ones. "
            "Restore a newer backup, or everything else with --without-old-shares"
        )
    names = without_shares(files, old)
    for name in names:
        erase_private(fresh.root / name)
    return names


def _sit_out(reader: Reader, home: Home) -> int | None:
    """Promise to open nothing in the round that is open; its number, or None."""
    current = reader.view.current
    if current is None or not current.open:
        return None
    journal = Journal(home.journal)
    try:
        journal.promise(current.round, "opened", RESTORED)
    finally:
        journal.close()
    return current.round
