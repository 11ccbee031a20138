"""A verifier written from docs/spec/ alone, in a process of its own without our packages, reaches the same verdicts.

`tests/audit/independent/` imports nothing but Python's standard library and itself, and takes its forms from those pages alone, not
from this project's code.
"""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import pytest

from tests.audit.manipulations import BUNDLED
from tests.audit.zipped import rewrite

HERE = Path(__file__).parent / "independent"
NOT_IN_THE_SPEC = {
    # That the first model is what its plan's seed draws takes this software: a stranger meets the plan at its own link.
    "lineage": "plan",
}


def ask(bundle: Path, tmp_path: Path, trust=None) -> tuple[int, dict]:
    """The exit code and report of the independent verifier; `-I`: no path but its own, no environment."""
    options = []
    if trust is not None:
        record = (
            asdict(trust.deployment)
            if not hasattr(trust.deployment, "to_json")
            else json.loads(trust.deployment.to_json())
        )
        contracts = tmp_path / "consortium.json"
        contracts.write_text(json.dumps(record))
        options = ["--header", f"0x{trust.header.hex()}", "--contracts", str(contracts)]
    start = f"import sys; sys.path[:] = [p for p in sys.path if 'site-packages' not in p] + [{str(HERE)!r}]; import verify_bundle; sys.exit(verify_bundle.main())"
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", start, str(bundle), "--json", *options],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode in {0, 1, 2, 3}, done.stderr
    return done.returncode, json.loads(done.stdout) if done.returncode != 3 else {"verdict": "refused", "findings": []}


def test_it_shares_no_code():
    """Only the standard library and its own files; none longer than 300 lines but the one of primitives."""
    own = {path.stem for path in HERE.glob("*.py")}
    for path in HERE.glob("*.py"):
        imported = {
            (node.module if isinstance(node, ast.ImportFrom) else alias.name).split(".")[0]
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.Import | ast.ImportFrom)
            for alias in node.names
        }
        assert imported <= own | set(sys.stdlib_module_names), path.name
        assert path.stem == "primitives" or len(path.read_text().splitlines()) <= 300, path.name


def test_its_table_of_contracts_is_the_pages():
    """The creation codes of docs/spec/bundle.md, which follow the contracts, are the ones it looks for."""
    page = (Path(__file__).parents[2] / "docs" / "spec" / "bundle.md").read_text()
    rows = re.findall(r"^\| \w+ \| `(\w+)` \| ([\d,]+), `([0-9a-f]{64})` \|", page, re.MULTILINE)
    source = (HERE / "chain.py").read_text()
    assert len(rows) == 4
    for field, size, digest in rows:
        assert re.search(rf'"{field}": \(\s*{size.replace(",", "_")},\s*"{digest}"', source), field


def test_an_untouched_bundle_is_verified(bundled, tmp_path):
    code, report = ask(bundled.path, tmp_path, bundled.trust)
    broken = [finding for finding in report["findings"] if finding["state"] != "ok"]
    assert (code, report["verdict"], broken) == (0, "verified", [])
    links = {(finding["link"], finding["round"]) for finding in report["findings"]}
    assert {("sums", 1), ("sums", 2), ("key", 1), ("outcome", 2), ("chain", None), ("model", None)} <= links


def test_without_trust_nothing_is_verified(bundled, tmp_path):
    code, report = ask(bundled.path, tmp_path)
    assert (code, report["verdict"]) == (2, "could-not-check")


@pytest.mark.parametrize("case", BUNDLED, ids=lambda case: case.name)
def test_both_reach_the_same_verdict(bundled, run, tmp_path, case):
    path = rewrite(bundled.path, tmp_path / "b", lambda entries: case.act(entries, run))
    _, report = ask(path, tmp_path, bundled.trust)
    broken = next(finding for finding in report["findings"] if finding["state"] != "ok")
    assert report["verdict"] == case.verdict, report
    assert (broken["link"], broken["round"]) in {
        (case.link, case.round),
        (NOT_IN_THE_SPEC.get(case.link), 1),
    }, broken
