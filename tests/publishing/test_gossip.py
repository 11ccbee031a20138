"""Gossip between real nodes: announcing, missing parents, frontiers, and peers that lie, drip or are down (DAG-8)."""

from __future__ import annotations

import asyncio
import threading
import time
from dataclasses import replace

import httpx
import pytest

from dag.bodies import AcknowledgementBody, Kind
from dag.errors import StoreFailed
from dag.ids import sha256
from dag.sync import MAX_MESSAGE_BYTES, SyncConfig
from dag.sync.messages import Answer, Frontier, Push, Range, RangeRequest, Request, parse
from dag.transaction import Transaction, Unsigned, sign
from node.errors import LyingPeer
from node.publishing import calls
from node.publishing import gossip as module
from node.storage import BlobUnavailable
from tests.dag.support import CONSORTIUM, blob, context, terms, update_body
from tests.publishing.support import (
    NO_FRONTIER,
    QUICK,
    Node,
    acknowledge,
    answering,
    pair,
    post_update,
    publisher,
    refusing,
    running,
    until,
    url,
)


def silent_pair(config: SyncConfig = QUICK) -> tuple[Node, Node]:
    """Two nodes of which the second knows the first, which answers but tells nobody anything."""
    first, second = pair(config)
    first.peers.clear()
    return first, second


async def push(node: Node, transaction: Transaction, caller: str | None = url(0)) -> None:
    await node.gossip.hear(Push((transaction.raw,)).encode(), caller)


async def test_what_one_posts_the_other_attaches():
    first, second = pair(NO_FRONTIER)
    async with running(first, second):
        update = await asyncio.to_thread(post_update, first.book, 0)
        assert await until(lambda: second.has(update))
        answer = await asyncio.to_thread(acknowledge, second.book, update.id)
        assert await until(lambda: first.has(answer))
        assert await until(lambda: not first.book.outbox())


async def test_missing_parents_are_fetched_from_the_sender():
    first, second = silent_pair(NO_FRONTIER)
    rows = [post_update(first.book, 0)] + [acknowledge(first.book) for _ in range(4)]
    async with running(first, second):
        await push(second, rows[-1])
        assert await until(lambda: second.has(*rows))


async def test_parents_that_the_sender_lacks_are_asked_of_the_others():
    first, second = silent_pair(NO_FRONTIER)
    rows = [post_update(first.book, 0)] + [acknowledge(first.book) for _ in range(2)]
    asked = []

    def lacks_all(message):
        asked.append(message)
        return Answer(message.number, (), message.ids) if isinstance(message, Request) else None

    second.connect({url(2): answering(lacks_all), url(0): first.app})
    async with running(first, second):
        await push(second, rows[-1], url(2))
        assert await until(lambda: second.has(*rows))
    assert isinstance(asked[0], Request), "the sender is asked first"


async def test_comparing_frontiers_fills_what_was_lost():
    first, second = silent_pair()
    rows = [post_update(first.book, 0)] + [acknowledge(first.book) for _ in range(9)]
    async with running(first, second):
        assert await until(lambda: second.has(*rows))


async def test_a_node_that_was_off_for_long_catches_up_in_pages():
    first, second = silent_pair(replace(QUICK, page=64))
    rows = [post_update(first.book, 0)] + [acknowledge(first.book) for _ in range(400)]
    asked = []
    hear = first.gossip.hear

    async def note(message, caller):
        asked.append(parse(message).KIND)
        return await hear(message, caller)

    first.gossip.hear = note
    async with running(first, second):
        assert await until(lambda: second.has(*rows), 10.0)
    assert 401 / 64 < asked.count("range-request") <= 401 / 64 + 3
    assert asked.count("request") <= 2


async def test_a_node_that_cannot_be_called_catches_up_too():
    """Behind a firewall: its own calls bring what it lacks, since a question is answered in the response."""
    first, second = pair()
    first.connect({url(1): refusing()})
    first.peers[:] = [url(1)]
    async with running(first, second):
        update = await asyncio.to_thread(post_update, first.book, 0)
        assert await until(lambda: second.has(update))
        answer = await asyncio.to_thread(acknowledge, second.book, update.id)
        assert await until(lambda: first.has(answer))


async def test_an_announcement_waits_for_a_peer_that_is_down():
    first, second = pair(NO_FRONTIER)
    first.connect({url(1): refusing()})
    first.peers[:] = [url(1)]
    async with running(first, second):
        update = await asyncio.to_thread(post_update, first.book, 0)
        await asyncio.sleep(0.2)
        assert [tx.id for tx in first.book.outbox()] == [update.id]
        first.connect({url(1): second.app})
        assert await until(lambda: second.has(update) and not first.book.outbox())


async def test_a_peer_that_is_down_holds_up_no_announcement_to_the_others():
    """Many own transactions, one peer dead for good: the living one still hears of each."""
    first, second = pair(NO_FRONTIER)
    first.peers.clear()
    first.connect({url(1): second.app, url(2): refusing()})
    rows = [post_update(first.book, 0)] + [acknowledge(first.book) for _ in range(70)]
    async with running(first, second):
        assert await until(lambda: second.has(*rows))


