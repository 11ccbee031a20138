"""Sync machines on a network that loses, repeats and reorders: announcing, fetching, converging (DAG-8)."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dag.errors import Unsolicited
from dag.ids import sha256
from dag.sync import SyncConfig
from dag.sync.messages import (
    Announce,
    Answer,
    Push,
    Request,
    parse,
)
from tests.dag.messages import ids
from tests.dag.support import ledger
from tests.dag.syncnet import SILENT, Net, chain, lone, said, told


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    seed=st.integers(0, 2**20),
    loss=st.floats(0, 0.4),
    duplicates=st.floats(0, 0.4),
    posts=st.lists(st.tuples(st.integers(0, 2), st.floats(0, 0.3)), min_size=1, max_size=25),
)
def test_machines_converge_whatever_the_network_does(seed, loss, duplicates, posts):
    net = Net(3, seed=seed, loss=loss, duplicates=duplicates, latency=(0.0, 0.4))
    for member, pause in posts:
        net.post(member)
        net.run(pause)
    assert net.run(300.0, net.same), net.sent
    assert len(next(iter(net.nodes.values())).book) == 1 + len(posts)
    stats = [node.machine.stats() for node in net.nodes.values()]
    assert all(s.held == s.checking == s.queued_messages == 0 for s in stats)
    assert not [b for node in net.nodes.values() for b in node.blamed if b.ignored_until is not None]


def test_one_seed_has_one_course():
    def course():
        net = Net(4, seed=5, loss=0.2, duplicates=0.2)
        for number in range(30):
            net.post(number % 4)
            net.run(0.1)
        net.run(5.0)
        return net.log

    assert course() == course()


def test_a_push_takes_one_trip():
    net = Net(4, config=SILENT)
    net.post(0)
    assert net.run(1.0, net.same)
    assert net.sent == {"push": 3}
    assert net.now <= net.latency[1] + 0.01


def test_a_partition_heals():
    net = Net(6, seed=3)
    net.blocked = lambda a, b: (a in {"n0", "n1"}) != (b in {"n0", "n1"})
    for number in range(120):
        net.post(number % 6)
        net.run(0.1)
    assert not net.same()
    net.blocked = lambda *_: False
    assert net.run(20.0, net.same), [len(node.book) for node in net.nodes.values()]


def test_peers_that_diverged_by_the_same_count_meet():
    """Neither is ahead by number; each lacks what the other has."""
    books = [ledger(), ledger()]
    for member in (0, 1):
        chain(books[member], 300, member)
    net = Net(2, books=books)
    assert net.run(60.0, net.same)
    assert len(books[0]) == 601


def test_own_transactions_go_to_every_peer_in_full_and_together():
    book = ledger()
    machine = lone(book)
    rows = chain(book, 5)
    first = machine.created([sha256(rows[0])], 0.0)
    assert said(first, "a") == said(first, "b") == [Push((rows[0],))]
    assert machine.created([sha256(raw) for raw in rows[1:]], 0.001) == []
    due = machine.next_deadline()
    assert due == pytest.approx(SILENT.coalesce_seconds)
    assert said(machine.tick(due), "a") == [Push(tuple(rows[1:]))]
    assert machine.created([sha256(raw) for raw in rows], due) == [], "told once"


def test_the_outbox_is_let_go_once_more_than_a_third_has_it():
    book = ledger()
    peers = ("a", "b", "c", "d")
    machine = lone(book, peers=peers)
    sends = machine.created([sha256(chain(book, 1)[0])], 0.0)
    assert machine.outcome(sends[0], arrived=True, now=0.1) == []
    spread = machine.outcome(sends[1], arrived=True, now=0.2)
    assert [effect.ids for effect in spread] == [sends[0].pushed]


def test_what_did_not_arrive_is_sent_again_after_a_growing_pause():
    book = ledger()
    machine = lone(book, peers=("a",))
    (send,) = machine.created([sha256(chain(book, 1)[0])], 0.0)
    now, pauses = 0.0, []
    for _ in range(6):
        assert machine.outcome(send, arrived=False, now=now) == []
        due = machine.next_deadline()
        pauses.append(due - now)
        now = due
        (send,) = machine.tick(now)
    assert pauses[-1] > 4 * pauses[0]
    assert all(
        SILENT.retry_seconds * 2**k / 2 <= pause <= SILENT.retry_seconds * 2**k for k, pause in enumerate(pauses)
    )


def test_others_hear_of_foreign_transactions_by_id_but_not_whoever_has_them():
    config = replace(SILENT, relay=3)
    source = ledger()
    (raw,) = chain(source, 1)
    machine = lone(config=config, peers=("a", "b", "c"))
    told(machine, "b", Announce((sha256(raw),)))
    told(machine, "a", Push((raw,)))
    effects = machine.tick(machine.next_deadline())
    assert [(e.peer, parse(e.message)) for e in effects] == [("c", Announce((sha256(raw),)))]


def test_an_announced_id_is_asked_of_the_announcer_alone():
    machine = lone()
    (request,) = said(told(machine, "b", Announce(ids(1))), "b")
    assert request.ids == ids(1)
    assert said(told(machine, "a", Announce(ids(1)))) == [], "in flight to one is not asked of another"
    effects = machine.tick(SILENT.request_seconds + 0.01)
    assert [message.ids for message in said(effects, "a")] == [ids(1)], (
        "after its time is up the other announcer is asked"
    )
    assert said(effects, "b") == []


def test_missing_parents_are_asked_of_whoever_sent_the_child_and_then_of_others():
    source = ledger()
    rows = chain(source, 2)
    machine = lone(peers=("a", "b", "c"))
    effects = told(machine, "b", Push((rows[1],)))
    (request,) = said(effects)
    assert (effects[0].peer, request.ids) == ("b", (sha256(rows[0]),))
    effects = told(machine, "b", Answer(request.number, (), request.ids))
    (again,) = said(effects)
    assert again.ids == request.ids
    assert effects[-1].peer in {"a", "c"}
    done = told(machine, effects[-1].peer, Answer(again.number, (rows[0],), ()))
    assert [tx.raw for tx in done[0].transactions] == rows


def test_what_did_not_fit_into_an_answer_is_asked_for_again_at_once():
    rows = chain(ledger(), 2)
    machine = lone(peers=("a",))
    (request,) = said(told(machine, "a", Announce(tuple(map(sha256, rows)))))
    (rest,) = said(told(machine, "a", Answer(request.number, (rows[0],), ())))
    assert rest.ids == (sha256(rows[1]),)


def test_nobody_answers_for_another():
    rows = chain(ledger(), 1)
    machine = lone()
    (request,) = said(told(machine, "a", Announce((sha256(rows[0]),))))
    effects = told(machine, "b", Answer(request.number, (), request.ids))
    assert [type(effect.error) for effect in effects] == [Unsolicited]
    assert machine.tick(0.1) == [], "still awaited of the one that was asked"


def test_what_was_asked_of_a_peer_that_left_is_asked_of_the_next():
    machine = lone()
    told(machine, "a", Announce(ids(1)))
    told(machine, "b", Announce(ids(1)))
    assert [message.ids for message in said(machine.disconnect("a", 0.1), "b")] == [ids(1)]


def test_each_sender_of_a_batch_is_asked_for_its_own_childs_parent():
    one, two = chain(ledger(), 2, 0), chain(ledger(), 2, 1)
    machine = lone()
    machine.receive("a", Push((one[1],)).encode(), 0.0)
    machine.receive("b", Push((two[1],)).encode(), 0.0)
    effects = machine.work(0.0)
    assert [message.ids for message in said(effects, "a")] == [(sha256(one[0]),)]
    assert [message.ids for message in said(effects, "b")] == [(sha256(two[0]),)]


def test_a_busy_sender_is_still_asked_first():
    rows = chain(ledger(), 2)
    machine = lone(config=replace(SILENT, requests_per_peer=1))
    (first,) = said(told(machine, "a", Announce(ids(1))), "a")
    assert said(told(machine, "a", Push((rows[1],)))) == [], (
        "it has a question to answer; the other is not asked instead"
    )
    (parent,) = said(told(machine, "a", Answer(first.number, (), first.ids)), "a")
    assert parent.ids == (sha256(rows[0]),)


def test_a_request_is_never_under_way_to_two_peers():
    """Over a lossy network and every interleaving it has: the log says who asked whom for what, and when."""
    net = Net(4, seed=11, loss=0.3, config=SyncConfig(relay=3))
    open_until: dict[tuple[str, bytes], float] = {}
    doubled = []
    send = net.send

    def watch(sender, receiver, message):
        parsed = parse(message)
        if isinstance(parsed, Request):
            for tx_id in parsed.ids:
                if open_until.get((sender, tx_id), -1.0) > net.now:
                    doubled.append((sender, receiver))
                open_until[sender, tx_id] = net.now + net.config.request_seconds
        if isinstance(parsed, Answer):
            for tx_id in (*parsed.absent, *map(sha256, parsed.transactions)):
                open_until.pop((receiver, tx_id), None)
        send(sender, receiver, message)

    net.send = watch
    for number in range(80):
        net.post(number % 4)
        net.run(0.1)
    assert net.run(60.0, net.same)
    assert net.sent["request"] > 20
    assert doubled == []


def test_an_id_that_nobody_has_is_given_up():
    machine = lone()
    told(machine, "a", Announce(ids(1)))
    now = 0.0
    for _ in range(100):
        now = machine.next_deadline()
        if now > 1e6:
            break
        machine.tick(now)
    assert machine.stats().wants == 0
    assert now > 1e6, "and nothing more is due"
