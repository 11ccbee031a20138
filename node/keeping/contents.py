"""What of a hospital's directory goes into a backup, and what must not.

Left out because the chain has it all, it is being written, or it is of no use afterwards: `intents.sqlite`,
`events.sqlite`, `training.sealed`, logs, `debug/`, unfinished files. Left out because an older state would do harm:
`tokens.sqlite` (tokens revoked since would open again), `orders.sqlite` (orders carried out already), what is used for one
time only (`nonces*`), shares that were refreshed already. Links are left out: they lead out of the directory.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from node.epochs.backup import superseded

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from node.home import Home

WORKSPACE: Final = ".backup"
"""Directory in the hospital's own where databases are copied to while a backup is made."""
DEEPEST: Final = 8
LONGEST_PART: Final = 200

_LEFT_OUT: Final = re.compile(
    r"(intents|events|tokens|orders)\.sqlite|nonces[^/]*|training\.sealed|(.*/)?[^/]*\.log(\.\d+)?|debug/.*|blobs/incoming/.*"
    r"|\.backup(/.*)?|(.*/)?[^/]*(\.new|\.part|\.tmp|\.lock|\.pid|-wal|-shm|-journal|\.sqlite\.format-\d+)"
    r"|secrets/epoch-\d+\.refresh-.*"
)
_PART: Final = re.compile(r"[A-Za-z0-9_.@+=,-]{1,200}")


@dataclass(frozen=True)
class Contents:
    """What a backup is to hold.

    Attributes:
        files: Plain files, by name relative to the directory, in order: small things first, blobs last, so that what a
            database speaks of is there.
        databases: SQLite files, which are copied consistently first.
        left_out: Names that somebody may miss: links, names that fit no archive, images or blobs where asked for.
    """

    files: tuple[str, ...]
    databases: tuple[str, ...]
    left_out: tuple[str, ...]


def contents_of(home: Home, *, images: bool = True, blobs: bool = True) -> Contents:
    """What of a directory is to be backed up.

    Args:
        home: The hospital's directory.
        images: Whether `data/` is.
        blobs: Whether `blobs/` is; the other members have them, too.
    """
    files: list[str] = []
    databases: list[str] = []
    left_out: list[str] = []
    old = superseded(home)
    for path, name in _walk(home.root, 1):
        if _LEFT_OUT.fullmatch(name) or name in old:
            continue
        top = name.split("/", 1)[0]
        if (top == "data" and not images) or (top == "blobs" and not blobs):
            if (top + "/") not in left_out:
                left_out.append(top + "/")
        elif path.is_symlink() or not path.is_file() or not is_plain(name):
            left_out.append(name)
        else:
            (databases if name.endswith(".sqlite") else files).append(name)
    files.sort(key=lambda name: (name.startswith("blobs/"), name.startswith("data/"), name))
    return Contents(tuple(files), tuple(sorted(databases)), tuple(left_out))


def is_plain(name: str) -> bool:
    """Whether a name stays inside the directory it is put into, and says what it is."""
    parts = name.split("/")
    return len(parts) <= DEEPEST and all(_PART.fullmatch(part) and set(part) != {"."} for part in parts)


def is_taken(name: str) -> bool:
    """Whether a backup may hold a file of this name at all."""
    return is_plain(name) and not _LEFT_OUT.fullmatch(name)


def _walk(directory: Path, depth: int) -> Iterator[tuple[Path, str]]:
    """Files below a directory with their names relative to it; links are named and not followed."""
    for path in sorted(directory.iterdir()):
        if path.is_dir() and not path.is_symlink() and depth < DEEPEST:
            yield from ((found, f"{path.name}/{name}") for found, name in _walk(path, depth + 1))
        else:
            yield path, path.name
