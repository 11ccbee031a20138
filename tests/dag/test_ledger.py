"""The ledger as a node uses it: posting, receiving in any order, restarting, whole rounds."""

import random
import sqlite3

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dag.bodies import AcknowledgementBody, CheckpointBody, Kind, ShareBody, VerdictBody
from dag.errors import (
    AlreadyPosted,
    DuplicateUpdate,
    Equivocation,
    MalformedTransaction,
    NotAMember,
    StoreCorrupt,
    StoreFailed,
    UnknownTransaction,
    WaitingFull,
    WrongConsortium,
    WrongRound,
)
from dag.ids import sha256
from dag.ledger import Ledger
from dag.proofs import merkle
from dag.store.sqlite import Store
from dag.transaction import address_of
from tests.dag.support import close, context, create, key, ledger, post, proposal_body, reveal, update_body

QUIET = AcknowledgementBody(None)


def deliver(source: Ledger, *targets: Ledger) -> None:
    for target in targets:
        target.receive_many([transaction.raw for _, transaction in source.since(1, -1)])


def play_round(books: list[Ledger], round_: int, rng: random.Random) -> bytes:
    """One whole round over `books` (one ledger a member); returns the proposal's id."""
    everyone = range(len(books))
    first = [create(books[m], m, update_body(m), round_, rng.random()) for m in everyone]
    gossip(books)
    for _ in range(3):
        for m in everyone:
            if books[m].unapproved(address_of(key(m)), round_, Kind.UPDATE):
                create(books[m], m, QUIET, round_, rng.random())
        gossip(books)
    closes = [close(books[m], m, round_, rng.random()) for m in everyone]
    gossip(books)
    told = [reveal(books[m], m, round_, rng.random()) for m in everyone]
    gossip(books)
    leader = rng.choice(everyone)
    head = told[0].id
    for tx in (*told[1:], *closes):
        head = create(books[leader], leader, QUIET, round_, parents=(head, tx.id)).id
    gossip(books)
    basis = books[leader].proposal_basis(round_)
    assert set(basis.updates) == {tx.id for tx in first}
    assert len(basis.reveals) == len(books)
    body = proposal_body(basis.updates, basis.reveals)
    proposal = create(books[leader], leader, body, round_, parents=basis.parents)
    gossip(books)
    for m in (0, 1, 2):
        create(books[m], m, ShareBody(proposal.id, m), round_, rng.random())
    gossip(books)
    for m in everyone:
        create(books[m], m, VerdictBody(proposal.id, (900_000,), 800_000, (True,), 40), round_, rng.random())
    gossip(books)
    for m in everyone:
        root = books[m].round_root(proposal.id)
        body = CheckpointBody(proposal.id, b"m" * 32, b"s" * 32, b"o" * 65, b"d" * 65, root)
        create(books[m], m, body, round_, rng.random())
    gossip(books)
    return proposal.id


def gossip(books: list[Ledger]) -> None:
    for source in books:
        deliver(source, *(book for book in books if book is not source))


def contents(book: Ledger) -> set[bytes]:
    return set(book.tangle.ids())


def test_settling_takes_few_acknowledgements_even_if_all_post_at_once():
    """DAG-6: confirmation inside the round. 4-10 acknowledgements a member in lockstep."""
    members = 10
    books = [ledger(members=members) for _ in range(members)]
    posted = [create(books[m], m, update_body(m), seed=m) for m in range(members)]
    steps = 0
    while not all(book.is_settled(1, address_of(key(m))) for m, book in enumerate(books)):
        for book in books:
            book.receive_many(tx.raw for tx in posted)
        posted = [create(books[m], m, QUIET, seed=100 * steps + m) for m in range(members)]
        steps += 1
        assert steps <= 10


def test_rounds_converge_and_prove():
    books = [ledger() for _ in range(4)]
    rng = random.Random(7)
    for round_ in (1, 2, 3):
        proposal = play_round(books, round_, rng)
        assert len({book.round_root(proposal) for book in books}) == 1
        for update in books[0].transactions(Kind.UPDATE, round_):
            proof = books[0].prove(update.id, proposal)
            merkle.verify_inclusion(books[3].round_root(proposal), update.id, proof)
    assert all(contents(book) == contents(books[0]) for book in books)
    assert len({book.genesis_id for book in books}) == 1
    entry = books[0].get(books[0].tangle.entry)
    assert (entry.kind, entry.round) == (
        Kind.CHECKPOINT,
        1,
    )  # round 3's are not confirmed yet, and one round is kept back


