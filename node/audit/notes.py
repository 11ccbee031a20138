"""Taking down findings while checking: one `Link` a round and link, which is `ok` only if nothing was noted against it."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from node.audit.report import Finding

if TYPE_CHECKING:
    from node.audit.report import Status

MAX_PROBLEMS: Final = 20
"""Problems listed for one link of one round; further ones are counted. A hostile round cannot drown the report."""


@dataclass(frozen=True)
class Doubt:
    """Something noted about a history before it is read."""

    status: Status
    subject: str
    detail: str


class Link:
    """The findings of one link in one round."""

    def __init__(self, name: str, round_number: int | None) -> None:
        self.name = name
        self.round = round_number
        self.findings: list[Finding] = []
        self.begun = time.perf_counter()
        self._left_out = 0

    @property
    def clean(self) -> bool:
        """Whether nothing was noted against it so far."""
        return not self.findings

    def falsified(self, subject: str, detail: str) -> None:
        """Note that something is not what it claims to be."""
        self.note("falsified", subject, detail)

    def unchecked(self, subject: str, detail: str) -> None:
        """Note that something could not be checked."""
        self.note("unchecked", subject, detail)

    def equal(self, subject: str, what: str, found: object, expected: object) -> bool:
        """Demand that two values agree; note it where they do not. Whether they do."""
        if found == expected:
            return True
        self.falsified(subject, f"{what} is {_shown(found)}, expected {_shown(expected)}")
        return False

    def close(self, subject: str, detail: str) -> tuple[Finding, ...]:
        """The link's findings; a single `ok` with this detail where nothing was noted."""
        if self._left_out:
            last = self.findings[-1]
            self.findings.append(
                Finding(self.name, self.round, last.status, "", f"and {self._left_out} more like these")
            )
        return tuple(self.findings) or (Finding(self.name, self.round, "ok", subject, detail),)

    def note(self, status: Status, subject: str, detail: str) -> None:
        """Note a finding; beyond `MAX_PROBLEMS` of a kind it is only counted."""
        wanted = len(self.findings) < MAX_PROBLEMS or all(finding.status != status for finding in self.findings)
        if wanted:
            self.findings.append(Finding(self.name, self.round, status, subject, detail))
        else:
            self._left_out += 1


@dataclass
class Notebook:
    """All findings of an audit, in order, and remarks beside them."""

    findings: list[Finding] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    timings: dict[str, float] = field(default_factory=dict)
    """Seconds spent on each link, over all rounds."""

    def link(self, name: str, round_number: int | None) -> Link:
        """A link that is about to be checked; its time runs until it is closed."""
        return Link(name, round_number)

    def close(self, link: Link, detail: str, subject: str = "") -> bool:
        """Take in a finished link. Whether it holds."""
        self.findings += link.close(subject, detail)
        self.timings[link.name] = self.timings.get(link.name, 0.0) + time.perf_counter() - link.begun
        return link.clean

    def remark(self, text: str) -> None:
        """Note something a reader should know, once."""
        if text not in self.notes:
            self.notes.append(text)


def short(digest: bytes) -> str:
    """The first 16 hex digits of an id, for messages."""
    return f"{digest.hex()[:16]}…"


def _shown(value: object) -> str:
    if isinstance(value, bytes):
        return value.hex() or "empty"
    text = str(value)
    return text if len(text) <= 200 else f"{text[:200]}…"
