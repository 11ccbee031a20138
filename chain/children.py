"""Child processes that nothing leaves running: they end when they are told to, and on Linux with who started them.

The kernel counts the end of the thread that started a process as its parent's end: start it from one that lives as long as it
should.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable

_PR_SET_PDEATHSIG: Final = 1  # prctl(2)


def ending_with_parent(number: signal.Signals = signal.SIGTERM) -> Callable[[], None] | None:
    """What a child does before it becomes another program, as `preexec_fn` of `subprocess.Popen`.

    It only makes system calls, prepared here, before the fork.

    Args:
        number: What the kernel sends the program when this process, or the thread that starts it, ends.

    Returns:
        None where the kernel is not Linux: there the program outlives a parent that was killed.
    """
    ask = _asker()
    if ask is None:
        return None
    parent = os.getpid()

    def hook() -> None:
        ask(number)
        if os.getppid() != parent:  # it ended between the fork and the line above
            os._exit(1)

    return hook


def die_with(parent: int, number: signal.Signals = signal.SIGTERM) -> None:
    """Have this process end with its parent: by a signal on Linux, and at once where the parent has ended already.

    Args:
        parent: Process id of who started this one, as that one gave it.
        number: What the kernel sends this process when the parent ends.

    Raises:
        SystemExit: The parent is gone; the exit code is 0.
    """
    ask = _asker()
    if ask is not None:
        ask(number)
    if os.getppid() != parent:
        sys.exit(0)


def end(seconds: float, *processes: subprocess.Popen[Any]) -> None:
    """Ask processes to end, and wait until they have: SIGTERM, and SIGKILL for what is still there afterwards.

    What is stopped goes on first, since it could not hear the question. What has ended already is left alone.

    Args:
        seconds: How long all of them together may take.
        processes: Children of this process.
    """
    deadline = time.monotonic() + seconds
    for process in processes:
        process.send_signal(signal.SIGTERM)
        process.send_signal(signal.SIGCONT)
    for process in processes:
        try:
            process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _asker() -> Callable[[signal.Signals], None] | None:
    """Asks the kernel for a signal to this process at its parent's end; None where the kernel is not Linux."""
    if not sys.platform.startswith("linux"):
        return None
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    return lambda number: prctl(_PR_SET_PDEATHSIG, number, 0, 0, 0)
