"""tools/contracts.py: what it calls a drift, what it counts as covered, and that the answers to slither are kept."""

from __future__ import annotations

import json
import re
import shutil

import pytest

from tools import contracts
from tools.contracts import Covered

LCOV = """TN:
SF:contracts/src/A.sol
DA:1,2
BRF:4
BRH:3
LF:10
LH:9
end_of_record
SF:contracts/test/A.t.sol
BRF:0
BRH:0
LF:1
LH:1
end_of_record
"""


def test_a_drift_is_more_than_two_percent_or_another_step():
    before = {"A.a": 10_000, "A.b": 10_000, "A.c": 10_000, "A.d": 1}
    now = {"A.a": 10_200, "A.b": 10_201, "A.c": 9_799, "A.e": 1}
    assert [line.partition(":")[0] for line in contracts.drifts(before, now)] == ["A.b", "A.c", "A.d", "A.e"]
    assert contracts.drifts(before, before) == []


def test_the_report_is_read():
    assert contracts.parsed(LCOV) == {"A.sol": Covered(lines=(9, 10), branches=(3, 4))}


def test_only_the_one_function_gets_another_name():
    source = "function test(uint256 a) external { x.test(a); X.test.selector; contest(a); function test_it() {} }"
    assert contracts.renamed(source) == (
        "function tryOut(uint256 a) external { x.tryOut(a); X.tryOut.selector; contest(a); function test_it() {} }"
    )


@pytest.mark.parametrize(("lines", "code"), [((95, 100), contracts.FINE), ((94, 100), contracts.BROKEN)])
def test_too_little_coverage_is_said(monkeypatch, capsys, lines, code):
    monkeypatch.setattr(contracts, "measured_coverage", lambda: {"A.sol": Covered(lines, (10, 10))})
    assert contracts.main(["coverage"]) == code
    assert "all lines" in capsys.readouterr().out


@pytest.mark.slow
def test_the_tests_run_nearly_every_line_and_branch(capsys):
    assert contracts.main(["coverage"]) == contracts.FINE, capsys.readouterr().out
    assert "KeyEpochs.sol" in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("slither") is None, reason="slither-analyzer is not installed")
def test_every_finding_of_slither_is_answered(capsys):
    assert contracts.main(["analyse"]) == contracts.FINE, capsys.readouterr().out


def test_an_answer_names_a_function_that_exists():
    rows = re.findall(r"^\| `[\w-]+` \| `(\w+)\.(\w+)` \| (.+) \|$", contracts.FINDINGS.read_text(), re.MULTILINE)
    assert len(rows) >= 20
    for contract, function, answer in rows:
        source = (contracts.ROOT / "contracts" / "src" / f"{contract}.sol").read_text()
        assert re.search(rf"\b(function {function}|{function})\(", source), f"{contract}.{function}"
        assert answer


def test_a_finding_is_named_after_its_function():
    parent = {"type": "contract", "name": "A"}
    function = {"type": "function", "name": "b", "type_specific_fields": {"parent": parent}}
    node = {"type": "node", "name": "x == y", "type_specific_fields": {"parent": function}}
    assert contracts.identity({"check": "timestamp", "elements": [node]}) == ("timestamp", "A.b")
    assert contracts.identity({"check": "timestamp", "elements": [parent]}) == ("timestamp", "A")


def test_a_missing_slither_says_what_to_do(monkeypatch, capsys):
    monkeypatch.setattr(contracts.shutil, "which", lambda _: None)
    assert contracts.main(["analyse"]) == contracts.NOT_MEASURED
    assert "pip install" in capsys.readouterr().err


def test_a_drift_fails_the_command(monkeypatch, capsys, tmp_path):
    snapshot = tmp_path / "gas.json"
    snapshot.write_text(json.dumps({"A.a": 100}))
    monkeypatch.setattr(contracts, "SNAPSHOT", snapshot)
    monkeypatch.setattr(contracts, "measured_gas", lambda: {"A.a": 103})
    assert contracts.main(["gas"]) == contracts.BROKEN
    assert "+3.0 %" in capsys.readouterr().out
    assert contracts.main(["gas", "--write"]) == contracts.FINE
    assert json.loads(snapshot.read_text()) == {"A.a": 103}
