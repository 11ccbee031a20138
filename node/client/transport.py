"""Requests to one node: bounded in size and time, safe ones repeated with growing pauses, refusals as typed errors."""

from __future__ import annotations

import random
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import httpx

from dag.errors import MalformedNote
from dag.proofs.jsontext import parse_json
from node.calling import BearerAuth, Dialer
from node.client.errors import BY_STATUS, ClientError, Malformed, NodeBusy, NodeUnreachable, Refused

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    Query = Mapping[str, str | int | bool | None]
    Body = bytes | Mapping[str, Any]

MAX_ANSWER_BYTES: Final = 16 << 20
MAX_PROBLEM_BYTES: Final = 64 << 10
TIMEOUT_SECONDS: Final = 20.0
"""To connect, and between two pieces of an answer."""
TOTAL_SECONDS: Final = 60.0
"""For one answer to its last byte, however it drips."""
ATTEMPTS: Final = 4
FIRST_PAUSE_SECONDS: Final = 0.25
LONGEST_PAUSE_SECONDS: Final = 8.0
LONGEST_WISH_SECONDS: Final = 30.0
"""A node that wants longer than this before it is asked again gets its way by an error."""
_PASSING: Final = frozenset({429, 502, 503, 504})


class Transport:
    """Calls one node; may be shared by threads.

    Args:
        url: The node's base address.
        token: A person's token; None for none.
        dialer: Signs as a member, and says whose certificates are believed.
        attempts: How often a safe request is made at most.
        http: Carries the requests instead of a client of the dialer's.
        sleep: Waits.
    """

    def __init__(
        self,
        url: str,
        token: str | None = None,
        dialer: Dialer | None = None,
        *,
        attempts: int = ATTEMPTS,
        http: httpx.Client | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.url = url.rstrip("/")
        dialer = dialer or Dialer()
        if token is not None:
            dialer = Dialer(BearerAuth(token, self.url), dialer.tls)
        self._http = http or dialer.client(TIMEOUT_SECONDS)
        self._attempts = attempts
        self._sleep = sleep
        self._chance = random.Random()  # noqa: S311  (pauses are no secret)

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def get(
        self, path: str, query: Query | None = None, *, most: int = MAX_ANSWER_BYTES, also: frozenset[int] = frozenset()
    ) -> bytes:
        """The body of a safe request's answer.

        Args:
            path: Below the base address.
            query: Parameters; those that are None are left out.
            most: Most bytes accepted.
            also: Statuses that are answers too, besides 200.

        Raises:
            NodeUnreachable: It does not answer.
            Refused: It answers with a problem.
            Malformed: The answer is too long.
        """
        for pause in self.pauses():
            try:
                with self.opened("GET", path, query, also=also) as response:
                    return self.read(response, most)
            except (NodeUnreachable, NodeBusy) as error:
                self.wait(error, pause)
        raise NodeUnreachable(self.url + path, "no answer")

    def json(self, path: str, query: Query | None = None, *, also: frozenset[int] = frozenset()) -> dict[str, Any]:
        """The JSON object of a safe request's answer; arguments and errors as `get`."""
        return parsed(self.url + path, self.get(path, query, also=also))

    def post(self, path: str, body: Body, query: Query | None = None) -> dict[str, Any]:
        """The JSON object of an answer to a request that is no safe one: made once.

        Args:
            path: Below the base address.
            body: What is sent: bytes as they are, anything else as JSON.
            query: Parameters; those that are None are left out.

        Raises:
            NodeUnreachable: It does not answer; whether it did as asked is not known.
            Refused: It answers with a problem.
            Malformed: The answer is none of this interface.
        """
        with self.opened("POST", path, query, body=body, also=frozenset({201, 202})) as response:
            return parsed(self.url + path, self.read(response, MAX_ANSWER_BYTES))

    @contextmanager
    def opened(
        self,
        method: str,
        path: str,
        query: Query | None = None,
        *,
        headers: Mapping[str, str] | None = None,
        body: Body | None = None,
        also: frozenset[int] = frozenset(),
    ) -> Iterator[httpx.Response]:
        """One answer, its body unread; made once.

        Args:
            method: HTTP method.
            path: Below the base address.
            query: Parameters; those that are None are left out.
            headers: Further headers.
            body: What is sent: bytes as they are, anything else as JSON.
            also: Statuses that are answers too, besides 200.

        Raises:
            NodeUnreachable: It does not answer, or breaks off.
            Refused: It answers with a problem.
        """
        wanted = {name: _text(value) for name, value in (query or {}).items() if value is not None}
        try:
            with self._http.stream(
                method,
                self.url + path,
                params=wanted or None,
                headers={"Accept-Encoding": "identity"} | dict(headers or {}),
                content=body if isinstance(body, bytes) else None,
                json=None if body is None or isinstance(body, bytes) else dict(body),
            ) as response:
                if response.status_code != httpx.codes.OK and response.status_code not in also:
                    raise self._refusal(path, response)
                yield response
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError) as error:
            raise NodeUnreachable(self.url + path, str(error) or type(error).__name__) from None

    def read(self, response: httpx.Response, most: int) -> bytes:
        """An answer's body, bounded in size and time.

        Raises:
            Malformed: It is longer.
            NodeUnreachable: It does not end in time.
        """
        body, deadline = bytearray(), time.monotonic() + TOTAL_SECONDS
        for piece in response.iter_bytes():  # as they come: filled-up ones would hide one that drips
            body += piece
            if len(body) > most:
                raise Malformed(str(response.url), f"the answer is longer than {most} bytes")
            if time.monotonic() > deadline:
                raise NodeUnreachable(str(response.url), f"the answer has not ended within {TOTAL_SECONDS:g} s")
        return bytes(body)

    def pauses(self) -> Iterator[float | None]:
        """One value an attempt: the pause after it if it fails, None after the last."""
        pause = FIRST_PAUSE_SECONDS
        for left in reversed(range(self._attempts)):
            yield pause * self._chance.uniform(0.75, 1.25) if left else None
            pause = min(LONGEST_PAUSE_SECONDS, 2 * pause)

    def wait(self, error: ClientError, pause: float | None) -> None:
        """Wait before the next attempt, as long as the node wishes.

        Raises:
            ClientError: The error itself, where there is no next attempt or the node wishes too long a pause.
        """
        wish = error.retry_after if isinstance(error, NodeBusy) else None
        if pause is None or (wish or 0) > LONGEST_WISH_SECONDS:
            raise error
        self._sleep(max(pause, wish or 0))

    def _refusal(self, path: str, response: httpx.Response) -> ClientError:
        body = self.read(response, MAX_PROBLEM_BYTES)
        said: dict[str, Any] = {}
        if response.headers.get("content-type", "").startswith("application/problem+json"):
            said = parsed(self.url + path, body)
        status = response.status_code
        if status in _PASSING and status not in BY_STATUS:
            return NodeUnreachable(self.url + path, f"answered {status}")
        title, detail = (str(said.get(name, ""))[:500] for name in ("title", "detail"))
        phrase = title or httpx.codes.get_reason_phrase(status) or "not an answer of this interface"
        kind = str(said.get("type", "about:blank"))[:200]
        error = BY_STATUS.get(status, Refused)
        return error(self.url + path, status, phrase, detail, kind, _seconds(response.headers.get("retry-after")))


def parsed(url: str, body: bytes) -> dict[str, Any]:
    """A body as a JSON object.

    Raises:
        Malformed: It is none, names a field twice, or is nested too deep.
    """
    try:
        found = parse_json("answer", body, MAX_ANSWER_BYTES)
    except MalformedNote as error:
        raise Malformed(url, str(error)) from None
    if not isinstance(found, dict):
        raise Malformed(url, "not a JSON object")
    return found


def _text(value: str | float | bool | None) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _seconds(header: str | None) -> float | None:
    """A Retry-After in seconds; its form as a date is not used by nodes."""
    return float(header) if header is not None and header.isascii() and header.isdigit() and len(header) < 7 else None
