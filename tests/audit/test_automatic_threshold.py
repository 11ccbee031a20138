"""A plan that leaves the number of openers to the number of members: the round runs, and both auditors follow."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from node.audit import audit, open_evidence
from node.audit.bundle.export import export
from node.audit.bundle.verify import Trust
from tests.audit.conftest import Run, serve
from tests.audit.network import AuditedNet, write_run
from tests.audit.test_independent import ask


@pytest.fixture(scope="module")
def automatic(tmp_path_factory: pytest.TempPathFactory):
    torch.set_num_threads(1)
    root = tmp_path_factory.mktemp("automatic")

    def before(net: AuditedNet, _number: int) -> None:
        net.plan = net.plan.model_copy(update={"threshold": 0})
        for node in net.nodes:
            node.blobs.store.put(net.plan.to_bytes())

    write_run(root, rounds=1, before=before)
    yield from serve(root, tmp_path_factory.mktemp("chain"))


def test_three_of_four_opened_the_sums_and_the_audit_agrees(automatic: Run) -> None:
    assert len(automatic.predicate(1).openers) == 3
    report = audit(automatic.chain, open_evidence([automatic.root]), None, model_file=automatic.model_file)
    assert report.verdict == "verified", report.to_text()


def test_the_independent_verifier_agrees(automatic: Run, tmp_path: Path) -> None:
    path = tmp_path / "run.bundle"
    made = export(automatic.chain, open_evidence([automatic.root]), None, path, model_file=automatic.model_file)
    code, report = ask(path, tmp_path, Trust(made.manifest.head, automatic.chain.deployment))
    assert (code, report["verdict"]) == (0, "verified"), report["findings"]
