"""A node's blob routes over a store of ours, on a real socket."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from types import SimpleNamespace
from typing import TYPE_CHECKING

import uvicorn
from fastapi import FastAPI

from node.api.problems import install
from node.api.routes import blobs

if TYPE_CHECKING:
    from collections.abc import Iterator

    from node.storage import BlobStore


def app_over(store: BlobStore) -> FastAPI:
    """The blob routes alone, with the API's own answers to errors."""
    app = FastAPI()
    install(app)
    app.include_router(blobs.router(SimpleNamespace(store=store)), prefix="/v1")
    return app


@contextmanager
def serving(store: BlobStore) -> Iterator[str]:
    """The base URL of a node that holds this store."""
    server = uvicorn.Server(uvicorn.Config(app_over(store), port=0, log_level="error"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        time.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()
