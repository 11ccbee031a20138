from __future__ import annotations

import hashlib
import json

import pytest

from chain.client import Chain
from chain.deployment import Deployment
from node.audit import audit, open_evidence
from node.audit.report import LINKS


@pytest.fixture(scope="module")
def report(run):
    return audit(run.chain, open_evidence([run.root]), None, model_file=run.model_file)


def test_an_honest_run_is_verified_in_every_link(report):
    assert report.verdict == "verified", report.to_text()
    assert report.exit_code == 0
    assert report.first_broken is None
    assert {finding.link for finding in report.findings} == set(LINKS) - {"cards"}, "no hospital shows its data card"
    assert report.rounds == (1, 2)


def test_the_last_line_for_people_is_the_verdict(report):
    assert report.to_text().splitlines()[-1] == "audit: verified"


def test_json_says_what_nobody_outside_can_verify(report):
    said = json.loads(json.dumps(report.to_json()))
    assert said["verdict"] == "verified"
    assert said["first_broken"] is None
    assert len(said["not_verifiable_from_outside"]) == 3
    assert "content key" in said["not_verifiable_from_outside"][0]


def test_insecure_parameters_are_remarked(report):
    assert any("minimal" in note for note in report.notes)


def test_an_earlier_model_needs_only_its_own_rounds(run):
    first = list(run.facts.view.models)[1]
    report = audit(run.chain, open_evidence([run.root]), first)
    assert (report.verdict, report.rounds) == ("verified", (1,))


def test_the_genesis_model_is_drawn_again_from_its_plan(run):
    report = audit(run.chain, open_evidence([run.root]), next(iter(run.facts.view.models)))
    assert (report.verdict, report.rounds) == ("verified", ())


def test_a_model_the_chain_does_not_know_is_falsified(run):
    report = audit(run.chain, open_evidence([run.root]), hashlib.sha256(b"another").digest())
    assert report.exit_code == 1
    assert report.first_broken.link == "lineage"
    assert "no round" in report.first_broken.detail


def test_an_endpoint_that_does_not_answer_is_no_verdict(run):
    silent = Chain("http://127.0.0.1:9", run.chain.deployment, timeout=0.2, attempts=1)
    report = audit(silent, open_evidence([run.root]), None)
    assert (report.verdict, report.exit_code, report.first_broken.link) == ("could-not-check", 2, "chain")


def test_another_deployment_is_no_verdict(run):
    here = run.chain.deployment
    wrong = Deployment(here.chain_id, here.consortium, here.epochs, here.registry, here.rounds, here.models, here.block)
    report = audit(Chain(run.chain._connection.url, wrong), open_evidence([run.root]), None)
    assert (report.exit_code, report.first_broken.link) == (2, "chain")


def test_progress_is_told(run):
    told = []
    audit(run.chain, open_evidence([run.root]), None, progress=lambda *step: told.append(step))
    assert any(what.endswith("adding") for what, _, _ in told)
    assert all(0 <= done <= total for _, done, total in told)
