"""A model that a drawn cohort made: audited against its members alone, its draw made again, by the independent verifier too."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
import torch

from chain import events as ev
from node.audit import audit, open_evidence
from node.audit.bundle.export import export
from node.audit.bundle.verify import Trust
from node.audit.membership import changes
from node.audit.run import examine
from tests.audit.conftest import Run, serve
from tests.audit.network import write_run
from tests.audit.test_independent import ask

if TYPE_CHECKING:
    from collections.abc import Iterator

    from node.audit.chainside import ChainFacts

LUCKY = 12
"""The seed by which the contract draws seats 0 to 3 of five."""
COHORT, RESTING = (0, 1, 2, 3), frozenset({4})


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    torch.set_num_threads(1)
    root = tmp_path_factory.mktemp("drawn")
    write_run(root, rounds=1, seed=LUCKY, resting=1)
    yield from serve(root, tmp_path_factory.mktemp("chain"))


def test_a_cohorts_round_is_verified_against_its_members(drawn):
    row, made = drawn.facts.view.rounds[1], drawn.facts.finalised[1]
    assert (drawn.facts.view.epochs[1].seats, row.resting) == (COHORT, RESTING)
    assert (row.quorum, made.signing_quorum, made.signatories.members) == (3, 3, set(COHORT))
    report = audit(drawn.chain, open_evidence([drawn.root]), drawn.facts.view.head)
    assert report.verdict == "verified", report.to_text()


def test_the_independent_verifier_draws_again(drawn, tmp_path):
    path = tmp_path / "run.bundle"
    made = export(drawn.chain, open_evidence([drawn.root]), None, path, model_file=drawn.model_file)
    code, report = ask(path, tmp_path, Trust(made.manifest.head, drawn.chain.deployment))
    assert (code, report["verdict"]) == (0, "verified"), report


def test_another_cohort_than_the_drawn_is_falsified_by_name(drawn):
    epoch = drawn.facts.view.epochs[1]
    other = replace(epoch, seats=(0, 1, 2, 4))
    assert "seats [0, 1, 2, 4]" in falsified(drawn, with_epoch(drawn.facts, other))
    other = replace(epoch, drawn=replace(epoch.drawn, seed=bytes(32)))
    assert "seed it was drawn by" in falsified(drawn, with_epoch(drawn.facts, other))
    other = replace(epoch, drawn=replace(epoch.drawn, seed=bytes(32), left_behind=bytes(32)))
    assert "seats [0, 1, 2, 3]" in falsified(drawn, with_epoch(drawn.facts, other))
    assert falsified(drawn, drawn.facts) == ""


def test_the_report_says_who_was_drawn_and_who_rested(drawn):
    view = drawn.facts.view
    everybody = replace(view.rounds[1].standing, members=frozenset(range(5)))
    before = replace(view.rounds[1], round=0, epoch=0, standing=everybody, resting=frozenset())
    facts = replace(drawn.facts, view=replace(view, rounds={0: before, 1: view.rounds[1]}))
    said = list(changes(facts, (0, 1)))
    assert "from round 1 on: seats 0, 1, 2, 3 were drawn as the cohort of key epoch 1, 1 other members rest" in said
    assert not any("joined" in line or "left" in line for line in said)


def test_the_chain_tells_of_the_draw(drawn):
    events = [event for event in drawn.chain.events(0) if isinstance(event, ev.CohortDrawn)]
    assert [(event.epoch, event.holders) for event in events] == [(1, 0b1111)]


def with_epoch(facts: ChainFacts, epoch) -> ChainFacts:
    """The same chain with another epoch 1."""
    view = replace(facts.view, epochs={1: epoch})
    return replace(facts, view=view, finalised={1: replace(facts.finalised[1], epoch=epoch)})


def falsified(drawn: Run, facts: ChainFacts) -> str:
    """What is said to be false of the cohort."""
    findings = examine(facts, open_evidence([drawn.root]), None).findings
    return "; ".join(
        f"{f.subject}: {f.detail}"
        for f in findings
        if f.status == "falsified" and f.subject.startswith("cohort of epoch 1")
    )
