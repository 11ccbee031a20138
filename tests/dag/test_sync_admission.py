"""What cannot be judged yet: rounds not known, payloads to check, a full disk (DAG-8)."""

from __future__ import annotations

from dataclasses import replace

from dag.bodies import Kind
from dag.errors import StoreFailed
from dag.sync import Check, Misbehaved, Verdict
from dag.sync.messages import (
    Announce,
    Push,
)
from tests.dag.support import context, create, ledger, post, update_body
from tests.dag.syncnet import SILENT, chain, lone, said, told
from tests.dag.test_ledger import QUIET


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


def test_one_issuer_has_one_check_at_a_time():
    """A member could sign any number of updates, each pointing to a payload that takes long to fetch."""
    book, machine, _ = checking_machine()
    twice = [post((book.genesis_id, book.genesis_id), update_body(2), 2, number) for number in range(2)]
    (first,) = told(machine, "a", Push(tuple(tx.raw for tx in twice)))
    (second,) = machine.checked(first.transaction.id, Verdict.LATER, 0.0)
    assert {first.transaction.id, second.transaction.id} == {tx.id for tx in twice}


def test_what_one_peer_sends_too_early_does_not_push_out_what_others_sent():
    book = ledger()
    machine = lone(book, replace(SILENT, held_per_peer=5, max_held=20))
    early = [post((book.genesis_id, book.genesis_id), QUIET, 1, number, round_=9) for number in range(30)]
    told(machine, "b", Push((early[0].raw,)))
    told(machine, "a", Push(tuple(tx.raw for tx in early[1:])))
    assert machine.stats().held == 6
    assert said(told(machine, "a", Announce((early[0].id,)))) == [], "the other's is still held"
    assert said(told(machine, "a", Announce((early[29].id,)))) == [], "of its own the newest"
    assert said(told(machine, "a", Announce((early[1].id,)))), "not the oldest"
