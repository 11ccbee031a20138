"""Who is silent: by what was heard, on a clock the test moves; and two real nodes, one of which stops answering."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from node.publishing import presence as module
from node.publishing.presence import ASK_SECONDS, SILENT_SECONDS, Presence, listen

PEERS = ("http://a", "http://b")
BOUND_SECONDS = 15.0


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_peer_that_says_nothing_is_asked_then_silent_then_heard_again(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    presence = Presence(clock)
    assert presence.look(PEERS) == ()
    asked, silent_at = [], None
    for second in range(1, 16):
        clock.now = 100.0 + second
        presence.heard("http://a")
        due = presence.look(PEERS)
        if due:
            asked.append(second)
            assert due == ("http://b",)
        if silent_at is None and presence.silent:
            silent_at = second
    assert asked[0] == ASK_SECONDS + 1
    assert silent_at == SILENT_SECONDS + 1 <= BOUND_SECONDS
    assert presence.silent == {"http://b"}
    assert "http://b is silent" in caplog.text
    presence.heard("http://b")
    presence.look(PEERS)
    assert presence.silent == frozenset()


def test_a_node_that_slept_itself_accuses_nobody() -> None:
    clock = Clock()
    presence = Presence(clock)
    presence.look(PEERS)
    clock.now += 60
    presence.look(PEERS)
    assert presence.silent == frozenset()
    for _ in range(11):
        clock.now += 1
        presence.look(PEERS)
    assert presence.silent == set(PEERS)


def test_strangers_and_those_who_left_are_forgotten() -> None:
    clock = Clock()
    presence = Presence(clock)
    presence.look(PEERS)
    presence.heard("http://stranger")
    assert presence.seconds_since("http://stranger") is None
    for _ in range(12):
        clock.now += 1
        presence.look(PEERS)
    presence.look(PEERS[:1])
    assert presence.silent == {"http://a"}


class Answering:
    """A dialer whose peers answer with 503 or not at all."""

    def __init__(self, dead: set[str]) -> None:
        self.dead = dead
        self.asked: list[str] = []

    def async_client(self, timeout: httpx.Timeout) -> httpx.AsyncClient:
        return httpx.AsyncClient(transport=httpx.MockTransport(self._answer), timeout=timeout)

    async def _answer(self, request: httpx.Request) -> httpx.Response:
        peer = f"http://{request.url.host}"
        self.asked.append(peer)
        if peer in self.dead:
            await asyncio.sleep(3600)
        return httpx.Response(503)


def test_a_peer_that_never_answers_does_not_hold_up_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (
        ("LOOK_SECONDS", 0.01),
        ("ASK_SECONDS", 0.03),
        ("SILENT_SECONDS", 0.3),
        ("ANSWER_SECONDS", 0.1),
    ):
        monkeypatch.setattr(module, name, value)

    async def play() -> Presence:
        presence, dialer = Presence(), Answering({"http://b"})
        argument: Any = dialer
        task = asyncio.create_task(listen(presence, argument, lambda: PEERS))
        await asyncio.sleep(0.8)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert dialer.asked.count("http://b") >= 2, "asked again and again"
        return presence

    assert asyncio.run(play()).silent == {"http://b"}
