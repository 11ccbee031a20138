"""The sync machine over a network that loses, repeats and reorders; peers that flood, lie and fall silent (DAG-8)."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dag.bodies import Kind
from dag.errors import MalformedMessage, StoreFailed, Unanswered
from dag.ids import sha256
from dag.sync import Check, LedgerAccess, Misbehaved, Overloaded, Send, SyncConfig, SyncMachine, Verdict
from dag.sync.messages import (
    Announce,
    Answer,
    Frontier,
    Push,
    Range,
    RangeRequest,
    Request,
    parse,
)
from tests.dag.messages import ids
from tests.dag.support import context, create, ledger, post, update_body
from tests.dag.syncnet import Net
from tests.dag.test_ledger import QUIET, fork

SILENT = SyncConfig(relay=0, frontier_seconds=1e9)
"""Pushes and answers alone."""


def chain(book, count: int, member: int = 0) -> list[bytes]:
    """Transactions of one member, each approving the one before; their bytes."""
    rows = []
    parent = book.genesis_id
    for number in range(count):
        made = post((parent, parent), QUIET, member, number)
        book.receive(made.raw)
        rows.append(made.raw)
        parent = made.id
    return rows


def lone(book=None, config: SyncConfig = SILENT, peers: tuple[str, ...] = ("a", "b"), **options) -> SyncMachine:
    """A machine without a network; the test speaks for its peers."""
    machine = SyncMachine(LedgerAccess(book or ledger()), config, random.Random(1), **options)
    for peer in peers:
        machine.connect(peer, 0.0)
    return machine


def said(effects, peer: str | None = None) -> list:
    """The messages among effects, to one peer if named."""
    return [parse(e.message) for e in effects if isinstance(e, Send) and peer in {None, e.peer}]


def told(machine: SyncMachine, peer: str, message, now: float = 0.0, **options) -> list:
    """A message arrives and everything that waits is served."""
    raw = message if isinstance(message, bytes) else message.encode()
    effects = machine.receive(peer, raw, now, **options)
    while machine.pending:
        effects += machine.work(now)
    return effects


# ---- a network that loses, repeats and reorders ------------------------------------------------------------------------


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


# ---- announcing --------------------------------------------------------------------------------------------------------


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


# ---- fetching ----------------------------------------------------------------------------------------------------------


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


# ---- catching up -------------------------------------------------------------------------------------------------------


def played(rounds: int, books: list) -> list[bytes]:
    """Rounds in which each of three members approves the others' last transactions; the ids that the chain anchors."""
    last = [books[0].genesis_id] * 3
    rows, anchors = [], []
    for number in range(rounds):
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


# ---- standing and turns ------------------------------------------------------------------------------------------------


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
    (request,) = said(told(machine, "a", Announce(ids(1)), 0.0), "a")
    forged = told(machine, "a", Answer(request.number, (), request.ids), 0.0, vouched=False)
    assert said(forged) == [], "a forged answer ends no request"


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


# ---- what cannot be judged yet -----------------------------------------------------------------------------------------


def test_a_round_that_is_not_known_yet_is_waited_for():
    known = context(rounds=1)
    book = ledger()
    book._provide = book._replica.provide = lambda: known
    late = post((book.genesis_id, book.genesis_id), QUIET, round_=2)
    machine = lone(book)
    effects = told(machine, "a", Push((late.raw,)))
    assert not [e for e in effects if isinstance(e, Misbehaved)]
    assert machine.stats().held == 1
    due = machine.next_deadline()
    machine.tick(due)
    machine.work(due)
    assert machine.next_deadline() > due + SILENT.retry_seconds / 2, "tried again, with a longer pause"
    known = context(rounds=2)
    machine.context_changed(due)
    machine.work(due)
    assert late.id in book


def needs_check(transaction) -> bool:
    return transaction.kind is Kind.UPDATE


def checking_machine(members: int = 4, **changes):
    book, source = ledger(members=members), ledger(members=members)
    made = [create(source, member, update_body(member)) for member in range(members)]
    machine = lone(book, replace(SILENT, **changes), needs_check=needs_check)
    return book, machine, made


def test_a_payload_is_checked_before_its_transaction_enters():
    book, machine, (update, *_) = checking_machine()
    effects = told(machine, "a", Push((update.raw,)))
    assert effects == [Check(update, "a")]
    assert update.id not in book
    assert told(machine, "b", Push((update.raw,))) == [], "not checked twice"
    machine.checked(update.id, Verdict.LATER, 0.0)
    due = machine.next_deadline()
    machine.tick(due)
    assert machine.work(due) == [Check(update, "a")]
    machine.checked(update.id, Verdict.GOOD, due)
    machine.work(due)
    assert update.id in book


def test_a_false_payload_stays_outside():
    book, machine, (update, *_) = checking_machine()
    told(machine, "a", Push((update.raw,)))
    (blame,) = machine.checked(update.id, Verdict.BAD, 0.0)
    assert blame.peer == "a"
    assert update.id not in book
    assert said(told(machine, "b", Announce((update.id,)))) == []


def test_checks_are_few_at_a_time_and_shared_among_senders():
    _, machine, made = checking_machine(8, max_checks=3)
    effects = told(machine, "a", Push(tuple(tx.raw for tx in made[:6])))
    effects += told(machine, "b", Push(tuple(tx.raw for tx in made[6:])))
    assert [effect.peer for effect in effects] == ["a", "a", "a"]
    (started,) = machine.checked(effects[0].transaction.id, Verdict.LATER, 0.0)
    assert started.peer == "b", "whoever has fewest under way is next"


def test_a_full_disk_loses_nothing(monkeypatch):
    book = ledger()
    rows = chain(ledger(), 3)
    machine = lone(book)
    receive = book.receive_many
    monkeypatch.setattr(book, "receive_many", lambda _: (_ for _ in ()).throw(StoreFailed("full")))
    effects = told(machine, "a", Push(tuple(rows)))
    assert [str(effect.error) for effect in effects] == ["full"]
    monkeypatch.setattr(book, "receive_many", receive)
    while len(book) < 4:
        machine.tick(machine.next_deadline())
        machine.work(0.0)


# ---- memory ------------------------------------------------------------------------------------------------------------


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