def test_create_chooses_signs_and_queues_for_peers():
    book = ledger()
    transaction = create(book, 0, update_body())
    assert transaction.parents == (book.genesis_id, book.genesis_id)
    assert transaction.issuer == address_of(key(0))
    assert book.outbox() == (transaction.id,)
    assert book.get(transaction.id) == transaction
    book.sent(transaction.id)
    assert book.outbox() == ()
    assert create(book, 0, QUIET).sequence == 1


def test_a_member_answers_once():
    book = ledger()
    first = create(book, 0, update_body())
    with pytest.raises(AlreadyPosted) as caught:
        create(book, 0, update_body(samples=50))
    assert caught.value.tx_id == first.id
    assert book.evidence() == ()


def test_a_refused_creation_writes_nothing():
    book = ledger()
    with pytest.raises(WrongRound):
        create(book, 0, QUIET, round_=9)
    with pytest.raises(NotAMember):
        create(book, 9, QUIET)
    assert len(book) == 1
    assert book.outbox() == ()


def test_pages_follow_arrival():
    book = ledger()
    made = [create(book, 0, QUIET, seed=n) for n in range(7)]
    first = book.transactions(limit=3)
    rest = book.transactions(after=first[-1].id)
    assert [tx.id for tx in first + rest] == [book.genesis_id, *(tx.id for tx in made)]
    assert [tx for _, tx in book.since(4)] == made[3:]
    assert book.transactions(kind=Kind.UPDATE) == ()
    assert book.transactions(round=1)[0] == made[0]
    with pytest.raises(UnknownTransaction):
        book.transactions(after=b"x" * 32)
    with pytest.raises(UnknownTransaction):
        book.get(b"x" * 32)


def chain_of(book: Ledger, length: int) -> list:
    return [create(book, n % 3, QUIET, seed=n) for n in range(length)]  # D, member 3, is kept for mischief


@given(seed=st.integers(0, 10**6))
@settings(max_examples=25, deadline=None)
def test_any_order_of_arrival_gives_the_same_graph(seed):
    source, target = ledger(), ledger()
    made = chain_of(source, 12)
    shuffled = random.Random(seed).sample(made, len(made))
    for transaction in shuffled:
        target.receive(transaction.raw)
    assert contents(target) == contents(source)
    assert target.missing() == ()
    for transaction in made:
        assert target.tangle.approval_weight(transaction.id) == source.tangle.approval_weight(transaction.id)


def test_children_wait_and_name_what_they_lack():
    source, target = ledger(), ledger()
    one, two, three = chain_of(source, 3)
    received = target.receive(three.raw)
    assert received.attached == ()
    assert received.missing == (two.id,)
    assert target.receive(three.raw).duplicate
    assert target.receive(two.raw).missing == (one.id,)
    assert target.missing() == (one.id,)
    assert [tx.id for tx in target.receive(one.raw).attached] == [one.id, two.id, three.id]
    assert target.receive(one.raw).duplicate


def test_waiting_is_bounded():
    source = ledger()
    target = ledger(max_waiting=100)
    made = [create(source, 0, QUIET, seed=n) for n in range(80)]
    others = [create(source, 1, QUIET, seed=n) for n in range(60)]
    assert not any(target.receive(transaction.raw).attached for transaction in made[1:65])
    with pytest.raises(WaitingFull):
        target.receive(made[65].raw)  # one member may not fill the table
    for transaction in others[1:37]:
        target.receive(transaction.raw)
    with pytest.raises(WaitingFull):
        target.receive(others[37].raw)
    assert target.receive_many(tx.raw for tx in made + others).missing == ()
    assert contents(target) == contents(source)


def test_long_waiting_chains_do_not_exhaust_the_stack():
    source, target = ledger(), ledger()
    made = [create(source, n % 4, QUIET, seed=n) for n in range(1500)]
    target.receive_many(tx.raw for tx in reversed(made))
    assert contents(target) == contents(source)


def test_malformed_bytes_drop_what_waited_for_them():
    book = ledger()
    junk = b"not a transaction"
    child = post((sha256(junk), sha256(junk)), QUIET)
    assert book.receive(child.raw).missing == (sha256(junk),)
    with pytest.raises(MalformedTransaction):
        book.receive(junk)
    assert book.missing() == ()


# -- equivocation ------------------------------------------------------------------------------------------------


def fork(book: Ledger, member: int = 3):
    genesis = (book.genesis_id, book.genesis_id)
    return post(genesis, QUIET, member), post(genesis, AcknowledgementBody(None), member, epoch=1, round_=2)


