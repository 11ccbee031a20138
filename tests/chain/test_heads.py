"""New blocks are announced over a WebSocket; a line that was down is picked up again and rung for once."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from chain import heads
from chain.anvil import Anvil, free_port
from chain.connection import Connection
from chain.heads import HeadWatcher


class Bell:
    def __init__(self, url: str) -> None:
        self.rung = 0
        self.watcher = HeadWatcher(url, self.ring)

    def ring(self) -> None:
        self.rung += 1

    async def until(self, ready: Callable[[], bool], seconds: float = 20.0) -> None:
        end = time.monotonic() + seconds
        while not ready():
            assert time.monotonic() < end
            await asyncio.sleep(0.01)


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heads, "FIRST_PAUSE", 0.05)
    monkeypatch.setattr(heads, "LONGEST_PAUSE", 0.2)


async def test_every_block_rings_also_after_a_kill(tmp_path: Path) -> None:
    anvil = Anvil(None, tmp_path / "state.json")
    anvil.start()
    bell = Bell(f"ws://127.0.0.1:{anvil.port}")
    running = asyncio.ensure_future(bell.watcher.run())
    try:
        await bell.until(lambda: bell.watcher.connected)
        for _ in range(3):
            before = bell.rung
            await asyncio.to_thread(Connection(anvil.url).request, "evm_mine")
            await bell.until(lambda: bell.rung > before)  # noqa: B023
        assert anvil.pid is not None
        os.kill(anvil.pid, signal.SIGKILL)
        await bell.until(lambda: not bell.watcher.connected)
        await asyncio.to_thread(anvil.stop)
        before = bell.rung
        await asyncio.to_thread(anvil.start)
        await bell.until(lambda: bell.watcher.connected)
        assert bell.rung > before, "what was missed meanwhile is looked for"
        before = bell.rung
        await asyncio.to_thread(Connection(anvil.url).request, "evm_mine")
        await bell.until(lambda: bell.rung > before)
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await asyncio.to_thread(anvil.stop)
    assert not bell.watcher.connected


async def test_a_silent_line_is_asked_and_found_alive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heads, "SILENCE_SECONDS", 0.1)
    with Anvil(None, tmp_path / "state.json") as anvil:
        bell = Bell(f"ws://127.0.0.1:{anvil.port}")
        running = asyncio.ensure_future(bell.watcher.run())
        await bell.until(lambda: bell.watcher.connected)
        await asyncio.sleep(0.5)
        assert bell.watcher.connected
        before = bell.rung
        await asyncio.to_thread(Connection(anvil.url).request, "evm_mine")
        await bell.until(lambda: bell.rung > before)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


@pytest.mark.parametrize("server", ["nobody", "rubbish", "hangs up"])
async def test_whoever_answers_otherwise_is_asked_again_and_again(server: str) -> None:
    calls = 0

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal calls
        calls += 1
        if server == "rubbish":
            await reader.read(100)
            writer.write(b"\x00\xffnonsense\r\n\r\n" * 50)
        writer.close()

    listening = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1] if server != "nobody" else free_port()
    bell = Bell(f"ws://127.0.0.1:{port}")
    running = asyncio.ensure_future(bell.watcher.run())
    await bell.until(lambda: bell.rung >= 3)
    assert not bell.watcher.connected
    assert not running.done()
    assert server == "nobody" or calls >= 2
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    listening.close()
    await listening.wait_closed()
