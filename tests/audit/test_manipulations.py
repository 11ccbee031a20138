"""Every stored artefact times every way to tamper with it: noticed, and located by link, round and subject.

`BUNDLED` is what somebody does to a finished bundle; `FORGED` what members do together, signing again what they changed.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import pytest
from eth_account import Account

from chain.outcome import sign_outcome
from crypto.locking import UpdateLock
from dag.bodies import AcknowledgementBody, ProposalBody, ShareBody, UpdateBody, VerdictBody, commit
from node.audit.bundle.form import Bundle
from node.audit.bundle.verify import audit_bundle
from node.audit.run import examine
from node.rounds.records import ShareManifest, UpdateManifest
from node.rounds.segment import pack_segment, unpack_segment
from node.storage import blob_cid
from tests.audit.forge import STRANGER, Forgery, member_key, with_round
from tests.audit.manipulations import BUNDLED, OTHER, ROUND
from tests.audit.test_forgery import another_consortium, lie_about_a_sum, only, repost, steal_a_chunk, stranger
from tests.audit.zipped import rewrite

if TYPE_CHECKING:
    from collections.abc import Callable

    from node.audit import Report
    from tests.audit.conftest import Run


@pytest.mark.parametrize("case", BUNDLED, ids=lambda case: case.name)
def test_what_is_done_to_a_bundle_is_located(bundled, run, tmp_path, case):
    path = rewrite(bundled.path, tmp_path / "b", lambda entries: case.act(entries, run))
    with Bundle(path) as bundle:
        report = audit_bundle(bundle, bundled.trust)
    broken = report.first_broken
    assert report.verdict == case.verdict, report.to_text()
    assert (broken.link, broken.round) == (case.link, case.round), broken
    assert any(subject in broken.subject for subject in case.subjects(run)), broken


@dataclass(frozen=True)
class Forged:
    """What members did together, and where it shows first."""

    artefact: str
    manipulation: str
    judge: Callable[[Run], Report]
    link: str
    subject: str
    """The beginning of the finding's subject."""
    round: int | None = ROUND

    @property
    def name(self) -> str:
        return f"{self.artefact}-{self.manipulation}".replace(" ", "_")


def ledger(kind: type, act: Callable) -> Callable[[Run], Report]:
    """The round again, with one transaction of a kind changed before it was signed."""
    return lambda run: _judge(Forgery(run, ROUND, change=only(kind, act)))


def stated(tell: Callable[[dict, Run], object]) -> Callable[[Run], Report]:
    """The round again, with another statement."""
    return lambda run: _judge(Forgery(run, ROUND, tell=lambda said: tell(said, run)))


def on_chain(change: Callable[[Run], dict]) -> Callable[[Run], Report]:
    """The same round, told otherwise by the chain."""

    def judge(run: Run) -> Report:
        here = replace(run.facts.finalised[ROUND], **change(run))
        return examine(with_round(run.facts, here), Forgery(run, ROUND).evidence, None)

    return judge


def _judge(forgery: Forgery) -> Report:
    return examine(forgery.facts, forgery.evidence, None)


def _signatures(change: Callable[[Run, tuple[bytes, ...]], tuple[bytes, ...]]) -> Callable[[Run], Report]:
    def told(run: Run) -> dict:
        signed = run.facts.finalised[ROUND].signed
        return {"signed": replace(signed, signatures=change(run, signed.signatures))}

    return on_chain(told)


def _foreign_signature(run: Run, key: bytes, **deployment: object) -> bytes:
    here = replace(run.facts.deployment, **deployment)
    return sign_outcome(run.facts.finalised[ROUND].signed.outcome, here, Account.from_key(key))


def _wrong_epoch(_forgery, values) -> bool:
    values["epoch"] += 1
    return True


def _earlier_round(_forgery, values) -> bool:
    values["round"] = OTHER
    return True


def _forge(forgery: Forgery, values: dict) -> bool:
    """Signed by a key that is nobody's."""
    return stranger(forgery, values)


def _replayed_update(forgery: Forgery, values: dict) -> bool:
    """The member posts what it sealed a round ago."""
    issuer = forgery.here.accounts.index(_issuer(values))
    before = forgery.run.predicate(OTHER)
    forgery.locks += Forgery(forgery.run, OTHER).locks
    ids = {tx.id.hex(): tx for tx in unpack_segment(forgery.run.read(before.segment))}
    values["payload"] = next(
        ids[u.id].payload for u in before.updates if ids[u.id].issuer == forgery.here.accounts[issuer]
    )
    return True


