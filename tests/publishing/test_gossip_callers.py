"""Who calls a node's one route of the exchange: limits, forged names, messages that are none (DAG-8)."""

from __future__ import annotations

import asyncio

import httpx
import pytest

from dag.ids import sha256
from dag.sync import MAX_MESSAGE_BYTES, MEDIA_TYPE, Send, SyncConfig
from dag.sync.messages import Announce, Answer, Push, Request, parse
from node.calling import MemberAuth
from node.errors import PeerBusy
from node.publishing import gossip as module
from tests.dag.support import CONSORTIUM, key
from tests.publishing.support import (
    NO_FRONTIER,
    Node,
    acknowledge,
    pair,
    post_update,
    publisher,
    running,
    until,
    url,
)


async def test_a_caller_with_too_much_waiting_is_told_so(monkeypatch):
    monkeypatch.setattr(module, "MAX_CALLERS", 2)
    node = Node(0)
    message = Announce((sha256(b"x"),)).encode()
    waiting = [asyncio.ensure_future(node.gossip.hear(message, url(1))) for _ in range(2)]
    await asyncio.sleep(0)
    with pytest.raises(PeerBusy):
        await node.gossip.hear(message, url(1))
    other = asyncio.ensure_future(node.gossip.hear(message, url(2)))
    async with running(node):
        await asyncio.gather(*waiting, other)


async def test_callers_together_have_a_limit_of_bytes(monkeypatch):
    monkeypatch.setattr(module, "MAX_HEARING_BYTES", 100)
    node = Node(0)
    message = Announce((sha256(b"x"),)).encode()
    assert 50 < len(message) <= 100
    waiting = [asyncio.ensure_future(node.gossip.hear(message, url(k))) for k in (1, 2)]
    await asyncio.sleep(0)
    with pytest.raises(PeerBusy):
        await node.gossip.hear(message, url(1))
    async with running(node):
        await asyncio.gather(*waiting)
        await node.gossip.hear(message, url(1))


async def test_a_forger_cannot_make_a_node_stop_asking_a_member():
    """Who calls only says who it is. What comes in a member's name counts against that name's calls, not its answers."""
    first, second = pair()
    async with running(first, second):
        for _ in range(20):
            with pytest.raises(Exception, match=r"message field|too much"):
                await second.gossip.hear(b"\xff" * 10, url(0))
        row = await asyncio.to_thread(acknowledge, first.book)
        assert await until(lambda: second.has(row)), "by comparing frontiers, though calls of that name are dropped"


async def test_what_comes_in_a_members_name_answers_nothing():
    first, second = pair(NO_FRONTIER)
    async with running(second):
        await second.gossip.hear(Answer(1, (acknowledge(first.book).raw,), ()).encode(), url(0))
        await asyncio.sleep(0.1)
        assert len(second.gossip._machine._port) == 1, "genesis alone"


def call(node: Node, method: str, path: str, by: int = 1, **options) -> httpx.Response:
    async def ask() -> httpx.Response:
        async with (
            running(node),
            httpx.AsyncClient(
                transport=httpx.ASGITransport(node.app), base_url=url(node.member), auth=MemberAuth(key(by), CONSORTIUM)
            ) as client,
        ):
            return await client.request(method, path, **options)

    return asyncio.run(ask())


def test_a_message_that_is_too_long_is_refused():
    answer = call(Node(0), "POST", "/v1/gossip", content=bytes(MAX_MESSAGE_BYTES + 1))
    assert answer.status_code == 413
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("body", [b"", b"{}", b"\xa0", b"\xff" * 100, Push((b"x",)).encode()[:-1]])
def test_a_message_that_is_none_is_refused(body):
    assert call(Node(0), "POST", "/v1/gossip", content=body).status_code == 400


def test_a_crowded_lane_asks_to_come_again():
    """The second of two messages does not fit; nothing is served in between."""
    node = Node(0, config=SyncConfig(lane_messages=1))
    node.gossip._machine.work = lambda _now: []

    async def twice() -> None:
        async with running(node):
            message = Announce((sha256(b"x"),)).encode()
            await node.gossip.hear(message, url(1))
            with pytest.raises(PeerBusy):
                await node.gossip.hear(message, url(1))

    asyncio.run(twice())


def test_a_busy_node_answers_503():
    node = Node(0)

    async def busy(*_):
        raise PeerBusy("later")

    node.gossip.hear = busy
    answer = call(node, "POST", "/v1/gossip", content=Announce((sha256(b"x"),)).encode())
    assert answer.status_code == 503


@pytest.mark.parametrize(("by", "status", "believed"), [(1, 202, [url(1)]), (3, 202, [url(3)]), (9, 403, [])])
def test_only_members_are_heard_and_asked_back(by, status, believed):
    """Who calls is who signed; a stranger must not make this node call an address of its choice."""
    node = Node(0)
    callers = []

    async def note(_message, caller):
        callers.append(caller)
        return b""

    node.gossip.hear = note
    body = Push((post_update(publisher(1), 1).raw,)).encode()
    headers = {"Medweave-Node": "http://169.254.169.254"}
    assert call(node, "POST", "/v1/gossip", by, content=body, headers=headers).status_code == status
    assert callers == believed


def test_known_transactions_are_given_and_unknown_ones_named():
    node = Node(0)
    update = post_update(node.book, 0)
    answer = call(node, "POST", "/v1/gossip", content=Request(7, (bytes(32), update.id)).encode())
    assert answer.headers["content-type"] == MEDIA_TYPE
    assert parse(answer.content) == Answer(7, (update.raw,), (bytes(32),))


async def test_why_a_peer_refuses_is_said_once_a_reason(caplog):
    """A wrong clock or address shows nowhere else at the hospital that has it."""
    said = iter(
        [
            (401, "the request was signed +90 s from"),
            (401, "the request was signed +91 s from"),
            (403, "no member\n\x1b[31m" + "x" * 9000),
            (202, ""),
            (401, "the request was signed +90 s from"),
        ]
    )

    def answer(_: httpx.Request) -> httpx.Response:
        status, detail = next(said)
        return httpx.Response(status, json={"detail": detail})

    node = Node(0)
    node.connect({url(1): httpx.MockTransport(answer)})
    message = Announce((sha256(b"x"),)).encode()
    arrived = [(await node.gossip._calls.call(Send(url(1), message))).arrived for _ in range(5)]
    assert arrived == [False, False, False, True, False]
    lines = [record.getMessage() for record in caplog.records if "refuses" in record.getMessage()]
    assert len(lines) == 3
    assert "was signed +90 s" in lines[0]
    assert all(len(line) < 400 and line.isprintable() for line in lines)
