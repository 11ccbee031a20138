"""Peers that flood, lie and fall silent: turns, standing, bounded memory (DAG-8)."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace

import pytest

from dag.errors import MalformedMessage, Unanswered, Unsolicited
from dag.ids import sha256
from dag.sync import Misbehaved, Overloaded, SyncConfig, SyncMachine
from dag.sync.messages import (
    Announce,
    Answer,
    Frontier,
    Push,
    Range,
    RangeRequest,
    Request,
)
from tests.dag.messages import ids
from tests.dag.support import ledger, post
from tests.dag.syncnet import SILENT, chain, lone, said, told
from tests.dag.test_ledger import QUIET, fork


def flooded(config: SyncConfig, noise: list[bytes]) -> tuple[int, int]:
    """A flooder fills its lane, then an honest peer sends one push: messages served before it, and how many waited."""
    book = ledger()
    (raw,) = chain(ledger(), 1)
    machine = lone(book, config, peers=("flooder", "honest"))
    taken = 0
    for message in noise:
        taken += machine.receive("flooder", message, 0.0) == []
    machine.receive("honest", Push((raw,)).encode(), 0.0)
    turns = 0
    while sha256(raw) not in book:
        machine.work(0.0)
        turns += 1
    return turns, taken


def test_a_flooding_peer_does_not_delay_an_honest_one():
    config = replace(SILENT, work_units=64)
    announcements = [Announce(ids(1024, f"flood {k}")).encode() for k in range(1000)]
    turns, taken = flooded(config, announcements)
    assert 50 < taken <= config.lane_messages, "the rest is turned away"
    assert turns == 1, "with a thousand messages waiting the honest one is served in the first turn"
    pages = [RangeRequest(k, ids(1), None).encode() for k in range(1000)]
    assert flooded(config, pages)[0] <= 2


@pytest.mark.parametrize(
    ("limits", "taken"), [({"lane_messages": 7}, 7), ({"lane_bytes": 1000}, 6), ({"total_bytes": 1000}, 6)]
)
def test_a_peers_queue_has_a_limit_of_messages_and_of_bytes(limits, taken):
    machine = lone(config=replace(SILENT, **limits))
    messages = [Announce(ids(4, f"flood {k}")).encode() for k in range(20)]
    assert 1000 // 7 < len(messages[0]) <= 1000 // 6
    assert sum(machine.receive("a", message, 0.0) == [] for message in messages) == taken
    assert machine.receive("b", messages[0], 0.0) == [], "another peer may always have one message waiting"


def test_what_one_peer_announces_leaves_room_for_the_others():
    machine = lone(config=replace(SILENT, wants_per_peer=60, max_wants=200))
    told(machine, "a", Announce(ids(1000, "made up")))
    assert machine.stats().wants == 60
    (request,) = said(told(machine, "b", Announce(ids(5))), "b")
    assert request.ids == ids(5)


def test_a_peer_that_was_idle_has_saved_nothing_up():
    """Credit left over from an emptied queue is forfeited: otherwise quiet years would pay for one long flood."""
    machine = lone(config=replace(SILENT, work_units=1))
    small = Request(1, ids(1)).encode()
    for _ in range(500):
        told(machine, "a", small)
    for _ in range(150):
        machine.receive("a", small, 0.0)
        machine.receive("b", small, 0.0)
    served = Counter(effect.peer for _ in range(120) for effect in machine.work(0.0))
    assert abs(served["a"] - served["b"]) <= SILENT.quantum, served


def test_work_is_shared_by_cost_not_by_count():
    """One sends large messages, one small: each gets half of the work (deficit round robin)."""
    machine = lone(config=replace(SILENT, work_units=1, lane_bytes=1 << 30))
    large = Request(1, ids(255)).encode()
    small = Request(1, ids(15)).encode()
    for _ in range(200):
        machine.receive("a", large, 0.0)
        machine.receive("b", small, 0.0)
    served: Counter[str] = Counter()
    for _ in range(100):
        for effect in machine.work(0.0):
            served[effect.peer] += 256 if effect.peer == "a" else 16
    assert 0.7 < served["a"] / served["b"] < 1.5, served


def offend(machine: SyncMachine, now: float) -> float:
    """A peer sends nonsense until it is ignored; until when."""
    for _ in range(10):
        (effect,) = machine.receive("a", b"\xff", now)
        assert isinstance(effect, Misbehaved)
        assert isinstance(effect.error, MalformedMessage)
        if effect.ignored_until is not None:
            return effect.ignored_until
    raise AssertionError("never ignored")


def test_a_liar_is_ignored_for_a_while_and_never_for_good():
    machine = lone()
    until = offend(machine, 0.0)
    assert until == SILENT.ignore_seconds
    assert isinstance(machine.receive("a", Announce(ids(1)).encode(), until - 0.1)[0], Overloaded)
    assert said(told(machine, "a", Announce(ids(1)), until), "a"), "heard again"
    assert offend(machine, until) == until + 2 * SILENT.ignore_seconds, "the second time for longer"
    assert offend(machine, 1e6) == 1e6 + SILENT.ignore_seconds, "good conduct is remembered too"


def test_penalties_are_forgiven_with_time():
    machine = lone()
    for number in range(100):
        (effect,) = machine.receive("a", b"\xff", number * 2 * SILENT.half_life_seconds)
        assert effect.ignored_until is None


def test_a_peer_that_leaves_questions_open_is_blamed_only_if_it_does_so_again_and_again():
    machine = lone(peers=("a",))
    blamed = []
    for number in range(6):
        now = 1000.0 * number
        told(machine, "a", Announce(ids(1, f"round {number}")), now)
        effects = machine.tick(now + 500.0)
        blamed.append([type(e.error) for e in effects if isinstance(e, Misbehaved)])
    assert blamed == [[], [], [], [], [Unanswered], [Unanswered]]


def test_what_is_forged_in_a_peers_name_does_not_count_against_its_answers():
    machine = lone()
    for _ in range(10):
        machine.receive("a", b"\xff", 0.0, vouched=False)
    assert isinstance(machine.receive("a", Announce(ids(1)).encode(), 0.0, vouched=False)[0], Overloaded)
    (row,) = chain(ledger(), 1)
    (request,) = said(told(machine, "a", Announce((sha256(row),)), 0.0), "a")
    forged = told(machine, "a", Answer(request.number, (row,), ()), 2e3, vouched=False)
    assert [type(effect.error) for effect in forged] == [Unsolicited]
    assert len(machine._port) == 1, "a forged answer is not taken, whatever is in it"


def test_a_forger_cannot_keep_a_transaction_from_a_peer_by_announcing_it_in_its_name():
    book = ledger()
    (row,) = chain(book, 1)
    machine = lone(book, peers=("a",))
    (send,) = machine.created([sha256(row)], 0.0)
    machine.outcome(send, arrived=False, now=0.0)
    told(machine, "a", Announce((sha256(row),)), 0.0, vouched=False)
    assert said(machine.tick(machine.next_deadline()), "a") == [Push((row,))]


def test_unsolicited_answers_are_blamed_and_not_taken():
    source, book = ledger(), ledger()
    rows = chain(source, 2)
    machine = lone(book)
    assert [e.penalty for e in told(machine, "a", Answer(9, (rows[0],), ()))] == [10.0]
    assert [e.penalty for e in told(machine, "a", Range(9, (rows[0],), more=False))] == [10.0]
    (request,) = said(told(machine, "a", Announce((sha256(rows[0]),))))
    effects = told(machine, "a", Answer(request.number, (rows[0], rows[1]), ()))
    assert [e.penalty for e in effects if isinstance(e, Misbehaved)] == [10.0]
    assert len(book) == 2, "what was asked for is taken, what was not is dropped"


def test_an_invalid_signature_costs_its_bearer_and_is_asked_for_once():
    book = ledger()
    (raw,) = chain(ledger(), 1)
    forged = raw[:-1] + bytes([raw[-1] ^ 1])
    machine = lone(book)
    effects = told(machine, "a", Push((forged,)))
    assert [e.penalty for e in effects if isinstance(e, Misbehaved)]
    broken = b"\xa0" + raw
    effects = told(machine, "a", Push((broken,)))
    assert [e.penalty for e in effects if isinstance(e, Misbehaved)] == [40.0]
    assert said(told(machine, "b", Announce((sha256(broken),)))) == []
    assert len(book) == 1


def test_a_contradiction_is_kept_as_evidence_and_nobody_is_blamed_for_passing_it_on():
    left, right = ledger(), ledger()
    one, two = fork(left)
    right.receive(two.raw)
    machine = lone(right)
    effects = told(machine, "a", Push((one.raw,)))
    assert not [e for e in effects if isinstance(e, Misbehaved)]
    assert len(right.evidence()) == 1
    assert said(told(machine, "b", Announce((one.id,)))) == [], "not asked for again"


def hostile(rng: random.Random, rows: list[bytes]) -> bytes:
    """Anything that a peer could say, most of it made up."""
    number = rng.randrange(50)
    made_up = tuple(dict.fromkeys(rng.randbytes(32) for _ in range(rng.randint(1, 200))))
    raws = tuple(rng.choice([rng.choice(rows), rng.randbytes(rng.randint(1, 3000))]) for _ in range(rng.randint(1, 20)))
    return rng.choice(
        [
            Announce(made_up),
            Push(raws),
            Request(number, made_up),
            Answer(number, raws, made_up[:50]),
            Frontier(rng.randint(1, 2**40), made_up, reply=rng.random() < 0.5),
            RangeRequest(number, made_up[:60], None),
            Range(number, raws, more=True),
        ]
    ).encode()


@pytest.mark.parametrize("seed", range(3))
def test_memory_is_bounded_whatever_peers_send(seed):
    """Peers say thousands of made-up things, valid orphans and huge claims among them; nothing grows beyond its limit."""
    config = SyncConfig(
        lane_messages=16,
        lane_bytes=100_000,
        max_wants=200,
        wants_per_peer=60,
        max_held=50,
        held_per_peer=20,
        max_remembered=300,
        floor=1e12,  # nobody is ever ignored here: the limits alone must hold
    )
    rng = random.Random(seed)
    orphans = [
        post(
            (sha256(rng.randbytes(8)), sha256(rng.randbytes(8))), QUIET, rng.randrange(4), k, round_=rng.choice([1, 9])
        ).raw
        for k in range(120)
    ]
    peers = tuple("abcdef")
    machine = lone(config=config, peers=peers)
    now = 0.0
    for _ in range(1500):
        now += rng.random() * 0.05
        machine.receive(rng.choice(peers), hostile(rng, orphans), now, vouched=rng.random() < 0.7)
        if rng.random() < 0.5:
            machine.work(now)
        if machine.next_deadline() <= now:
            machine.tick(now)
        stats = machine.stats()
        assert stats.queued_messages <= 2 * len(peers) * 16
        assert stats.queued_bytes <= 2 * len(peers) * 200_000
        assert stats.wants <= 200
        assert stats.held <= 50
        assert stats.parked <= 300
        assert stats.refused <= 300
        assert stats.paged_bytes <= config.segments * 1_100_000