def _issuer(values: dict) -> bytes:
    return bytes.fromhex(Account.from_key(values["key"]).address[2:])


def _chunks_of_another_epoch(forgery: Forgery, values: dict) -> bool:
    """Locked under the right reveal, for another key epoch."""
    manifest = UpdateManifest.from_bytes(forgery.evidence.get(values["payload"]))
    reveal = next(
        tx.body.reveal
        for tx in unpack_segment(forgery.run.read(forgery.honest.segment))
        if isinstance(tx.body, AcknowledgementBody)
        and tx.body.reveal
        and commit(tx.body.reveal) == values["body"].commitment
    )
    right = UpdateLock.from_reveal(reveal, manifest.issuer, manifest.epoch, manifest.round)
    wrong = UpdateLock.from_reveal(reveal, manifest.issuer, manifest.epoch + 1, manifest.round)
    forgery.locks.append(wrong)
    locked = wrong.lock(0, right.unlock(0, forgery.evidence.get(manifest.chunks[0])))
    return repost(forgery, values, chunks=(forgery.evidence.put(locked), *manifest.chunks[1:]))


def _share_of_last_round(forgery: Forgery, values: dict) -> bool:
    manifest = ShareManifest.from_bytes(forgery.evidence.get(values["payload"]))
    values["payload"] = forgery.evidence.put(replace(manifest, round=OTHER).to_bytes())
    return True


def _segment_without(kind: type) -> Callable[[Run], Report]:
    """The statement names a segment from which one transaction of a kind was left out."""

    def judge(run: Run) -> Report:
        made = Forgery(run, ROUND).made
        gone = next(i for i in sorted(made) if isinstance(made[i].body, kind))
        kept = pack_segment([made[i].raw for i in sorted(made) if i != gone])
        forgery = Forgery(run, ROUND, tell=lambda said: said.update(segment=blob_cid(kept)))
        forgery.evidence.put(kept)
        return _judge(forgery)

    return judge


def _row(change: Callable[[Run], dict]) -> Callable[[Run], Report]:
    return on_chain(lambda run: {"row": replace(run.facts.finalised[ROUND].row, **change(run))})


def _cut_lineage(run: Run) -> Report:
    """The chain's list of models begins with the second."""
    view = run.facts.view
    models = dict(list(view.models.items())[1:])
    return examine(replace(run.facts, view=replace(view, models=models)), Forgery(run, ROUND).evidence, None)


def _skipped_parent(run: Run) -> Report:
    """The newest model names the genesis model as its parent."""
    view = run.facts.view
    first, newest = next(iter(view.models)), view.head
    models = {**view.models, newest: replace(view.models[newest], parent=first)}
    return examine(replace(run.facts, view=replace(view, models=models)), Forgery(run, ROUND).evidence, None)


def _other_chain(run: Run) -> Report:
    """The same run looked at as another chain's."""
    facts = replace(run.facts, deployment=replace(run.facts.deployment, chain_id=1))
    return examine(facts, Forgery(run, ROUND).evidence, None)


def _proposal_of(number: int) -> Callable[[Run], dict]:
    return lambda run: {"proposals": run.facts.finalised[number].row.proposals}