def test_the_second_half_of_a_fork_is_evidence():
    book = ledger()
    one, two = fork(book)
    book.receive(one.raw)
    with pytest.raises(Equivocation) as caught:
        book.receive(two.raw)
    caught.value.proof.verify()
    assert two.id not in book
    assert book.evidence() == (caught.value.proof,)
    assert book.tangle.approval_weight(one.id) == 0
    with pytest.raises(Equivocation, match="proven equivocator"):
        book.receive(post((one.id, one.id), QUIET, 3, sequence=1).raw)


def test_two_updates_in_one_round_are_a_contradiction():
    book = ledger()
    genesis = (book.genesis_id, book.genesis_id)
    book.receive(post(genesis, update_body(0), 0, sequence=0).raw)
    with pytest.raises(DuplicateUpdate):
        book.receive(post(genesis, update_body(0, samples=60), 0, sequence=1).raw)


def test_both_halves_enter_where_honest_members_built_on_both():
    left, right = ledger(), ledger()
    one, two = fork(left)
    left.receive(one.raw)
    right.receive(two.raw)
    on_one = create(left, 0, QUIET, parents=(one.id, one.id))
    on_two = create(right, 1, QUIET, parents=(two.id, two.id))
    assert left.receive(on_two.raw).missing == (two.id,)
    assert {tx.id for tx in left.receive(two.raw).attached} == {two.id, on_two.id}
    right.receive(on_one.raw)
    right.receive(one.raw)
    assert contents(left) == contents(right)
    merge = create(left, 2, QUIET, parents=(on_one.id, on_two.id))
    right.receive(merge.raw)
    for book in (left, right):
        assert len(book.evidence()) == 1
        assert book.confirmed_within(one.id, merge.id) == frozenset()
        assert book.confirmed_within(on_one.id, merge.id) == {0, 2}
        assert book.confirmed_within(one.id, on_one.id) == {0, 3}, "this cone holds one half only"


@given(seed=st.integers(0, 10**6))
@settings(max_examples=25, deadline=None)
def test_views_agree_with_an_equivocator_in_any_order(seed):
    """What honest members posted ends up in every ledger, and cones say the same everywhere."""
    rng = random.Random(seed)
    books = [ledger(), ledger(), ledger()]
    one, two = fork(books[0])
    for book in books:
        book.receive_many(rng.sample([one.raw, two.raw], 2))
    made = []
    for step in range(9):
        book = books[step % 3]
        made.append(create(book, step % 3, QUIET, seed=rng.random()))
        if rng.random() < 0.5:
            exchange(books, rng)
    exchange(books, rng)
    exchange(books, rng)
    for transaction in made:
        assert all(transaction.id in book for book in books)
    for head in made:
        for below in made:
            assert len({book.confirmed_within(below.id, head.id) for book in books}) == 1


def exchange(books: list[Ledger], rng: random.Random) -> None:
    for source in rng.sample(books, len(books)):
        for target in books:
            deliver(source, target)


def test_a_round_settles_without_its_equivocators():
    book = ledger()
    genesis = (book.genesis_id, book.genesis_id)
    for sequence, samples in ((0, 100), (1, 90)):
        book.receive_many([post(genesis, update_body(3, samples), 3, sequence=sequence).raw])
    made = [create(book, m, update_body(m), seed=m) for m in range(3)]
    for turn in range(9):
        create(book, turn % 3, QUIET, seed=turn)
    assert book.is_settled(1, address_of(key(0)))
    for m in range(3):
        close(book, m)
    head = reveal(book, 0).id
    for m in (1, 2):
        head = create(book, 0, QUIET, parents=(head, reveal(book, m).id)).id
    assert set(book.proposal_basis(1).updates) == {tx.id for tx in made}


def test_evidence_travels():
    left, right = ledger(), ledger()
    one, two = fork(left)
    left.receive_many([one.raw, two.raw])
    right.receive(one.raw)
    proof = right.accuse(left.evidence()[0].encode())
    assert proof.issuer == address_of(key(3))
    assert right.tangle.is_faulty(3)
    with pytest.raises(MalformedTransaction):
        right.accuse(b"nothing")
    with pytest.raises(NotAMember):
        ledger(members=2).accuse(left.evidence()[0].encode())


# -- the disk ----------------------------------------------------------------------------------------------------


def test_everything_survives_a_restart(tmp_path):
    path = tmp_path / "ledger.db"
    source = ledger()
    made = chain_of(source, 10)
    store = Store(path)
    book = Ledger(store, context)
    book.receive_many(tx.raw for tx in made[:6])
    book.receive(made[9].raw)
    one, two = fork(book)
    book.receive_many([one.raw, two.raw])
    mine = create(book, 0, QUIET)
    before = (contents(book), book.tips(), book.missing(), book.outbox(), book.evidence())
    store.close()
    again = ledger(path)
    assert before == (contents(again), again.tips(), again.missing(), again.outbox(), again.evidence())
    assert again.get(mine.id) == mine
    assert again.tangle.is_faulty(3)
    again.receive_many(tx.raw for tx in made[6:9])
    assert made[9].id in again


