"""One byte changed in one artefact of a finished run: caught, located, named."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from dag.ids import sha256
from dag.transaction import Transaction
from node.audit import audit, open_evidence
from node.rounds.records import SumManifest, UpdateManifest
from node.rounds.segment import unpack_segment
from node.storage import raw_cid
from tests.audit.conftest import Run, flip, serve

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="module", params=["simulated", "demo_run"])
def original(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """A finished run: the simulation's, and what `medweave demo` left where a test session makes one."""
    try:
        root = request.getfixturevalue(request.param)
    except pytest.FixtureLookupError:
        pytest.skip("this session has no finished demo")
    yield from serve(root, tmp_path_factory.mktemp("chain"))


@pytest.fixture
def tampered(original: Run, tmp_path: Path) -> Run:
    return original.copy(tmp_path / "run")


def judge(run: Run, model_file: bytes | None = None):
    return audit(run.chain, open_evidence([run.root]), None, model_file=model_file or run.model_file)


def falsified(report) -> set[str]:
    return {finding.link for finding in report.findings if finding.status == "falsified"}


def last(run: Run) -> int:
    return max(run.facts.finalised)


def chunk(run: Run) -> str:
    manifest = UpdateManifest.from_bytes(run.read(run.predicate(last(run)).updates[0].manifest))
    return manifest.chunks[1 % len(manifest.chunks)]


ARTEFACTS = {
    "ciphertext chunk": ("sums", chunk),
    "update manifest": ("sums", lambda run: run.predicate(last(run)).updates[1].manifest),
    "sum manifest": ("sums", lambda run: run.predicate(last(run)).groups[0].sum),
    "sum chunk": (
        "sums",
        lambda run: SumManifest.from_bytes(run.read(run.predicate(last(run)).groups[0].sum)).chunks[0],
    ),
    "statement": ("statement", lambda run: raw_cid(run.facts.finalised[last(run)].row.statement)),
    "ledger segment": ("segment", lambda run: run.predicate(last(run)).segment),
    "joint key": ("key", lambda run: run.predicate(last(run)).joint_key.cid),
}


def test_nothing_is_falsified_before(original):
    assert judge(original).verdict == "verified"


@pytest.mark.parametrize("name", ARTEFACTS)
def test_a_byte_in_every_copy(tampered, name):
    link, find = ARTEFACTS[name]
    cid = find(tampered)
    copies = tampered.copies(cid)
    for path in copies:
        flip(path)
    report = judge(tampered)
    assert report.exit_code == 1
    assert falsified(report) == {link}
    assert report.first_broken.subject == cid
    assert str(copies[0]) in report.first_broken.detail


@pytest.mark.parametrize("name", ARTEFACTS)
def test_a_byte_in_one_copy_is_named_while_the_rest_still_proves(tampered, name):
    link, find = ARTEFACTS[name]
    cid = find(tampered)
    victim = tampered.copies(cid)[-1]
    flip(victim, 0)
    report = judge(tampered)
    broken = [finding for finding in report.findings if finding.status != "ok"]
    assert [(finding.link, finding.status, finding.subject) for finding in broken] == [(link, "falsified", cid)]
    assert str(victim) in broken[0].detail
    assert ("intact copy elsewhere" in broken[0].detail) == (len(tampered.copies(cid)) > 1)


def test_a_byte_of_the_plan(tampered):
    for path in tampered.copies(raw_cid(tampered.facts.finalised[last(tampered)].row.plan)):
        flip(path)
    report = judge(tampered)
    assert report.first_broken.link in {"lineage", "plan"}
    assert report.exit_code == 1


def test_a_byte_of_the_proposal_in_the_segment(tampered):
    predicate = tampered.predicate(last(tampered))
    proposal = next(tx for tx in unpack_segment(tampered.read(predicate.segment)) if tx.id.hex() == predicate.proposal)
    assert isinstance(proposal, Transaction)
    for path in tampered.copies(predicate.segment):
        flip(path, path.read_bytes().index(proposal.signature) + 7)
    report = judge(tampered)
    assert falsified(report) == {"segment"}
    assert report.first_broken.round == last(tampered)


def test_a_byte_of_the_model_file(tampered):
    flip(tampered.root / "model.bin")
    report = judge(tampered)
    assert falsified(report) == {"model"}
    assert sha256(tampered.model_file).hex() in report.first_broken.detail


def test_what_is_missing_is_not_false(tampered):
    cid = chunk(tampered)
    for path in tampered.copies(cid):
        path.unlink()
    report = judge(tampered)
    assert (report.verdict, report.exit_code) == ("could-not-check", 2)
    assert (report.first_broken.link, report.first_broken.subject) == ("sums", cid)


def test_the_rounds_before_and_after_are_still_checked(tampered):
    for path in tampered.copies(raw_cid(tampered.facts.finalised[1].row.statement)):
        flip(path)
    report = judge(tampered)
    assert report.first_broken.round == 1
    assert {finding.status for finding in report.findings if finding.round == last(tampered)} == {"ok"}
