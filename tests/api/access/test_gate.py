"""The gate beside who calls: hosts, sessions of browsers, limits, the form of requests, headers of answers."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from functools import partial

import httpx
import pytest
from fastapi.testclient import TestClient

from node.api.access import bodies, gate, limits
from node.api.access.bodies import Bodies
from node.api.access.errors import BadCall, NotSignedIn, TooMany
from node.api.access.limits import BURST_SECONDS, Rates, UnderWay, network_of
from node.api.access.roles import Role
from node.api.access.seen import Seen
from tests.api.access.conftest import guarded_over


@pytest.fixture
def operator(guarded):
    return guarded.bearer(Role.OPERATOR)


def status(guarded, *args, **more) -> int:
    return guarded.ask(*args, **more).status_code


# ---- hosts --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "host", ["node-0", "NODE-0", "node-0:8470", "localhost:9", "127.0.0.1:8470", "[::1]:8470", "10.0.0.7", "testserver"]
)
def test_a_node_answers_to_its_names_and_to_addresses(guarded, operator, host):
    assert status(guarded, "GET", "/v1/status", operator | {"Host": host}) == 200


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:8470", "node-0.evil.example", "127.0.0.1.evil.example", "", "node-1", "[evil]"],
)
def test_a_name_that_somebody_points_here_is_not_answered(guarded, operator, host):
    """DNS rebinding: a page elsewhere makes the browser send its own name to this address."""
    assert status(guarded, "GET", "/v1/status", operator | {"Host": host}) == 421
    assert status(guarded, "GET", "/v1/health", {"Host": host}) == 421


def test_a_members_call_is_for_the_registered_name_alone(guarded):
    """An address in `Host` is answered, but no signature is for it: it could have been made for another hospital there."""
    headers = guarded.signature("GET", "/v1/members", host="10.0.0.7")
    assert status(guarded, "GET", "/v1/members", headers | {"Host": "10.0.0.7"}) == 401
    assert status(guarded, "GET", "/v1/members", guarded.signature("GET", "/v1/members")) == 200


# ---- sessions -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def browser(guarded) -> TestClient:
    """Signed in as an auditor; only the cookie is kept."""
    answer = guarded.http.post("/v1/session", headers=guarded.bearer(Role.AUDITOR))
    assert answer.status_code == 201
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie
    assert guarded.tokens[Role.AUDITOR] not in cookie + answer.text
    return guarded.http


def test_a_session_is_its_tokens_role(guarded, browser):
    said = browser.get("/v1/session").json()
    assert (said["name"], said["role"]) == ("auditor here", "auditor")
    assert "GET /v1/members" in said["routes"]
    assert "GET /v1/training" not in said["routes"]
    assert browser.get("/v1/members").status_code == 200
    assert browser.get("/v1/training").status_code == 403


def test_signing_out_and_revoking_end_it(guarded, browser):
    kept = dict(browser.cookies)
    assert browser.delete("/v1/session", headers={"Origin": "http://node-0"}).status_code == 204
    assert "medweave_session" not in browser.cookies
    assert browser.get("/v1/session", cookies=kept).status_code == 401
    browser.cookies.clear()
    browser.post("/v1/session", headers=guarded.bearer(Role.AUDITOR))
    assert browser.get("/v1/session").status_code == 200
    guarded.access.tokens.revoke("auditor here")
    assert browser.get("/v1/session").status_code == 401


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({}, 403),
        ({"Origin": "https://elsewhere.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://node-0:9999"}, 403),
        ({"Origin": "http://node-0", "Sec-Fetch-Site": "cross-site"}, 403),
        ({"Origin": "http://node-0", "Sec-Fetch-Site": "same-site"}, 403),
        ({"Origin": "http://node-0", "Sec-Fetch-Site": "same-origin"}, 204),
        ({"Origin": "http://node-0"}, 204),
    ],
)
def test_only_a_page_of_this_node_may_change_something_with_a_cookie(browser, headers, code):
    assert browser.delete("/v1/session", headers=headers).status_code == code


def test_a_cookie_makes_no_further_session(browser):
    assert browser.post("/v1/session", headers={"Origin": "http://node-0"}).status_code == 401


def test_over_tls_the_cookie_is_bound_to_the_host(guarded):
    https = TestClient(guarded.http.app, base_url="https://node-0")
    cookie = https.post("/v1/session", headers=guarded.bearer(Role.OPERATOR)).headers["set-cookie"]
    assert cookie.startswith("__Host-medweave_session=")
    assert "; Secure" in cookie
    assert https.get("/v1/session").headers["strict-transport-security"]


# ---- limits -------------------------------------------------------------------------------------------------------------


def test_who_asks_too_often_is_told_when_to_come_again(service, net):
    guarded = guarded_over(service, net, people_per_second=2, strangers_per_second=1, members_per_second=3)
    guarded.access.rates._clock = lambda: 0.0  # however slow the machine, no bucket fills meanwhile
    try:
        for credentials, rate in (
            (lambda: guarded.bearer(Role.OPERATOR), 2),
            (lambda: guarded.signature("GET", "/v1/members"), 3),
            (dict, 1),
        ):
            answers = [guarded.ask("GET", "/v1/members", credentials()) for _ in range(int(rate * BURST_SECONDS) + 3)]
            codes = [answer.status_code for answer in answers]
            assert codes.count(429) >= 2
            assert 429 not in codes[: int(rate * BURST_SECONDS)]
            assert int(answers[-1].headers["retry-after"]) >= 1
        assert status(guarded, "GET", "/v1/members", guarded.bearer(Role.AUDITOR)) == 200, "each caller has its own"
        guess = {"Authorization": "Bearer mw_" + "A" * 43}
        assert status(guarded, "GET", "/v1/members", guess) == 429, "guesses count against the address"
    finally:
        guarded.access.close()


def test_a_bucket_fills_again_and_many_callers_are_forgotten(monkeypatch):
    monkeypatch.setattr(limits, "MAX_BUCKETS", 10)
    now = [0.0]
    rates = Rates(lambda: now[0])
    for _ in range(int(5 * BURST_SECONDS)):
        rates.spend("a", 5)
    with pytest.raises(TooMany) as caught:
        rates.spend("a", 5)
    assert caught.value.status == 429
    now[0] += 0.2
    rates.spend("a", 5)
    for number in range(1000):
        rates.spend(f"address {number}", 5)
    assert len(rates._buckets) == 10


def test_requests_under_way_are_bounded(monkeypatch):
    monkeypatch.setattr(limits, "MAX_UNDER_WAY_EACH", 2)
    monkeypatch.setattr(limits, "MAX_UNDER_WAY", 3)
    under_way = UnderWay()
    with under_way.one("a"), under_way.one("a"):
        with pytest.raises(TooMany) as caught, under_way.one("a"):
            pass
        assert caught.value.status == 429
        with under_way.one("b"), pytest.raises(TooMany) as caught, under_way.one("c"):
            pass
        assert caught.value.status == 503
    assert not under_way._each
    assert under_way._all == 0


def test_a_caller_with_too_much_under_way_is_refused(guarded, operator, monkeypatch):
    monkeypatch.setattr(limits, "MAX_UNDER_WAY_EACH", 0)
    assert status(guarded, "GET", "/v1/status", operator) == 429


@pytest.mark.parametrize(
    ("address", "network"),
    [("10.0.0.7", "10.0.0.7"), ("::ffff:10.0.0.7", "10.0.0.7"), ("2001:db8::1", "2001:db8::/64"), ("local", "local")],
)
def test_an_ipv6_caller_has_one_bucket_for_all_its_addresses(address, network):
    assert network_of(address) == network


# ---- form ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "headers", "code"),
    [
        ("/v1/transactions/" + "a" * 3000, {}, 414),
        ("/v1/transactions?kind=" + "a" * 5000, {}, 414),
        ("/v1/status", {"X-Long": "a" * 20_000}, 431),
        ("/v1/status", {f"X-{number}": "a" for number in range(80)}, 431),
    ],
)
def test_a_request_out_of_all_proportion_is_refused(guarded, operator, path, headers, code):
    assert status(guarded, "GET", path, operator | headers) == code


@pytest.mark.parametrize(
    "name", ["Authorization", "Host", "Cookie", "Signature", "Signature-Input", "Content-Digest", "Origin"]
)
def test_a_header_that_decides_something_may_stand_once(guarded, operator, name):
    pairs = [*operator.items(), (name, "a"), (name, "b")]
    answer = guarded.http.get("/v1/status", headers=httpx.Headers(pairs))
    assert answer.status_code == 400
    assert name.lower() in answer.json()["detail"]


async def read(pieces: list[dict], announced: str | None = None, most: int = 10, reader: Bodies | None = None) -> bytes:
    waiting = iter(pieces)

    async def receive() -> dict:
        try:
            return next(waiting)
        except StopIteration:
            await asyncio.sleep(60)
            raise

    return await (reader or Bodies()).read(receive, announced, most)


def piece(data: bytes, *, more: bool = True) -> dict:
    return {"type": "http.request", "body": data, "more_body": more}


async def test_a_body_is_read_whole():
    assert await read([piece(b"abc"), piece(b""), piece(b"def", more=False)]) == b"abcdef"


@pytest.mark.parametrize(
    ("pieces", "announced", "code"),
    [
        ([], "11", 413),
        ([piece(b"a" * 6), piece(b"a" * 6)], None, 413),
        ([piece(b"a" * 6), piece(b"a" * 6)], "5", 413),
        ([piece(b"a"), {"type": "http.disconnect"}], None, 400),
        ([piece(b"a")], None, 408),
    ],
)
async def test_a_body_that_is_long_slow_or_broken_off_is_refused(monkeypatch, pieces, announced, code):
    monkeypatch.setattr(bodies, "BODY_SECONDS", 0.05)
    with pytest.raises(BadCall) as caught:
        await read(pieces, announced)
    assert caught.value.status == code


async def test_all_bodies_together_are_bounded(monkeypatch):
    monkeypatch.setattr(bodies, "MAX_BYTES_AT_ONCE", 8)
    reader = Bodies()
    reader.hold(5)
    with pytest.raises(TooMany) as caught:
        await read([piece(b"abcd", more=False)], reader=reader)
    assert caught.value.status == 503
    reader.hold(-5)
    assert await read([piece(b"abcd", more=False)], reader=reader) == b"abcd"


# ---- answers ------------------------------------------------------------------------------------------------------------

ANSWERS = [
    ("GET", "/v1/status", 200),
    ("GET", "/v1/nothing", 404),
    ("GET", "/v1/rounds/x", 422),
    ("PUT", "/v1/status", 405),
]


@pytest.mark.parametrize(("method", "path", "code"), ANSWERS)
def test_every_answer_carries_what_keeps_browsers_safe(guarded, operator, method, path, code):
    answer = guarded.ask(method, path, operator | {"Origin": "https://elsewhere.example"})
    assert answer.status_code == code
    for name, value in gate._HEADERS:
        if name != b"cache-control":
            assert answer.headers[name.decode()] == value.decode()
    assert answer.headers["cache-control"] in {"no-store", "private, no-cache"}
    assert not [name for name in answer.headers if name.startswith("access-control-")]
    assert "server" not in answer.headers


def test_a_route_may_set_its_own(guarded, operator):
    page = guarded.ask("GET", "/")
    assert "script-src 'self'" in page.headers["content-security-policy"]
    assert len(page.headers.get_list("content-security-policy")) == 1
    model = guarded.ask("GET", "/v1/models", operator).json()["models"][-1]["model"]
    card = guarded.ask("GET", f"/v1/models/{model}/card", operator)
    assert "<style>" in card.text
    assert "style-src 'unsafe-inline'" in card.headers["content-security-policy"]


@pytest.mark.parametrize(
    ("given", "kept"), [("abc-1.2_3", True), ("a b", False), ("x" * 65, False), ("<script>", False)]
)
def test_a_request_has_an_id(guarded, operator, given, kept):
    answer = guarded.http.get("/v1/status", headers=operator | {"X-Request-Id": given})
    assert (answer.headers["x-request-id"] == given) == kept
    assert answer.headers["x-request-id"]


def test_a_fault_of_a_route_is_written_down_as_one(guarded, operator, monkeypatch):
    monkeypatch.setattr(guarded.service.publisher, "read", lambda _: 1 / 0)
    assert status(guarded, "GET", "/v1/transactions/tips", operator) == 500
    assert next(line for line in guarded.written() if line.get("route") == "GET /v1/transactions/tips")["status"] == 500


def test_the_log_says_who_asked_what(guarded, operator):
    guarded.ask("GET", "/v1/rounds/1", operator)
    guarded.ask("GET", "/v1/transactions/" + "ab" * 32, guarded.signature("GET", "/v1/transactions/" + "ab" * 32))
    guarded.ask("GET", "/v1/models/%3Cscript%3E", operator)
    for _ in range(3):
        guarded.ask("GET", "/v1/status", operator)
    lines = [line for line in guarded.written() if "route" in line]
    first, second, third, summed = lines
    assert (first["who"], first["role"], first["route"], first["values"]) == (
        "operator here",
        "operator",
        "GET /v1/rounds/{number}",
        ["1"],
    )
    assert first["key"].startswith("token ")
    assert (first["status"], first["from"]) == (200, "testclient")
    assert (second["who"], second["role"], second["key"]) == ("Hospital 1", "member", "seat 1")
    assert third["values"] == ["-"]
    assert (summed["route"], summed["count"]) == ("GET /v1/status", 3)
    assert "ms" in first
    assert "mw_" not in json.dumps(lines)


# ---- nonces -------------------------------------------------------------------------------------------------------------


def test_a_nonce_is_taken_once_within_its_time(tmp_path):
    seen = Seen(tmp_path, 60, 1000)
    seen.take(bytes(20), b"n" * 16, 1000)
    for now in (1000, 1060, 1119, 1121, 1150):
        with pytest.raises(NotSignedIn):
            seen.take(bytes(20), b"n" * 16, now)
    seen.take(b"o" * 20, b"n" * 16, 1150)
    seen.close()
    again = Seen(tmp_path, 60, 1151)
    for account in (bytes(20), b"o" * 20):
        with pytest.raises(NotSignedIn):
            again.take(account, b"n" * 16, 1151)
    for number in range(4):
        again.take(bytes(20), bytes([number] * 16), 1300 + 130 * number)
    again.take(bytes(20), b"n" * 16, 1700)
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 4 * 36
    again.close()


def test_a_torn_record_is_dropped(tmp_path):
    (tmp_path / "nonces.newer").write_bytes(b"a" * 36 + b"torn")
    seen = Seen(tmp_path, 60, 0)
    seen.take(b"b" * 20, b"b" * 16, 0)
    seen.close()
    assert (tmp_path / "nonces.newer").read_bytes() == b"a" * 36 + b"b" * 36


def test_one_member_cannot_fill_the_memory(tmp_path, monkeypatch):
    monkeypatch.setattr("node.api.access.seen.MAX_EACH", 3)
    seen = Seen(tmp_path, 60, 0)
    for number in range(3):
        seen.take(bytes(20), bytes([number] * 16), 0)
    with pytest.raises(TooMany):
        seen.take(bytes(20), b"x" * 16, 0)
    seen.take(b"o" * 20, b"x" * 16, 0)
    seen.close()


# ---- the registered address ---------------------------------------------------------------------------------------------


def test_a_new_address_on_chain_counts_at_once(service, net):
    """Members call the URL that the chain has, whatever is configured here yet."""
    guarded = guarded_over(service, net, key=bytes(net.accounts[0].key))
    try:
        view = guarded.access.door._view()
        moved = (replace(view.hospitals[0], url="https://moved.example"), *view.hospitals[1:])
        headers = guarded.signature("GET", "/v1/members", host="moved.example")
        assert status(guarded, "GET", "/v1/members", headers | {"Host": "moved.example"}) == 421
        guarded.views.append(replace(view, hospitals=moved))
        assert status(guarded, "GET", "/v1/members", headers | {"Host": "moved.example"}) == 200
        elsewhere = guarded.signature("GET", "/v1/members", host="moved.example:8470")
        assert status(guarded, "GET", "/v1/members", elsewhere | {"Host": "moved.example:8470"}) == 401
    finally:
        guarded.access.close()


# ---- streams ------------------------------------------------------------------------------------------------------------


async def streamed(guarded, headers: dict[str, str], between) -> tuple[list[bytes], bool]:
    """What a caller gets of an answer in three pieces, and whether it was cut; `between` the first and the second."""
    pieces: list[bytes] = []
    whole = []

    async def application(_scope, _receive, send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"1", "more_body": True})
        between()
        await send({"type": "http.response.body", "body": b"2", "more_body": True})
        await send({"type": "http.response.body", "body": b"3", "more_body": False})
        whole.append(True)

    async def receive() -> dict:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: dict) -> None:
        if message["type"] == "http.response.body":
            pieces.append(message["body"])
            if not message["more_body"]:
                pieces.append(b"end")

    fields = [(b"host", b"node-0"), *((name.lower().encode(), value.encode()) for name, value in headers.items())]
    scope = {
        "type": "http",
        "method": "GET",
        "path": "/v1/events",
        "raw_path": b"/v1/events",
        "query_string": b"",
        "scheme": "http",
    }
    await gate.Gate(application, guarded.access)(scope | {"headers": fields, "client": ("10.0.0.7", 1)}, receive, send)
    return pieces, not whole


async def test_a_stream_ends_when_its_token_is_revoked(guarded, operator, monkeypatch):
    assert await streamed(guarded, operator, lambda: None) == ([b"1", b"2", b"3", b"end"], False)
    monkeypatch.setattr(gate, "RECHECK_SECONDS", 0.0)
    assert await streamed(guarded, operator, lambda: None) == ([b"1", b"2", b"3", b"end"], False)
    revoke = partial(guarded.access.tokens.revoke, "operator here")
    assert await streamed(guarded, operator, revoke) == ([b"1", b"", b"end"], True)
    assert guarded.access.under_way._all == 0


@pytest.mark.parametrize("room", [0, 10])
def test_on_a_full_disk_no_signed_request_is_taken_and_none_is_half_remembered(tmp_path, room):
    class Full:
        def __init__(self, file):
            self.file = file

        def write(self, mark):
            if room == 0:
                raise OSError(28, "No space left on device")
            return self.file.write(mark[:room])

        def __getattr__(self, name):
            return getattr(self.file, name)

    seen = Seen(tmp_path, 60, 1000)
    seen.take(bytes(20), bytes(16), 1000)
    real = seen._file
    seen._file = Full(real)
    with pytest.raises(TooMany, match="must make room") as refused:
        seen.take(bytes(20), bytes([1]) * 16, 1000)
    assert refused.value.status == 503
    seen._file = real
    seen.take(bytes(20), bytes([2]) * 16, 1000)
    seen.close()
    assert (tmp_path / "nonces.newer").read_bytes() == bytes(36) + bytes(20) + bytes([2]) * 16
