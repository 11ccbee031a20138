"""Rounds that did not go smoothly and are true all the same: fail-over, abort, everything refused, openers divided or nearly so."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import pytest
import torch

from dag.bodies import ProposalBody, ShareBody
from node.audit import audit, open_evidence
from node.audit.bundle.export import export
from node.audit.bundle.verify import Trust
from node.rounds import effects as do
from node.rounds.segment import unpack_segment
from node.rounds.steps import opening
from tests.audit.conftest import Run, serve
from tests.audit.network import AuditedNet, write_run
from tests.audit.test_independent import ask

if TYPE_CHECKING:
    from collections.abc import Iterator

FAIL_OVER, ABORTED, REFUSED, DIVIDED, REPEATED, SMOOTH = 1, 2, 3, 4, 5, 6


@pytest.fixture(scope="module")
def awkward(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    torch.set_num_threads(1)
    root = tmp_path_factory.mktemp("awkward")
    with pytest.MonkeyPatch.context() as patch:

        def before(net: AuditedNet, number: int) -> None:
            patch.undo()
            net.stopped_effects = lambda _node, _effect: False
            if number == FAIL_OVER:
                # One opener of the first proposal stays silent, so the next leader repeats it with others.
                net.stopped_effects = _silent_opener
            elif number == ABORTED:
                net.stopped_effects = lambda _node, effect: isinstance(effect, do.Propose)
            elif number == REFUSED:
                patch.setattr(opening, "acceptable", lambda *_: False)
            elif number in {DIVIDED, REPEATED}:
                net.stopped_effects = partial(_held_back, net, 0 if number == DIVIDED else 1)

        write_run(root, rounds=SMOOTH, before=before)
    yield from serve(root, tmp_path_factory.mktemp("chain"))


def _silent_opener(node, effect) -> bool:
    if not isinstance(effect, do.ReleaseShare):
        return False
    proposal = node.runner.state.proposals[effect.proposal]
    first = min(node.runner.state.anchors, key=lambda anchor: node.runner.state.facts.ranking.index(anchor.leader))
    return effect.proposal == first.proposal and node.index == proposal.openers[-1]


def _held_back(net: AuditedNet, judge: int, node, effect) -> bool:
    """One member reveals late, and of the first proposal's openers only one, by its rank, judges it in its time.

    Whatever is drawn, the first three are the openers: without the late one there are no more than T. Where the first leader is
    the judge, it is bound to what it opened and cannot propose again: the next proposal lists one update more, is the
    others' and is opened. Where the next leader is, it repeats what it judged, and that is opened.
    """
    state = node.runner.state
    if isinstance(effect, do.Reveal) and node.index == state.facts.ranking[-1] and not state.proposals:
        net.after(0.5, ("effect", node.index, effect))
        return True
    if not isinstance(effect, do.VerifyProposal):
        return False
    first = state.proposals[effect.proposal]
    return first.leader == state.facts.ranking[0] and node.index != state.facts.ranking[judge]


def test_the_run_went_as_wrong_as_it_should(awkward):
    rounds = awkward.facts.view.rounds
    assert len(rounds[FAIL_OVER].proposals) > 1
    assert rounds[ABORTED].status == "aborted"
    assert rounds[REFUSED].model == rounds[REFUSED].base
    assert rounds[DIVIDED].status == rounds[REPEATED].status == "finalised"
    assert rounds[SMOOTH].model == awkward.facts.view.head


def test_it_is_verified(awkward):
    report = audit(awkward.chain, open_evidence([awkward.root]), None, model_file=awkward.model_file)
    assert report.verdict == "verified", report.to_text()
    assert report.rounds == (FAIL_OVER, REFUSED, DIVIDED, REPEATED, SMOOTH)


def test_votes_against_their_own_scores_are_remarked(awkward):
    report = audit(awkward.chain, open_evidence([awkward.root]), None)
    assert any("contradict their own scores" in note for note in report.notes)


def test_the_repeated_proposal_lists_what_the_first_did(awkward):
    predicate = awkward.predicate(FAIL_OVER)
    segment = unpack_segment(awkward.read(predicate.segment))
    proposals = [tx for tx in segment if isinstance(tx.body, ProposalBody)]
    assert len({tx.body.updates for tx in proposals}) == 1


def test_a_repeat_lists_fewer_than_could_be_listed_by_its_own_past(awkward):
    """By the time of the repeat the late one had revealed; what it repeats decides."""
    predicate = awkward.predicate(REPEATED)
    first = awkward.facts.view.rounds[REPEATED].proposals[0].proposal
    segment = {tx.id: tx for tx in unpack_segment(awkward.read(predicate.segment))}
    assert predicate.proposal != first.hex()
    assert len(predicate.updates) == 3
    assert segment[first].body.updates == tuple(bytes.fromhex(update.id) for update in predicate.updates)
    revealed = {tx.issuer for tx in segment.values() if getattr(tx.body, "reveal", None) and tx.round == REPEATED}
    assert len(revealed) == 4


def test_members_that_opened_what_did_not_open_kept_their_promise(awkward):
    """Below T shares nothing opens: who judged the first proposal in time promised another partition than the others."""
    first = awkward.facts.view.rounds[DIVIDED].proposals[0].proposal
    predicate = awkward.predicate(DIVIDED)
    segment = unpack_segment(awkward.read(predicate.segment))
    sums = {tx.id: tx.body.sums_root for tx in segment if isinstance(tx.body, ProposalBody)}
    shares = [tx for tx in segment if isinstance(tx.body, ShareBody) and tx.round == DIVIDED]
    promised = {tx.body.member: sums[tx.body.proposal] for tx in shares}
    assert len(set(promised.values())) == 2
    assert all(sums[tx.body.proposal] == promised[tx.body.member] for tx in shares)
    bound = {member for member, root in promised.items() if root == sums[first]}
    assert bound.isdisjoint(predicate.openers), "who is bound to the first proposal's partition is not asked in vain"


def test_the_independent_verifier_agrees(awkward, tmp_path):
    path = tmp_path / "awkward.bundle"
    made = export(awkward.chain, open_evidence([awkward.root]), None, path, model_file=awkward.model_file)
    code, report = ask(path, tmp_path, Trust(made.manifest.head, awkward.chain.deployment))
    assert (code, report["verdict"]) == (0, "verified"), report
