"""What happens at a node, as a stream of server-sent events that can be resumed (WHATWG HTML, section 9.2).

A thread compares what it saw with what it sees (`node.api.changes`), four times a second; the newest thousand events are
kept, each under the id `BOOT-NUMBER`. A reader that was away names the last id it has and gets the rest; where that is gone,
or is of an earlier run, it is told of the gap and reads the lists again.
"""

from __future__ import annotations

import asyncio
import json
import logging
import secrets
import threading
import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from node.api.changes import Seen, changes
from node.api.shapes_node import WarningShape

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from node.api.service import Service

log = logging.getLogger("medweave")

EVENTS: Final = {
    "phase": "This hospital's part in a round went on: `round`, `phase`, `leader`, `doing` (a line), `progress` (0 to 1, in steps).",
    "round": "The chain opened or ended a round: `round`, `status`.",
    "transaction": "The ledger took a transaction: `id`, `kind`, `round`, `seat`, `issuer`, `hospital`.",
    "transactions": "The ledger took more than 50 at once: `count` of them, `transactions` in all.",
    "model": "The chain records a model: `model`, `round`.",
    "member": "A hospital's record changed: `index`, `name`, `change` (`joined`, `left`, `rotated`, `reputation`, `changed`, `card`, `silent`, `heard`).",
    "epoch": "A key epoch or its shares: `epoch`, `state`.",
    "warning": "A line of the node's log that asks for attention: `time`, `logger`, `text`.",
    "gap": "Events were missed that are kept no longer: read the lists again.",
}
"""Every event and its fields."""
LOOK_SECONDS: Final = 0.25
HEARTBEAT_SECONDS: Final = 15.0
KEPT: Final = 1000
MAX_READERS: Final = 64
MAX_WARNING_CHARS: Final = 500
KEPT_WARNINGS: Final = 20


@dataclass(frozen=True)
class Event:
    """One thing that happened.

    Attributes:
        number: Counts from 1 in each run of the node.
        name: A key of `EVENTS`.
        data: What; the fields stand there.
    """

    number: int
    name: str
    data: dict[str, Any]


class Events:
    """A node's events; `start` and `stop` go with the application's life, `publish` may be called from any thread.

    Args:
        service: The node.
        kept: How many events can be resumed.
        heartbeat_seconds: A comment is sent after so long without an event.

    Attributes:
        boot: Names this run of the node in ids, 8 hex digits.
        warned: Warnings since the start.
    """

    def __init__(self, service: Service, kept: int = KEPT, heartbeat_seconds: float = HEARTBEAT_SECONDS) -> None:
        self._service = service
        self._heartbeat = heartbeat_seconds
        self.boot = secrets.token_hex(4)
        self._kept: deque[Event] = deque(maxlen=kept)
        self._warnings: deque[WarningShape] = deque(maxlen=KEPT_WARNINGS)
        self._number = 0
        self.warned = 0
        self._lock = threading.Lock()
        self._readers: set[asyncio.Event] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closed = threading.Event()
        self._thread: threading.Thread | None = None
        self._handler = _Warnings(self)

    @property
    def warnings(self) -> tuple[WarningShape, ...]:
        """The last warnings, oldest first."""
        with self._lock:
            return tuple(self._warnings)

    @property
    def readers(self) -> int:
        """How many streams are open."""
        return len(self._readers)

    @property
    def closed(self) -> bool:
        """Whether the node is stopping."""
        return self._closed.is_set()

    def start(self) -> None:
        """Begin to look; called on the event loop."""
        self._loop = asyncio.get_running_loop()
        log.addHandler(self._handler)
        self._thread = threading.Thread(target=self._watch, name="events", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End all streams and the looking; harmless when it never began."""
        self._closed.set()
        log.removeHandler(self._handler)
        self._wake()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(timeout=5)

    def publish(self, name: str, data: dict[str, Any]) -> None:
        """Tell all readers of something."""
        with self._lock:
            self._number += 1
            self._kept.append(Event(self._number, name, data))
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._wake)

    def warn(self, warning: WarningShape) -> None:
        """Tell of a line of the log that asks for attention, and remember it."""
        with self._lock:
            self._warnings.append(warning)
            self.warned += 1
        self.publish("warning", warning.model_dump())

    def after(self, number: int) -> list[Event]:
        """The kept events with larger numbers; a `gap` first where some in between are gone."""
        with self._lock:
            found = [event for event in self._kept if event.number > number]
            newest = self._number
        lost = newest > number and (not found or found[0].number != number + 1)
        return [Event((found[0].number - 1) if found else newest, "gap", {"missed": True}), *found] if lost else found

    def place_of(self, last: str | None) -> int | None:
        """The number at which a reader goes on: of the event it names, or the newest.

        Args:
            last: The id it saw last, or None for a new reader.

        Returns:
            None where that id is of another run, or never was: what happened since is not known.
        """
        with self._lock:
            newest = self._number
        if last is None:
            return newest
        boot, _, text = last.partition("-")
        known = boot == self.boot and text.isascii() and text.isdigit() and len(text) < 16
        return int(text) if known and int(text) <= newest else None

    async def stream(self, last: str | None) -> AsyncIterator[bytes]:
        """One reader's stream, until it goes away or the node stops.

        Args:
            last: The id it saw last, or None for news only.
        """
        woken = asyncio.Event()
        self._readers.add(woken)
        try:
            place = self.place_of(last)
            yield b"retry: 2000\n\n"
            if place is None:
                place = self.place_of(None) or 0
                yield self._text(Event(place, "gap", {"missed": True}))
            while not self.closed:
                woken.clear()
                for event in self.after(place):
                    yield self._text(event)
                    place = max(place, event.number)
                try:
                    await asyncio.wait_for(woken.wait(), self._heartbeat)
                except TimeoutError:
                    yield b": still here\n\n"
        finally:
            self._readers.discard(woken)

    def _text(self, event: Event) -> bytes:
        data = json.dumps(event.data, separators=(",", ":"))
        return f"id: {self.boot}-{event.number}\nevent: {event.name}\ndata: {data}\n\n".encode()

    def _wake(self) -> None:
        for reader in tuple(self._readers):
            reader.set()

    def _watch(self) -> None:
        seen = Seen()
        failed = False
        while not self._closed.wait(LOOK_SECONDS):
            try:
                now = Seen.of(self._service, seen)
                for name, data in changes(seen, now, self._service):
                    self.publish(name, data)
                seen, failed = now, False
            except Exception as error:  # noqa: BLE001  (whatever fails here must not end the stream; it is said once)
                if not failed:
                    log.warning("events: not told for now: %s", type(error).__name__)
                failed = True


class _Warnings(logging.Handler):
    """Turns warnings of the log into events."""

    def __init__(self, events: Events) -> None:
        super().__init__(logging.WARNING)
        self._events = events

    def emit(self, record: logging.LogRecord) -> None:
        text = " ".join(record.getMessage().split())[:MAX_WARNING_CHARS]
        self._events.warn(WarningShape(time=round(time.time(), 3), logger=record.name, text=text))
