# ruff: noqa: N818 - names say what is wrong; the tree says that they are errors
"""Why a request is refused before any route sees it.

MedweaveError
├── BrokenLog               1   the access log was changed, cut or reordered; the error says where
├── UnguardedRoute          1   a route without a row in the table of who may call it; nothing is served
└── AccessError             5   a request that is refused; `status` is the answer's
    ├── BadCall             400, 408, 413, 414, 431    its form, size or time
    ├── NotSignedIn         401     no credentials, or such as do not hold
    ├── NotAllowed          403     this caller may not do this
    ├── NoSuchRoute         404, 405
    ├── WrongHost           421     it names another host than this node
    └── TooMany             429, 503    the caller, or all together, ask too much
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from node.errors import MedweaveError

if TYPE_CHECKING:
    from collections.abc import Mapping


class UnguardedRoute(MedweaveError):
    """A route that the table of access does not know: who may call it has to be decided before it is served."""


class BrokenLog(MedweaveError):
    """The access log is not what this hospital's node wrote.

    Args:
        segment: The file.
        row: Its line, from 1.
        problem: What is wrong there.
    """

    def __init__(self, segment: str, row: int, problem: str) -> None:
        super().__init__(f"access log, {segment}, line {row}: {problem}")
        self.segment, self.row, self.problem = segment, row, problem


class AccessError(MedweaveError):
    """A request is refused; the message is one line for whoever sent it and holds nothing secret.

    Args:
        message: What was wrong and what to do.
        status: HTTP status of the answer.
        headers: Further headers of the answer.
    """

    exit_code = 5
    status = 403

    def __init__(self, message: str, status: int | None = None, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = type(self).status if status is None else status
        self.headers = dict(headers or {})


class BadCall(AccessError):
    """The request's form, size or time: too large a body, too long a line, a body that does not arrive."""

    status = 400


class NotSignedIn(AccessError):
    """There are no credentials, or they do not hold: unknown, expired, revoked, forged, replayed, for another node."""

    status = 401

    def __init__(self, message: str) -> None:
        super().__init__(message, headers={"WWW-Authenticate": 'Bearer realm="medweave"'})


class NotAllowed(AccessError):
    """The caller is known and may not do this."""

    status = 403


class NoSuchRoute(AccessError):
    """Nothing is served there, or not by this method."""

    status = 404


class WrongHost(AccessError):
    """The request was meant for another host (RFC 9110, 15.5.20); a page elsewhere may be steering a browser here."""

    status = 421


class TooMany(AccessError):
    """The caller asks too often, or too much is under way; it may come again later.

    Args:
        message: What there is too much of.
        status: 429 for one caller, 503 for all together.
        seconds: After how long to come again.
    """

    def __init__(self, message: str, status: int, seconds: float) -> None:
        super().__init__(message, status, {"Retry-After": str(max(1, round(seconds)))})
