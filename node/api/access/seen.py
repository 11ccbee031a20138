"""Nonces of signed requests: none is taken twice within the time in which a request is fresh at all.

Two generations take turns, each as a set and a file; a nonce is remembered for two windows at least. The files are written
at once but not synced, so that a process that was killed still knows its nonces; a power cut takes longer than a window. A
nonce that cannot be kept is not taken.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

from node.api.access.errors import NotSignedIn, TooMany

if TYPE_CHECKING:
    from io import FileIO
    from pathlib import Path

MAX_EACH: Final = 100_000
"""Nonces of one member in one generation."""
FULL_SECONDS: Final = 5.0
"""After which to ask again a node whose disk is full."""
_MARK_BYTES: Final = 36
"""Account (20 bytes) and nonce (16)."""


class Seen:
    """The nonces taken lately.

    Args:
        directory: Where the two files lie.
        window: Seconds by which a request's time may be off, either way.
        now: Unix time, seconds.

    Raises:
        OSError: The files cannot be used.
    """

    def __init__(self, directory: Path, window: float, now: float) -> None:
        self._window, self._turned = window, now
        self._newer, self._older = directory / "nonces.newer", directory / "nonces.older"
        self._marks, self._before = _read(self._newer), _read(self._older)
        self._counts = Counter(mark[:20] for mark in self._marks)
        self._file = _appending(self._newer)
        self._file.truncate(len(self._marks) * _MARK_BYTES)  # a record that a crash tore
        self._file.seek(0, 2)

    def take(self, account: bytes, nonce: bytes, now: float) -> None:
        """Take the nonce of a request whose time is within the window.

        Args:
            account: Who signed, 20 bytes.
            nonce: 16 bytes.
            now: Unix time, seconds.

        Raises:
            NotSignedIn: It was taken before.
            TooMany: This member has sent too many to remember.
                Or the disk is full: what cannot be remembered is not answered.
        """
        if not 0 <= now - self._turned <= 2 * self._window:
            self._turn(now)
        mark = account + nonce
        if mark in self._marks or mark in self._before:
            raise NotSignedIn("this signed request was sent before; sign each one anew")
        if self._counts[account] >= MAX_EACH:
            raise TooMany("this member sends more signed requests than can be remembered", 429, self._window)
        self._write(mark)
        self._marks.add(mark)
        self._counts[account] += 1

    def close(self) -> None:
        """Close the file; what is in it is read again at the next start."""
        self._file.close()

    def _write(self, mark: bytes) -> None:
        """Append a mark whole, or nothing of it."""
        place = self._file.tell()
        try:
            written, reason = self._file.write(mark), "part of it was written"
        except OSError as error:
            written, reason = 0, error.strerror or str(error)
        if written != len(mark):
            self._file.truncate(place)
            self._file.seek(place)
            problem = f"this node cannot write down that the request was used ({reason}): its operator must make room"
            raise TooMany(problem, 503, FULL_SECONDS)

    def _turn(self, now: float) -> None:
        self._file.close()
        self._newer.replace(self._older)
        self._file = _appending(self._newer)
        self._marks, self._before = set(), self._marks
        self._counts.clear()
        self._turned = now


def _read(path: Path) -> set[bytes]:
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return set()
    return {data[at : at + _MARK_BYTES] for at in range(0, len(data) - _MARK_BYTES + 1, _MARK_BYTES)}


def _appending(path: Path) -> FileIO:
    path.touch(mode=0o600)
    return path.open("ab", buffering=0)
