"""Gossip between real nodes: announcing, missing parents, frontiers, and peers that lie or are down (DAG-8)."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import httpx
import pytest

from dag.bodies import AcknowledgementBody, Kind
from dag.ids import sha256
from dag.transaction import MAX_BYTES, Transaction, Unsigned, sign
from node.errors import LyingPeer
from node.publishing import gossip as module
from node.publishing.wire import MAX_BATCH, MAX_MESSAGE_BYTES, pack_ids, pack_transactions
from node.storage import BlobUnavailable
from tests.dag.support import CONSORTIUM, blob, context, terms, update_body
from tests.publishing.support import Node, acknowledge, answering, pair, post_update, publisher, running, until, url


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Timers short enough for a test; a test that wants no frontier exchange sets it long again."""
    monkeypatch.setattr(module, "FRONTIER_SECONDS", 0.05)
    monkeypatch.setattr(module, "RESEND_SECONDS", 0.05)


@pytest.fixture
def no_frontier(monkeypatch):
    monkeypatch.setattr(module, "FRONTIER_SECONDS", 3600.0)


async def test_what_one_posts_the_other_attaches(no_frontier):
    first, second = pair()
    async with running(first, second):
        update = await asyncio.to_thread(post_update, first.book, 0)
        assert await until(lambda: second.has(update))
        answer = await asyncio.to_thread(acknowledge, second.book, update.id)
        assert await until(lambda: first.has(answer))
        assert await until(lambda: not first.book.outbox())


async def test_missing_parents_are_fetched_from_the_sender(no_frontier):
    first, second = pair()
    rows = [post_update(first.book, 0)] + [acknowledge(first.book) for _ in range(4)]
    async with running(second):
        assert second.gossip.offer(rows[-1].raw, url(0))
        assert await until(lambda: second.has(*rows))


async def test_parents_that_the_sender_lacks_are_asked_of_the_others(no_frontier):
    first, second = pair()
    rows = [post_update(first.book, 0)] + [acknowledge(first.book) for _ in range(2)]
    second.connect({url(2): answering(), url(0): first.app})
    async with running(second):
        assert second.gossip.offer(rows[-1].raw, url(2))
        assert await until(lambda: second.has(*rows))


async def test_comparing_frontiers_fills_what_was_lost():
    first, second = pair()
    rows = [post_update(first.book, 0)] + [acknowledge(first.book) for _ in range(9)]
    async with running(second):
        assert await until(lambda: second.has(*rows))


async def test_an_announcement_waits_for_a_peer_that_is_down(no_frontier):
    first, second = pair()
    first.connect({url(1): httpx.MockTransport(lambda _: httpx.Response(503))})
    first.peers[:] = [url(1)]
    async with running(first, second):
        update = await asyncio.to_thread(post_update, first.book, 0)
        await asyncio.sleep(0.2)
        assert [tx.id for tx in first.book.outbox()] == [update.id]
        first.connect({url(1): second.app})
        assert await until(lambda: second.has(update) and not first.book.outbox())


async def test_a_peer_that_is_down_holds_up_no_announcement_to_the_others(no_frontier):
    """More own transactions than one message holds, one peer dead for good: the living one still hears of each."""
    first, second = pair()
    first.peers.clear()
    first.connect({url(1): second.app, url(2): httpx.MockTransport(lambda _: httpx.Response(503))})
    rows = [post_update(first.book, 0)] + [acknowledge(first.book) for _ in range(MAX_BATCH + 5)]
    async with running(first, second):
        assert await until(lambda: second.has(*rows)), "what lies behind the first batch is never announced"


async def test_news_between_looking_and_waiting_is_not_missed(no_frontier):
    """The outbox is read in a thread: something posted just after the reading must wake the announcer."""
    first, second = pair()
    posted: list[Transaction] = []
    loop = asyncio.get_running_loop()
    read = first.book.outbox

    def outbox():
        found = read()
        if not posted:
            posted.append(post_update(first.book, 0))
            asyncio.run_coroutine_threadsafe(_nothing(), loop).result()  # the wake-up has reached the loop
        return found

    first.book.outbox = outbox
    first.book._attached = lambda *_: loop.call_soon_threadsafe(first.gossip.announce_soon)
    async with running(first, second):
        assert await until(lambda: posted and second.has(*posted), 1.5)


