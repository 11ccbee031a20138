"""`medweave backup`: a hospital's whole directory in one sealed file."""

from __future__ import annotations

import json
import re
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from node.cli.options import home_option, password_options, read_password
from node.home import Home
from node.keeping.taking import back_up_home

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_NAMED = re.compile(r"medweave-[A-Za-z0-9_-]{1,40}-\d{8}T\d{6}Z\.mwb")
_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.command("backup")
@home_option
@password_options
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    required=True,
    help="File to write; in a directory, a file named after hospital and time.",
)
@click.option(
    "--keep",
    type=click.IntRange(1, 10_000),
    help="With a directory: afterwards delete this hospital's backups there beyond the newest so many.",
)
@click.option("--without-images", is_flag=True, help="Leave out `data/`: the images can be taken in again.")
@click.option("--without-blobs", is_flag=True, help="Leave out `blobs/`: the other members have them, too.")
@_json
def command(
    home: Path,
    password_file: Path | None,
    password_fd: int | None,
    out: Path,
    keep: int | None,
    *,
    without_images: bool,
    without_blobs: bool,
    as_json: bool,
) -> None:
    """Write the hospital's whole directory to one file, sealed under its keystore password. The node may run meanwhile.

    Databases are copied as of one moment. Left out is what the chain or the other members give back, and what would do harm
    when it is old: API tokens, orders, shares that were refreshed. After a refresh of the shares make a new backup and
    destroy the older ones. Without the password nobody opens it, you included: keep that apart from it.
    """
    place = Home(home)
    now = time.time()
    if keep is not None and not out.is_dir():
        raise click.UsageError("--keep wants --out to be a directory")
    named = out.is_dir()
    target = out / _name(place.config().hospital.name, now) if named else out
    password = read_password(password_file, password_fd)
    with progress_bar("backup", quiet=as_json) as progress:
        manifest = back_up_home(
            place,
            password,
            target,
            time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now)),
            images=not without_images,
            blobs=not without_blobs,
            progress=progress,
        )
    deleted = _delete_older(target, keep) if keep is not None else []
    if as_json:
        facts = {"file": str(target), "bytes": target.stat().st_size, "made": manifest.made, "files": manifest.files}
        click.echo(json.dumps({**facts, "left_out": manifest.left_out, "deleted": deleted}))
        return
    click.echo(
        f"{target}: {manifest.files:,} files, {target.stat().st_size:,} bytes, sealed under the keystore password"
    )
    for name in manifest.left_out:
        click.echo(f"  left out: {name}")
    for name in deleted:
        click.echo(f"  deleted: {name}")


def _name(hospital: str, now: float) -> str:
    """A file's name that sorts by time and tells the hospital."""
    plain = re.sub(r"[^A-Za-z0-9_-]+", "-", hospital).strip("-")[:40] or "hospital"
    return f"medweave-{plain}-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime(now))}.mwb"


def _delete_older(target: Path, keep: int) -> list[str]:
    """Delete the same hospital's older backups; nothing else in the directory is touched."""
    prefix = target.name[: -len("00000000T000000Z.mwb")]
    ours = sorted(
        path for path in target.parent.glob("*.mwb") if _NAMED.fullmatch(path.name) and path.name[:-20] == prefix
    )
    for path in ours[:-keep]:
        path.unlink()
    return [path.name for path in ours[:-keep]]


@contextmanager
def progress_bar(what: str, *, quiet: bool) -> Iterator[Callable[[int, int], None]]:
    """A bar on standard error where somebody looks at it."""
    if quiet or not sys.stderr.isatty():
        yield lambda _done, _total: None
        return
    with click.progressbar(length=1, label=what, file=sys.stderr) as bar:

        def told(done: int, total: int) -> None:
            bar.length = max(total, 1)
            bar.update(done - bar.pos)

        yield told
