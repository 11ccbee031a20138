"""Rounds that did not go smoothly and are true all the same: fail-over, abort, everything refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch

from dag.bodies import ProposalBody
from node.audit import audit, open_evidence
from node.rounds import effects as do
from node.rounds.segment import unpack_segment
from node.rounds.steps import opening
from tests.audit.conftest import Run, serve
from tests.audit.network import AuditedNet, write_run

if TYPE_CHECKING:
    from collections.abc import Iterator

FAIL_OVER, ABORTED, REFUSED, SMOOTH = 1, 2, 3, 4


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

        write_run(root, rounds=SMOOTH, before=before)
    yield from serve(root, tmp_path_factory.mktemp("chain"))


def _silent_opener(node, effect) -> bool:
    if not isinstance(effect, do.ReleaseShare):
        return False
    proposal = node.runner.state.proposals[effect.proposal]
    first = min(node.runner.state.anchors, key=lambda anchor: node.runner.state.facts.ranking.index(anchor.leader))
    return effect.proposal == first.proposal and node.index == proposal.openers[-1]


def test_the_run_went_as_wrong_as_it_should(awkward):
    rounds = awkward.facts.view.rounds
    assert len(rounds[FAIL_OVER].proposals) > 1
    assert rounds[ABORTED].status == "aborted"
    assert rounds[REFUSED].model == rounds[REFUSED].base
    assert rounds[SMOOTH].model == awkward.facts.view.head


def test_it_is_verified(awkward):
    report = audit(awkward.chain, open_evidence([awkward.root]), None, model_file=awkward.model_file)
    assert report.verdict == "verified", report.to_text()
    assert report.rounds == (FAIL_OVER, REFUSED, SMOOTH)


def test_votes_against_their_own_scores_are_remarked(awkward):
    report = audit(awkward.chain, open_evidence([awkward.root]), None)
    assert any("contradict their own scores" in note for note in report.notes)


def test_the_repeated_proposal_lists_what_the_first_did(awkward):
    predicate = awkward.predicate(FAIL_OVER)
    segment = unpack_segment(awkward.read(predicate.segment))
    proposals = [tx for tx in segment if isinstance(tx.body, ProposalBody)]
    assert len({tx.body.updates for tx in proposals}) == 1
