"""Putting a backup back, so that the node may be started at once.

What the lost node said after the backup is not known, so the restored one must not speak where it may have spoken: its
ledger skips sequence numbers (`dag.restoring`), and it sits out every round that is open at its first start
(`node.rounds.restored`). All else it learns from the chain and the other members.
"""

from __future__ import annotations

import os
import shutil
import tarfile
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import IO, TYPE_CHECKING, Final, cast

from dag.errors import LedgerError
from dag.restoring import skip_sequences
from dag.store.sqlite import Store
from node.errors import BadEnvironment, BadInput
from node.home import Home, unlock_identity
from node.keeping.contents import is_taken
from node.keeping.manifest import LONGEST, NAME, Manifest
from node.keeping.sealed import SealedReader
from node.rounds.journal import Journal
from node.rounds.restored import mark_restored

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

MOST_FILES: Final = 50_000_000
_COPY_BYTES: Final = 1 << 20


@dataclass(frozen=True)
class Restored:
    """What came out of a backup.

    Attributes:
        manifest: What the backup says of itself.
        names: Names of the files in it, in order.
        size: Their bytes.
    """

    manifest: Manifest
    names: tuple[str, ...]
    size: int


def read_backup(
    source: Path,
    password: str,
    into: Path | None,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> Restored:
    """Read a whole backup; every byte of it is checked.

    Args:
        source: The backup's file.
        password: What opens it.
        into: A new directory to write its files to; None only checks and lists.
        progress: Told how many bytes were read, and of how many.

    Raises:
        BadInput: No backup, a damaged one, or one that holds what no backup may hold.
        BadEnvironment: The disk refuses.
        WrongPassword: The password does not open it.
    """
    try:
        with source.open("rb") as file:
            return _read(cast("IO[bytes]", SealedReader(file, password)), into, progress)
    except tarfile.TarError as error:
        raise BadInput(f"{source}: its content is no archive ({error})") from None
    except OSError as error:
        raise BadEnvironment(f"the backup cannot be restored: {error}") from None


def _read(stream: IO[bytes], into: Path | None, progress: Callable[[int, int], None]) -> Restored:
    names: dict[str, None] = {}
    size = 0
    with tarfile.open(fileobj=stream, mode="r|") as archive:
        manifest = _manifest(archive)
        while (entry := archive.next()) is not None:
            if not entry.isreg() or not is_taken(entry.name) or entry.name in names or len(names) >= MOST_FILES:
                raise BadInput(f"backup: {entry.name[:80]!r} does not belong into a backup")
            names[entry.name] = None
            size += entry.size
            if into is not None and (content := archive.extractfile(entry)) is not None:
                _put(into, entry.name, content)
            progress(min(size, manifest.size), manifest.size)
    while stream.read(_COPY_BYTES):  # what fills the archive's last block; its end is checked on the way
        pass
    return Restored(manifest, tuple(names), size)


def _manifest(archive: tarfile.TarFile) -> Manifest:
    first = archive.next()
    content = archive.extractfile(first) if first is not None and first.isreg() and first.name == NAME else None
    if first is None or content is None or first.size > LONGEST:
        raise BadInput(f"backup: does not begin with {NAME}: this is no backup of a hospital's directory")
    return Manifest.from_bytes(content.read(LONGEST))


def _put(into: Path, name: str, content: IO[bytes]) -> None:
    path = into / name
    for directory in reversed(path.relative_to(into).parents[:-1]):
        (into / directory).mkdir(exist_ok=True, mode=0o700)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as target:
        shutil.copyfileobj(content, target, _COPY_BYTES)


@contextmanager
def fresh_directory(home: Path) -> Iterator[Path]:
    """A directory beside `home` that takes its place if the block ends well, and is removed if it does not.

    Raises:
        BadInput: There is something in `home` already.
    """
    if home.exists() and (not home.is_dir() or any(home.iterdir())):
        raise BadInput(f"--home {home}: is not empty; restore into a new directory")
    fresh = home.with_name(home.name + ".restoring")
    shutil.rmtree(fresh, ignore_errors=True)
    try:
        fresh.mkdir(parents=True, mode=0o700)
        yield fresh
        os.sync()  # once, instead of once a blob
        if home.exists():
            home.rmdir()
        fresh.rename(home)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def forget(home: Home, password: str, now: float) -> int:
    """Make a restored directory safe to start a node on.

    Args:
        home: The restored directory.
        password: Its keystore password.
        now: Seconds since 1970.

    Returns:
        The least sequence number the node uses in the ledger from now on.

    Raises:
        BadConfig: There are no keys in it.
        BadInput: Its ledger is damaged.
        WrongPassword: The password does not open its keys.
    """
    identity = unlock_identity(home, password)
    journal = Journal(home.journal)
    try:
        mark_restored(journal, datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"))
    finally:
        journal.close()
    try:
        with Store(home.ledger) as store:
            return skip_sequences(store, identity.address, now)
    except LedgerError as error:
        raise BadInput(
            f"the ledger in the backup cannot be used ({error}): `medweave keys restore` takes the secrets alone, peers have the ledger"
        ) from None
