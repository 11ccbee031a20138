"""Each route of the application by each kind of credentials: the right status, and a line in the log (issue 7, NOD-2).

Routes come from the application itself: a new one is covered without a word here.
"""

from __future__ import annotations

import json
import logging
import re
import time
from dataclasses import replace
from itertools import chain as joined

import pytest

from node.api.access.errors import UnguardedRoute
from node.api.access.roles import PEOPLE, Role
from node.api.access.table import TABLE, Router, routes_of, verify_guarded
from node.api.app import create_app
from tests.api.access.conftest import STRANGER, Guarded

ROLES = (*PEOPLE, Role.MEMBER)
ENDLESS = {"GET /v1/events"}
"""Streams that do not end: refusals are tried, being let in is tested by the stream's own tests."""
SAMPLE = {"number": "1", "index": "1", "epoch": "1", "cid": "ff" * 32, "model": "ff" * 32, "file:path": "js/main.js"}


def path_of(route: str) -> tuple[str, str]:
    """Method and a path of a route, with something in the place of its fields."""
    method, _, template = route.partition(" ")
    return method, re.sub(r"\{([^}]+)\}", lambda found: SAMPLE.get(found[1], "1"), template)


@pytest.fixture
def routes(guarded) -> list[str]:
    """Of the application as it is."""
    found = sorted(routes_of(guarded.http.app))
    assert len(found) > 30
    return found


def expect(guarded: Guarded, status: int, method: str, path: str, headers: dict[str, str], body: bytes = b"") -> None:
    answer = guarded.ask(method, path, headers, body)
    assert answer.status_code == status, f"{method} {path}: {answer.status_code} {answer.text[:300]}"
    if method != "HEAD":
        assert answer.headers["content-type"] == "application/problem+json"


def test_without_credentials_nothing_but_what_is_open(guarded, routes):
    for route in routes:
        if Role.ANYONE not in TABLE[route].who:
            expect(guarded, 401, *path_of(route), {})


@pytest.mark.parametrize("role", ROLES)
def test_a_role_may_call_its_own_routes_and_no_others(guarded, routes, role):
    for route in routes:
        method, path = path_of(route)
        rule = TABLE[route]
        if role not in rule.who and Role.ANYONE not in rule.who:
            expect(guarded, 403, method, path, guarded.credentials(role, method, path))
        elif route not in ENDLESS:
            answer = guarded.ask(method, path, guarded.credentials(role, method, path))
            assert answer.status_code not in {401, 403}, f"{route}: {answer.text}"


def broken_tokens(guarded: Guarded) -> dict[str, str]:
    tokens = guarded.access.tokens
    expired = tokens.create("expired", Role.OPERATOR, 1e-9).secret
    revoked = tokens.create("revoked", Role.OPERATOR, 1)
    tokens.revoke(revoked.token.id)
    return {
        "expired": expired,
        "revoked": revoked.secret,
        "unknown": "mw_" + "A" * 43,
        "cut": guarded.tokens[Role.OPERATOR][:-1],
        "empty": "",
    }


@pytest.mark.parametrize("kind", ["expired", "revoked", "unknown", "cut", "empty"])
def test_a_token_that_does_not_hold_opens_nothing(guarded, routes, kind):
    secret = broken_tokens(guarded)[kind]
    for route in routes:
        expect(guarded, 401, *path_of(route), {"Authorization": f"Bearer {secret}"})


def test_another_scheme_opens_nothing(guarded):
    expect(guarded, 401, "GET", "/v1/status", {"Authorization": "Basic b3BlcmF0b3I6eA=="})


def forged(guarded: Guarded, method: str, path: str) -> dict[str, str]:
    """A stranger's signature under a member's name."""
    own, theirs = guarded.signature(method, path), guarded.signature(method, path, key=STRANGER)
    account = re.compile(r'keyid="0x\w+"')
    name = account.search(own["Signature-Input"])[0]
    return {**theirs, "Signature-Input": account.sub(name, theirs["Signature-Input"])}


