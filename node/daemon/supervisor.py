"""What systemd is told of a daemon (sd_notify(3)): it has started, what it does, that it is alive, that it stops.

Without `$NOTIFY_SOCKET` all of it does nothing. With `WatchdogSec=` the unit is killed and started again when the signs of
life stop: while the daemon runs they come from its event loop, so a loop that hangs is noticed; while it reads a large
ledger or waits to be admitted, from a thread.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

log = logging.getLogger("medweave")

LONGEST_PAUSE_SECONDS = 10.0
"""Between two signs of life, or looks at what the daemon does, at most."""


def tell(*lines: str) -> None:
    """Tell the supervisor something, such as `READY=1`; what it does not take is logged and changes nothing.

    Args:
        lines: Assignments; none may hold a line break.
    """
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as outgoing:
            outgoing.setblocking(False)  # a supervisor that does not read must not hold the node up
            outgoing.connect("\0" + address[1:] if address[0] == "@" else address)
            outgoing.sendall("\n".join(lines).encode())
    except OSError as error:
        log.debug("the supervisor does not listen: %s", error)


def pause_seconds() -> float:
    """Seconds between two signs of life: half of what the supervisor allows this process."""
    allowed, process = os.environ.get("WATCHDOG_USEC", ""), os.environ.get("WATCHDOG_PID", "")
    if not allowed.isdigit() or process not in {"", str(os.getpid())}:
        return LONGEST_PAUSE_SECONDS
    return min(LONGEST_PAUSE_SECONDS, max(0.05, int(allowed) / 2_000_000))


@contextmanager
def patiently(status: str) -> Iterator[None]:
    """Say that the daemon is there and alive while the block runs, however long that takes.

    Args:
        status: What it does meanwhile, for `systemctl status`.
    """
    over = threading.Event()

    def live() -> None:
        while not over.wait(pause_seconds()):
            tell("WATCHDOG=1")

    tell("READY=1", f"STATUS={status}", "WATCHDOG=1")
    thread = threading.Thread(target=live, name="supervisor", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


async def stay_alive(doing: Callable[[], str]) -> None:
    """Give signs of life from the event loop until cancelled; the supervisor hears then that the daemon stops.

    Args:
        doing: What the daemon does now, in one line.
    """
    try:
        while True:
            tell("WATCHDOG=1", "STATUS=" + doing().replace("\n", " "))
            await asyncio.sleep(pause_seconds())
    finally:
        tell("STOPPING=1", "STATUS=stopping")
