"""A quorum that lies: every digest and signature agrees, and still the lie is found where it was told."""

from __future__ import annotations

from dataclasses import replace

import pytest
from eth_account import Account

from chain.leader import ranking
from chain.outcome import sign_outcome
from crypto.keys import JointKey
from dag.bodies import AcknowledgementBody, ProposalBody, ShareBody, UpdateBody, VerdictBody, proposal_roots
from dag.ids import sha256
from node.audit.run import examine
from node.rounds.plan import Plan
from node.rounds.records import ShareManifest, SumManifest, UpdateManifest
from node.rounds.statement import JointKeyRef
from node.storage import blob_cid, raw_cid
from tests.audit.forge import STRANGER, Forgery, member_key, updates_of, with_round

ROUND = 2


def broken(facts, evidence) -> dict[str, set[str]]:
    """Per status that is not ok, the links it occurs in."""
    found: dict[str, set[str]] = {"falsified": set(), "unchecked": set()}
    for finding in examine(facts, evidence, None).findings:
        if finding.status != "ok":
            found[finding.status].add(finding.link)
    return found


def lies(run, unchecked=frozenset(), **options) -> set[str]:
    forgery = Forgery(run, ROUND, **options)
    found = broken(forgery.facts, forgery.evidence)
    assert found["unchecked"] == unchecked, found
    return found["falsified"]


def test_a_round_made_again_honestly_is_verified(run):
    assert lies(run) == set()


# ---- what members sign ------------------------------------------------------------------------------------------


def only(kind, act):
    """Change transactions whose body is of one kind; the first one only where `act` says so by returning True."""
    done = []

    def change(forgery, old, values):
        if isinstance(values["body"], kind) and not done and act(forgery, values):
            done.append(old)

    return change


def inflate_weight(_forgery, values):
    values["body"] = replace(values["body"], weight_ppm=min(1_000_000, values["body"].weight_ppm + 1000))
    return values["body"].weight_ppm < 1_000_000


def too_many_slots(_forgery, values):
    values["body"] = replace(values["body"], slots=values["body"].slots + 1)
    return True


def other_layout(_forgery, values):
    values["body"] = replace(values["body"], layout=sha256(b"another network"))
    return True


def steal_a_chunk(forgery, values):
    """The second update re-posts a ciphertext of the first."""
    if not updates_of(forgery):
        return False
    theirs = UpdateManifest.from_bytes(forgery.evidence.get(forgery.made[updates_of(forgery)[0]].payload))
    mine = UpdateManifest.from_bytes(forgery.evidence.get(values["payload"]))
    again = replace(mine, chunks=(theirs.chunks[0], *mine.chunks[1:]))
    values["payload"] = forgery.evidence.put(again.to_bytes())
    return True


def swap_chunks(forgery, values):
    mine = UpdateManifest.from_bytes(forgery.evidence.get(values["payload"]))
    return repost(forgery, values, chunks=(mine.chunks[1], mine.chunks[0], *mine.chunks[2:]))


def repost(forgery, values, **changes):
    mine = UpdateManifest.from_bytes(forgery.evidence.get(values["payload"]))
    values["payload"] = forgery.evidence.put(replace(mine, **changes).to_bytes())
    return True


def anothers_manifest(forgery, values):
    return repost(forgery, values, issuer=b"s" * 20)


def lie_about_a_sum(forgery, values):
    """A chunk of the first sum is another ciphertext, signed and recorded as the sum."""
    body = values["body"]
    manifest = SumManifest.from_bytes(forgery.evidence.get(body.sums[0]))
    foreign = SumManifest.from_bytes(forgery.evidence.get(body.sums[-1])).chunks[0]
    sums = (
        forgery.evidence.put(replace(manifest, chunks=(foreign, *manifest.chunks[1:])).to_bytes()),
        *body.sums[1:],
    )
    values["body"] = replace(body, sums=sums, sums_root=proposal_roots((), sums)[1])
    return True


