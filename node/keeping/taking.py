"""Taking a backup: databases copied consistently while the node writes them, then everything into one sealed stream.

Order makes the parts fit each other: databases first, then the files they speak of. A blob is written before the ledger or
the journal names it, so each blob named is there when blobs are read, unless it was let go since.
"""

from __future__ import annotations

import io
import os
import shutil
import sqlite3
import tarfile
from contextlib import closing
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

from node.errors import BadConfig, BadEnvironment, BadInput
from node.home import unlock_identity
from node.keeping.contents import WORKSPACE, contents_of
from node.keeping.manifest import NAME, Manifest
from node.keeping.sealed import SealedWriter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from node.home import Home
    from node.keeping.contents import Contents

MOST_LEFT_OUT = 100
"""Names of files left out that a manifest holds."""
_BUSY_SECONDS = 30.0


@dataclass(frozen=True)
class Source:
    """A file on its way into a backup."""

    name: str
    path: Path


def back_up_home(
    home: Home,
    password: str,
    out: Path,
    made: str,
    *,
    images: bool = True,
    blobs: bool = True,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> Manifest:
    """Write a hospital's whole directory into one file sealed under its password; its node may run.

    Args:
        home: The hospital's directory.
        password: Its keystore password; it must open the secrets.
        out: The file to make; it appears under this name only when it is whole and on disk.
        made: The time now, RFC 3339, UTC, in seconds.
        images: Whether to take `data/` as well.
        blobs: Whether to take `blobs/` as well; what is missing is fetched from the other members after a restore.
        progress: Told how many bytes were read, and of how many.

    Returns:
        What was taken.

    Raises:
        BadConfig: There is no hospital in the directory.
        BadEnvironment: The disk is full, or a file cannot be read.
        BadInput: The file exists, or would lie inside the directory.
        WrongPassword: The password does not open the secrets.
    """
    identity = unlock_identity(home, password)
    if out.exists():
        raise BadInput(f"--out {out}: exists already; a backup never overwrites")
    if home.root.resolve() in out.resolve().parents:
        raise BadInput(f"--out {out}: lies inside the hospital's directory; a backup belongs elsewhere")
    hospital = home.config().hospital.name
    workspace = home.root / WORKSPACE
    unfinished = out.with_name(out.name + ".part")
    shutil.rmtree(workspace, ignore_errors=True)
    try:
        workspace.mkdir(mode=0o700)
        taken = contents_of(home, images=images, blobs=blobs)
        sources = list(_sources(home, taken, workspace))
        size = sum(source.path.stat().st_size for source in sources if source.path.exists())
        manifest = Manifest(
            made=made,
            hospital=hospital,
            account=str(identity.account.address),
            medweave=_version(),
            files=len(sources),
            size=size,
            left_out=(*_elsewhere(home), *taken.left_out)[:MOST_LEFT_OUT],
        )
        unfinished.unlink(missing_ok=True)
        with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as target:
            _write(target, password, manifest, sources, progress)
            target.flush()
            os.fsync(target.fileno())
        unfinished.replace(out)
    except (OSError, sqlite3.Error) as error:
        raise BadEnvironment(f"the backup cannot be made: {error}") from None
    finally:
        unfinished.unlink(missing_ok=True)
        shutil.rmtree(workspace, ignore_errors=True)
    return manifest


def _elsewhere(home: Home) -> tuple[str, ...]:
    """Images that the configuration names outside the hospital's directory."""
    data = home.config().data
    paths = [home.file(name) for name in (data.train, data.validation, data.test) if name]
    return tuple(str(path) for path in paths if home.root.resolve() not in path.resolve().parents)


def _sources(home: Home, taken: Contents, workspace: Path) -> Iterator[Source]:
    for name in taken.databases:
        copy = workspace / name.replace("/", "+")
        _copy_database(home.root / name, copy)
        yield Source(name, copy)
    for name in taken.files:
        yield Source(name, home.root / name)


def _copy_database(database: Path, copy: Path) -> None:
    """One moment of a database, whoever writes it meanwhile."""
    with closing(sqlite3.connect(database, timeout=_BUSY_SECONDS)) as live, closing(sqlite3.connect(copy)) as target:
        live.execute("PRAGMA query_only=1")
        live.backup(target)
        found = target.execute("PRAGMA quick_check(1)").fetchone()[0]
    if found != "ok":
        raise BadConfig(f"{database}: is damaged ({found}); see docs/operations.md, the disk is lost or failing")
    copy.chmod(0o600)


def _write(
    target: io.BufferedWriter,
    password: str,
    manifest: Manifest,
    sources: list[Source],
    progress: Callable[[int, int], None],
) -> None:
    stream = SealedWriter(target, password)
    done = 0
    with tarfile.open(fileobj=stream, mode="w|", format=tarfile.PAX_FORMAT) as archive:
        data = manifest.to_bytes()
        archive.addfile(_entry(NAME, len(data)), io.BytesIO(data))
        for source in sources:
            try:
                file = source.path.open("rb")
            except FileNotFoundError:
                continue  # a blob that was let go since, a key that was exchanged
            with file:
                size = os.fstat(file.fileno()).st_size
                archive.addfile(_entry(source.name, size), file)
            done += size
            progress(min(done, manifest.size), manifest.size)
    stream.finish()


def _entry(name: str, size: int) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = size, 0o600
    return entry


def _version() -> str:
    try:
        return version("medweave")
    except PackageNotFoundError:
        return "0"
