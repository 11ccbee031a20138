"""Free ports for the demo's daemons."""

from __future__ import annotations

import socket
from contextlib import ExitStack

from node.errors import BadEnvironment


def choose_ports(count: int, first: int) -> list[int]:
    """Ports on the loopback address.

    Args:
        count: How many.
        first: First of a consecutive range; 0 lets the system choose.

    Raises:
        BadEnvironment: One of the range is in use, naming it.
    """
    with ExitStack() as stack:
        ports = []
        for i in range(count):
            listener = stack.enter_context(socket.socket())
            try:
                listener.bind(("127.0.0.1", first + i if first else 0))
            except OSError as e:
                raise BadEnvironment(f"port {first + i} is in use ({e.strerror}): choose another --base-port") from None
            ports.append(int(listener.getsockname()[1]))
        return ports
