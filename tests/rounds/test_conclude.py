"""Step 9: a statement is endorsed only where this hospital derives the very same bytes."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace

import pytest

from node.errors import LyingPeer, PolicyRefusal, RoundProblem
from node.rounds import effects as do
from node.rounds.journal import Journal
from node.rounds.state import Adopted, Endorsed, Refused
from node.rounds.statement import Statement
from node.rounds.steps import conclude
from node.rounds.worker import carry_out
from node.storage import raw_cid

HASH = hashlib.sha256(b"something else").hexdigest()
CID = raw_cid(hashlib.sha256(b"something else").digest())
ADDRESS = "0x" + "ab" * 20


@pytest.fixture
def honest(played, node) -> Statement:
    return Statement.from_bytes(node.blobs.obtain(raw_cid(played.chain.endings[1].statement)))


def forged(honest: Statement, change) -> bytes:
    """The statement's bytes after `change` had its way with the predicate, in canonical form."""
    content = json.loads(honest.to_bytes())
    change(content["predicate"])
    content["subject"][0]["digest"]["sha256"] = content["predicate"]["model"]["sha256"]
    return json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def check(ports, state, proposal, data: bytes):
    ports.blobs.store.put(data)
    return conclude.check_statement(ports, state, hashlib.sha256(data).digest(), proposal)


def test_the_honest_statement_is_endorsed(ports, state, proposal, honest):
    assert check(ports, state, proposal, honest.to_bytes()) == (Endorsed(honest.digest),)
    with pytest.raises(PolicyRefusal):
        ports.journal.promise(1, "signed", b"another")


def swap(name):
    def change(predicate):
        predicate[name] = predicate[name][::-1]

    return change


FORGERIES = {
    "consortium": lambda p: p.update(consortium=HASH),
    "chain_id": lambda p: p.update(chain_id=1),
    "contract": lambda p: p.update(contract=ADDRESS),
    "round": lambda p: p.update(round=2),
    "epoch": lambda p: p.update(epoch=2),
    "seed": lambda p: p.update(seed=HASH),
    "plan": lambda p: p.update(plan=HASH),
    "base": lambda p: p.update(base=HASH),
    "leader": lambda p: p.update(leader=ADDRESS),
    "proposal": lambda p: p.update(proposal=HASH),
    "updates": lambda p: p["updates"][0].update(weight_ppm=1),
    "groups": lambda p: p["groups"][0].update(accepted=False),
    "openers": lambda p: p.update(openers=[0, 1]),
    "shares": lambda p: p["shares"].pop(),
    "verdicts": lambda p: p["verdicts"][0].update(issuer=ADDRESS),
    "updates_root": lambda p: p.update(updates_root=HASH),
    "sums_root": lambda p: p.update(sums_root=HASH),
    "ledger_root": lambda p: p.update(ledger_root=HASH),
    "segment": lambda p: p.update(segment=CID),
    "seed_material": lambda p: p.update(seed_material=HASH),
    "joint_key": lambda p: p["joint_key"].update(digest=HASH),
    "parameter_set": lambda p: p.update(parameter_set="standard"),
    "min_group": lambda p: p.update(min_group=1),
    "colluders_tolerated": lambda p: p.update(colluders_tolerated=9),
    "model": lambda p: p["model"].update(sha256=HASH),
    "reveals": lambda p: p["reveals"].pop(),
}


@pytest.mark.parametrize("field", FORGERIES)
def test_a_forged_statement_is_refused_and_the_field_named(ports, state, proposal, honest, field):
    with pytest.raises(LyingPeer) as caught:
        check(ports, state, proposal, forged(honest, FORGERIES[field]))
    assert caught.value.evidence["field"] == field
    ports.journal.promise(1, "signed", b"still free")


def test_every_field_of_a_statement_is_forged_above(honest):
    assert set(FORGERIES) | {"software"} == set(type(honest.predicate).model_fields)


def test_the_writers_software_is_taken_as_it_says(ports, state, proposal, honest):
    data = forged(honest, lambda p: p.update(software="medweave 99"))
    assert check(ports, state, proposal, data) == (Endorsed(hashlib.sha256(data).digest()),)


def test_too_few_verdicts_are_refused(ports, state, proposal, honest):
    with pytest.raises(LyingPeer, match="a quorum is 3"):
        check(ports, state, proposal, forged(honest, lambda p: p.update(verdicts=p["verdicts"][:2])))


