"""The ledger behind one lock: posting once, approving on purpose, proofs, what the listener is told."""

from __future__ import annotations

import random
import threading

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dag.bodies import AcknowledgementBody, Kind, ShareBody, VerdictBody
from dag.errors import UnknownTransaction, WrongRound
from dag.transaction import Transaction
from node.audit.cone import Cone
from node.rounds.groups import group_seed
from tests.dag.support import blob, context, proposal_body, secret, update_body
from tests.publishing.support import acknowledge, post_update, publisher

MEMBERS = 4
QUORUM = 3


def share_all(books, rows) -> None:
    for book in books:
        for row in rows:
            if not book.knows(row.id):
                book.receive_many((row.raw,))


def confirmed_round(books) -> list[Transaction]:
    """Everybody posts an update; everybody approves until each proposes all of them."""
    updates = [post_update(book, member) for member, book in enumerate(books)]
    share_all(books, updates)
    for _ in range(6):
        share_all(books, [acknowledge(book) for book in books])
    return updates


@pytest.fixture
def books():
    return [publisher(member) for member in range(MEMBERS)]


def propose(book, member: int) -> Transaction:
    basis = book.proposal_basis(1, book.gather(shown(book), epoch=1, round_number=1))
    body = proposal_body(basis.updates, basis.reveals)
    return book.post(Kind.PROPOSAL, body, epoch=1, round_number=1, parents=basis.parents)


def shown(book) -> list[bytes]:
    """What a proposal has to have below it."""
    rows = book.read(lambda ledger: ledger.transactions(Kind.ACKNOWLEDGEMENT, 1, limit=500))
    return [tx.id for tx in rows if tx.body.close or tx.body.reveal]


def closed_round(books) -> list[Transaction]:
    """Everybody posts an update, approves, closes and reveals; the updates."""
    updates = confirmed_round(books)
    ids = [tx.id for tx in updates]
    closes = [book.post_close(ids, epoch=1, round_number=1) for book in books]
    share_everything(books)
    assert all(tx.body.close for tx in closes)
    for member, book in enumerate(books):
        book.post(Kind.ACKNOWLEDGEMENT, AcknowledgementBody(secret(member)), epoch=1, round_number=1)
    share_everything(books)
    return updates


def share_everything(books) -> None:
    """Whatever one of them has, all have."""
    rows = {tx.id: tx for book in books for tx in book.read(lambda ledger: ledger.transactions(limit=1000))}
    for book in books:
        book.read(lambda ledger: ledger.receive_many(tx.raw for tx in rows.values() if tx.parents))


@pytest.mark.parametrize("again", [update_body(0), update_body(0, samples=50)], ids=["the same", "another"])
def test_an_update_is_posted_once(books, again):
    first = post_update(books[0], 0)
    second = books[0].post(Kind.UPDATE, again, epoch=1, round_number=1, payload=blob("other"))
    assert second == first
    assert len(books[0].read(lambda ledger: ledger.transactions(kind=Kind.UPDATE))) == 1


def test_an_update_is_posted_once_across_a_restart(tmp_path):
    book = publisher(0, path=tmp_path / "ledger.sqlite")
    first = post_update(book, 0)
    book.close()
    again = publisher(0, path=tmp_path / "ledger.sqlite")
    assert post_update(again, 0).id == first.id
    assert [tx.id for tx in again.outbox()] == [first.id], "what was not announced yet still will be"


def test_share_and_verdict_are_posted_once(books):
    closed_round(books)
    proposal = propose(books[0], 0)
    bodies = {
        Kind.SHARE: (ShareBody(proposal.id, 0), blob("share")),
        Kind.VERDICT: (VerdictBody(proposal.id, (5,), 5, (True,), 9), None),
    }
    for kind, (body, payload) in bodies.items():
        posted = [books[0].post(kind, body, epoch=1, round_number=1, payload=payload) for _ in range(2)]
        assert posted[0] == posted[1]


