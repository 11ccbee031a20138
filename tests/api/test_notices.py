"""New data told from node to node through the real route: announced once, heard by a peer's peer, malformed messages refused."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from node.api import problems
from node.api.routes import exchanges
from node.daemon.announcing import Announcer
from node.planning.board import NoticeBoard
from node.planning.images import Holding
from node.rounds.plan import Plan
from tests.membership.support import ACCOUNTS, DEPLOYMENT, digest, founded

ASKING = Plan.create(classes=("a", "b"), new_data_from=2)


class Images:
    """What a hospital holds, changed by the test."""

    def __init__(self) -> None:
        self.held = Holding(10, digest("images"))

    def look(self) -> Holding:
        return self.held


class Node:
    """A hospital's board behind its route, and its announcer, which calls one other node."""

    def __init__(self, root, k: int) -> None:
        self.board = NoticeBoard(root / f"notices-{k}.json", DEPLOYMENT, founded)
        self.images, self.calls = Images(), 0
        app = FastAPI()
        problems.install(app)
        app.include_router(exchanges.router(SimpleNamespace(notices=self.board)), prefix="/v1")
        self.app, self.k = app, k

    def announcer(self, other: Node) -> Announcer:
        def client() -> TestClient:
            self.calls += 1
            return TestClient(other.app, base_url="http://peer")

        return Announcer(self.board, self.images, ACCOUNTS[self.k], lambda: ("http://peer",), client, every=3600)


@pytest.fixture
def nodes(tmp_path):
    return [Node(tmp_path, k) for k in range(3)]


def test_new_data_reaches_who_was_not_called(nodes):
    first, second, third = nodes
    first.announcer(second).step(ASKING)
    third.announcer(second).step(ASKING)
    assert third.board.fresh(founded()) == {0, 2}
    assert second.board.fresh(founded()) == {0, 2}, "and who was called heard both"


def test_peers_are_called_when_something_is_new_and_seldom_otherwise(nodes):
    first, second, _ = nodes
    announcer = first.announcer(second)
    for _ in range(5):
        announcer.step(ASKING)
    assert first.calls == 1
    first.images.held = Holding(11, digest("more"))
    announcer.step(ASKING)
    assert first.calls == 2
    assert second.board.of(ACCOUNTS[0].address).images == 11


def test_nothing_is_told_unless_the_plan_asks_for_it(nodes):
    first, second, _ = nodes
    first.announcer(second).step(Plan.create(classes=("a", "b"), every_hours=24))
    first.announcer(second).step(None)
    assert (first.calls, first.board.fresh(founded())) == (0, frozenset())


def test_malformed_messages_are_refused(nodes):
    client = TestClient(nodes[0].app)
    for body in (b"", b"{}", b'{"notices":[{}]}'):
        assert client.post("/v1/notices", content=body).status_code == 400
    assert client.post("/v1/notices", content=b"x" * (1 << 18)).status_code in {400, 413}