def test_one_verdict_counted_often_is_refused(ports, state, proposal, honest):
    with pytest.raises(LyingPeer):
        check(ports, state, proposal, forged(honest, lambda p: p.update(verdicts=[p["verdicts"][0]] * 4)))


def test_a_verdict_that_has_not_arrived_is_waited_for(ports, state, proposal, honest):
    late = replace(state, verdicts=state.verdicts[1:])
    with pytest.raises(RoundProblem, match="has not arrived") as caught:
        check(ports, late, proposal, honest.to_bytes())
    assert not isinstance(caught.value, LyingPeer), "the statement is not false, it is early"


@pytest.mark.parametrize("what", ["verdicts", "shares"])
def test_of_a_contradiction_either_half_may_be_counted(ports, state, proposal, honest, what):
    """A member gave two; the writer saw the one first, this member the other. Otherwise one liar could split the signers."""
    one, *rest = getattr(state, what)
    state = replace(state, **{what: (replace(one, id=b"r" * 32), one, *rest)})
    assert check(ports, state, proposal, honest.to_bytes()) == (Endorsed(honest.digest),)


def test_two_verdicts_of_one_member_count_once(ports, state, proposal, honest):
    one = next(v for v in state.verdicts if v.id.hex() == honest.predicate.verdicts[0].id)
    state = replace(state, verdicts=(*state.verdicts, replace(one, id=b"r" * 32)))

    def twice(predicate):
        rival = {**predicate["verdicts"][0], "id": (b"r" * 32).hex()}
        predicate["verdicts"] = [*predicate["verdicts"][:3], rival]

    with pytest.raises(LyingPeer, match="of 3 members"):
        check(ports, state, proposal, forged(honest, twice))


def test_a_statement_about_shares_that_have_not_come_is_early_and_not_false(ports, state, proposal, honest):
    with pytest.raises(RoundProblem, match="has not arrived") as caught:
        check(ports, replace(state, shares=state.shares[1:]), proposal, honest.to_bytes())
    assert not isinstance(caught.value, LyingPeer)


def test_leaving_verdicts_out_down_to_a_quorum_is_the_writers_choice(ports, state, proposal, honest):
    """Three of four verdicts are a statement of its own; every member derives the same one from them."""
    ids = tuple(bytes.fromhex(v.id) for v in honest.predicate.verdicts[:3])
    statement = conclude.build_statement(ports, state, proposal, ids, state.shares_for(proposal), "writer")
    assert check(ports, state, proposal, statement.to_bytes()) == (Endorsed(statement.digest),)


def test_a_sum_that_lags_stays_out_where_the_plan_says_so(ports, state, proposal, caplog):
    """Every vote accepts both sums; what the verdicts state of them tells them apart."""
    told = tuple(
        replace(verdict, alignment_ppm=(560_000, 510_000), descent_ppm=(550_000, 515_000)) for verdict in state.verdicts
    )
    state = replace(state, verdicts=told)
    asked = replace(state, plan=state.plan.model_copy(update={"defence": "suspicion"}))
    shares, ids = state.shares_for(proposal), tuple(verdict.id for verdict in told)
    make = conclude.build_statement
    usual, compared = (make(ports, now, proposal, ids, shares, "test").predicate for now in (state, asked))
    assert [group.accepted for group in usual.groups] == [True, True]
    with caplog.at_level("INFO", "medweave.rounds"):
        again = make(ports, asked, proposal, ids, shares, "test").predicate
    assert [group.accepted for group in compared.groups] == [True, False]
    assert again.model.sha256 == compared.model.sha256 != usual.model.sha256
    assert "sum 1 lags behind" in caplog.text


def test_a_second_statement_is_not_endorsed(ports, state, proposal, honest):
    """Nobody gets this member's signature under two models of one round, also not after a crash."""
    check(ports, state, proposal, honest.to_bytes())
    ids = tuple(bytes.fromhex(v.id) for v in honest.predicate.verdicts[:3])
    other = conclude.build_statement(ports, state, proposal, ids, state.shares_for(proposal), "writer").to_bytes()
    with pytest.raises(PolicyRefusal, match="signed"):
        check(ports, state, proposal, other)