def test_posting_from_many_threads_is_one_history(books):
    """No two of a member's transactions share a sequence number: that would be taken for an equivocation."""
    post_update(books[0], 0)
    threads = [threading.Thread(target=acknowledge, args=(books[0],)) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    rows = books[0].read(lambda ledger: ledger.transactions())
    assert sorted(tx.sequence for tx in rows if tx.parents) == list(range(13))


def test_approving_goes_through_the_update(books):
    """However many other tips there are, the past cone of the acknowledgement holds the update asked for."""
    updates = [post_update(book, member) for member, book in enumerate(books)]
    share_all(books, updates)
    for update in updates[1:]:
        answer = acknowledge(books[0], approve=update.id)
        assert books[0].read(lambda ledger, a=answer.id, u=update.id: ledger.in_cone(u, [a]))
        assert books[0].read(lambda ledger, u=update.id: ledger.tangle.approved_by(u, 0))


def test_approving_what_is_not_here_is_refused(books):
    with pytest.raises(UnknownTransaction):
        acknowledge(books[0], approve=bytes(32))
    assert len(books[0].outbox()) == 0


def test_a_round_that_is_not_open_is_refused_and_leaves_nothing(books):
    with pytest.raises(WrongRound):
        books[0].post(Kind.UPDATE, update_body(0), epoch=1, round_number=99, payload=blob("x"))
    assert books[0].outbox() == ()
    assert books[0].read(len) == 1


def test_the_listener_hears_everything_once_with_current_approvals():
    heard = []
    book = publisher(0, attached=lambda tx, approvals: heard.append((tx.id, dict(approvals))))
    other = publisher(1)
    update = post_update(book, 0)
    other.receive_many((update.raw,))
    answer = acknowledge(other, approve=update.id)
    book.receive_many((answer.raw,))
    book.receive_many((answer.raw,))
    assert [tx_id for tx_id, _ in heard] == [update.id, answer.id]
    assert heard[0][1] == {update.id: 0b0001}
    assert heard[1][1] == {update.id: 0b0011}


def test_children_that_waited_are_told_after_their_parents():
    heard = []
    book, other = publisher(0, attached=lambda tx, _: heard.append(tx.id)), publisher(1)
    rows = [post_update(other, 1)] + [acknowledge(other) for _ in range(3)]
    for row in reversed(rows):
        book.receive_many((row.raw,))
    assert heard == [row.id for row in rows]


def test_approvals_are_told_of_the_rounds_under_way_and_of_no_more_than_a_few(monkeypatch):
    """A node that runs for years hears of ever more rounds."""
    monkeypatch.setattr("node.publishing.publisher.MAX_ROUNDS", 2)
    told = {}
    book = publisher(
        0, attached=lambda tx, approvals: told.update({tx.round: len(approvals)}), ctx=lambda: context(rounds=4)
    )
    for number in (1, 2, 3):
        payload = blob(f"manifest of round {number}")
        book.post(Kind.UPDATE, update_body(0), epoch=1, round_number=number, payload=payload)
    for number in (1, 2, 3):
        book.post(Kind.ACKNOWLEDGEMENT, AcknowledgementBody(None), epoch=1, round_number=number)
    assert told == {1: 0, 2: 1, 3: 1}
    book.replay(1)
    assert told == {1: 1, 2: 1, 3: 1}, "what is asked for again is told whole"
    assert len(book._updates) == 2


def test_replaying_after_a_restart_ends_with_the_same_approvals(tmp_path):
    """A node that restarts tells its round again; the last telling equals what it knew before."""
    before, after = [], []
    path = tmp_path / "ledger.sqlite"
    book = publisher(0, attached=lambda tx, approvals: before.append((tx.id, dict(approvals))), path=path)
    other = publisher(1)
    for member, source in enumerate((book, other)):
        post_update(source, member)
    for row in other.read(lambda ledger: ledger.transactions()):
        book.receive_many((row.raw,))
    for row in book.read(lambda ledger: ledger.transactions()):
        other.receive_many((row.raw,))
    for _ in range(3):
        book.receive_many((acknowledge(other).raw,))
    book.close()
    again = publisher(0, attached=lambda tx, approvals: after.append((tx.id, dict(approvals))), path=path)
    again.replay(1)
    assert [tx_id for tx_id, _ in after] == [tx_id for tx_id, _ in before]
    assert after[-1] == before[-1]


def test_what_was_sent_leaves_the_outbox(books):
    rows = [post_update(books[0], 0), acknowledge(books[0])]
    assert [tx.id for tx in books[0].outbox()] == [tx.id for tx in rows]
    books[0].sent(rows[0].id)
    books[0].sent(rows[0].id)
    assert [tx.id for tx in books[0].outbox()] == [rows[1].id]


def approving_issuers(update: bytes, segment: dict[bytes, Transaction]) -> set[bytes]:
    """Who approves an update, as far as a segment alone shows: issuers of its transactions that reach the update."""
    found = {update}
    grew = True
    while grew:
        more = {i for i, tx in segment.items() if i not in found and any(p in found for p in tx.parents)}
        found |= more
        grew = bool(more)
    return {segment[tx_id].issuer for tx_id in found}


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.integers(0, 2**32), st.integers(0, MEMBERS - 1))
def test_a_segment_alone_proves_which_updates_are_listed(seed, leader):
    """Whatever order messages took: from the segment's transactions a quorum is seen to have closed above every listed update."""
    rng = random.Random(seed)
    books = [publisher(member) for member in range(MEMBERS)]
    for number, book in enumerate(books):
        book._random.seed(seed + number)
    rows = [post_update(book, member) for member, book in enumerate(books)]
    for _ in range(40):
        book = rng.choice(books)
        for row in rng.sample(rows, min(len(rows), 5)):
            book.receive_many((row.raw,))
        rows.append(acknowledge(book))
    share_all(books, rows)
    for book in rng.sample(books, MEMBERS):
        book.post_close([tx.id for tx in rows[:MEMBERS]], epoch=1, round_number=1)
    share_everything(books)
    for member in rng.sample(range(MEMBERS), MEMBERS):
        reveal = AcknowledgementBody(secret(member))
        books[member].post(Kind.ACKNOWLEDGEMENT, reveal, epoch=1, round_number=1)
    share_everything(books)
    proposal = propose(books[leader], leader)
    raws = books[leader].segment(proposal.id, ())
    segment = {tx.id: tx for tx in map(Transaction.decode, raws)}
    assert list(segment) == sorted(segment)
    assert len(proposal.body.updates) == MEMBERS
    for update in proposal.body.updates:
        assert len(approving_issuers(update, segment)) >= QUORUM
    issuers = {tx_id: books[leader].read(lambda ledger: ledger.tangle).issuer(tx_id) for tx_id in segment}
    closing = Cone(segment, issuers, proposal.id).closing(proposal.body.updates)
    assert all(len(members) >= QUORUM for members in closing.values())
    listable = books[leader].listable_by(proposal.id)
    assert (listable.updates, listable.reveals) == (proposal.body.updates, proposal.body.reveals)
    assert {i for i, tx in segment.items() if tx.round == 1} >= set(proposal.body.updates)


