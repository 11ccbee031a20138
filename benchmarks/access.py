"""What the gate before a node's routes costs a request: tokens, signatures of members, the access log; beside no gate.

Requests go through ASGI in one process, without sockets: what is measured is the gate's own work. The bare application is
the same one without it, in turn with the others.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

import coincurve
from eth_utils.address import to_checksum_address

from benchmarks import harness
from benchmarks.errors import NotMeasured
from benchmarks.harness import Result, Row, Target
from chain.records import Hospital
from node.api.access.access import Access
from node.api.access.gate import Gate
from node.api.access.roles import Role
from node.calling.signatures import Call, address_of, digest_field, sign
from node.config import Api, ChainSection, NodeConfig
from node.config import Hospital as HospitalSection
from node.consortium.view import ConsortiumView
from node.home import Home

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

REQUESTS: Final = 2000
"""Of each kind in one repeat."""
MESSAGE_BYTES: Final = 64 * 1024
CONSORTIUM: Final = bytes(range(32))
KEY: Final = coincurve.PrivateKey(bytes([3] * 32))
ADDRESS: Final = to_checksum_address(address_of(KEY.public_key.format(compressed=False)))
HOST: Final = "node-0"
PLENTY: Final = 100_000.0
SIGNED_TARGET: Final = 1e-3
TOKEN_TARGET: Final = 0.5e-3


@dataclass(frozen=True)
class Asked:
    """One kind of request."""

    name: str
    method: str
    path: str
    body: bytes
    headers: Callable[[], dict[str, str]]
    """Made anew for each request: no signature is taken twice."""


async def bare(scope: Scope, receive: Receive, send: Send) -> None:
    """An application that reads the body and answers with nothing."""
    while scope["type"] == "http" and (await receive()).get("more_body"):
        pass
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b""})


def signature(method: str, path: str, body: bytes) -> dict[str, str]:
    """A member's fields."""
    call = Call(method, HOST, path, "", digest_field(body) if body else "")
    return sign(call, KEY, CONSORTIUM, int(time.time()))


async def _times(app: ASGIApp, asked: Asked, count: int) -> float:
    """Seconds a request, the making of its headers left out."""
    spent = 0.0
    for _ in range(count):
        fields = [(name.lower().encode(), value.encode()) for name, value in asked.headers().items()]
        scope = {
            "type": "http",
            "method": asked.method,
            "path": asked.path,
            "raw_path": asked.path.encode(),
            "query_string": b"",
            "scheme": "http",
            "headers": [(b"host", HOST.encode()), *fields],
            "client": ("10.0.0.7", 1),
        }
        statuses: list[int] = []

        async def receive() -> Message:
            return {"type": "http.request", "body": asked.body, "more_body": False}

        async def send(message: Message, seen: list[int] = statuses) -> None:
            if message["type"] == "http.response.start":
                seen.append(message["status"])

        began = time.perf_counter()
        await app(scope, receive, send)
        spent += time.perf_counter() - began
        if statuses != [200]:
            raise NotMeasured(f"{asked.name}: the gate answered {statuses}")
    return spent / count


def _kinds(access: Access) -> list[Asked]:
    token = {"Authorization": f"Bearer {access.tokens.create('bench', Role.OPERATOR).secret}"}
    message = bytes(MESSAGE_BYTES)
    return [
        Asked("a person's token", "GET", "/v1/members", b"", lambda: token),
        Asked("a member's question", "GET", "/v1/members", b"", lambda: signature("GET", "/v1/members", b"")),
        Asked(
            "a member's message of 64 KiB",
            "POST",
            "/v1/gossip",
            message,
            lambda: signature("POST", "/v1/gossip", message),
        ),
    ]


def measure(repeats: int) -> Result:
    """Each kind of request with and without the gate, in turn."""
    rows, targets = [], []
    config = NodeConfig(
        hospital=HospitalSection(name="A", port=1, url=f"http://{HOST}"),
        chain=ChainSection(rpc="http://chain"),
        api=Api(people_per_second=PLENTY, members_per_second=PLENTY),
    )
    view = ConsortiumView.of([Hospital(ADDRESS, bytes(32), 1, "B", "http://node-1")])
    with (
        tempfile.TemporaryDirectory() as folder,
        Access(Home(Path(folder)), config, CONSORTIUM, lambda: view, KEY.secret) as access,
    ):
        gate = Gate(bare, access)
        for asked in _kinds(access):
            pairs = [asyncio.run(_pair(gate, asked)) for _ in range(repeats)]
            gated, plain = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
            added = harness.median(one - other for one, other in pairs)
            figures = {
                "gate_microseconds": harness.median(gated) * 1e6,
                "bare_microseconds": harness.median(plain) * 1e6,
            }
            rows.append(Row("a request", asked.name, figures | {"added_microseconds": added * 1e6}))
            bound = TOKEN_TARGET if "token" in asked.name else SIGNED_TARGET
            targets.append(Target(f"added to {asked.name}", added * 1e3, "ms", "<=", bound * 1e3))
    seconds = [_signing() for _ in range(repeats)]
    rows.append(Row("the caller's side", "signing", {"microseconds": harness.median(seconds) * 1e6}))
    return Result(tuple(rows), tuple(targets))


async def _pair(gate: ASGIApp, asked: Asked) -> tuple[float, float]:
    return await _times(gate, asked, REQUESTS), await _times(bare, asked, REQUESTS)


def _signing() -> float:
    began = time.perf_counter()
    for _ in range(REQUESTS):
        signature("GET", "/v1/members", b"")
    return (time.perf_counter() - began) / REQUESTS


def main(arguments: list[str] | None = None) -> int:
    """Measure, print, write."""
    options = harness.parser(__doc__ or "", repeats=5).parse_args(arguments)
    return harness.run(partial(measure, options.repeats), options.json)


if __name__ == "__main__":
    sys.exit(main())