def choose_groups(forgery, values):
    """Pairs of the leader's liking."""
    body = values["body"]
    wanted = ((0, 1), (2, 3)) if body.groups != ((0, 1), (2, 3)) else ((0, 2), (1, 3))
    sums = tuple(forgery.sum(tuple(body.updates[i] for i in group)) for group in wanted)
    values["body"] = replace(body, groups=wanted, sums=sums, sums_root=proposal_roots((), sums)[1])
    return True


def single_out(forgery, values):
    """One group of one."""
    body = values["body"]
    groups = ((0,), (1, 2, 3))
    sums = tuple(forgery.sum(tuple(body.updates[i] for i in group)) for group in groups)
    values["body"] = replace(body, groups=groups, sums=sums, sums_root=proposal_roots((), sums)[1])
    return True


def leave_out(forgery, values):
    """Three of four confirmed updates, and the reveals of their issuers."""
    body = values["body"]
    kept = body.updates[1:]
    issuers = {forgery.made[i].issuer for i in kept}
    reveals = tuple(i for i in body.reveals if forgery.made[i].issuer in issuers)
    values["body"] = forgery.propose(body, kept, reveals)
    return True


def out_of_turn(forgery, values):
    """The member of the last rank proposes in the first time slot."""
    here = forgery.here
    last = ranking(here.row.seed, here.accounts, [1] * len(here.accounts))[-1]
    values["key"] = member_key(last)
    values["sequence"] += 1000
    values["body"] = replace(values["body"], attempt=0)
    return True


def false_reveal(_forgery, values):
    if values["body"].reveal is None:
        return False
    values["body"] = AcknowledgementBody(reveal=sha256(b"something else"))
    return True


def stranger(_forgery, values):
    values["key"] = STRANGER
    return True


def anothers_share(_forgery, values):
    values["body"] = replace(values["body"], member=(values["body"].member + 1) % 4)
    return True


def share_of_another_proposal(forgery, values):
    other = sha256(b"another proposal")
    manifest = ShareManifest.from_bytes(forgery.evidence.get(values["payload"]))
    values["payload"] = forgery.evidence.put(replace(manifest, proposal=other).to_bytes())
    values["body"] = replace(values["body"], proposal=other)
    return True


def another_consortium(_forgery, values):
    values["consortium"] = sha256(b"elsewhere")
    return True


def needless_work(_forgery, values):
    """A nonce would only give free choice of the id where the plan asks for no work."""
    values["nonce"] = bytes(8)
    return True


SIGNED = {
    "weight": (UpdateBody, inflate_weight, {"updates"}),
    "slots": (UpdateBody, too_many_slots, {"updates"}),
    "layout": (UpdateBody, other_layout, {"updates", "sums"}),
    "stolen ciphertext": (UpdateBody, steal_a_chunk, {"sums"}),
    "another's manifest": (UpdateBody, anothers_manifest, {"sums"}),
    "sum": (ProposalBody, lie_about_a_sum, {"sums"}),
    "groups": (ProposalBody, choose_groups, {"groups"}),
    "group of one": (ProposalBody, single_out, {"groups"}),
    "left out": (ProposalBody, leave_out, {"updates"}),
    "share of another": (ShareBody, anothers_share, {"openings"}),
    "share of another proposal": (ShareBody, share_of_another_proposal, {"openings"}),
    "foreign verdict": (VerdictBody, stranger, {"segment", "verdicts"}),
    "other consortium": (VerdictBody, another_consortium, {"segment", "verdicts"}),
    "work nobody asked for": (VerdictBody, needless_work, {"segment", "verdicts"}),
}


@pytest.mark.parametrize("name", SIGNED)
def test_a_lie_in_the_ledger(run, name):
    kind, act, expected = SIGNED[name]
    assert lies(run, change=only(kind, act)) == expected


def test_a_reveal_that_opens_nothing(run):
    """Nobody can say then what its member locked, so that its update may not be listed and the sums cannot be added again."""
    change = only(AcknowledgementBody, false_reveal)
    assert lies(run, change=change, unchecked={"sums"}) == {"groups", "updates"}


