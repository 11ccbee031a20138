"""The access log: who asked what, appended only, each line bound to the one before, heads signed now and then.

    access/000001.jsonl     lines, one JSON object each; further files follow when one is full
    access/head.json        the newest signed head

Line n holds `prev`, the sha-256 of line n-1 with its newline (of nothing: 64 zeros). A head is itself such a line: the account signs
(n, prev), hence everything above it. So a changed, removed or reordered line shows where it stands; a cut at the end shows
against `head.json`, and against any head that is kept elsewhere. Lines are written by a thread in batches, synced once
a batch; a crash may lose what was asked in the last fraction of a second.

No token, no query, no body and no header is written; of a path the row of the table and what stands for its fields.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import queue
import threading
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from node.api.access.records import ZERO, digest_of_line, head_digest, last_line, segments

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

log = logging.getLogger("medweave.access")

SEGMENT_BYTES: Final = 16 * 1024 * 1024
"""A file that is longer is followed by the next."""
BATCH_SECONDS: Final = 0.2
"""For so long lines are gathered before they are written together."""
HEAD_SECONDS: Final = 60.0
"""So often, at most, a head is signed; only where there is something new."""
MAX_WAITING: Final = 20_000
"""Lines that wait to be written; what is beyond is counted, and the number is written."""


class AccessBook:
    """Writes the log; `close` writes what is left.

    Args:
        directory: Where it lies; made, for its owner alone.
        sign: Signs a 32-byte digest with this hospital's account: 65 bytes; None signs no heads.
        chores: Called by the writing thread once a minute.
        clock: Unix time in seconds.

    Raises:
        OSError: The files cannot be used.
    """

    def __init__(
        self,
        directory: Path,
        sign: Callable[[bytes], bytes] | None,
        chores: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._directory, self._sign, self._chores, self._clock = directory, sign, chores, clock
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._waiting: queue.Queue[dict[str, Any] | None] = queue.Queue(MAX_WAITING)
        self._sums: dict[tuple[str, str, str, int], list[int]] = {}
        self._guard = threading.Lock()
        self._missed = 0
        self._failing = False
        self._number, self._last, self._signed = 0, ZERO, 0
        self._thread: threading.Thread | None = None
        self._resume()

    def add(self, fields: dict[str, Any]) -> None:
        """Have a line written soon; never waits.

        Args:
            fields: What it says; strings and integers. Time, number and `prev` are added.
        """
        self._start()
        try:
            self._waiting.put_nowait({"time": self._now(), **fields})
        except queue.Full:
            with self._guard:
                self._missed += 1

    def count(self, who: str, role: str, route: str, status: int, size: int) -> None:
        """Count a request in the line that is written of its like once a minute."""
        self._start()
        with self._guard:
            total = self._sums.setdefault((who, role, route, status), [0, 0])
            total[0] += 1
            total[1] += size

    @property
    def failing(self) -> bool:
        """Whether lines cannot be written now."""
        return self._failing

    def close(self) -> None:
        """Write everything that waits, and a last head."""
        if self._thread is not None:
            self._waiting.put(None)
            self._thread.join()
            self._thread = None

    def _start(self) -> None:
        """The thread is there once there is something to write."""
        if self._thread is None:
            with self._guard:
                if self._thread is None:
                    self._thread = threading.Thread(target=self._run, name="access-log", daemon=True)
                    self._thread.start()

    def _now(self) -> str:
        return datetime.fromtimestamp(self._clock(), UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")

    # ---- in the thread -----------------------------------------------------------------------------------------------

    def _run(self) -> None:
        ending, next_head = False, time.monotonic() + HEAD_SECONDS
        while not ending:
            batch, ending = self._gather(max(0.0, next_head - time.monotonic()))
            if ending or time.monotonic() >= next_head:
                next_head = time.monotonic() + HEAD_SECONDS
                batch += self._summed()
                self._do_chores()
                self._write(batch, head=True)
            elif batch:
                self._write(batch, head=False)

    def _gather(self, seconds: float) -> tuple[list[dict[str, Any]], bool]:
        """What waits, and whether this is the end; returns with nothing after so many seconds."""
        batch: list[dict[str, Any]] = []
        try:
            first = self._waiting.get(timeout=seconds)
        except queue.Empty:
            return batch, False
        if first is None:
            return batch, True
        batch.append(first)
        end = time.monotonic() + BATCH_SECONDS
        while (left := end - time.monotonic()) > 0:
            try:
                item = self._waiting.get(timeout=left)
            except queue.Empty:
                break
            if item is None:
                return batch, True
            batch.append(item)
        return batch, False

    def _summed(self) -> list[dict[str, Any]]:
        with self._guard:
            sums, self._sums = self._sums, {}
            missed, self._missed = self._missed, 0
        rows = [
            {"time": self._now(), "who": who, "role": role, "route": route, "status": status, "count": n, "bytes": size}
            for (who, role, route, status), (n, size) in sums.items()
        ]
        return [*rows, {"time": self._now(), "note": f"{missed} lines were lost"}] if missed else rows

    def _do_chores(self) -> None:
        try:
            self._chores()
        except Exception as error:  # noqa: BLE001  (whatever it is, the log goes on)
            log.warning("access log: %s", error)

    def _write(self, batch: list[dict[str, Any]], *, head: bool) -> None:
        number, last, lines = self._number, self._last, []
        for fields in batch:
            number, line = number + 1, _line(number + 1, last, fields)
            last = digest_of_line(line)
            lines.append(line)
        signed = None
        if head and self._sign is not None and number > self._signed:
            number += 1
            signed = _line(number, last, {"time": self._now(), "head": self._sign(head_digest(number, last)).hex()})
            last = digest_of_line(signed)
            lines.append(signed)
        if not lines:
            return
        try:
            self._append(b"".join(lines))
        except OSError as error:
            if not self._failing:
                log.error("access log: cannot be written (%s): what is asked now leaves no trace", error.strerror)  # noqa: TRY400
            self._failing = True
            with self._guard:
                self._missed += len(batch)
            return
        self._failing = False
        self._number, self._last = number, last
        if signed is not None:
            self._signed = number
            self._keep_head(signed)

    def _append(self, data: bytes) -> None:
        """Write and sync, or take back what was written of it."""
        path = self._segment()
        before = path.stat().st_size if path.exists() else 0
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "ab", buffering=0) as file:
            try:
                view = memoryview(data)
                while view:
                    view = view[file.write(view) :]
                os.fsync(file.fileno())
            except OSError:
                with contextlib.suppress(OSError):
                    file.truncate(before)
                raise

    def _segment(self) -> Path:
        found = segments(self._directory)
        if found and found[-1].stat().st_size < SEGMENT_BYTES:
            return found[-1]
        number = int(found[-1].stem) + 1 if found else 1
        return self._directory / f"{number:06d}.jsonl"

    def _keep_head(self, line: bytes) -> None:
        temporary = self._directory / "head.new"
        with contextlib.suppress(OSError):  # the head is in the log as well, and the next one comes soon
            temporary.write_bytes(line)
            temporary.chmod(0o600)
            temporary.replace(self._directory / "head.json")

    # ---- at the start ------------------------------------------------------------------------------------------------

    def _resume(self) -> None:
        """Go on after the last whole line. What a crash tore is removed, and a line says so."""
        found = segments(self._directory)
        torn = 0
        if found:
            line, torn = last_line(found)
            if torn:
                os.truncate(found[-1], found[-1].stat().st_size - torn)
            if line is not None:
                self._number, self._last = int(json.loads(line)["n"]), digest_of_line(line)
        kept = _kept_head(self._directory / "head.json")
        if kept > self._number:
            log.error("access log: it ends at line %d, and line %d was signed: lines were removed", self._number, kept)
            (self._directory / "head.json").replace(self._directory / f"head-{kept}.json")
        if torn:
            self.add({"note": f"{torn} bytes of an unfinished line were removed at the start"})


def _kept_head(path: Path) -> int:
    try:
        return int(json.loads(path.read_bytes())["n"])
    except (OSError, ValueError, KeyError, TypeError):
        return 0


def _line(number: int, last: bytes, fields: dict[str, Any]) -> bytes:
    content = {"n": number, "prev": last.hex(), **fields}
    return json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"