async def _nothing() -> None:
    return None


async def test_an_update_is_attached_only_after_its_ciphertexts_were_checked(no_frontier):
    first, second = pair()
    asked = []

    def check(transaction, sender):
        assert not second.book.knows(transaction.id)
        asked.append((transaction.id, sender))

    second.gossip._check_update = check
    async with running(first, second):
        update = await asyncio.to_thread(post_update, first.book, 0)
        assert await until(lambda: second.has(update))
    assert asked == [(update.id, url(0))]


async def test_an_update_whose_ciphertexts_are_false_stays_out(no_frontier):
    first, second = pair()

    def check(*_):
        raise LyingPeer("not what it says")

    second.gossip._check_update = check
    async with running(first, second):
        update = await asyncio.to_thread(post_update, first.book, 0)
        assert await until(lambda: not first.book.outbox())
        await asyncio.sleep(0.1)
        assert not second.has(update)


async def test_an_update_is_tried_again_once_its_ciphertexts_can_be_had():
    first, second = pair()
    tries = []

    def check(*_):
        tries.append(1)
        if len(tries) < 3:
            raise BlobUnavailable(blob("x"), ())

    second.gossip._check_update = check
    async with running(first, second):
        update = await asyncio.to_thread(post_update, first.book, 0)
        assert await until(lambda: second.has(update))


async def test_a_round_that_is_not_known_yet_is_waited_for():
    first, second = pair()
    second.context = replace(second.context, rounds={})
    update = post_update(first.book, 0)
    async with running(second):
        second.gossip.offer(update.raw, url(0))
        await asyncio.sleep(0.15)
        assert not second.has(update)
        second.context = context(4)
        assert await until(lambda: second.has(update))


async def test_a_stranger_costs_no_ciphertext_check(no_frontier):
    """Fetching and checking an update's chunks is work: only for what a member signed, for a round that is known."""
    node = Node(1)
    asked = []
    node.gossip._check_update = lambda transaction, _: asked.append(transaction.id)
    genesis = node.book.read(lambda ledger: ledger.genesis_id)
    unsigned = Unsigned(Kind.UPDATE, CONSORTIUM, 1, 1, 0, (genesis, genesis), blob("m"), update_body(0))
    async with running(node):
        node.gossip.offer(sign(unsigned, sha256(b"nobody's key")).raw, None)
        await until(node.gossip._queue.empty)
        await asyncio.sleep(0.1)
    assert asked == []


async def test_a_check_that_breaks_does_not_end_gossip(no_frontier):
    """For example a round number that this node has never heard of: `KeyError` deep inside a check."""
    first, second = pair()

    def check(transaction, _):
        raise KeyError(transaction.round)

    second.gossip._check_update = check
    async with running(second):
        second.gossip.offer(post_update(first.book, 0).raw, url(0))
        await asyncio.sleep(0.15)


@pytest.mark.parametrize("body", [b"", b"\xff" * 10, pack_ids([bytes(32)]), pack_transactions([b"no transaction"])])
async def test_a_peer_that_answers_nonsense_does_not_end_gossip(body):
    """The frontier names something unknown, the fetch of it answers bytes that are no list of transactions."""
    node = Node(0)
    node.connect({url(1): answering(frontier=pack_ids([sha256(b"unknown")]), fetch=body)})
    async with running(node):
        await asyncio.sleep(0.25)


@pytest.mark.parametrize("body", [b"", b"\xff" * 10, pack_transactions([])])
async def test_a_frontier_that_is_none_does_not_end_gossip(body):
    node = Node(0)
    node.connect({url(1): answering(frontier=body)})
    async with running(node):
        await asyncio.sleep(0.2)


