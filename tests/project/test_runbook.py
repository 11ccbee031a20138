"""What the runbook tells operators to look for exists: events of the log, metrics, checks of the doctor and of readiness."""

from __future__ import annotations

import re

import pytest

from tools.reference import logs

WANTED = (
    "does not run, or its machine is lost",
    "disk is lost",
    "chain's endpoint is lost",
    "leaves, or falls silent, in the middle of a round",
    "clock is wrong",
    "in wrong hands",
    "disk is full",
    "certificate has expired",
)


@pytest.fixture(scope="module")
def runbook(repository):
    return (repository / "docs" / "operations.md").read_text(encoding="utf-8").partition("\n## Runbook\n")[2]


@pytest.fixture(scope="module")
def sources(repository):
    return "\n".join(
        p.read_text() for package in ("node", "chain", "dag") for p in (repository / package).rglob("*.py")
    )


@pytest.mark.parametrize("case", WANTED)
def test_every_case_says_what_is_seen_what_to_do_and_what_is_lost(runbook, case):
    (section,) = [part for part in runbook.split("\n### ") if case in part.splitlines()[0]]
    for row in ("| seen |", "| lost |"):
        assert row in section
    assert "| do |" in section or "| suspected | do |" in section
    assert "`medweave " in section or "`systemctl" in section


def events(text):
    """Names that stand in backticks after the word event, or events and a list."""
    lists = re.findall(r"\bevents? ((?:`[a-z0-9-]+`(?:, | and )?)+)", text)
    return {name for found in lists for name in re.findall(r"`([a-z0-9-]+)`", found)}


def test_every_event_is_one_of_the_programs(runbook):
    told = events(runbook)
    assert len(told) >= 8
    assert told - {line.event for line in logs.lines()} == set()


def test_every_metric_is_one_of_the_nodes(runbook, repository):
    code = (repository / "node" / "api" / "metrics.py").read_text()
    told = set(re.findall(r"`(medweave_\w+)`", runbook))
    assert told
    assert [name for name in told if f'"{name}"' not in code] == []


def test_what_is_quoted_from_messages_is_in_the_code(runbook, sources):
    quoted = (
        "no answer from the chain at",
        "the request was signed",
        "has no share of generation",
        "cannot listen on",
        "is damaged",
    )
    for text in quoted:
        assert text in runbook
        assert text in sources


def test_a_check_that_is_named_exists(runbook, sources):
    """`medweave doctor` at "X", and `GET /v1/ready` fails at `X`."""
    named = {*re.findall(r'at "(\w+)"', runbook), *re.findall(r"fails at `(\w+)`", runbook)}
    assert len(named) >= 3
    assert [name for name in named if f'"{name}"' not in sources] == []


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("event `a-b`, `c-d` with", {"a-b", "c-d"}),
        ("events `a-b` and `c-d`, the metric `x`", {"a-b", "c-d"}),
        ("an `event` that", set()),
    ],
)
def test_events_are_found(text, found):
    assert events(text) == found
