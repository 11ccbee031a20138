# ruff: noqa: N818  (an error is named after what is wrong)
"""What can go wrong when a node is asked.

PeerProblem
└── ClientError             5   whatever a call of a node came to but an answer
    ├── NodeUnreachable     5   no answer: no connection, or none in time
    ├── Malformed           5   an answer that is none of this interface
    ├── WrongBytes          5   bytes that are not what was asked for by their digest
    └── Refused             3   a problem document; carries status, title and detail
        ├── NotSignedIn     3   401: no credentials, or none that hold
        ├── NotAllowed      3   403: not for this caller
        ├── NotFound        3   404
        └── NodeBusy        5   429, 503: later; `retry_after` says when
"""

from __future__ import annotations

from node.errors import PeerProblem


class ClientError(PeerProblem):
    """A call of a node came to no answer.

    Args:
        url: What was asked.
        problem: What is wrong, and what to do.
    """

    def __init__(self, url: str, problem: str) -> None:
        super().__init__(f"{url}: {problem}")
        self.url = url
        self.problem = problem


class NodeUnreachable(ClientError):
    """The node did not answer, or not to the end, however often it was asked."""


class Malformed(ClientError):
    """The node's answer is too long, no JSON, or not of the form this interface has."""


class WrongBytes(ClientError):
    """The node sent other bytes than the digest that they were asked for by."""


class Refused(ClientError):
    """The node answered that it will not, with a problem document (RFC 9457).

    Args:
        url: What was asked.
        status: HTTP status.
        title: The problem's title.
        detail: Its detail.
        kind: Its type, a URI.
        retry_after: Seconds after which to ask again; None where it does not say.
    """

    exit_code = 3

    def __init__(
        self,
        url: str,
        status: int,
        title: str,
        detail: str,
        kind: str = "about:blank",
        retry_after: float | None = None,
    ) -> None:
        super().__init__(url, f"{status} {title}: {detail}" if detail else f"{status} {title}")
        self.status, self.title, self.detail, self.kind = status, title, detail, kind
        self.retry_after = retry_after


class NotSignedIn(Refused):
    """The node asks who is calling: give a token, or sign as a member."""


class NotAllowed(Refused):
    """The caller's role may not do that."""


class NotFound(Refused):
    """The node has no such thing."""


class NodeBusy(Refused):
    """The node has no time now."""

    exit_code = 5


BY_STATUS: dict[int, type[Refused]] = {
    401: NotSignedIn,
    403: NotAllowed,
    404: NotFound,
    429: NodeBusy,
    503: NodeBusy,
}
"""Which error a status is; others are `Refused`."""
