"""A node that was off for long, and peers that promise what they do not give (DAG-8)."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace

import pytest

from dag.sync import LedgerAccess, Send, SyncConfig, SyncMachine
from dag.sync.messages import (
    Announce,
    Answer,
    Frontier,
    Range,
    RangeRequest,
    Request,
    parse,
)
from tests.dag.messages import ids
from tests.dag.support import ledger, post
from tests.dag.syncnet import SILENT, Net, chain
from tests.dag.test_ledger import QUIET


def played(rounds: int, books: list, begin: int = 0) -> list[bytes]:
    """Rounds in which each of three members approves the others' last transactions; the ids that the chain anchors."""
    last = [books[0].genesis_id] * 3
    rows, anchors = [], []
    for number in range(begin, begin + rounds):
        for member in range(3):
            made = post((last[member - 1], last[member - 2]), QUIET, member, number)
            last[member] = made.id
            rows.append(made.raw)
        if number % 3 == 2:
            anchors.append(last[2])
    for book in books:
        assert len(book.receive_many(rows).attached) == len(rows)
    return anchors


@pytest.fixture(scope="module")
def long_history():
    books = [ledger() for _ in range(3)]
    return books, played(1000, books)


@pytest.mark.parametrize("anchored", [False, True])
def test_a_node_off_for_a_thousand_rounds_catches_up_by_pages(long_history, anchored):
    books, anchors = long_history
    net = Net(4, books=[*books, ledger()], tells_outcome=True)
    behind = net.nodes["n3"]
    if anchored:
        net.carry("n3", behind.machine.anchored(anchors, net.now))
    most = 0

    def watch() -> bool:
        nonlocal most
        stats = behind.machine.stats()
        most = max(most, stats.paged_bytes + stats.queued_bytes)
        assert stats.held + stats.parked + stats.wants <= 300
        return net.same()

    assert net.run(60.0, watch)
    total = len(books[0])
    segments = len(anchors) / net.config.anchors_per_segment if anchored else 1
    assert total == 3001
    assert net.sent["range"] <= total / net.config.page + segments + 5, "messages go with what is missing"
    assert net.sent["request"] <= 10
    assert most <= net.config.segments * 1_100_000
    served = Counter(receiver for sender, receiver, kind, _ in net.log if sender == "n3" and kind == "range-request")
    if anchored:
        assert len(served) == 3, f"segments are fetched of several peers: {served}"
        assert max(served.values()) <= 0.6 * sum(served.values())


def test_catching_up_goes_on_after_a_restart(long_history):
    books, anchors = long_history
    net = Net(4, books=[*books, ledger()])
    half = net.run(60.0, lambda: len(net.nodes["n3"].book) > 1500)
    assert half
    spent = net.sent["range"]
    net.add("n3", net.nodes["n3"].book, seed=99)
    for peer in ("n0", "n1", "n2"):
        net.carry("n3", net.nodes["n3"].machine.connect(peer, net.now))
    net.carry("n3", net.nodes["n3"].machine.anchored(anchors, net.now))
    assert net.run(60.0, net.same)
    assert net.sent["range"] - spent < 0.8 * (len(books[0]) / net.config.page + len(anchors) / 8)


def test_parents_missing_through_many_generations_are_fetched_by_pages():
    """One push shows that two hundred generations are missing: asking for one at a time would take as many trips."""
    books = [ledger(), ledger()]
    chain(books[0], 200)
    net = Net(2, books=books, config=SILENT)
    net.post(0)
    assert net.run(10.0, net.same)
    assert net.sent["request"] <= SILENT.chase + 2
    assert net.sent["range-request"] >= 1


def test_what_a_peer_attached_before_all_that_is_common_is_found_too():
    """A long branch that nobody approved since: it lies behind the place where catching up begins, so it goes further back."""
    books = [ledger(), ledger()]
    chain(books[0], 600, 3)
    played(40, books)
    net = Net(2, books=books)
    assert net.run(15.0, net.same)
    assert net.sent["request"] < 60, "not one generation after the other"
    net.sent.clear()
    net.run(20.0)
    assert not net.sent["range-request"], "and then it is quiet"


