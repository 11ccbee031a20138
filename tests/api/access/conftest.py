"""A guarded node: the API's own service with an access of its own, and every kind of credentials."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from itertools import count
from types import SimpleNamespace
from typing import Any

import coincurve
import httpx
import pytest
from fastapi.testclient import TestClient

from node.api.access.access import Access
from node.api.access.records import read_lines
from node.api.access.roles import PEOPLE, Role
from node.api.app import create_app
from node.calling.signatures import Call, digest_field, sign
from tests.api.access.support import access_over

HOST = "node-0"
STRANGER = coincurve.PrivateKey(bytes([11] * 32))


@dataclass
class Guarded:
    """A node behind its gate."""

    service: Any
    access: Access
    http: TestClient
    member: coincurve.PrivateKey
    consortium: bytes
    views: list[Any]
    """What the chain said, newest last."""
    tokens: dict[Role, str] = field(default_factory=dict)
    answers: dict[str, tuple[str, httpx.Response]] = field(default_factory=dict)
    numbers: Any = field(default_factory=lambda: count(1))

    def __post_init__(self) -> None:
        self.tokens = {role: self.access.tokens.create(f"{role} here", role, 1).secret for role in PEOPLE}

    def bearer(self, role: Role) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.tokens[role]}"}

    def signature(
        self,
        method: str,
        path: str,
        body: bytes = b"",
        *,
        key: coincurve.PrivateKey | None = None,
        consortium: bytes | None = None,
        host: str = HOST,
        now: float | None = None,
    ) -> dict[str, str]:
        """A member's signature, or one that is wrong in a chosen way."""
        path, _, query = path.partition("?")
        call = Call(method, host, path, query, digest_field(body) if body else "")
        return sign(call, key or self.member, consortium or self.consortium, int(time.time() if now is None else now))

    def credentials(self, role: Role, method: str, path: str, body: bytes = b"") -> dict[str, str]:
        """What lets a role in."""
        if role is Role.ANYONE:
            return {}
        return self.signature(method, path, body) if role is Role.MEMBER else self.bearer(role)

    def ask(
        self, method: str, path: str, headers: dict[str, str] | None = None, body: bytes = b"", **more
    ) -> httpx.Response:
        """One request under a number of its own, remembered."""
        number = f"ask-{next(self.numbers)}"
        answer = self.http.request(
            method, path, headers={"X-Request-Id": number, **(headers or {})}, content=body or None, **more
        )
        self.answers[number] = (f"{method} {path}", answer)
        return answer

    def written(self) -> list[dict[str, Any]]:
        """The access log, after everything was written."""
        self.access.book.close()
        return [place.content for place in read_lines(self.access.book._directory)]


def guarded_over(service, net, **more) -> Guarded:
    views = [service.view]
    access = access_over(lambda: views[-1], net.deployment.consortium, f"http://{HOST}", **more)
    own = SimpleNamespace(**{**vars(service), "access": access})
    http = TestClient(create_app(own), base_url=f"http://{HOST}", raise_server_exceptions=False)
    key = coincurve.PrivateKey(bytes(net.accounts[1].key))
    return Guarded(own, access, http, key, net.deployment.consortium, views)


@pytest.fixture
def guarded(service, net):
    made = guarded_over(service, net)
    yield made
    made.access.close()