def test_updates_that_too_few_have_closed_above(run):
    """Two of four members close no more: nothing of the round could be listed, however many approve."""
    turned = []

    def change(_forgery, _old, values):
        if isinstance(values["body"], AcknowledgementBody) and values["body"].close and len(turned) < 2:
            values["body"] = AcknowledgementBody(None)
            turned.append(values)

    assert lies(run, change=change) == {"updates"}
    assert len(turned) == 2


def test_a_leader_before_its_turn(run):
    assert lies(run, change=only(ProposalBody, out_of_turn)) == {"leader"}


def test_chunks_out_of_order_do_not_add_up(run):
    with pytest.raises(Exception, match="agree in epoch, position"):
        Forgery(run, ROUND, change=only(UpdateBody, swap_chunks))


def another_partition(members):
    """These members gave shares for other groups of the same updates."""

    def extra(forgery):
        head = forgery.proposal
        body = head.body
        groups = ((0, 1), (2, 3)) if body.groups != ((0, 1), (2, 3)) else ((0, 2), (1, 3))
        sums = tuple(forgery.sum(tuple(body.updates[i] for i in group)) for group in groups)
        other = replace(body, groups=groups, sums=sums, sums_root=proposal_roots((), sums)[1])
        common = {"consortium": head.consortium, "epoch": head.epoch, "round": head.round, "parents": head.parents}
        first = forgery.sign(
            {**common, "kind": body.kind, "sequence": 900, "payload": None, "body": other, "key": member_key(0)}
        )
        payload = forgery.made[forgery.ids[bytes.fromhex(forgery.honest.shares[0])]].payload
        parents = {**common, "parents": (first.id, first.id)}
        for member in members:
            share, key = ShareBody(first.id, member), member_key(member)
            forgery.sign(
                {**parents, "kind": share.kind, "sequence": 901, "payload": payload, "body": share, "key": key}
            )

    return extra


def idle(run):
    """Whose shares were not asked for."""
    return set(range(4)) - set(run.predicate(ROUND).openers)


def test_a_member_that_opened_two_partitions(run):
    assert lies(run, extra=another_partition(run.predicate(ROUND).openers[:1])) == {"groups"}


def test_a_member_that_opened_a_partition_alone(run):
    """It judged a leader's proposal in time, all others the next leader's: nothing opened, and it kept its promise."""
    assert lies(run, extra=another_partition(idle(run))) == set()


def test_another_partition_that_as_many_opened_as_were_asked(run):
    """Where T is half of the members or fewer, those whom this proposal did not ask can open another."""

    def ask_one(_forgery, values):
        values["body"] = replace(values["body"], openers=values["body"].openers[:1])
        return True

    def change():
        return only(ProposalBody, ask_one)

    assert "groups" not in lies(run, change=change())
    assert "groups" in lies(run, change=change(), extra=another_partition(idle(run)))


def test_a_reveal_made_up_after_the_proposal(run):
    """The leader draws its groups with an acknowledgement that nobody could see before."""

    def late(forgery, values):
        body = values["body"]
        known = forgery.made[body.reveals[0]]
        issuer = forgery.here.accounts.index(known.issuer)
        fields = {name: getattr(known, name) for name in ("kind", "consortium", "epoch", "round", "payload", "body")}
        parents = (sha256(b"elsewhere"),) * 2
        again = forgery.sign({**fields, "parents": parents, "sequence": 900, "key": member_key(issuer)})
        values["body"] = forgery.propose(body, body.updates, tuple(sorted((again.id, *body.reveals[1:]))))
        return True

    assert lies(run, change=only(ProposalBody, late)) == {"groups"}


def test_a_second_update_of_one_member(run):
    def again(forgery, values):
        if not updates_of(forgery):
            return False
        first = forgery.made[updates_of(forgery)[0]]
        values["key"] = member_key(forgery.here.accounts.index(first.issuer))
        return True

    forgery = Forgery(run, ROUND, change=only(UpdateBody, again))
    details = [f.detail for f in examine(forgery.facts, forgery.evidence, None).findings if f.link == "updates"]
    assert any("a second update" in detail for detail in details)