async def test_news_between_looking_and_waiting_is_not_missed():
    """The outbox is read in a thread: something posted just after the reading must wake the announcer."""
    first, second = pair(NO_FRONTIER)
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


async def test_an_update_is_attached_only_after_its_ciphertexts_were_checked():
    first, second = pair(NO_FRONTIER)
    asked = []

    def check(transaction, sender):
        assert not second.book.knows(transaction.id)
        asked.append((transaction.id, sender))

    second.check = check
    async with running(first, second):
        update = await asyncio.to_thread(post_update, first.book, 0)
        assert await until(lambda: second.has(update))
    assert asked == [(update.id, url(0))]


async def test_an_update_whose_ciphertexts_are_false_stays_out():
    first, second = pair(NO_FRONTIER)
    asked = []

    def check(*_):
        asked.append(1)
        raise LyingPeer("not what it says")

    second.check = check
    async with running(first, second):
        update = await asyncio.to_thread(post_update, first.book, 0)
        assert await until(lambda: not first.book.outbox() and asked)
        await asyncio.sleep(0.1)
        assert not second.has(update)


async def test_an_update_is_tried_again_once_its_ciphertexts_can_be_had():
    first, second = pair()
    tries = []

    def check(*_):
        tries.append(1)
        if len(tries) < 3:
            raise BlobUnavailable(blob("x"), ())

    second.check = check
    async with running(first, second):
        update = await asyncio.to_thread(post_update, first.book, 0)
        assert await until(lambda: second.has(update))


async def test_an_update_of_a_round_that_is_over_needs_no_ciphertexts():
    """They may be gone by then; what the round decided no longer depends on them."""
    first = Node(0)
    second = Node(1, options={"over": lambda number: number == 1})
    second.connect({url(0): first.app})

    def check(*_):
        raise BlobUnavailable(blob("x"), ())

    second.check = check
    update = post_update(first.book, 0)
    async with running(first, second):
        assert await until(lambda: second.has(update))


async def test_a_round_that_is_not_known_yet_is_waited_for():
    first, second = pair(replace(NO_FRONTIER, retry_seconds=60.0, longest_seconds=60.0))
    second.context = replace(second.context, rounds={})
    update = post_update(first.book, 0)
    async with running(second):
        await push(second, update)
        await asyncio.sleep(0.15)
        assert not second.has(update)
        second.context = context(4)
        second.gossip.retry_held()
        assert await until(lambda: second.has(update), 1.0)


async def test_a_stranger_costs_no_ciphertext_check():
    """Fetching and checking an update's chunks is work: only for what a member signed, for a round that is known."""
    node = Node(1, config=NO_FRONTIER)
    asked = []
    node.check = lambda transaction, _: asked.append(transaction.id)
    genesis = node.book.read(lambda ledger: ledger.genesis_id)
    unsigned = Unsigned(Kind.UPDATE, CONSORTIUM, 1, 1, 0, (genesis, genesis), blob("m"), update_body(0))
    async with running(node):
        await push(node, sign(unsigned, sha256(b"nobody's key")), None)
        await asyncio.sleep(0.1)
    assert asked == []


async def test_a_check_that_breaks_does_not_end_gossip():
    """For example a round number that this node has never heard of: `KeyError` deep inside a check."""
    first, second = pair(NO_FRONTIER)
    broken = []

    def check(transaction, _):
        broken.append(1)
        raise KeyError(transaction.round)

    second.check = check
    async with running(second):
        await push(second, post_update(first.book, 0))
        assert await until(lambda: broken)
        await asyncio.sleep(0.1)


async def test_a_slow_check_holds_up_nothing_else():
    first, second = pair(NO_FRONTIER)
    second.check = lambda *_: time.sleep(0.5)
    async with running(first, second):
        update = await asyncio.to_thread(post_update, first.book, 0)
        other = publisher(2)
        quick = acknowledge(other)
        await push(second, quick, url(2))
        assert await until(lambda: second.has(quick), 0.4)
        assert not second.has(update)


async def test_the_event_loop_waits_for_no_disk(monkeypatch):
    """Everything that reads or writes the ledger's file happens in the machine's own thread."""
    first, second = pair()
    used: dict[str, set[str]] = {}

    def watched(name, call):
        def noted(*args):
            used.setdefault(name, set()).add(threading.current_thread().name)
            return call(*args)

        return noted

    for book in (first.book, second.book):
        for name in ("receive_many", "outbox", "sent", "read"):
            monkeypatch.setattr(book, name, watched(name, getattr(book, name)))
    async with running(first, second):
        rows = [await asyncio.to_thread(acknowledge, first.book) for _ in range(3)]
        assert await until(lambda: len(second.gossip._machine._port._access) == 4 and not first.book._ledger.outbox())
    assert {name for threads in used.values() for name in threads} == {"gossip_0"}
    assert set(used) == {"receive_many", "outbox", "sent", "read"}
    assert second.has(*rows)


