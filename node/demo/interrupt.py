"""Ctrl-C and SIGTERM end a demo, also where Python loses the exception that a signal raises.

A signal that comes while a finaliser or a callback of compiled code runs raises there, and Python prints and forgets it. So it is
written down as well, and whoever waits for long looks.
"""

from __future__ import annotations

import signal
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import FrameType

_asked = threading.Event()


def install() -> None:
    """From now on SIGTERM ends the demo like Ctrl-C: everything it started is stopped on the way out."""
    _asked.clear()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _stop)


def look() -> None:
    """End the demo if it was asked to end.

    Raises:
        KeyboardInterrupt: It was.
    """
    if _asked.is_set():
        raise KeyboardInterrupt


def _stop(_number: int, _frame: FrameType | None) -> None:
    _asked.set()
    raise KeyboardInterrupt