def test_a_model_although_everything_was_refused(run):
    def refuse(_forgery, _old, values):
        if isinstance(values["body"], VerdictBody):
            values["body"] = replace(values["body"], accept=(False,) * len(values["body"].accept))

    assert lies(run, change=refuse) == {"verdicts"}


def test_a_joint_key_that_is_not_the_members_sum(run):
    b = _joint(run).b.copy()
    b[0, 0] ^= 1
    assert _key_lies(run, b=b) == {"key"}


def test_a_joint_key_of_another_ceremony(run):
    assert _key_lies(run, transcript=sha256(b"another")) == {"key"}


def _joint(run) -> JointKey:
    return JointKey.from_bytes(run.read(run.predicate(ROUND).joint_key.cid), allow_minimal=True)


def _key_lies(run, **changes) -> set[str]:
    """The members confirmed this key on chain."""
    data = replace(_joint(run), **changes).to_bytes()
    reference = JointKeyRef(digest=sha256(data).hex(), cid=blob_cid(data))
    forgery = Forgery(run, ROUND, tell=lambda said: said.update(joint_key=reference))
    forgery.evidence.put(data)
    here = forgery.facts.finalised[ROUND]
    confirmed = dict.fromkeys(here.epoch.confirmations, sha256(data))
    epoch = replace(here.epoch, joint_key=sha256(data), confirmations=confirmed)
    found = broken(with_round(forgery.facts, replace(here, epoch=epoch)), forgery.evidence)
    assert not found["unchecked"]
    return found["falsified"]


# ---- what the statement says ------------------------------------------------------------------------------------


def first(said, name, **changes):
    said[name] = (said[name][0].model_copy(update=changes), *said[name][1:])


STATED = {
    "weight": (lambda said: first(said, "updates", weight_ppm=7), {"updates"}),
    "samples": (lambda said: first(said, "updates", samples=7), {"updates"}),
    "decision": (lambda said: first(said, "groups", accepted=not said["groups"][0].accepted), {"verdicts"}),
    "verdicts": (lambda said: said.update(verdicts=said["verdicts"][:2]), {"verdicts"}),
    "verdict twice": (
        lambda said: said.update(verdicts=(said["verdicts"][0], *said["verdicts"])),
        {"statement", "verdicts"},
    ),
    "shares": (lambda said: said.update(shares=said["shares"][1:]), {"openings"}),
    "openers": (lambda said: said.update(openers=(0,)), {"segment", "openings"}),
    "reveals": (lambda said: said.update(reveals=()), {"segment"}),
    "root": (lambda said: said.update(ledger_root=sha256(b"root").hex()), {"segment"}),
    "material": (lambda said: said.update(seed_material=sha256(b"seed").hex()), {"outcome"}),
    "min_group": (lambda said: said.update(min_group=3), {"plan"}),
    "colluders": (lambda said: said.update(colluders_tolerated=5), {"statement"}),
    "contract": (lambda said: said.update(contract="0x" + "00" * 20), {"statement"}),
    "chain": (lambda said: said.update(chain_id=1), {"statement"}),
    "epoch": (lambda said: said.update(epoch=9), {"statement"}),
    "parameters": (lambda said: said.update(parameter_set="standard"), {"statement", "plan"}),
}


@pytest.mark.parametrize("name", STATED)
def test_a_lie_in_the_statement(run, name):
    tell, expected = STATED[name]
    assert lies(run, tell=tell) == expected


# ---- what the chain says ----------------------------------------------------------------------------------------


def chain_lies(run, **changes) -> set[str]:
    here = run.facts.finalised[ROUND]
    facts = with_round(run.facts, replace(here, **changes))
    return broken(facts, Forgery(run, ROUND).evidence)["falsified"]