SIGNATURES = {
    "forged": (401, forged),
    "of a stranger": (403, lambda g, m, p: g.signature(m, p, key=STRANGER)),
    "for another hospital": (401, lambda g, m, p: g.signature(m, p, host="node-1")),
    "for another consortium": (401, lambda g, m, p: g.signature(m, p, consortium=bytes(32))),
    "for another path": (401, lambda g, m, p: g.signature(m, p + "x")),
    "for another query": (401, lambda g, m, p: g.signature(m, p + "?a=b")),
    "for another method": (401, lambda g, m, p: g.signature("PATCH", p)),
    "old": (401, lambda g, m, p: g.signature(m, p, now=time.time() - 61.5)),
    "of the future": (401, lambda g, m, p: g.signature(m, p, now=time.time() + 120)),
    "half": (401, lambda g, m, p: {"Signature": g.signature(m, p)["Signature"]}),
    "nonsense": (401, lambda *_: {"Signature": "x", "Signature-Input": "y"}),
}


@pytest.mark.parametrize(("status", "make"), SIGNATURES.values(), ids=SIGNATURES)
def test_a_signature_that_does_not_hold_opens_nothing(guarded, routes, status, make):
    for route in routes:
        method, path = path_of(route)
        expect(guarded, status, method, path, make(guarded, method, path))


def test_a_request_that_was_sent_before_is_refused(guarded, routes):
    for route in set(routes) - ENDLESS:
        method, path = path_of(route)
        headers = guarded.signature(method, path)
        guarded.ask(method, path, headers)
        expect(guarded, 401, method, path, headers)


def test_a_replay_is_refused_after_a_restart_too(guarded):
    headers = guarded.signature("GET", "/v1/members")
    assert guarded.ask("GET", "/v1/members", headers).status_code == 200
    from node.api.access.seen import Seen

    guarded.access.door._seen = Seen(guarded.access.book._directory, 60, time.time())
    expect(guarded, 401, "GET", "/v1/members", headers)


def test_a_body_that_is_too_long_is_refused(guarded, routes):
    for route in set(routes) - ENDLESS:
        method, path = path_of(route)
        rule = TABLE[route]
        body = bytes(rule.body + 1)
        for role in sorted(rule.who):
            expect(guarded, 413, method, path, guarded.credentials(role, method, path, body), body)
            break


def test_a_body_must_be_under_the_signature(guarded):
    body = b"a message"
    bare = guarded.signature("POST", "/v1/gossip")
    expect(guarded, 401, "POST", "/v1/gossip", bare, body)
    expect(guarded, 401, "POST", "/v1/gossip", guarded.signature("POST", "/v1/gossip", b"another!!"), body)
    covered = guarded.signature("POST", "/v1/gossip", body)
    expect(guarded, 401, "POST", "/v1/gossip", {k: v for k, v in covered.items() if k != "Content-Digest"}, body)


TRAVERSALS = [
    "..%2F..%2Fsecrets%2Faccount.json",
    "%2e%2e%2fbox.sealed",
    "..%5C..%5Cx",
    "%00",
    "....//....//etc",
    "%2Fetc%2Fpasswd",
]


@pytest.mark.parametrize("text", TRAVERSALS)
def test_a_path_that_climbs_reaches_nothing(guarded, routes, text):
    for route in routes:
        if "{" not in route or route in ENDLESS:
            continue
        method, _, template = route.partition(" ")
        path = re.sub(r"\{[^}]+\}", text, template)
        role = min(TABLE[route].who)
        answer = guarded.ask(method, path, guarded.credentials(role, method, path))
        assert 400 <= answer.status_code < 500, f"{method} {path}: {answer.status_code}"


def test_two_kinds_of_credentials_are_one_too_many(guarded):
    both = guarded.signature("GET", "/v1/members") | guarded.bearer(Role.OPERATOR)
    expect(guarded, 400, "GET", "/v1/members", both)


@pytest.mark.parametrize("method", ["OPTIONS", "TRACE", "PUT", "PATCH", "CONNECT", "BREW"])
def test_other_methods_are_none(guarded, method):
    headers = {"Origin": "https://elsewhere.example", "Access-Control-Request-Method": "GET"}
    answer = guarded.ask(method, "/v1/status", guarded.bearer(Role.OPERATOR) | headers)
    assert answer.status_code == 405
    assert answer.headers["allow"] == "GET"
    assert not [name for name in answer.headers if name.startswith("access-control-")]