@pytest.mark.parametrize(
    "address", ["no url", "ftp://peer", "http://..", "http://xn--", "http://:80:80", "http://\x01"]
)
async def test_an_address_that_is_none_does_not_end_gossip(address):
    """Members set their own URL on chain; one that cannot be called must not stop the others' daemons."""
    node = Node(0)
    node.peers.append(address)
    post_update(node.book, 0)
    async with running(node):
        await asyncio.sleep(0.2)


async def test_an_answer_without_end_is_cut_off():
    sent = []

    async def endless():
        while True:
            sent.append(1)
            yield bytes(1 << 20)

    node = Node(0)
    node.connect({url(1): httpx.MockTransport(lambda _: httpx.Response(200, content=endless()))})
    assert await node.gossip._ask(url(1), "/v1/gossip/frontier", None) is None
    assert len(sent) <= MAX_MESSAGE_BYTES // (1 << 20) + 2


async def test_the_queue_is_bounded_and_says_so():
    node = Node(0)
    node.gossip._queue = asyncio.Queue(2)
    assert [node.gossip.offer(bytes([k]), None) for k in range(4)] == [True, True, False, False]
    assert node.gossip.offer(bytes([0]), None), "what is queued already is no further load"
    assert node.gossip.offer(bytes(MAX_BYTES + 1), None), "what can be no transaction is dropped, not asked for again"


async def test_held_transactions_are_bounded(monkeypatch):
    monkeypatch.setattr(module, "MAX_HELD", 3)
    node = Node(0)
    for number in range(5):
        node.gossip._hold(bytes([number]), b"raw", None)
    assert list(node.gossip._held) == [b"\x02", b"\x03", b"\x04"]


def call(node: Node, method: str, path: str, **options) -> httpx.Response:
    async def ask() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(node.app), base_url=url(node.member)) as client:
            return await client.request(method, path, **options)

    return asyncio.run(ask())


def test_a_message_that_is_too_long_is_refused():
    answer = call(Node(0), "POST", "/v1/gossip/transactions", content=bytes(MAX_MESSAGE_BYTES + 1))
    assert answer.status_code == 413
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("path", ["/v1/gossip/transactions", "/v1/gossip/fetch"])
@pytest.mark.parametrize("body", [b"", b"{}", b"\xa0", b"\xff" * 100, pack_transactions([b""])[:-1]])
def test_a_message_that_is_none_is_refused(path, body):
    assert call(Node(0), "POST", path, content=body).status_code == 400


def test_a_full_queue_asks_to_come_again():
    node = Node(0)
    node.gossip._queue = asyncio.Queue(1)
    rows = [post_update(node.book, 0), acknowledge(node.book)]
    answer = call(node, "POST", "/v1/gossip/transactions", content=pack_transactions(tx.raw for tx in rows))
    assert answer.status_code == 503


@pytest.mark.parametrize(
    ("claimed", "believed"), [(url(1), url(1)), ("http://169.254.169.254", None), (None, None), (url(9), None)]
)
def test_only_members_are_asked_back(claimed, believed):
    """A stranger must not make this node call an address of its choice."""
    node = Node(0)
    other = publisher(1)
    headers = {} if claimed is None else {"Medweave-Node": claimed}
    body = pack_transactions([post_update(other, 1).raw])
    assert call(node, "POST", "/v1/gossip/transactions", content=body, headers=headers).status_code == 202
    assert node.gossip._queue.get_nowait()[1] == believed


def test_known_transactions_are_given_and_unknown_ones_left_out():
    node = Node(0)
    update = post_update(node.book, 0)
    answer = call(node, "POST", "/v1/gossip/fetch", content=pack_ids([bytes(32), update.id]))
    assert answer.content == pack_transactions([update.raw])


def test_terms_of_the_support_match_the_rules():
    """The other tests mean something only while an honest update is attached at once."""
    first, second = publisher(0), publisher(1)
    received = second.receive(post_update(first, 0).raw)
    assert len(received.attached) == 1
    assert terms().max_slots == update_body(0).slots * 2
    assert isinstance(received.attached[0].body, type(update_body(0)))
    assert not isinstance(received.attached[0].body, AcknowledgementBody)
