"""Anvil's state file, which Anvil writes in place: a kill at that moment tears it, so a whole copy is kept beside it."""

from __future__ import annotations

import json
import logging
import os
import shutil
import threading
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

log = logging.getLogger("medweave.chain")

LOOK_SECONDS = 0.5


def is_whole(state: Path) -> bool:
    """Whether a state file was written to its end.

    Args:
        state: The file.
    """
    try:
        with state.open("rb") as file:
            json.load(file)
    except (OSError, ValueError, RecursionError):
        return False
    return True


def mend(state: Path) -> None:
    """Puts the kept copy in the place of a state file that was torn; does nothing where there is no whole copy.

    Args:
        state: The file.
    """
    kept = _kept(state)
    if state.exists() and not is_whole(state) and is_whole(kept):
        log.warning("%s was torn while it was written: going on from the copy before it", state)
        shutil.copyfile(kept, state)


class StateCopier:
    """Copies a state file whenever it has changed and is whole, from a thread of its own."""

    def __init__(self, state: Path) -> None:
        """Starts nothing yet.

        Args:
            state: The file.
        """
        self._state = state
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="anvil-state", daemon=True)

    def start(self) -> None:
        """Begins to copy."""
        self._thread.start()

    def stop(self) -> None:
        """Ends it."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        seen = 0
        while not self._stop.wait(LOOK_SECONDS):
            with suppress(OSError):
                changed = self._state.stat().st_mtime_ns
                if changed != seen and self._copy(changed):
                    seen = changed

    def _copy(self, changed: int) -> bool:
        """Copies what was written at a time; False if it was being written. Cheap: `mend` parses what it goes on from."""
        kept = _kept(self._state)
        fresh = kept.with_name(kept.name + ".new")
        shutil.copyfile(self._state, fresh)
        if self._state.stat().st_mtime_ns != changed or _last_byte(fresh) != b"}":
            return False
        with fresh.open("rb") as file:
            os.fsync(file.fileno())
        fresh.replace(kept)
        return True


def _last_byte(file: Path) -> bytes:
    with file.open("rb") as opened:
        opened.seek(max(0, file.stat().st_size - 1))
        return opened.read(1)


def _kept(state: Path) -> Path:
    return state.with_name(state.name + ".kept")
