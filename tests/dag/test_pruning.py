"""Payloads below an anchored checkpoint are let go; nothing that proves anything is."""

import random

import pytest

from dag.bodies import Kind
from dag.errors import MalformedIdentifier, Pruned, StoreFailed, UnknownTransaction, WrongReference
from dag.ledger import Ledger
from dag.proofs import merkle
from dag.store.pruning import Pruning, Retention
from dag.store.sqlite import Store
from tests.dag.support import blob, context, ledger, post, update_body
from tests.dag.test_ledger import gossip, play_round

ROUNDS = 4
ABSENT = 4  # a member that takes part in nothing


def history(path) -> tuple[Store, Ledger, list[bytes]]:
    """Four whole rounds of four of five members; the first member's ledger is on disk."""
    store = Store(path)
    mine = Ledger(store, lambda: context(members=5, rounds=ROUNDS))
    books = [mine, *(Ledger(Store(":memory:"), lambda: context(members=5, rounds=ROUNDS)) for _ in range(3))]
    rng = random.Random(5)
    proposals = [play_round(books, round_, rng) for round_ in range(1, ROUNDS + 1)]
    gossip(books)
    return store, mine, proposals


@pytest.fixture
def played(tmp_path):
    store, book, proposals = history(tmp_path / "ledger.db")
    yield store, book, proposals, tmp_path / "ledger.db"
    store.close()


def checkpoint_of(book: Ledger, round_: int) -> bytes:
    return book.transactions(Kind.CHECKPOINT, round_)[0].id


def payloads(book: Ledger, round_: int) -> set[str]:
    """What the round's updates, shares and proposals name; written anew here, not taken from the code under test."""
    named = {tx.payload for kind in (Kind.UPDATE, Kind.SHARE) for tx in book.transactions(kind, round_)}
    return named.union(*(tx.body.sums for tx in book.transactions(Kind.PROPOSAL, round_)))


def test_old_rounds_payloads_are_let_go_and_statements_kept(played):
    """DAG-7: payloads below an anchored checkpoint; headers, signatures and proofs stay."""
    store, book, proposals, _ = played
    pruning = Pruning(book, store)
    shared = payloads(book, 1) & (payloads(book, 3) | payloads(book, 4))
    assert shared, "all rounds name the same sum here"
    listed = pruning.prune(checkpoint_of(book, 3), Retention(1))
    assert set(listed) == (payloads(book, 1) | payloads(book, 2)) - shared
    for cid in listed:
        with pytest.raises(Pruned, match=r"round [12]"):
            pruning.demand(cid)
    for cid in shared | payloads(book, 3) | {tx.payload for tx in book.transactions(Kind.CHECKPOINT)}:
        pruning.demand(cid)
    for update in book.transactions(Kind.UPDATE, 1):
        merkle.verify_inclusion(book.round_root(proposals[0]), update.id, book.prove(update.id, proposals[0]))
    book.verify()


def test_marks_survive_and_repeat_harmlessly(played):
    store, book, _, path = played
    listed = Pruning(book, store).prune(checkpoint_of(book, 3), Retention(1))
    Pruning(book, store).gone(listed[:3])
    store.close()
    with Store(path) as again:
        book = Ledger(again, lambda: context(members=5, rounds=ROUNDS))
        pruning = Pruning(book, again)
        assert pruning.droppable() == listed[3:]
        assert pruning.prune(checkpoint_of(book, 3), Retention(1)) == listed[3:]
        assert pruning.prune(checkpoint_of(book, 2), Retention(2)) == listed[3:], "an older anchor brings nothing back"
        pruning.gone(listed)
        assert pruning.prune(checkpoint_of(book, 3), Retention(1)) == ()
        with pytest.raises(Pruned):
            pruning.demand(listed[0])


def test_retention_counts_back_from_the_anchor(played):
    store, book, _, _ = played
    pruning = Pruning(book, store)
    assert pruning.prune(checkpoint_of(book, 3), Retention(3)) == ()
    assert pruning.prune(checkpoint_of(book, 2), Retention(2)) == ()
    first = set(pruning.prune(checkpoint_of(book, 3), Retention(2)))
    assert first
    assert first <= payloads(book, 1)
    assert set(pruning.prune(checkpoint_of(book, 3), Retention(1))) > first
    with pytest.raises(ValueError, match="at least 1"):
        Retention(0)


def test_what_arrives_late_for_a_pruned_round_is_let_go_next_time(played):
    store, book, _, _ = played
    pruning = Pruning(book, store)
    pruning.gone(pruning.prune(checkpoint_of(book, 3), Retention(1)))
    late = post((book.tips()[0],) * 2, update_body(4), ABSENT, round_=1, payload=blob("late"))
    assert book.receive(late.raw).attached
    assert pruning.prune(checkpoint_of(book, 3), Retention(1)) == (blob("late"),)


def test_only_below_a_confirmed_checkpoint(played):
    store, book, proposals, _ = played
    pruning = Pruning(book, store)
    with pytest.raises(WrongReference, match="no checkpoint"):
        pruning.prune(proposals[2], Retention(1))
    newest = book.transactions(Kind.CHECKPOINT, ROUNDS)[-1].id
    assert not book.is_confirmed(newest)
    with pytest.raises(WrongReference, match="quorum"):
        pruning.prune(newest, Retention(1))
    with pytest.raises(UnknownTransaction):
        pruning.prune(b"?" * 32, Retention(1))
    with pytest.raises(MalformedIdentifier):
        pruning.demand("QmOld")
    assert pruning.droppable() == ()


def test_a_refused_write_marks_nothing(played):
    store, book, _, _ = played
    store._db.execute("PRAGMA query_only = ON")
    with pytest.raises(StoreFailed):
        Pruning(book, store).prune(checkpoint_of(book, 3), Retention(1))
    store._db.execute("PRAGMA query_only = OFF")
    assert Pruning(book, store).droppable() == ()
    assert Pruning(book, store).prune(checkpoint_of(book, 3), Retention(1))


def test_a_ledger_that_was_never_pruned_demands_nothing():
    book = ledger()
    Pruning(book, book._store).demand(blob("anything"))
