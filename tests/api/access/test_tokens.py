"""Tokens and sessions: what is kept lets nobody in; ends are ends, at once and for every process."""

from __future__ import annotations

import sqlite3

import pytest

from node.api.access.roles import PEOPLE, Role
from node.api.access.sessions import (
    IDLE_SECONDS,
    LIFE_SECONDS,
    MAX_SESSIONS,
    NAME,
    SECURE_NAME,
    Sessions,
    cookie_in,
    set_cookie,
)
from node.api.access.tokens import DAY_SECONDS, Tokens, digest_of
from node.errors import BadEnvironment, BadInput


class Clock:
    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def tokens(tmp_path, clock):
    made = Tokens(tmp_path / "tokens.sqlite", clock)
    yield made
    made.close()


@pytest.mark.parametrize("role", PEOPLE)
def test_a_token_is_found_by_its_secret_alone(tokens, role):
    created = tokens.create("Dr Ada", role, 1)
    assert created.secret.startswith("mw_")
    found = tokens.find(created.secret)
    assert (found.name, found.role, found.expires - found.created) == ("Dr Ada", role, DAY_SECONDS)
    for wrong in (created.secret[:-1], created.secret + "A", created.secret[3:], "", "mw_" + "A" * 43):
        assert tokens.find(wrong) is None


def test_what_is_kept_does_not_hold_the_secret(tokens, tmp_path):
    secret = tokens.create("x", Role.OPERATOR).secret
    kept = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert digest_of(secret) in kept
    assert secret.encode() not in kept
    assert secret[3:].encode() not in kept
    assert all(path.stat().st_mode & 0o077 == 0 for path in tmp_path.iterdir())
    assert secret not in repr(tokens.create("y", Role.OPERATOR)) + repr(tokens.find(secret))


def test_it_ends_when_it_expires_and_not_before(tokens, clock):
    token = tokens.create("x", Role.AUDITOR, 2).token
    assert token.ended(clock.now + 2 * DAY_SECONDS - 1) is None
    assert "expired" in token.ended(clock.now + 2 * DAY_SECONDS)


def test_another_process_revokes_and_this_one_knows_at_once(tokens, tmp_path, clock):
    created = tokens.create("Dr Ada", Role.OPERATOR)
    assert tokens.find(created.secret).revoked is None
    other = Tokens(tmp_path / "tokens.sqlite", clock)
    assert [token.id for token in other.revoke("Dr Ada")] == [created.token.id]
    assert "revoked" in tokens.find(created.secret).ended(clock.now)
    assert other.revoke(created.token.id) == ()
    later = other.create("new", Role.CLINICIAN)
    assert tokens.find(later.secret).role is Role.CLINICIAN
    other.close()


def test_use_is_written_by_the_minute(tokens, tmp_path, clock):
    created = tokens.create("x", Role.OPERATOR)
    tokens.note_use(created.token)
    assert tokens.all()[0].used is None
    tokens.flush()
    assert tokens.all()[0].used == int(clock.now) // 60 * 60


@pytest.mark.parametrize(
    ("name", "role", "days"),
    [
        ("", Role.OPERATOR, 1),
        ("a\nb", Role.OPERATOR, 1),
        ("a" * 81, Role.OPERATOR, 1),
        ("a", Role.MEMBER, 1),
        ("a", Role.ANYONE, 1),
        ("a", Role.OPERATOR, 0),
        ("a", Role.OPERATOR, -1),
        ("a", Role.OPERATOR, 4000),
        ("a", Role.OPERATOR, float("nan")),
    ],
)
def test_a_wrong_argument_is_refused_by_its_name(tokens, name, role, days):
    with pytest.raises(BadInput, match="--"):
        tokens.create(name, role, days)


def test_what_is_not_there_cannot_be_revoked(tokens):
    with pytest.raises(BadInput, match="medweave token list"):
        tokens.revoke("nobody")


def test_a_file_that_is_none_is_refused(tmp_path):
    (tmp_path / "t").write_bytes(b"not a database, and long enough to be looked at" * 100)
    with pytest.raises(BadEnvironment, match="tokens"):
        Tokens(tmp_path / "t")


def test_a_busy_file_loses_no_use(tokens, tmp_path):
    created = tokens.create("x", Role.OPERATOR)
    tokens.note_use(created.token)
    tokens._file.execute("PRAGMA busy_timeout=10")
    other = sqlite3.connect(tmp_path / "tokens.sqlite", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(sqlite3.OperationalError):
        tokens.flush()
    other.execute("ROLLBACK")
    tokens.flush()
    assert tokens.all()[0].used is not None
    other.close()


def test_a_use_that_cannot_be_written_down_locks_nobody_out(tokens, tmp_path):
    created = tokens.create("x", Role.OPERATOR)
    tokens.note_use(created.token)
    full = "CREATE TEMP TRIGGER full BEFORE UPDATE ON tokens BEGIN SELECT RAISE(FAIL, 'disk is full'); END"
    tokens._file.execute(full)
    with pytest.raises(sqlite3.Error, match="disk is full"):
        tokens.flush()
    other = sqlite3.connect(tmp_path / "tokens.sqlite", isolation_level=None, timeout=0.1)
    other.execute("BEGIN IMMEDIATE")
    other.execute("ROLLBACK")
    other.close()
    tokens._file.execute("DROP TRIGGER full")
    tokens.flush()
    assert tokens.all()[0].used is not None


# ---- sessions -------------------------------------------------------------------------------------------------------


def test_a_session_ends_with_time_and_without_use(tokens, clock):
    sessions = Sessions(clock)
    token = tokens.create("x", Role.OPERATOR).token
    secret, ends = sessions.begin(token)
    assert ends == clock.now + LIFE_SECONDS
    assert sessions.token(secret) == (token.digest, ends)
    for _ in range(int(LIFE_SECONDS / IDLE_SECONDS) - 1):
        clock.now += IDLE_SECONDS
        assert sessions.token(secret)
    clock.now = ends
    assert sessions.token(secret) is None
    idle, _ = sessions.begin(token)
    clock.now += IDLE_SECONDS + 1
    assert sessions.token(idle) is None


def test_a_session_does_not_outlive_its_token(tokens, clock):
    token = tokens.create("x", Role.OPERATOR, 0.01).token
    assert Sessions(clock).begin(token)[1] == token.expires < clock.now + LIFE_SECONDS


def test_signing_out_ends_it_and_many_push_the_oldest_out(tokens, clock):
    sessions, token = Sessions(clock), tokens.create("x", Role.OPERATOR).token
    first, _ = sessions.begin(token)
    sessions.end(first)
    assert sessions.token(first) is None
    sessions.end("nonsense")
    second, _ = sessions.begin(token)
    for _ in range(MAX_SESSIONS):
        sessions.begin(token)
    assert sessions.token(second) is None


@pytest.mark.parametrize(("secure", "name"), [(False, NAME), (True, SECURE_NAME)])
def test_the_cookie_is_for_no_script_and_no_other_site(secure, name):
    header = set_cookie("abc", 60, secure=secure)
    assert header.startswith(f"{name}=abc; Path=/; Max-Age=60; HttpOnly; SameSite=Strict")
    assert ("Secure" in header) == secure
    assert cookie_in(header.partition(";")[0], secure=secure) == "abc"
    assert cookie_in(header.partition(";")[0], secure=not secure) is None, "nobody plants one from the other side"


@pytest.mark.parametrize("header", ["", "a=b", "\x00", "=;=", "medweave_session", "x" * 5000])
def test_a_cookie_header_that_names_no_session_is_none(header):
    assert cookie_in(header, secure=False) is None
