from __future__ import annotations

import json

import pytest

from node.audit.notes import MAX_PROBLEMS, Link, Notebook
from node.audit.report import BEYOND, EXIT_CODES, LINKS, Finding, Report

OK = Finding("plan", 1, "ok", "", "fine")
FALSE = Finding("sums", 1, "falsified", "bafy", "is another")
UNKNOWN = Finding("segment", 1, "unchecked", "bafk", "is missing")


@pytest.mark.parametrize(
    ("findings", "verdict", "first"),
    [
        ((OK,), "verified", None),
        ((), "could-not-check", None),
        ((OK, UNKNOWN), "could-not-check", UNKNOWN),
        ((UNKNOWN, FALSE, OK), "falsified", FALSE),
    ],
)
def test_the_worst_finding_decides(findings, verdict, first):
    report = Report(bytes(32), (1,), findings)
    assert (report.verdict, report.first_broken) == (verdict, first)
    assert report.exit_code == EXIT_CODES[verdict]
    assert report.to_text().splitlines()[-1].startswith(f"audit: {verdict}")


def test_the_text_names_link_round_subject_and_what_is_out_of_reach():
    text = Report(bytes(32), (1, 2, 3), (OK, FALSE), notes=("look here",)).to_text()
    assert "FALSIFIED" in text
    assert "sums, round 1: bafy: is another" in text
    assert "rounds 1 to 3" in text
    assert "note: look here" in text
    assert all(limit in text for limit in BEYOND)


def test_json_has_only_json():
    report = Report(None, (), (UNKNOWN,))
    assert json.loads(json.dumps(report.to_json()))["first_broken"]["link"] == "segment"


def test_a_link_is_ok_only_if_nothing_was_noted():
    book, link = Notebook(), Link("plan", 4)
    assert link.equal("plan", "threshold", 3, 3)
    assert book.close(link, "agrees", "plan 1f…")
    assert book.findings == [Finding("plan", 4, "ok", "plan 1f…", "agrees")]
    link = Link("plan", 4)
    assert not link.equal("plan", "digest", b"\1", b"\2")
    assert not book.close(link, "agrees")
    assert book.findings[-1].detail == "digest is 01, expected 02"


def test_problems_are_counted_beyond_a_bound_and_the_worse_kind_still_shows():
    link = Link("segment", 1)
    for _ in range(MAX_PROBLEMS + 5):
        link.unchecked("x", "missing")
    link.falsified("y", "false")
    findings = link.close("", "")
    assert len(findings) == MAX_PROBLEMS + 2
    assert "5 more" in findings[-1].detail
    assert any(finding.status == "falsified" for finding in findings)


def test_remarks_are_made_once():
    book = Notebook()
    book.remark("same")
    book.remark("same")
    assert book.notes == ["same"]


def test_every_link_has_a_module_that_notes_it():
    from pathlib import Path

    from node.audit import run

    source = Path(run.__file__).read_text()
    assert all(f'link("{link}"' in source for link in LINKS)
