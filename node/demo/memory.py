"""Peak memory of the whole network: proportional set size (PSS) summed over its processes.

PSS counts a page shared by k processes as 1/k in each, so the sum is what the network really takes (Linux
`/proc/PID/smaps_rollup`). Elsewhere the resident set size is summed, which counts shared pages once per process.
"""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

PAUSE_SECONDS = 1.0


def proportional_bytes(pid: int) -> int:
    """PSS of one process in bytes; 0 once it is gone."""
    try:
        process = psutil.Process(pid)
        info = process.memory_full_info() if hasattr(process, "memory_full_info") else process.memory_info()
        return int(getattr(info, "pss", info.rss))
    except psutil.Error:
        return 0


class MemoryWatch:
    """Samples this process and its descendants on a thread, once a second, until left."""

    def __init__(self) -> None:
        self.peak = 0
        """Largest sum seen so far, bytes."""
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        """Start sampling."""
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop sampling."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        root = psutil.Process(os.getpid())
        while not self._stop.wait(PAUSE_SECONDS):
            pids = [root.pid, *(child.pid for child in root.children(recursive=True))]
            self.peak = max(self.peak, sum(map(proportional_bytes, pids)))