def test_everything_that_was_refused_is_in_the_log(guarded, routes, caplog):
    """And no credentials are: not there, not in the daemon's log, not in an answer, not in the figures, not in OpenAPI."""
    caplog.set_level(logging.DEBUG)
    broken = broken_tokens(guarded)
    for route in set(routes) - ENDLESS:
        method, path = path_of(route)
        guarded.ask(method, path)
        guarded.ask(method, path, {"Authorization": f"Bearer {broken['revoked']}"})
        guarded.ask(method, path, forged(guarded, method, path))
        guarded.ask(method, path, guarded.bearer(Role.CLINICIAN))
        guarded.ask(method, path + "?token=" + guarded.tokens[Role.AUDITOR], guarded.bearer(Role.OPERATOR))
    guarded.ask("GET", f"/v1/transactions/{guarded.tokens[Role.AUDITOR]}", guarded.bearer(Role.OPERATOR))
    document = guarded.ask("GET", "/openapi.json", guarded.bearer(Role.OPERATOR)).text
    figures = guarded.ask("GET", "/metrics", guarded.bearer(Role.OPERATOR)).text
    lines = guarded.written()
    said = {line.get("request"): line["status"] for line in lines if "request" in line}
    refused = {number: a.status_code for number, (_, a) in guarded.answers.items() if a.status_code >= 400}
    assert len(refused) > 100
    assert {number: said.get(number) for number in refused} == refused
    by_request = {line["request"]: line for line in lines if "request" in line}
    assert all(by_request[number]["route"] for number in refused)
    places = {
        "access log": json.dumps(lines),
        "log": "\n".join(r.getMessage() for r in caplog.records if r.name not in {"httpx", "httpcore"}),
        "OpenAPI": document,
        "figures": figures,
        "headers": "".join(str(a.headers) for _, a in guarded.answers.values()),
    }
    secrets = [secret[3:] for secret in joined(guarded.tokens.values(), broken.values()) if secret]
    for place, text in places.items():
        leaks = [secret for secret in [*secrets, guarded.member.secret.hex()] if secret in text]
        assert leaks == [], f"in the {place}"
    for name, answer in guarded.answers.values():
        if guarded.tokens[Role.AUDITOR] not in name:
            assert not any(secret in answer.text for secret in secrets), name


# ---- the table --------------------------------------------------------------------------------------------------------


def test_a_route_without_a_row_is_not_served(guarded):
    app = create_app(guarded.service)
    app.get("/v1/secrets")(lambda: {"a": "secret"})
    app.mount("/files", app)
    with pytest.raises(UnguardedRoute, match=r"\* /files, GET /v1/secrets"):
        verify_guarded(app)
    expect(guarded, 404, "GET", "/v1/secrets", guarded.bearer(Role.OPERATOR))


def test_every_row_has_its_route(routes):
    assert set(TABLE) - set(routes) == set()


def test_the_table_finds_what_the_application_would(routes):
    router = Router()
    for route in routes:
        method, path = path_of(route)
        assert router.find(method, path).route == route


def test_only_what_has_to_be_is_open():
    """Whoever adds a row for anyone changes this list as well, and says why there."""
    opened = {route for route, rule in TABLE.items() if Role.ANYONE in rule.who}
    assert opened == {
        "GET /",
        "GET /ui/{file:path}",
        "GET /v1/health",
        "GET /v1/ready",
        "GET /v1/join",
        "POST /v1/join",
    }


def test_a_member_reads_nothing_of_this_hospitals_own():
    for route in (
        "GET /v1/training",
        "GET /v1/rounds/{number}",
        "GET /v1/models/{model}/file",
        "GET /v1/storage",
        "GET /metrics",
    ):
        assert Role.MEMBER not in TABLE[route].who
    assert {r for r, rule in TABLE.items() if Role.CLINICIAN in rule.who and "POST" in r} == {
        "POST /v1/session",
        "POST /v1/models/{model}/predict",
    }


def test_a_member_that_left_is_refused(guarded):
    """Its signature holds; its seat is empty."""
    view = guarded.access.door._view()
    without = replace(view, standing=replace(view.standing, members=view.members - {1}))
    guarded.access.door._view = lambda: without
    expect(guarded, 403, "GET", "/v1/members", guarded.signature("GET", "/v1/members"))


def test_an_account_that_was_exchanged_is_refused(guarded):
    view = guarded.access.door._view()
    hospitals = (view.hospitals[0], replace(view.hospitals[1], account="0x" + "ab" * 20), *view.hospitals[2:])
    guarded.access.door._view = lambda: replace(view, hospitals=hospitals)
    expect(guarded, 403, "GET", "/v1/members", guarded.signature("GET", "/v1/members"))