def test_an_unclean_end_is_noticed_and_everything_verified(tmp_path):
    path = tmp_path / "ledger.db"
    made = create(ledger(path), 0, QUIET)  # never closed: the process "died"
    store = Store(path)
    assert store.was_dirty
    assert Ledger(store, context).get(made.id) == made
    store.close()
    assert not Store(path).was_dirty


@pytest.mark.parametrize("column", ["bytes", "issuer", "sequence", "kind", "round", "subject", "seal", "id"])
def test_a_changed_column_is_found_and_its_row_named(tmp_path, column):
    path = tmp_path / "ledger.db"
    with Store(path) as store:
        book = Ledger(store, context)
        create(book, 0, update_body())
        create(book, 1, QUIET)
    with sqlite3.connect(path) as db:
        value = db.execute(f"SELECT {column} FROM transactions WHERE arrival = 2").fetchone()[0]  # noqa: S608
        changed = value + 1 if isinstance(value, int) else value[:-1] + (b"\x00" if isinstance(value, bytes) else "x")
        db.execute(f"UPDATE transactions SET {column} = ? WHERE arrival = 2", (changed,))  # noqa: S608
    with pytest.raises(StoreCorrupt) as caught:
        ledger(path)
    assert caught.value.row == 2
    assert str(path) in str(caught.value)


def test_a_missing_row_is_found(tmp_path):
    path = tmp_path / "ledger.db"
    with Store(path) as store:
        chain_of(Ledger(store, context), 3)
    with sqlite3.connect(path) as db:
        db.execute("DELETE FROM transactions WHERE arrival = 2")
    with pytest.raises(StoreCorrupt):
        ledger(path)


def test_a_forged_issuer_is_found_by_full_verification(tmp_path):
    path = tmp_path / "ledger.db"
    with Store(path) as store:
        Ledger(store, context)
        create(Ledger(store, context), 0, QUIET)
        row = next(store.rows(after=1))
    forged = row._replace(issuer=address_of(key(1)))
    with sqlite3.connect(path) as db:
        db.execute("UPDATE transactions SET issuer = ?, seal = ? WHERE arrival = 2", (forged.issuer, forged.seal()))
    with Store(path) as store, pytest.raises(StoreCorrupt, match="signed"):
        Ledger(store, context).verify()
    Store(path)  # never closed: after an unclean end the start itself verifies signatures
    with pytest.raises(StoreCorrupt, match="signed"):
        ledger(path)


def test_a_file_that_is_no_ledger(tmp_path):
    path = tmp_path / "ledger.db"
    path.write_bytes(b"this is a text, not a database; " * 40)
    with pytest.raises(StoreCorrupt):
        Store(path)
    with pytest.raises(StoreFailed):
        Store(tmp_path / "no such directory" / "ledger.db")


def test_another_consortium_s_file_is_refused(tmp_path):
    path = tmp_path / "ledger.db"
    with Store(path) as store:
        Ledger(store, context)
    with pytest.raises(WrongConsortium), Store(path) as store:
        Ledger(store, lambda: context(chain_id=1))


def test_a_refused_write_leaves_memory_as_the_disk_is(tmp_path):
    path = tmp_path / "ledger.db"
    store = Store(path)
    book = Ledger(store, context)
    made = chain_of(ledger(), 3)
    book.receive(made[0].raw)
    store._db.execute("PRAGMA query_only = ON")
    with pytest.raises(StoreFailed):
        book.receive_many(tx.raw for tx in made[1:])
    with pytest.raises(StoreFailed):
        create(book, 0, QUIET)
    assert contents(book) == {book.genesis_id, made[0].id}
    store._db.execute("PRAGMA query_only = OFF")
    assert len(book.receive_many(tx.raw for tx in made[1:]).attached) == 2


def test_a_write_that_fails_halfway_is_undone(monkeypatch, tmp_path):
    store = Store(tmp_path / "ledger.db")
    book = Ledger(store, context)
    made = chain_of(ledger(), 4)
    real, calls = store.append, []

    def append(rows):
        calls.append(rows)
        if len(calls) == 3:
            raise StoreFailed("disk full")
        real(rows)

    monkeypatch.setattr(store, "append", append)
    with pytest.raises(StoreFailed):
        book.receive_many(tx.raw for tx in made)
    assert contents(book) == {book.genesis_id}
    assert len(book.receive_many(tx.raw for tx in made).attached) == 4
