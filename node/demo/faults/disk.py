"""A small disk of its own under a hospital's directory, which can be filled up.

Where this process may mount, the directory is a tmpfs: filled, every write fails with ENOSPC, as on a full disk. Elsewhere the
running process is forbidden to write files (RLIMIT_FSIZE 0): its writes fail with EFBIG, the nearest thing without privileges.
"""

from __future__ import annotations

import contextlib
import os
import resource
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING, Final

import psutil

from node.errors import BadEnvironment

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SIZE_MIB: Final = 96
BALLAST: Final = "ballast"
PIECE_BYTES: Final = 1 << 20


@contextlib.contextmanager
def small_disk(home: Path) -> Iterator[Disk]:
    """A disk under a directory for as long as the context lasts; what was written stays in the directory afterwards.

    Args:
        home: The hospital's directory; made where it is missing, empty so far.
    """
    home.mkdir(parents=True, exist_ok=True)
    mounted = _mount(home)
    try:
        yield Disk(home, mounted=mounted)
    finally:
        if mounted:
            _take_off(home)


class Disk:
    """Fills up and makes room again.

    Args:
        home: What it holds.
        mounted: Whether it is a file system of its own.
    """

    def __init__(self, home: Path, *, mounted: bool) -> None:
        self._home = home
        self._mounted = mounted

    @property
    def how(self) -> str:
        """What happens to writes, in a few words."""
        return "tmpfs, ENOSPC" if self._mounted else "RLIMIT_FSIZE, EFBIG"

    def fill(self, pid: int) -> None:
        """No further byte can be written from now on."""
        if self._mounted:
            _write_until_full(self._home / BALLAST)
            return
        _limit(pid, 0)

    def clear(self, pid: int | None) -> None:
        """There is room again.

        Args:
            pid: The process that was kept from writing, if it still runs.
        """
        if self._mounted:
            (self._home / BALLAST).unlink(missing_ok=True)
        elif pid is not None:
            _limit(pid, resource.RLIM_INFINITY)


def _mount(home: Path) -> bool:
    if not sys.platform.startswith("linux") or os.geteuid() != 0 or shutil.which("mount") is None:
        return False
    command = ["mount", "-t", "tmpfs", "-o", f"size={SIZE_MIB}m,mode=700", "medweave-fault", str(home)]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def _take_off(home: Path) -> None:
    """Unmount, with the files moved to the directory below."""
    kept = home.with_name(home.name + ".kept")
    shutil.copytree(home, kept, symlinks=True, ignore=shutil.ignore_patterns(BALLAST))
    done = subprocess.run(["umount", str(home)], capture_output=True, text=True, check=False)
    if done.returncode:
        raise BadEnvironment(f"{home}: cannot be unmounted ({done.stderr.strip()}): `umount {home}` when it is free")
    home.rmdir()
    kept.rename(home)


def _write_until_full(file: Path) -> None:
    piece = bytes(PIECE_BYTES)
    with file.open("wb", buffering=0) as ballast:
        while piece:
            try:
                while ballast.write(piece) == len(piece):
                    pass
            except OSError:
                piece = piece[: len(piece) // 2]


def _limit(pid: int, size: int) -> None:
    with contextlib.suppress(psutil.Error, OSError):
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