def test_too_few_signatures(run):
    signed = run.facts.finalised[ROUND].signed
    few = replace(signed, signers=signed.signers[:2], signatures=signed.signatures[:2])
    row = replace(run.facts.finalised[ROUND].row, signers=sum(1 << index for index in few.signers))
    assert chain_lies(run, signed=few, row=row) == {"outcome"}


def test_a_signature_of_a_stranger(run):
    signed = run.facts.finalised[ROUND].signed
    foreign = sign_outcome(signed.outcome, run.facts.deployment, Account.from_key(STRANGER))
    assert chain_lies(run, signed=replace(signed, signatures=(foreign, *signed.signatures[1:]))) == {"outcome"}


def test_a_signature_that_is_none(run):
    signed = run.facts.finalised[ROUND].signed
    assert chain_lies(run, signed=replace(signed, signatures=(b"\xff" * 65, *signed.signatures[1:]))) == {"outcome"}


def test_a_signature_for_another_outcome(run):
    signed = run.facts.finalised[ROUND].signed
    other = replace(signed, outcome=replace(signed.outcome, model=sha256(b"model")))
    assert chain_lies(run, signed=other) == {"outcome"}


def test_calldata_out_of_sight_is_not_checked(run):
    here = run.facts.finalised[ROUND]
    facts = with_round(run.facts, replace(here, signed=None, why="the endpoint does not have it"))
    found = broken(facts, Forgery(run, ROUND).evidence)
    assert found == {"falsified": set(), "unchecked": {"outcome", "leader"}}


def test_a_base_that_is_not_the_parent(run):
    row = replace(run.facts.finalised[ROUND].row, base=sha256(b"base"))
    assert "lineage" in chain_lies(run, row=row)


def test_a_seed_that_does_not_follow(run):
    row = replace(run.facts.finalised[ROUND].row, seed=sha256(b"seed"))
    assert "leader" in chain_lies(run, row=row)


def test_a_leader_that_proposed_nothing(run):
    row = replace(run.facts.finalised[ROUND].row, proposals=())
    assert {"leader", "lineage"} <= chain_lies(run, row=row)


def test_a_joint_key_the_chain_did_not_activate(run):
    epoch = replace(run.facts.finalised[ROUND].epoch, joint_key=sha256(b"key"))
    assert chain_lies(run, epoch=epoch) == {"statement", "key"}


def test_a_joint_key_too_few_confirmed(run):
    here = run.facts.finalised[ROUND]
    few = dict(list(here.epoch.confirmations.items())[:2])
    assert chain_lies(run, epoch=replace(here.epoch, confirmations=few)) == {"key"}


def test_a_dealing_that_was_not_committed_to(run):
    here = run.facts.finalised[ROUND]
    other = here.epoch.commitments | {here.accounts[1]: sha256(b"another dealing")}
    assert chain_lies(run, epoch=replace(here.epoch, commitments=other)) == {"key"}


def test_updates_that_too_few_approve(run):
    """With more members needed than there are, nothing is confirmed."""
    row = run.facts.finalised[ROUND].row
    accounts = (*row.standing.accounts, *(f"0x{number:040x}" for number in range(1, 5)))
    more = replace(row.standing, accounts=accounts, members=frozenset(range(len(accounts))), reputations=(100,) * 8)
    assert "updates" in chain_lies(run, row=replace(row, standing=more, sizes=row.sizes * 2))


def test_a_genesis_model_that_its_plan_does_not_draw(run):
    genesis = next(iter(run.facts.view.models))
    record = run.facts.records[genesis]
    overlay = Forgery(run, ROUND).evidence
    other = Plan.from_bytes(run.read(raw_cid(record.plan))).model_copy(update={"seed": 5})
    overlay.put(other.to_bytes())
    facts = replace(run.facts, records={**run.facts.records, genesis: replace(record, plan=other.digest)})
    assert broken(facts, overlay) == {"falsified": {"lineage"}, "unchecked": set()}


def test_a_plan_with_another_threshold(run):
    epoch = replace(run.facts.finalised[ROUND].epoch, threshold=2)
    assert "plan" in chain_lies(run, epoch=epoch)
