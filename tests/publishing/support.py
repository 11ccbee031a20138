"""Nodes that gossip for the tests: real ledgers, publishers and API applications, joined by ASGI instead of sockets."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import TYPE_CHECKING

import httpx
from eth_utils.address import to_checksum_address

from chain.records import Hospital
from dag.bodies import AcknowledgementBody, Kind
from dag.ledger import Ledger
from dag.store.sqlite import Store
from dag.sync import SyncConfig
from dag.sync.messages import Message, parse
from dag.transaction import address_of
from node.api.app import create_app
from node.calling import Dialer, MemberAuth
from node.consortium.view import ConsortiumView
from node.publishing.gossip import Gossip
from node.publishing.publisher import Publisher
from node.storage import MemoryStore
from tests.api.access.support import access_over
from tests.dag.support import CONSORTIUM, blob, context, key, update_body

if TYPE_CHECKING:
    from collections.abc import Callable

    from dag.transaction import Transaction


QUICK = SyncConfig(frontier_seconds=0.05, retry_seconds=0.05, relay=0, request_seconds=0.5, longest_seconds=0.2)
"""Times short enough for a test."""
NO_FRONTIER = replace(QUICK, frontier_seconds=3600.0)


def url(member: int) -> str:
    return f"http://node-{member}"


def publisher(member: int, members: int = 4, attached=None, path=":memory:", ctx=None) -> Publisher:
    addresses = {address_of(key(index)): index for index in range(members)}
    listener = attached or (lambda *_: None)
    store = Store(path)
    return Publisher(Ledger(store, ctx or (lambda: context(members))), store, key(member), addresses, listener)


def post_update(book: Publisher, member: int) -> Transaction:
    return book.post(
        Kind.UPDATE, update_body(member), epoch=1, round_number=1, payload=blob(f"manifest of member {member}")
    )


def acknowledge(book: Publisher, approve: bytes | None = None) -> Transaction:
    return book.post(Kind.ACKNOWLEDGEMENT, AcknowledgementBody(None), epoch=1, round_number=1, approve=approve)


@dataclass
class Node:
    """One member's gossip and what it stands on."""

    member: int
    members: int = 4
    check: Callable[[Transaction, str | None], None] = lambda *_: None
    peers: list[str] = field(default_factory=list)
    config: SyncConfig = QUICK
    options: dict = field(default_factory=dict)
    book: Publisher | None = None
    loop: asyncio.AbstractEventLoop | None = None

    def __post_init__(self) -> None:
        self.context = context(self.members)
        self.auth = MemberAuth(key(self.member), CONSORTIUM)
        self.book = self.book or publisher(self.member, self.members, self._attached, ctx=lambda: self.context)
        self.gossip = Gossip(
            self.book, Dialer(self.auth), lambda: tuple(self.peers), self._check, config=self.config, **self.options
        )
        hospitals = tuple(
            Hospital(to_checksum_address(address_of(key(k))), bytes([k + 1] * 32), 1, f"Hospital {k}", url(k))
            for k in range(self.members)
        )
        view = ConsortiumView.of(hospitals)
        self.service = SimpleNamespace(
            config=SimpleNamespace(hospital=SimpleNamespace(name=f"Hospital {self.member}")),
            access=access_over(view, CONSORTIUM, url(self.member)),
            publisher=self.book,
            gossip=self.gossip,
            store=MemoryStore(),
            view=view,
        )
        self.app = create_app(self.service)

    def _check(self, transaction: Transaction, sender: str | None) -> None:
        self.check(transaction, sender)

    def _attached(self, transaction: Transaction, _approvals) -> None:
        """As the daemon does: from any thread, onto the loop."""
        if self.loop is not None and transaction.issuer == address_of(key(self.member)):
            self.loop.call_soon_threadsafe(self.gossip.announce_soon)

    def connect(self, others: dict[str, object]) -> None:
        """Make these applications (or transports) reachable under their URLs, and peers."""
        self.peers += list(others)
        mounts = {
            where: app if isinstance(app, httpx.AsyncBaseTransport) else httpx.ASGITransport(app)
            for where, app in others.items()
        }
        self.gossip._calls._http = httpx.AsyncClient(mounts=mounts, trust_env=False, timeout=2.0, auth=self.auth)

    def has(self, *transactions: Transaction) -> bool:
        return all(self.book.knows(tx.id) for tx in transactions)


def pair(config: SyncConfig = QUICK) -> tuple[Node, Node]:
    """Two nodes that know each other."""
    first, second = Node(0, config=config), Node(1, config=config)
    first.connect({url(1): second.app})
    second.connect({url(0): first.app})
    return first, second


@asynccontextmanager
async def running(*nodes: Node):
    """Let them gossip; on the way out it must turn out that none of them stopped by itself."""
    for node in nodes:
        node.loop = asyncio.get_running_loop()
    tasks = [asyncio.create_task(node.gossip.run()) for node in nodes]
    try:
        yield
        stopped = [task for task in tasks if task.done()]
    finally:
        for task in tasks:
            task.cancel()
        for node in nodes:
            node.loop = None
        results = await asyncio.gather(*tasks, return_exceptions=True)
    assert not stopped, f"gossip stopped by itself: {results}"


async def until(what: Callable[[], bool], seconds: float = 3.0) -> bool:
    """Whether something comes true in time."""
    end = asyncio.get_running_loop().time() + seconds
    while not what():
        if asyncio.get_running_loop().time() > end:
            return False
        await asyncio.sleep(0.01)
    return True


def answering(answer: Callable[[Message], Message | bytes | None]) -> httpx.MockTransport:
    """A peer that answers each message as it is told to; None takes it without an answer."""

    def respond(request: httpx.Request) -> httpx.Response:
        said = answer(parse(request.content))
        if said is None:
            return httpx.Response(202)
        return httpx.Response(200, content=said if isinstance(said, bytes) else said.encode())

    return httpx.MockTransport(respond)


def refusing(status: int = 503) -> httpx.MockTransport:
    """A peer that takes nothing."""
    return httpx.MockTransport(lambda _: httpx.Response(status))
