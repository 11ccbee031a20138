"""The HTTP server around the application."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import uvicorn

if TYPE_CHECKING:
    import socket

    from fastapi import FastAPI


class ApiServer(uvicorn.Server):
    """A server whose open event streams end when it is told to: else it would wait for readers to go away.

    Args:
        app: The application of `create_app`.
        settings: Further settings of uvicorn, such as certificates.
    """

    def __init__(self, app: FastAPI, **settings: Any) -> None:
        super().__init__(uvicorn.Config(app, log_config=None, access_log=False, lifespan="on", **settings))
        self._events = app.state.events

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End the streams, then what is under way, then the server."""
        self._events.stop()
        await super().shutdown(sockets)
