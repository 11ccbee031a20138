"""What a hostile caller tries beyond the matrix: floods of the log, planted cookies, forged origins, two lengths, stalled reading."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from contextlib import contextmanager
from types import SimpleNamespace

import pytest
import uvicorn
from fastapi.testclient import TestClient

from node.api.access import bodies, connections, limits
from node.api.access.bodies import Bodies
from node.api.access.errors import TooMany
from node.api.access.limits import UnderWay
from node.api.access.roles import Role
from node.api.access.tls import server_settings
from node.api.serving import ApiServer
from node.errors import BadConfig
from node.home import Home
from tests.api.access.conftest import guarded_over
from tests.api.access.support import config_for


@contextmanager
def port(app, home, **api):
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        server = ApiServer(app, **server_settings(Home(home), config_for(**api)))
        thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
        thread.start()
        while not server.started:
            time.sleep(0.005)
        try:
            yield listener.getsockname()
        finally:
            server.should_exit = True
            thread.join()


def said(address, text: bytes, seconds: float = 5) -> bytes:
    """Everything that comes back on one connection."""
    with socket.create_connection(address, timeout=seconds) as line:
        line.sendall(text)
        data = b""
        try:
            while piece := line.recv(65536):
                data += piece
        except (TimeoutError, ConnectionError):
            pass
        return data


# ---- whoever is refused is slowed down -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("/v1/health", {"Host": "evil.example"}),
        ("/v1/transactions/" + "a" * 3000, {}),
        ("/v1/status", {"X-Long": "a" * 20_000}),
        ("/nothing", {}),
    ],
)
def test_what_is_malformed_fills_no_log(service, net, path, headers):
    guarded = guarded_over(service, net, strangers_per_second=1)
    guarded.access.rates._clock = lambda: 0.0
    try:
        codes = [guarded.ask("GET", path, headers).status_code for _ in range(20)]
        assert codes[-1] == 429
        assert len([line for line in guarded.written() if line.get("request")]) == codes.index(429)
    finally:
        guarded.access.close()


def test_made_up_methods_share_a_line(service, net):
    guarded = guarded_over(service, net, strangers_per_second=1)
    guarded.access.rates._clock = lambda: 0.0
    try:
        for number in range(30):
            guarded.ask(f"M{number}", "/v1/status")
        counted = [line for line in guarded.written() if line.get("status") == 429]
        assert [line["route"] for line in counted] == ["other (none)"]
    finally:
        guarded.access.close()


async def test_bodies_count_while_they_come(monkeypatch):
    """Sixty callers that each send nearly all of a long body and then nothing hold memory as well."""
    monkeypatch.setattr(bodies, "MAX_BYTES_AT_ONCE", 15)
    reader, forever = Bodies(), asyncio.Event()

    def caller():
        pieces = iter([{"type": "http.request", "body": b"a" * 9, "more_body": True}])

        async def receive():
            found = next(pieces, None)
            if found is None:
                await forever.wait()
            return found

        return receive

    first = asyncio.create_task(reader.read(caller(), None, 100))
    await asyncio.sleep(0)
    with pytest.raises(TooMany):
        await asyncio.wait_for(reader.read(caller(), None, 100), 2)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    assert reader._held == 0


def test_strangers_leave_room_for_people(monkeypatch):
    monkeypatch.setattr(limits, "MAX_STRANGERS", 2)
    under_way = UnderWay()
    with under_way.one("x", known=False), under_way.one("y", known=False):
        with pytest.raises(TooMany) as caught, under_way.one("z", known=False):
            pass
        assert caught.value.status == 503
        with under_way.one("a person"):
            pass
    assert under_way._strangers == 0


# ---- browsers ------------------------------------------------------------------------------------------------------------


def test_over_tls_a_planted_cookie_signs_nobody_in(guarded):
    """A page of a neighbouring host, or an answer forged without TLS, may set `medweave_session`: the attacker's own session."""
    plain = guarded.http.post("/v1/session", headers=guarded.bearer(Role.AUDITOR)).cookies["medweave_session"]
    secure = TestClient(guarded.http.app, base_url="https://node-0")
    assert secure.get("/v1/session", headers={"Cookie": f"medweave_session={plain}"}).status_code == 401
    assert secure.get("/v1/session", headers={"Cookie": f"__Host-medweave_session={plain}"}).status_code == 200


