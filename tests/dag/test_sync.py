"""Catching up with peers (DAG-8)."""

from dag.sync import Sync
from tests.dag.support import create, ledger
from tests.dag.test_ledger import QUIET, chain_of, contents, deliver, fork


def test_a_node_that_was_away_catches_up_in_batches(monkeypatch):
    monkeypatch.setattr("dag.sync.exchange.MAX_TRANSACTIONS", 16)
    source, target = ledger(), ledger()
    chain_of(source, 100)
    create(target, 3, QUIET)
    deliver(target, source)
    deliver(source, target)
    assert contents(source) == contents(target)
    assert Sync(source).offer(target.frontier()) == ()


def test_peers_that_diverged_meet():
    left, right = ledger(), ledger()
    for n in range(60):
        create(left, n % 2, QUIET, seed=n)
        create(right, 2 + n % 2, QUIET, seed=n)
    deliver(left, right)
    deliver(right, left)
    assert contents(left) == contents(right)


def test_sync_serves_within_limits(monkeypatch):
    monkeypatch.setattr("dag.sync.exchange.MAX_BATCH_BYTES", 1000)
    book = ledger()
    made = chain_of(book, 9)
    served = Sync(book).serve([tx.id for tx in made] * 2 + [b"?" * 32])
    assert served
    assert sum(map(len, served)) <= 1000
    assert Sync(book).wanted([b"?" * 32, b"short", made[0].id]) == (b"?" * 32,)


def test_refused_equivocation_is_not_asked_for_again():
    left, right = ledger(), ledger()
    one, two = fork(left)
    right.receive(two.raw)
    left.receive(one.raw)
    here, there = Sync(left), Sync(right)
    there.absorb(here.offer(there.frontier()))
    assert one.id not in right
    assert there.wanted(here.frontier()) == ()
