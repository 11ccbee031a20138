"""The server around the application ends when it is told to, whoever still waits for an answer."""

from __future__ import annotations

import asyncio
import threading
import time
from types import SimpleNamespace

import httpx
import pytest
from fastapi import FastAPI

from node.api import serving


@pytest.mark.timeout(60)
def test_an_answer_that_never_comes_does_not_keep_the_server(monkeypatch):
    monkeypatch.setattr(serving, "ENDING_SECONDS", 1)
    app, asked = FastAPI(), threading.Event()
    app.state.events = SimpleNamespace(stop=lambda: None)

    @app.get("/never")
    async def never() -> None:
        asked.set()
        await asyncio.Event().wait()

    server = serving.ApiServer(app, port=0)
    running = threading.Thread(target=server.run, daemon=True)
    running.start()
    while not server.started:
        time.sleep(0.01)
    url = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}/never"

    def ask() -> None:
        with pytest.raises(httpx.HTTPError):
            httpx.get(url, timeout=30).raise_for_status()

    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    assert asked.wait(20)
    server.should_exit = True
    running.join(timeout=20)
    assert not running.is_alive()
    asking.join(timeout=20)
    assert not asking.is_alive()
