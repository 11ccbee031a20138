"""Virtual time: a queue of things to do, carried out in order of time and, within one instant, of being planned."""

from __future__ import annotations

import heapq
from hashlib import sha256
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class Agenda:
    """The one clock of a run. Nothing in a run reads the machine's own clock.

    Attributes:
        now: virtual seconds since the start; only `run` moves it.
        events: how many things have been done.
    """

    def __init__(self) -> None:
        """An empty agenda at time 0."""
        self.now = 0.0
        self.events = 0
        self._queue: list[tuple[float, int, str, Callable[[], None]]] = []
        self._planned = 0
        self._trace = sha256()

    def __len__(self) -> int:
        return len(self._queue)

    def at(self, time: float, label: str, action: Callable[[], None]) -> None:
        """Plans an action; one planned for the past happens now.

        Args:
            time: virtual seconds.
            label: what it is and to whom, for the trace: equal runs plan equal labels.
            action: what to do; may plan more.
        """
        self._planned += 1
        heapq.heappush(self._queue, (max(time, self.now), self._planned, label, action))

    def after(self, delay: float, label: str, action: Callable[[], None]) -> None:
        """Plans an action `delay` virtual seconds from now."""
        self.at(self.now + delay, label, action)

    def run(self, until: float) -> None:
        """Carries out everything planned up to and including a time, and leaves the clock there."""
        queue = self._queue
        while queue and queue[0][0] <= until:
            self.now, _, label, action = heapq.heappop(queue)
            self.events += 1
            self._trace.update(f"{self.now!r} {label}\n".encode())
            action()
        self.now = max(self.now, until)

    def note(self, content: bytes) -> None:
        """Adds bytes to the trace, such as a message that is delivered."""
        self._trace.update(content)

    @property
    def trace(self) -> str:
        """sha2-256 (hex) over everything done so far, its times and what was noted: equal for equal scenarios."""
        return self._trace.hexdigest()
