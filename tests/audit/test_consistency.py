"""Two views of one log, and contradictions across sources."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dag.bodies import AcknowledgementBody
from dag.equivocation import EquivocationProof
from dag.proofs.checkpoint import RoundRecord
from dag.proofs.merkle import ConsistencyProof, verify_consistency
from dag.transaction import Unsigned, address_of, sign
from node.audit.bundle.form import Bundle
from node.audit.bundle.rounds import facts_of, records_of, transactions_of
from node.audit.consistency import LogView, compare
from node.audit.equivocations import collect
from node.audit.errors import IncompleteBundle
from tests.audit.manipulations import ROUND, names
from tests.audit.zipped import rewrite

CONSORTIUM = bytes(32)


def digest(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


def log(count: int, changed: int = 0, **fields) -> tuple[RoundRecord, ...]:
    """A log of so many rounds, one of which says something else."""
    rows = [
        RoundRecord(CONSORTIUM, n, n, *(digest(f"{what} {n}") for what in ("root", "proposal", "model", "statement")))
        for n in range(1, count + 1)
    ]
    return tuple(replace(row, **fields) if row.round == changed else row for row in rows)


def whole(records) -> LogView:
    return LogView.of("here", CONSORTIUM, records)


def head(records) -> LogView:
    return replace(whole(records), where="signed", records=None)


@given(st.integers(0, 20), st.integers(0, 20))
def test_a_log_is_the_beginning_of_a_longer_one(one, two):
    result = compare(whole(log(one)), whole(log(two)))
    assert (result.verdict, result.exit_code) == ("verified", 0)
    assert (result.older.size, result.newer.size) == (min(one, two), max(one, two))
    if result.older.size:
        proof = ConsistencyProof(result.older.size, result.newer.size, result.path)
        verify_consistency(result.older.root, result.newer.root, proof)


def test_the_first_round_that_differs_is_named():
    result = compare(whole(log(9, changed=4, model=digest("another"))), whole(log(7)))
    assert (result.exit_code, result.reason) == (1, "round 4: they differ in model")
    skipped = log(9)[:3] + log(9)[4:]
    assert "after round 3" in compare(whole(skipped), whole(log(9))).reason
    assert result.to_text().splitlines()[-1] == "consistency: falsified (round 4: they differ in model)"
    assert result.to_json()["newer"]["rounds"] == 9


def test_a_head_is_held_against_the_rounds():
    assert compare(head(log(5)), whole(log(9))).verdict == "verified"
    assert compare(head(log(5, changed=2, size=1)), whole(log(9))).exit_code == 1
    assert compare(head(log(9)), whole(log(5))).exit_code == 2
    assert compare(head(log(5)), head(log(9))).exit_code == 2
    assert compare(head(log(5)), head(log(5))).verdict == "verified"
    assert compare(head(log(5)), head(log(5, changed=5, size=9))).exit_code == 1
    assert compare(head(log(0)), whole(log(5))).verdict == "verified"


def test_two_heads_are_held_together_by_a_proof():
    path = compare(whole(log(5)), whole(log(9))).path
    assert compare(head(log(5)), head(log(9)), path).verdict == "verified"
    for spoilt in (path[1:], (digest("another"), *path[1:])):
        assert compare(head(log(5)), head(log(9)), spoilt).exit_code == 2
    assert compare(head(log(5, changed=2, size=1)), head(log(9)), path).exit_code == 2


def test_logs_of_two_consortia_are_not_one():
    other = replace(whole(log(3)), consortium=digest("another"))
    assert "another consortium" in compare(whole(log(3)), other).reason


def test_a_bundle_has_the_log_its_checkpoints_would_sign(bundled, run):
    with Bundle(bundled.path) as bundle:
        records = records_of(bundle, facts_of(bundle))
    assert [record.round for record in records] == [1, 2]
    for record in records:
        predicate = run.predicate(record.round)
        assert (record.root.hex(), record.model.hex()) == (predicate.ledger_root, predicate.model.sha256)


def test_a_bundle_without_a_segment_has_no_log(bundled, run, tmp_path):
    cid = names(run, ROUND)["segment"]
    path = rewrite(bundled.path, tmp_path / "b", lambda entries: entries.__delitem__(f"blobs/{cid}"))
    with Bundle(path) as bundle, pytest.raises(IncompleteBundle, match=cid):
        records_of(bundle, facts_of(bundle))


# ---- equivocations --------------------------------------------------------------------------------------------------

KEY = digest("member")


def acknowledgement(sequence: int, secret: str, key: bytes = KEY):
    body = AcknowledgementBody(digest(secret))
    unsigned = Unsigned(
        kind=body.kind,
        consortium=CONSORTIUM,
        epoch=1,
        round=3,
        sequence=sequence,
        parents=(digest("parent"),) * 2,
        payload=None,
        body=body,
    )
    return sign(unsigned, key)


def test_contradictions_are_found_across_sources():
    here, there = [acknowledgement(1, "a"), acknowledgement(2, "b")], [acknowledgement(1, "c")]
    assert collect(here, (), {}).exit_code == 0
    found = collect(here + there, (), {address_of(KEY): "Hospital"})
    (one,) = found.equivocations
    assert (found.exit_code, one.name, one.kept, one.proof.first.round) == (1, "Hospital", False, 3)
    one.proof.verify()


def test_a_proof_counts_once_however_often_it_comes():
    one, two = acknowledgement(1, "a"), acknowledgement(1, "b")
    proof = EquivocationProof.of(one, two)
    found = collect([one, two, one], [proof, proof], {})
    assert [(e.kept, e.why) for e in found.equivocations] == [(True, "sequence 1 used twice")]


def test_others_with_the_same_number_contradict_nobody():
    assert collect([acknowledgement(1, "a"), acknowledgement(1, "b", digest("other"))], (), {}).exit_code == 0


def test_a_signature_that_nobody_made_is_said():
    bad = replace(acknowledgement(1, "a"), signature=b"\xff" * 64 + b"\x00")
    found = collect([bad], (), {})
    assert found.exit_code == 2
    assert found.unread


def test_an_honest_run_has_none(bundled):
    with Bundle(bundled.path) as bundle:
        found = collect(transactions_of(bundle, facts_of(bundle)), (), {})
    assert (found.exit_code, found.transactions > 40) == (0, True)
