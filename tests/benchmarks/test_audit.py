"""The audit's benchmark: a small history made and audited for real, and the arithmetic of its tables."""

from __future__ import annotations

import pytest

from benchmarks import audit
from benchmarks.audit import Audit, Measured, Size, result_of
from benchmarks.errors import NotMeasured
from chain.deployment import Deployment
from crypto.locking import locked_bytes
from crypto.parameters import parameter_set
from node.audit import Scope, open_evidence
from node.cli.audit_sources import Places, Question, examine

SMALL = Size(4, 1, "cnn", min_group=2)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    root = tmp_path_factory.mktemp("history")
    audit.make(root, SMALL, insecure=True)
    return root


def test_a_made_up_history_is_verified(run):
    data = (run / "model.bin").read_bytes()
    report = examine(Places(run=run), Question(model_file=data), None)
    assert report.verdict == "verified", report.to_text()
    assert {"sums", "openings", "outcome", "model"} <= report.timings.keys()
    assert Deployment.from_json((run / "consortium.json").read_text())


def test_a_changed_ciphertext_is_found_in_it(run):
    """So what is measured does check something."""
    size = locked_bytes(parameter_set("minimal", allow_minimal=True))
    victim = next(path for path in (run / "hospitals").rglob("baf*") if path.stat().st_size == size)
    data = victim.read_bytes()
    victim.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    try:
        report = examine(Places(run=run), Question(scope=Scope(only=1)), None)
        assert report.verdict == "falsified"
        assert victim.name in report.first_broken.subject
    finally:
        victim.write_bytes(data)
    assert open_evidence([run]).look(victim.name).data == data


def measured(seconds: float) -> Measured:
    runs = [Audit(seconds + step, {"sums": 3.0, "chain": 1.0}) for step in (0, 1, 2)]
    return Measured(529_347, 10**9, 1.0, 10**8, runs, runs, [1.0, 2.0, 3.0], 2.0)


@pytest.mark.parametrize(("seconds", "holds"), [(30, True), (60, False)])
def test_the_promise_is_held_against_the_median(seconds, holds):
    (target,) = result_of(audit.PROMISED, measured(seconds)).targets
    assert (target.value, target.holds) == (seconds + 1, holds)


def test_other_sizes_promise_nothing_and_links_are_shares():
    result = result_of(SMALL, measured(1))
    assert result.targets == ()
    links = {row.name: row.figures["percent"] for row in result.rows if row.table == "audit model, by link"}
    assert links == {"sums": 75.0, "chain": 25.0}
    ratio = next(row.figures for row in result.rows if row.name == "medweave audit model")
    assert ratio["over_reading_and_hashing_ratio"] == 1.0


def test_an_audit_that_does_not_end_verified_is_no_measurement(tmp_path):
    with pytest.raises(NotMeasured, match="ended with"):
        audit._medweave("verify", str(tmp_path / "none"))


def test_sizes_out_of_range_are_refused(capsys):
    for arguments in (["--members", "2"], ["--rounds", "0"]):
        with pytest.raises(SystemExit):
            audit.main(arguments)
    assert "--members" in capsys.readouterr().err