def test_a_segment_is_the_same_at_every_member_and_holds_what_else_is_named(books):
    closed_round(books)
    proposal = propose(books[0], 0)
    share_everything(books)
    late = books[0].post(Kind.VERDICT, VerdictBody(proposal.id, (5,), 5, (True,), 9), epoch=1, round_number=1)
    share_all(books, [late])
    segments = {book.segment(proposal.id, (late.id,)) for book in books}
    assert len(segments) == 1
    assert late.raw in segments.pop()
    assert late.raw not in books[0].segment(proposal.id, ())
    assert len({book.round_root(proposal.id) for book in books}) == 1


def test_what_is_not_revealed_is_not_listed(books):
    updates = confirmed_round(books)
    for book in books:
        book.post_close([tx.id for tx in updates], epoch=1, round_number=1)
    share_everything(books)
    reveal = books[2].post(Kind.ACKNOWLEDGEMENT, AcknowledgementBody(secret(2)), epoch=1, round_number=1)
    share_everything(books)
    parents = books[1].gather(shown(books[1]), epoch=1, round_number=1)
    basis = books[1].proposal_basis(1, parents)
    assert basis.reveals == (reveal.id,)
    assert basis.updates == (updates[2].id,)


def test_revealing_again_draws_no_other_groups(books):
    """However often a member reveals, the values that make the group seed stay the same."""
    closed_round(books)
    seeds = set()
    for _ in range(3):
        books[2].post(Kind.ACKNOWLEDGEMENT, AcknowledgementBody(secret(2)), epoch=1, round_number=1)
        share_everything(books)
        basis = books[1].proposal_basis(1, books[1].gather(shown(books[1]), epoch=1, round_number=1))
        values = [books[1].get(tx_id).body.reveal for tx_id in basis.reveals]
        assert len(values) == len(set(values)) == MEMBERS
        seeds.add(group_seed(bytes(32), bytes(32), values))
    assert len(seeds) == 1


