"""systemd hears that the daemon has started, what it does, that it lives and that it stops."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import time

import pytest

from node.daemon import supervisor


@pytest.fixture(params=["file", "abstract"])
def heard(request, tmp_path, monkeypatch):
    """What was said so far, a message each."""
    name = str(tmp_path / "notify") if request.param == "file" else f"\0medweave-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(name)
        listener.setblocking(False)
        monkeypatch.setenv("NOTIFY_SOCKET", name.replace("\0", "@"))

        def read():
            found = []
            with contextlib.suppress(BlockingIOError):
                while True:
                    found.append(listener.recv(4096).decode().split("\n"))
            return found

        yield read


def test_a_long_start_is_ready_and_gives_signs_of_life(heard, monkeypatch):
    monkeypatch.setenv("WATCHDOG_USEC", "100000")
    with supervisor.patiently("reading"):
        time.sleep(0.3)
    said = heard()
    assert said[0] == ["READY=1", "STATUS=reading", "WATCHDOG=1"]
    assert said[1:].count(["WATCHDOG=1"]) >= 3
    time.sleep(0.15)
    assert heard() == [], "nothing after the block has ended"


async def test_the_event_loop_gives_signs_of_life_until_it_stops(heard, monkeypatch):
    monkeypatch.setenv("WATCHDOG_USEC", "100000")
    task = asyncio.create_task(supervisor.stay_alive(lambda: "round 3:\ntraining"))
    await asyncio.sleep(0.3)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    said = heard()
    assert said[0] == ["WATCHDOG=1", "STATUS=round 3: training"]
    assert len(said) >= 4
    assert said[-1] == ["STOPPING=1", "STATUS=stopping"]


async def test_a_loop_that_hangs_gives_none(heard, monkeypatch):
    monkeypatch.setenv("WATCHDOG_USEC", "100000")
    task = asyncio.create_task(supervisor.stay_alive(lambda: ""))
    await asyncio.sleep(0.12)
    heard()
    time.sleep(0.3)  # noqa: ASYNC251  (this is the hanging)
    assert heard() == []
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def test_a_supervisor_that_does_not_read_holds_nobody_up(heard):
    began = time.monotonic()
    for _ in range(2000):
        supervisor.tell("WATCHDOG=1")
    assert time.monotonic() - began < 5
    assert heard()


@pytest.mark.parametrize("address", [None, "", "relative", "/nowhere/at/all"])
def test_without_a_supervisor_nothing_happens(address, monkeypatch):
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    if address is not None:
        monkeypatch.setenv("NOTIFY_SOCKET", address)
    supervisor.tell("READY=1")


@pytest.mark.parametrize(
    ("allowed", "process", "seconds"),
    [
        ("30000000", "", 10.0),
        ("4000000", "this", 2.0),
        ("4000000", "1", 10.0),
        ("0", "", 0.05),
        ("soon", "", 10.0),
        ("", "", 10.0),
    ],
)
def test_signs_come_at_half_the_time_allowed(monkeypatch, allowed, process, seconds):
    monkeypatch.setenv("WATCHDOG_USEC", allowed)
    monkeypatch.setenv("WATCHDOG_PID", str(os.getpid()) if process == "this" else process)
    assert supervisor.pause_seconds() == seconds
