"""Bundles changed on purpose: every entry in memory, written again."""

from __future__ import annotations

import json
import zipfile
from typing import TYPE_CHECKING

from node.audit.bundle.form import BLOCKS, Writer, canonical

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def rewrite(source: Path, to: Path, change: Callable[[dict[str, bytes]], object]) -> Path:
    """The bundle with `change` applied to its entries (name to bytes)."""
    with zipfile.ZipFile(source) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    change(entries)
    with zipfile.ZipFile(to, "w") as archive:
        writer = Writer(archive)
        for name, data in entries.items():
            writer.put(name, data)
    return to


def change_blocks(change: Callable[[list], object]) -> Callable[[dict[str, bytes]], None]:
    """A change of the chain alone."""

    def act(entries: dict[str, bytes]) -> None:
        blocks = json.loads(entries[BLOCKS])
        change(blocks)
        entries[BLOCKS] = canonical(blocks)

    return act