def test_a_long_way_through_what_is_known_is_walked_on_lines_that_lose_messages():
    """What is missing lies behind forty known pages. A lost one is asked for again; beginning anew would never get there."""
    books = [ledger(), ledger()]
    played(500, books)
    chain(books[0], 300, 3)
    played(350, books, 500)
    config = replace(SyncConfig(), page=16)
    net = Net(2, books=books, config=config, loss=0.2, latency=(0.01, 0.03))
    assert net.run(400.0, net.same)
    assert net.sent["request"] < 100, "not one generation after the other"


def test_an_answer_that_waits_to_be_served_is_not_late():
    """A node that serves seldom blames nobody for its own pace."""
    books = [ledger(), ledger()]
    chain(books[0], 3)
    machine = SyncMachine(LedgerAccess(books[1]), SyncConfig(), random.Random(1))
    told = [*machine.connect("a", 0.0), *machine.connect("b", 0.0)]
    tip = list(books[0].tangle.ids())[-1]
    for peer in ("a", "b"):
        machine.receive(peer, Announce((tip,)).encode(), 0.1)
    told += machine.work(0.1)
    ((peer, question),) = [
        (e.peer, parse(e.message)) for e in told if isinstance(e, Send) and isinstance(parse(e.message), Request)
    ]
    raws = tuple(books[0].get(tx_id).raw for tx_id in question.ids)
    machine.receive(peer, Answer(question.number, raws, ()).encode(), 0.2)
    late = machine.tick(100.0)
    asked = [parse(e.message) for e in late if isinstance(e, Send)]
    assert not [message for message in asked if isinstance(message, Request)], "it is here already"
    machine.work(100.0)
    assert not machine.stats().held


def test_what_a_peer_holds_and_this_node_refuses_is_not_fetched_for_ever():
    """One node admitted a hundred transactions of a member before it was convicted, the other refuses them all."""
    books = [ledger(), ledger()]
    fork_of_three = [post((books[1].genesis_id,) * 2, QUIET, 3, 999, round_=number) for number in (1, 2)]
    books[1].receive_many([tx.raw for tx in fork_of_three])
    played(40, books)
    lonely = [post((books[0].genesis_id,) * 2, QUIET, 3, number) for number in range(100)]
    books[0].receive_many([tx.raw for tx in lonely])
    net = Net(2, books=books)
    net.run(300.0)
    assert len(books[0]) >= len(books[1]) + 98, "the difference stays"
    net.sent.clear()
    net.run(300.0)
    assert not net.sent["range-request"]
    assert net.sent["request"] == 0


def empty_range(_sender: str, raw: bytes) -> list[bytes]:
    """Promises everything and gives nothing."""
    match parse(raw):
        case Frontier() as message if message.reply:
            return [Frontier(10**9, ids(1, "promised"), reply=False).encode()]
        case RangeRequest() as message:
            return [Range(message.number, (), more=False).encode()]
        case Request() as message:
            return [Answer(message.number, (), message.ids).encode()]
    return []


def silence(_sender: str, _raw: bytes) -> list[bytes]:
    return []


def garbage(_sender: str, raw: bytes) -> list[bytes]:
    """Well-formed answers full of what is no transaction."""
    match parse(raw):
        case RangeRequest() as message:
            return [Range(message.number, (b"garbage", b"more of it"), more=True).encode()]
        case Request() as message:
            return [Answer(message.number, (b"garbage",), ()).encode()]
        case Frontier() as message if message.reply:
            return [Frontier(10**9, ids(2, "garbage"), reply=False).encode()]
    return []


@pytest.mark.parametrize("liar", [empty_range, silence, garbage])
def test_a_liar_does_not_keep_a_node_from_catching_up(long_history, liar):
    books, anchors = long_history
    net = Net(2, books=[books[0], ledger()])
    net.stranger("liar", liar)
    behind = net.nodes["n1"]
    net.carry("n1", behind.machine.connect("liar", net.now))
    net.carry("n1", behind.machine.anchored(anchors, net.now))
    assert net.run(120.0, net.same)
    assert {blame.peer for blame in behind.blamed} == {"liar"}
