"""A whole ledger checked from outside: what is true is verified, each lie is found, what cannot be known is said."""

import sqlite3
from dataclasses import replace

import pytest

from dag import checking
from dag.bodies import AcknowledgementBody, Kind
from dag.checking import Finding, State, check_file, check_snapshot
from dag.equivocation import EquivocationProof
from dag.errors import MissingParent, UnknownTransaction
from dag.ids import sha256
from dag.ledger import Ledger
from dag.store.snapshot import Snapshot
from dag.store.sqlite import Store
from dag.work import work_bits, work_seed
from tests.dag.played import play, witnesses
from tests.dag.support import context, create, post, proposal_body, update_body

MEMBERS = 4


@pytest.fixture(scope="module")
def played(tmp_path_factory):
    path = tmp_path_factory.mktemp("ledger") / "ledger.sqlite"
    with Store(path) as store:
        play(Ledger(store, lambda: context(MEMBERS)), MEMBERS, 2)
    return path


@pytest.fixture
def copy(played, tmp_path):
    path = tmp_path / "ledger.sqlite"
    path.write_bytes(played.read_bytes())
    return path


def states(findings: tuple[Finding, ...]) -> dict[str, State]:
    return {finding.check: finding.state for finding in findings}


def wrong(findings: tuple[Finding, ...]) -> dict[str, tuple[str, ...]]:
    return {finding.check: finding.problems for finding in findings if finding.state is State.FALSE}


def test_an_honest_ledger_is_verified_as_far_as_can_be(played):
    with Store(played, read_only=True) as store:
        alone = states(check_file(store))
        named = states(check_file(store, witnesses(MEMBERS)))
        whole = check_file(store, witnesses(MEMBERS), context(MEMBERS))
    assert alone == {
        "rows": State.VERIFIED,
        "genesis": State.VERIFIED,
        "members": State.UNCHECKED,
        "contradictions": State.VERIFIED,
        "rules": State.UNCHECKED,
        "terms": State.UNCHECKED,
    }
    assert named == alone | {"members": State.VERIFIED, "rules": State.VERIFIED}
    assert set(states(whole).values()) == {State.VERIFIED}
    assert {finding.count for finding in whole} == {len(snapshot_of(played))}


def test_reading_leaves_no_mark_and_works_beside_a_running_node(played, copy):
    with Store(copy) as writer:
        book = Ledger(writer, lambda: context(MEMBERS))
        with Store(copy, read_only=True) as store:
            assert len(Snapshot.of_store(store)) == len(book)
        assert book.evidence() == ()
    before = played.read_bytes()
    with Store(played, read_only=True) as store:
        Snapshot.of_store(store)
    assert played.read_bytes() == before


def test_a_ledger_may_grow_while_it_is_checked(copy):
    with Store(copy) as writer, Store(copy, read_only=True) as store:
        snapshot = Snapshot.of_store(store, witnesses(MEMBERS))
        book = Ledger(writer, lambda: context(MEMBERS))
        for member in range(MEMBERS):
            create(book, member, AcknowledgementBody(None), round_=3)
        findings = (checking._check_rows(store, snapshot, None), *check_snapshot(snapshot))
        assert {finding.state for finding in findings} == {State.VERIFIED, State.UNCHECKED}
        assert findings[0].count == len(snapshot) == len(book) - MEMBERS


def test_progress_ends_at_the_whole(played):
    seen = []
    with Store(played, read_only=True) as store:
        check_file(store, witnesses(MEMBERS), progress=lambda *step: seen.append(step))
        Snapshot.of_store(store, progress=lambda *step: seen.append(("read", *step)))
    assert {what for what, _, _ in seen} == {"rows", "reading", "rules", "read"}
    assert all(done == total for what, done, total in seen[-1:])


def snapshot_of(path, members=None) -> Snapshot:
    with Store(path, read_only=True) as store:
        held = list(Snapshot.of_store(store).transactions())
    return Snapshot.of_transactions(held, "memory", members)


def test_a_changed_byte_is_found(copy):
    with sqlite3.connect(copy) as db:
        db.execute("UPDATE transactions SET round = 9 WHERE arrival = 7")
    with Store(copy, read_only=True) as store:
        assert "row 7" in wrong(check_file(store))["rows"][0]


def test_a_false_signature_under_an_honest_seal_is_found(copy):
    with Store(copy) as store:
        row = store.row(9)
        forged = row._replace(issuer=store.row(8).issuer)
        with sqlite3.connect(copy) as db:
            db.execute("UPDATE transactions SET issuer = ?, seal = ? WHERE arrival = 9", (forged.issuer, forged.seal()))
    with Store(copy, read_only=True) as store:
        assert "row 9" in wrong(check_file(store))["rows"][0]


def test_a_row_that_is_gone_is_found(copy):
    with sqlite3.connect(copy) as db:
        db.execute("DELETE FROM transactions WHERE arrival = 5")
    with Store(copy, read_only=True) as store:
        assert "row 6" in wrong(check_file(store))["rows"][0]