def test_gathering_brings_everything_below_two_parents(books):
    """Closes and reveals that lie on different tips: the leader may leave none out, so it must reach all."""
    closed_round(books)
    ids = shown(books[0])
    parents = books[0].gather(ids, epoch=1, round_number=1)
    assert all(books[0].read(lambda ledger, i=i: ledger.in_cone(i, parents)) for i in ids)
    before = books[0].read(len)
    books[0].gather(ids, epoch=1, round_number=1)
    assert books[0].read(len) == before, "nothing is posted where two tips show everything"
    proposal = propose(books[0], 0)
    share_everything(books)
    assert len({book.listable_by(proposal.id) for book in books}) == 1
    assert len(proposal.body.updates) == MEMBERS


def test_a_member_closes_once_and_above_all_it_was_told_of(books, tmp_path):
    updates = [post_update(book, member) for member, book in enumerate(books)]
    ids = [tx.id for tx in updates]
    share_all(books, updates)
    close = books[0].post_close(ids, epoch=1, round_number=1)
    assert books[0].post_close(ids[:1], epoch=1, round_number=1) == close
    covered = books[0].read(lambda ledger: ledger.closed_within((close.id,), 1))
    assert covered == {0: 0b1111}
    assert [books[0].closers(tx_id) for tx_id in ids] == [1] * MEMBERS


def test_a_close_covers_what_only_another_rounds_transactions_lead_to(books):
    """A late transaction of another round is the only one above an update: the close reaches it by a path of its own round."""
    update = post_update(books[0], 0)
    for _ in range(3):
        parents = (update.id, update.id)
        body = AcknowledgementBody(None)
        update_tip = books[0].post(Kind.ACKNOWLEDGEMENT, body, epoch=1, round_number=2, parents=parents)
    assert books[0].read(lambda ledger: ledger.tips())[-1] == update_tip.id
    close = books[0].post_close([update.id], epoch=1, round_number=1)
    assert books[0].read(lambda ledger: ledger.closed_within((close.id,), 1)) == {0: 1}


def test_a_segment_holds_what_approves_from_an_earlier_round(books):
    """Late transactions of round 1 approve updates of round 2: they are part of the proof and belong into the segment."""
    updates = [
        book.post(Kind.UPDATE, update_body(member), epoch=1, round_number=2, payload=blob(f"second of {member}"))
        for member, book in enumerate(books)
    ]
    share_all(books, updates)
    for _ in range(6):
        share_all(books, [acknowledge(book, updates[k].id) for k, book in enumerate(books)])
    for book in books:
        book.post_close([tx.id for tx in updates], epoch=1, round_number=2)
    share_everything(books)
    told = []
    for member, book in enumerate(books):
        reveal = AcknowledgementBody(secret(member))
        told.append(book.post(Kind.ACKNOWLEDGEMENT, reveal, epoch=1, round_number=2).id)
    share_everything(books)
    told += books[0].read(lambda ledger: ledger.closes(2))
    basis = books[0].proposal_basis(2, books[0].gather(told, epoch=1, round_number=2))
    body = proposal_body(basis.updates, basis.reveals)
    proposal = books[0].post(Kind.PROPOSAL, body, epoch=1, round_number=2, parents=basis.parents)
    segment = {tx.id: tx for tx in map(Transaction.decode, books[0].segment(proposal.id, ()))}
    assert {tx.round for tx in segment.values()} == {1, 2}
    assert len(basis.updates) >= QUORUM
    for update in basis.updates:
        assert len(approving_issuers(update, segment)) >= QUORUM


def test_own_transactions_that_a_peer_brings_and_the_ledger_lacks_are_told():
    """After a directory was put back from an older copy; what it has posted itself is no news."""
    told: list[Transaction] = []
    before, other, after = publisher(0), publisher(1), publisher(0)
    before._forgotten = after._forgotten = told.append
    mine, theirs = post_update(before, 0), post_update(other, 1)
    before.receive_many((theirs.raw, mine.raw))
    after.receive_many((theirs.raw, mine.raw))
    after.receive_many((mine.raw,))
    assert [tx.id for tx in told] == [mine.id]