FORGED: tuple[Forged, ...] = (
    Forged("verdict", "non-member", ledger(VerdictBody, stranger), "segment", "transaction "),
    Forged("verdict", "wrong epoch", ledger(VerdictBody, _wrong_epoch), "segment", "transaction "),
    Forged("verdict", "wrong chain", ledger(VerdictBody, another_consortium), "segment", "transaction "),
    Forged("verdict", "replay", stated(lambda said, _: said.update(verdicts=(said["verdicts"][0], *said["verdicts"]))), "statement", "statement "),
    Forged("verdict", "drop", stated(lambda said, _: said.update(verdicts=said["verdicts"][:2])), "verdicts", "verdicts"),
    Forged("verdict", "swap between rounds", ledger(VerdictBody, _earlier_round), "verdicts", "verdict "),
    Forged("share", "swap between rounds", ledger(ShareBody, _share_of_last_round), "openings", "share "),
    Forged("share", "drop", stated(lambda said, _: said.update(shares=said["shares"][1:])), "openings", "openers"),
    Forged("share", "reorder", stated(lambda said, _: said.update(shares=said["shares"][::-1])), "openings", "openers"),
    Forged("share", "non-member", ledger(ShareBody, _forge), "segment", "transaction "),
    Forged("update", "replay", ledger(UpdateBody, _replayed_update), "sums", "manifest of update "),
    Forged("update", "wrong epoch", ledger(UpdateBody, lambda f, v: repost(f, v, epoch=9)), "sums", "manifest of update "),
    Forged("update", "reorder", stated(lambda said, _: said.update(updates=said["updates"][::-1])), "statement", "statement "),
    Forged("ciphertext", "replay", ledger(UpdateBody, steal_a_chunk), "sums", "b"),
    Forged("ciphertext", "wrong epoch", ledger(UpdateBody, _chunks_of_another_epoch), "sums", "b"),
    Forged("sum", "forge", ledger(ProposalBody, lie_about_a_sum), "sums", "chunk 0 of sum of group 0"),
    Forged("segment", "drop a close", _segment_without(AcknowledgementBody), "segment", "b"),
    Forged("outcome signature", "forge", _signatures(lambda _, s: (b"\xff" * 65, *s[1:])), "outcome", "signature of member "),
    Forged("outcome signature", "non-member", _signatures(lambda run, s: (_foreign_signature(run, STRANGER), *s[1:])), "outcome", "signature of member "),
    Forged("outcome signature", "reorder", _signatures(lambda _, s: (s[1], s[0], *s[2:])), "outcome", "signature of member "),
    Forged("outcome signature", "replay", _signatures(lambda run, s: (run.facts.finalised[OTHER].signed.signatures[0], *s[1:])), "outcome", "signature of member "),
    Forged("outcome signature", "wrong chain", _signatures(lambda run, s: (_foreign_signature(run, member_key(0), chain_id=1), *s[1:])), "outcome", "signature of member "),
    Forged("statement", "swap on chain", _row(lambda run: {"statement": run.facts.finalised[OTHER].row.statement}), "statement", "statement "),
    Forged("statement", "wrong epoch", stated(lambda said, _: said.update(epoch=9)), "statement", "statement "),
    Forged("statement", "wrong chain", stated(lambda said, _: said.update(chain_id=1)), "statement", "statement "),
    Forged("seed", "replay", _row(lambda run: {"seed": run.facts.finalised[OTHER].row.seed}), "leader", "round 2", None),
    Forged("proposal on chain", "drop", _row(lambda _: {"proposals": ()}), "lineage", "model ", None),
    Forged("proposal on chain", "swap between rounds", _row(_proposal_of(OTHER)), "lineage", "model ", None),
    Forged("lineage", "truncate", _cut_lineage, "lineage", "", None),
    Forged("lineage", "skip a round", _skipped_parent, "lineage", "model ", None),
    Forged("deployment", "wrong chain on record", _other_chain, "statement", "statement ", OTHER),
)  # fmt: skip


@pytest.mark.parametrize("case", FORGED, ids=lambda case: case.name)
def test_what_members_forge_together_is_located(run, case):
    report = case.judge(run)
    broken = report.first_broken
    assert report.verdict == "falsified", report.to_text()
    assert (broken.link, broken.round) == (case.link, case.round), report.to_text()
    assert broken.subject.startswith(case.subject), broken


def test_the_untouched_run_and_bundle_are_verified(bundled, run):
    with Bundle(bundled.path) as bundle:
        assert audit_bundle(bundle, bundled.trust).verdict == "verified"
    assert _judge(Forgery(run, ROUND)).verdict == "verified"


def test_the_table_is_as_large_as_promised():
    pairs = Counter((case.artefact, case.manipulation) for case in (*BUNDLED, *FORGED))
    assert max(pairs.values()) == 1, [pair for pair, count in pairs.items() if count > 1]
    assert len(pairs) >= 40
    kinds = " ".join(manipulation for _, manipulation in pairs)
    wanted = (
        "flip",
        "drop",
        "replay",
        "reorder",
        "swap between rounds",
        "forge",
        "non-member",
        "wrong epoch",
        "wrong chain",
    )
    assert all(kind in kinds for kind in (*wanted, "truncate"))


def test_dropping_what_is_good_to_have_is_said(bundled, run, tmp_path):
    """Without a dealing the joint key rests on the members' confirmations; the report says so."""
    from tests.audit.manipulations import names

    path = rewrite(bundled.path, tmp_path / "b", lambda e: e.__delitem__(f"blobs/{names(run, ROUND)['dealing']}"))
    with Bundle(path) as bundle:
        report = audit_bundle(bundle, bundled.trust)
    assert report.verdict == "verified"
    assert any("no public key shares at hand" in note for note in report.notes)