async def test_a_full_disk_is_waited_out(monkeypatch):
    """The store refuses a batch: what was in it is kept, and enters once there is room."""
    first, second = pair(NO_FRONTIER)
    refused = []
    receive = second.book.receive_many

    def full(raws):
        if len(refused) < 2:
            refused.append(1)
            raise StoreFailed("the disk is full")
        return receive(raws)

    monkeypatch.setattr(second.book, "receive_many", full)
    async with running(first, second):
        row = await asyncio.to_thread(acknowledge, first.book)
        assert await until(lambda: second.has(row))
    assert len(refused) == 2


async def test_what_was_told_is_crossed_out_once_the_disk_has_room(monkeypatch):
    """A full disk keeps the outbox from growing shorter: that must not end the exchange, nor with it the daemon."""
    first, second = pair(NO_FRONTIER)
    refused = []
    sent = first.book.sent

    def full(tx_id):
        if len(refused) < 2:
            refused.append(tx_id)
            raise StoreFailed("the disk is full")
        sent(tx_id)

    monkeypatch.setattr(first.book, "sent", full)
    async with running(first, second):
        row = await asyncio.to_thread(acknowledge, first.book)
        assert await until(lambda: second.has(row) and len(refused) == 1)
        again = await asyncio.to_thread(acknowledge, first.book)
        assert await until(lambda: second.has(again) and not first.book.outbox())
    assert refused == [row.id, row.id]


NONSENSE = [b"\xff" * 10, b"\xa0", Push((b"no transaction",)).encode(), Range(9, (), more=False).encode()]


@pytest.mark.parametrize("body", NONSENSE)
async def test_a_peer_that_answers_nonsense_ends_nothing(body):
    node, other = Node(0), Node(2)
    row = acknowledge(other.book)
    node.connect({url(1): answering(lambda _: body), url(2): other.app})
    async with running(node, other):
        assert await until(lambda: node.has(row))
        await asyncio.sleep(0.1)


async def test_a_peer_that_lists_what_it_does_not_give_ends_nothing():
    node, other = Node(0), Node(2)
    row = acknowledge(other.book)

    def tease(message):
        match message:
            case Frontier():
                return Frontier(10**6, (sha256(b"unknown"),), reply=False)
            case Request():
                return Answer(message.number, (), ())
            case RangeRequest():
                return Range(message.number, (), more=False)

    node.connect({url(1): answering(tease), url(2): other.app})
    async with running(node, other):
        assert await until(lambda: node.has(row))


@pytest.mark.parametrize(
    "address", ["no url", "ftp://peer", "http://..", "http://xn--", "http://:80:80", "http://\x01"]
)
async def test_an_address_that_is_none_does_not_end_gossip(address):
    """Members set their own URL on chain; one that cannot be called must not stop the others' daemons."""
    node, other = Node(0), Node(2)
    node.peers.append(address)
    node.connect({url(2): other.app})
    row = post_update(node.book, 0)
    async with running(node, other):
        assert await until(lambda: other.has(row))


def endless(sent: list[int], size: int, pause: float = 0.0):
    async def pieces():
        while True:
            sent.append(1)
            await asyncio.sleep(pause)
            yield bytes(size)

    return httpx.MockTransport(lambda _: httpx.Response(200, content=pieces()))


async def test_an_answer_without_end_is_cut_off():
    sent: list[int] = []
    node = Node(0)
    node.connect({url(1): endless(sent, 1 << 20)})
    async with running(node):
        assert await until(lambda: node.gossip._machine._lanes.of(url(1), vouched=True).score.points > 0)
    assert len(sent) <= 2 * (MAX_MESSAGE_BYTES // (1 << 20) + 2)


async def test_an_answer_that_drips_runs_out_of_time(monkeypatch):
    """A byte now and then satisfies every timeout between bytes; the deadline is for the whole call."""
    monkeypatch.setattr(calls, "TOTAL_SECONDS", 0.2)
    sent: list[int] = []
    node, other = Node(0), Node(2)
    row = acknowledge(other.book)
    node.connect({url(1): endless(sent, 1, 0.01), url(2): other.app})
    begun = time.monotonic()
    answered = await node.gossip._calls.call(module.Send(url(1), b"x"))
    assert not answered.arrived
    assert time.monotonic() - begun < 1.0
    async with running(node, other):
        assert await until(lambda: node.has(row))


def test_terms_of_the_support_match_the_rules():
    """The other tests mean something only while an honest update is attached at once."""
    first, second = publisher(0), publisher(1)
    received = second.receive_many((post_update(first, 0).raw,))
    assert len(received.attached) == 1
    assert terms().max_slots == update_body(0).slots * 2
    assert isinstance(received.attached[0].body, type(update_body(0)))
    assert not isinstance(received.attached[0].body, AcknowledgementBody)
