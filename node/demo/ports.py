"""Free ports for the demo's daemons."""

from __future__ import annotations

import random
import socket
from contextlib import ExitStack, suppress

from node.errors import BadEnvironment

CHOICE = range(15_000, 32_000)
"""Where ports are looked for: below the range that systems give to outgoing connections (Linux from 32,768 on).

Half a minute passes before a daemon listens on its port; meanwhile any program's connection could take one of those.
"""
ATTEMPTS = 1000


def choose_ports(count: int, first: int) -> list[int]:
    """Ports on the loopback address.

    Args:
        count: How many.
        first: First of a consecutive range; 0 for any free ones of `CHOICE`.

    Raises:
        BadEnvironment: One of the range is in use, naming it; or too few are free.
    """
    with ExitStack() as stack:
        if first:
            return [_hold(stack, first + i) for i in range(count)]
        ports: list[int] = []
        for port in random.SystemRandom().sample(CHOICE, ATTEMPTS):
            with suppress(BadEnvironment):
                ports.append(_hold(stack, port))
            if len(ports) == count:
                return ports
    raise BadEnvironment(f"no {count} free ports from {CHOICE.start} to {CHOICE.stop}: choose others with --base-port")


def _hold(stack: ExitStack, port: int) -> int:
    """Bind a port for as long as the others are looked for."""
    listener = stack.enter_context(socket.socket())
    try:
        listener.bind(("127.0.0.1", port))
    except OSError as error:
        raise BadEnvironment(f"port {port} is in use ({error.strerror}): choose another --base-port") from None
    return port