@pytest.mark.parametrize(("origin", "code"), [("http://node-0", 403), ("https://node-0", 204)])
def test_over_tls_a_page_without_it_is_another_origin(guarded, origin, code):
    secure = TestClient(guarded.http.app, base_url="https://node-0")
    assert secure.post("/v1/session", headers=guarded.bearer(Role.AUDITOR)).status_code == 201
    assert secure.delete("/v1/session", headers={"Origin": origin}).status_code == code


def test_a_token_in_the_query_is_none(guarded):
    token = guarded.tokens[Role.OPERATOR]
    for name in ("token", "access_token", "authorization"):
        assert guarded.ask("GET", f"/v1/members?{name}={token}").status_code == 401
    assert token not in str(guarded.written())


# ---- on the wire ---------------------------------------------------------------------------------------------------------

LENGTHS = {
    "both": b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /v1/ready HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
    "both, reversed": b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\nGET /v1/ready HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
    "two": b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef",
    "a list": b"Content-Length: 5, 6\r\n\r\nabcdef",
    "signed": b"Content-Length: +5\r\n\r\nabcde",
    "endless": b"Content-Length: " + b"9" * 5000 + b"\r\n\r\nabcde",
    "other coding": b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    "vertical tab": b"Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
    "space before colon": b"Content-Length : 5\r\n\r\nabcde",
    "folded": b"X: a\r\n Content-Length: 5\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
}


@pytest.mark.parametrize("kind", LENGTHS)
def test_no_message_has_two_ends(guarded, kind):
    """Request smuggling: where a proxy in front and the node could tell a message's end differently, there is one answer, a refusal."""
    with port(guarded.http.app, guarded.service.home.root) as address:
        answer = said(address, b"POST /v1/join HTTP/1.1\r\nHost: 127.0.0.1\r\n" + LENGTHS[kind])
    assert answer.count(b"HTTP/1.1 ") == 1, answer
    assert answer.split()[1] in {b"400", b"413", b"501"}, answer


@pytest.mark.parametrize("proxies", ["", "10.0.0.1", "127.0.0.1"])
def test_who_calls_is_not_the_callers_word(guarded, proxies):
    """`X-Forwarded-For` counts from a proxy that the configuration names; from this machine alone it does not."""
    with port(guarded.http.app, guarded.service.home.root, proxies=proxies) as address:
        head = b"GET /v1/members HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\nX-Forwarded-For: 203.0.113.9\r\n"
        answer = said(address, head + b"X-Forwarded-Proto: https\r\n\r\n")
    (line,) = [line for line in guarded.written() if line.get("status") == 401]
    believed = proxies == "127.0.0.1"
    assert line["from"] == ("203.0.113.9" if believed else "127.0.0.1")
    assert (b"strict-transport-security" in answer.lower()) == believed


def test_a_proxy_is_an_address(guarded):
    with pytest.raises(BadConfig, match=r"\[api\] proxies: '1\.2\.3' is no address"):
        server_settings(Home(guarded.service.home.root), config_for(proxies="127.0.0.1, 1.2.3"))


async def endless(_scope, _receive, send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    for _ in range(200):
        await send({"type": "http.response.body", "body": b"a" * (1 << 20), "more_body": True})


def test_who_does_not_read_its_answer_is_cut_off(monkeypatch):
    monkeypatch.setattr(connections, "STALLED_SECONDS", 0.2)
    settings = {"http": connections.GuardedProtocol, "lifespan": "off", "log_config": None, "ws": "none"}
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(endless, **settings))
        thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
        thread.start()
        until(lambda: server.started)
        with socket.create_connection(listener.getsockname()) as line:
            line.sendall(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
            until(lambda: server.server_state.connections)
            until(lambda: not server.server_state.connections)
        server.should_exit = True
        thread.join()


def test_who_reads_slowly_gets_everything(monkeypatch):
    monkeypatch.setattr(connections, "STALLED_SECONDS", 0.2)
    protocol = connections.GuardedProtocol.__new__(connections.GuardedProtocol)
    left, aborted, later = [9, 8, 8], [], []
    protocol.transport = SimpleNamespace(get_write_buffer_size=lambda: left.pop(0), abort=lambda: aborted.append(1))
    protocol.loop = SimpleNamespace(call_later=lambda _, call, *given: later.append((call, given)))
    protocol._wait(left.pop(0))
    for moved in (True, False):
        call, given = later.pop()
        call(*given)
        assert bool(aborted) is not moved


def until(ready) -> None:
    deadline = time.monotonic() + 10
    while not ready():
        assert time.monotonic() < deadline
        time.sleep(0.01)