def test_strangers_are_named_and_do_not_count(played):
    few = replace(witnesses(MEMBERS), members=witnesses(MEMBERS).members[:3])
    snapshot = snapshot_of(played, few)
    found = wrong(check_snapshot(snapshot))
    stranger = witnesses(MEMBERS).members[3].address
    assert all(f"by 0x{stranger.hex()}, no member" in problem for problem in found["members"])
    update = next(tx for tx in snapshot.transactions(Kind.UPDATE, 1) if tx.issuer != stranger)
    assert snapshot.tangle.approval_weight(update.id) == 3


def test_another_consortium_is_found(played):
    other = replace(witnesses(MEMBERS), consortium=sha256(b"other"))
    problems = wrong(check_snapshot(snapshot_of(played, other)))["genesis"]
    assert len(problems) == 21
    assert problems[-1].startswith("and ")


def test_two_genesis_transactions_are_found(played):
    held = list(snapshot_of(played).transactions())
    second = replace(held[0], body=replace(held[0].body, chain_id=9))
    found = wrong(check_snapshot(Snapshot.of_transactions([*held, second], "memory")))
    assert found["genesis"] == ("2 genesis transactions, expected 1",)


def test_a_contradiction_is_found_unless_its_proof_is_kept(played):
    held = list(snapshot_of(played).transactions())
    update = next(tx for tx in held if tx.kind is Kind.UPDATE)
    member = context(MEMBERS).members[update.issuer].index
    second = post(update.parents, update_body(member, samples=50), member, sequence=77)
    snapshot = Snapshot.of_transactions([*held, second], "memory", witnesses(MEMBERS))
    found = wrong(check_snapshot(snapshot))["contradictions"]
    assert len(found) == 1
    assert "second update for the same round" in found[0]
    assert update.id.hex() in found[0]
    kept = check_snapshot(snapshot, [EquivocationProof.of(update, second)])
    assert states(kept)["contradictions"] is State.VERIFIED


def test_a_broken_rule_is_found_without_the_chain(played):
    """A proposal of unconfirmed updates, a reveal that opens nothing: signed by a member, and still false."""
    held = list(snapshot_of(played).transactions())
    genesis, updates = held[0], [tx for tx in held if tx.kind is Kind.UPDATE and tx.round == 1]
    parents = (updates[-1].id, updates[-1].id)
    bad = post((updates[0].id, updates[0].id), proposal_body((updates[0].id,)), 0, sequence=70)
    false = post(parents, AcknowledgementBody(sha256(b"not the secret")), 1, sequence=70)
    snapshot = Snapshot.of_transactions([*held, bad, false], "memory", witnesses(MEMBERS))
    problems = wrong(check_snapshot(snapshot))["rules"]
    assert {problem[:29] for problem in problems} == {f"transaction {tx.id.hex()[:16]}…"[:29] for tx in (bad, false)}
    assert genesis.id in snapshot


def test_a_false_weight_is_found_with_the_chain_alone(played):
    held = list(snapshot_of(played).transactions())
    tips = held[-1].id
    body = replace(update_body(2), weight_ppm=999_999)
    heavy = post((tips, tips), body, 2, sequence=70, round_=3)
    snapshot = Snapshot.of_transactions([*held, heavy], "memory", witnesses(MEMBERS))
    assert states(check_snapshot(snapshot))["rules"] is State.VERIFIED
    with_chain = check_snapshot(snapshot, context=context(MEMBERS))
    assert "eq. 19" in wrong(with_chain)["terms"][0]


def test_snapshots_of_loose_transactions(played):
    held = list(snapshot_of(played).transactions())
    with pytest.raises(MissingParent):
        Snapshot.of_transactions(held[1:], "memory")
    empty = Snapshot.of_transactions([], "memory")
    assert states(check_snapshot(replace(empty, members_known=True)))["rules"] is State.UNCHECKED
    snapshot = snapshot_of(played)
    with pytest.raises(UnknownTransaction):
        snapshot.get(b"x" * 32)
    assert list(snapshot.ids(Kind.UPDATE, 2)) == [tx.id for tx in snapshot.transactions(Kind.UPDATE, 2)]
    assert len(list(snapshot.transactions(Kind.CHECKPOINT))) == 2 * MEMBERS


def test_work_in_nonces_is_no_fault_and_its_lack_beside_them_is(played):
    held = list(snapshot_of(played).transactions())
    tip = held[-1].id
    worked = [
        next(
            tx
            for number in range(10_000)
            if work_bits(work_seed(tx := nonced(tip, member, number), tx.issuer), tx.nonce) >= 2
        )
        for member in (0, 1)
    ]
    snapshot = Snapshot.of_transactions([*held, *worked], "memory", witnesses(MEMBERS))
    assert states(check_snapshot(snapshot))["rules"] is State.VERIFIED
    idle = post((tip, tip), AcknowledgementBody(None), 2, sequence=70, round_=3)
    lazy = Snapshot.of_transactions([*held, *worked, idle], "memory", witnesses(MEMBERS))
    assert "no proof of work" in wrong(check_snapshot(lazy))["rules"][0]


def nonced(tip: bytes, member: int, number: int):
    nonce = number.to_bytes(8, "big")
    return post((tip, tip), AcknowledgementBody(None), member, sequence=70, round_=3, nonce=nonce)
