"""The outcome of one check."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import StrEnum


class Verdict(StrEnum):
    """How a check ended."""

    OK = "ok"
    WARN = "warn"
    """It works, but will not for long, or not for everybody."""
    FAIL = "fail"
    """The node cannot do its work."""
    SKIPPED = "skipped"
    """It could not be looked at, because of another failure or because it was not asked for."""


@dataclass(frozen=True)
class Check:
    """One thing that was looked at.

    Attributes:
        name: What, in a word.
        verdict: How it is.
        found: What was found, in a line.
        do: What to do; empty where nothing is to be done.
    """

    name: str
    verdict: Verdict
    found: str
    do: str = ""

    def to_json(self) -> dict[str, str]:
        """The fields, as JSON values."""
        return {name: str(value) for name, value in asdict(self).items()}


def ok(name: str, found: str) -> Check:
    """All is well."""
    return Check(name, Verdict.OK, found)


def warn(name: str, found: str, do: str) -> Check:
    """It works for now."""
    return Check(name, Verdict.WARN, found, do)


def fail(name: str, found: str, do: str) -> Check:
    """It must be mended."""
    return Check(name, Verdict.FAIL, found, do)


def skipped(name: str, why: str) -> Check:
    """It could not be looked at."""
    return Check(name, Verdict.SKIPPED, why)