def test_what_was_promised_before_a_crash_is_endorsed_after_it(ports, state, proposal, tmp_path):
    """Killed between the promise and its own signature; by the restart one more verdict is in.

    The member must come back to the statement it promised: otherwise it can never sign in this round, and one crash
    has cost a signature for good.
    """
    ports = replace(ports, journal=_same_models(ports.journal, tmp_path / "journal"))
    ids = tuple(v.id for v in state.verdicts_for(proposal.sums_root))
    early = replace(state, verdicts=tuple(v for v in state.verdicts if v.id != ids[-1]))
    (first,) = conclude.write_statement(ports, early, proposal, ids[:-1])
    ports.journal.close()
    restarted = replace(ports, journal=Journal(tmp_path / "journal"), opened={})
    events = carry_out(
        restarted, replace(state, proposals={proposal.id: proposal}), do.WriteStatement(proposal.id, ids)
    )
    assert events[0] == first


def _same_models(journal: Journal, path) -> Journal:
    copy = Journal(path)
    for model, epoch, number, sealed in journal.models():
        copy.keep_model(model, epoch, number, sealed)
    return copy


def test_the_worker_turns_a_forgery_into_a_refusal(ports, state, proposal, honest):
    data = forged(honest, FORGERIES["model"])
    ports.blobs.store.put(data)
    effect = do.VerifyStatement(hashlib.sha256(data).digest(), proposal.id)
    refused, finished = carry_out(ports, state, effect)
    assert isinstance(refused, Refused)
    assert refused.subject == effect.statement
    assert finished.effect == effect


@pytest.mark.parametrize("data", [b"", b"{}", b"\xff" * 40, b"[]", b'{"_type":"x"}'])
def test_bytes_that_are_no_statement_are_refused(ports, state, proposal, data):
    with pytest.raises(LyingPeer, match="statement"):
        check(ports, state, proposal, data)


# ---- the chain -------------------------------------------------------------------------------------------------------


def test_invalid_signatures_are_left_out_and_too_few_left_are_not_sent(played, node, ports, honest):
    """Two members signed another outcome, and say it was this one."""
    state = replace(node.runner.state, endorsed=honest.digest)
    other = replace(conclude.outcome_of(honest), model=bytes(32))
    broken = [replace(c, signature=played.nodes[c.issuer].ports.chain.sign(other)) for c in state.checkpoints[:2]]
    with pytest.raises(RoundProblem, match="2 valid signatures"):
        conclude.finalise(ports, replace(state, checkpoints=(*broken, *state.checkpoints[2:])), honest.digest)


def test_who_signed_the_outcome_and_not_the_statement_does_not_count(node, ports, honest):
    """What the chain records must have an envelope that convinces: two members' signatures are under something else."""
    state = replace(node.runner.state, endorsed=honest.digest)
    broken = [replace(c, statement_signature=bytes(65)) for c in state.checkpoints[:2]]
    with pytest.raises(RoundProblem, match="2 valid signatures"):
        conclude.finalise(ports, replace(state, checkpoints=(*broken, *state.checkpoints[2:])), honest.digest)


def test_a_signature_of_one_member_under_anothers_name_does_not_count(node, ports, honest):
    state = replace(node.runner.state, endorsed=honest.digest)
    one = state.checkpoints[0]
    copies = tuple(replace(one, issuer=member) for member in range(4))
    with pytest.raises(RoundProblem, match="1 valid signatures"):
        conclude.finalise(ports, replace(state, checkpoints=copies), honest.digest)


def test_a_round_that_ended_already_is_not_ended_again(node, ports, honest):
    """Whoever comes second finds it done; how it ended the chain's own event says."""
    state = replace(node.runner.state, endorsed=honest.digest)
    assert conclude.finalise(ports, state, honest.digest) == ()


def test_a_model_is_adopted_from_a_peer(played, node, ports, state):
    ending = played.chain.endings[1]
    ports = replace(ports, journal=Journal(":memory:"))
    assert conclude.adopt(ports, state, do.Adopt(ending.model, ending.statement)) == (Adopted(),)
    assert ports.journal.model(ending.model) is not None


def test_a_statement_about_another_model_is_not_adopted(played, ports, state, honest):
    wrong = hashlib.sha256(b"other model").digest()
    with pytest.raises(LyingPeer, match="is not about model"):
        conclude.adopt(ports, state, do.Adopt(wrong, honest.digest))


def test_sealed_bytes_that_are_another_model_are_not_adopted(played, ports, state, honest):
    """The statement names the blob of the base model under the new model's hash."""
    base = ports.journal.model(state.facts.base)
    ports = replace(ports, journal=Journal(":memory:"))
    data = forged(honest, lambda p: p["model"].update(sealed=base[2]))
    ports.blobs.store.put(data)
    model = played.chain.endings[1].model
    events = carry_out(ports, state, do.Adopt(model, hashlib.sha256(data).digest()))
    assert not any(isinstance(event, Adopted) for event in events)
