"""Bytes nobody sane would send: every one ends in a finding or a typed error, none in a crash."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chain.errors import MalformedAnswer
from dag import codec
from dag.ids import sha256
from node.audit import IncoherentChain
from node.audit.calls import decode_finalise
from node.audit.chainside import ChainFacts, read_history
from node.audit.history import LiveHistory
from node.audit.run import examine
from tests.audit.forge import Forgery, Overlay, with_round

ROUND = 2
FEW = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def accuse(run, data: bytes, what: str) -> tuple[ChainFacts, Overlay]:
    """A chain and blobs in which a quorum vouched for these bytes."""
    overlay = Overlay(run)
    if what in {"segment", "manifest", "sum", "key"}:
        cid = overlay.put(data)
        forgery = Forgery(run, ROUND, tell=lambda said: said.update(_naming(what, cid, said)))
        forgery.evidence.blobs[cid] = data
        return forgery.facts, forgery.evidence
    here = run.facts.finalised[ROUND]
    overlay.blobs[_raw(data)] = data
    row = replace(here.row, **{what: sha256(data)})
    return with_round(run.facts, replace(here, row=row)), overlay


def _raw(data: bytes) -> str:
    from node.storage import raw_cid

    return raw_cid(sha256(data))


def _naming(what: str, cid: str, said: dict) -> dict:
    if what == "segment":
        return {"segment": cid}
    if what == "manifest":
        return {"updates": (said["updates"][0].model_copy(update={"manifest": cid}), *said["updates"][1:])}
    if what == "sum":
        return {"groups": (said["groups"][0].model_copy(update={"sum": cid}), *said["groups"][1:])}
    from node.rounds.statement import JointKeyRef

    return {"joint_key": JointKeyRef(digest=sha256(b"").hex(), cid=cid)}


WHERE = {
    "segment": "segment",
    "manifest": "sums",
    "sum": "sums",
    "key": "key",
    "statement": "statement",
    "plan": "plan",
}


@FEW
@given(data=st.binary(max_size=300), what=st.sampled_from(sorted(WHERE)))
def test_noise_in_any_place_is_falsified_there(run, data, what):
    facts, evidence = accuse(run, data, what)
    report = examine(facts, evidence, None)
    assert any(f.status == "falsified" and f.link == WHERE[what] for f in report.findings)
    json.dumps(report.to_json())


@FEW
@given(at=st.integers(0, 2**31), bit=st.integers(0, 7), what=st.sampled_from(["segment", "statement", "plan"]))
def test_one_bit_changed_under_a_matching_digest_is_falsified(run, at, bit, what):
    row, predicate = run.facts.finalised[ROUND].row, run.predicate(ROUND)
    from node.storage import raw_cid

    names = {"segment": predicate.segment, "statement": raw_cid(row.statement), "plan": raw_cid(row.plan)}
    data = bytearray(run.read(names[what]))
    data[at % len(data)] ^= 1 << bit
    facts, evidence = accuse(run, bytes(data), what)
    report = examine(facts, evidence, None)
    assert report.verdict == "falsified"


@pytest.mark.parametrize(
    "content",
    [
        {"transactions": []},
        {"transactions": [b""]},
        {"transactions": [1]},
        {"transactions": {}},
        {"other": []},
        [],
        {"transactions": [[[[[[[[[[[]]]]]]]]]]]},
    ],
)
def test_segments_that_are_none(run, content):
    facts, evidence = accuse(run, codec.encode(content), "segment")
    assert {f.link for f in examine(facts, evidence, None).findings if f.status == "falsified"} == {"segment"}


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=900))
def test_calldata_is_refused_with_a_typed_error(data):
    from node.audit.calls import _abi

    for candidate in (data, _abi("finalise")[0] + data):
        with pytest.raises(MalformedAnswer):
            decode_finalise(candidate)


class FakeHistory(LiveHistory):
    """A client whose endpoint tells events out of order."""

    def __init__(self, run, events) -> None:
        super().__init__(run.chain)
        self._events = events

    def events(self):
        return self._events


def test_events_out_of_order_are_incoherent(run):
    from chain.events import Proposed

    events = [e for e in run.chain.events(0) if isinstance(e, Proposed)]
    with pytest.raises(IncoherentChain, match="Proposed"):
        read_history(FakeHistory(run, events))


def test_another_consortiums_blobs_falsify_nothing_quietly(run):
    foreign = replace(run.facts, deployment=replace(run.facts.deployment, consortium=sha256(b"another")))
    report = examine(foreign, Overlay(run), None)
    assert {"statement", "key", "segment", "leader"} <= {f.link for f in report.findings if f.status == "falsified"}


def test_a_statement_names_blobs_in_their_one_canonical_form():
    from pydantic import TypeAdapter, ValidationError

    from node.rounds.statement import Cid

    with pytest.raises(ValidationError, match="spare bits"):
        TypeAdapter(Cid).validate_python("bafkreibadlskygz56i2ldam6wmha7vttdanh5xib7tu53k3tt4qty2fwup")
