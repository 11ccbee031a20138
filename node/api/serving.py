"""The HTTP server around the application."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import uvicorn

if TYPE_CHECKING:
    import socket

    from fastapi import FastAPI


ENDING_SECONDS = 5
"""How long a server that was told to end waits for what is under way."""


class ApiServer(uvicorn.Server):
    """A server that ends when it is told to: open event streams end at once, anything else within `ENDING_SECONDS`.

    Else it would wait for readers to go away, or for a peer whose connection came in while it was closing the others and which
    asks over it again and again: the node would take nobody's news any more, and not end either.

    Args:
        app: The application of `create_app`.
        settings: Further settings of uvicorn, such as certificates.
    """

    def __init__(self, app: FastAPI, **settings: Any) -> None:
        settings = {"timeout_graceful_shutdown": ENDING_SECONDS} | settings
        super().__init__(uvicorn.Config(app, log_config=None, access_log=False, lifespan="on", **settings))
        self._events = app.state.events

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End the streams, then what is under way, then the server."""
        self._events.stop()
        await super().shutdown(sockets)
