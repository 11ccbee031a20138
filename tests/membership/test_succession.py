"""A hospital's own side: its request to join, its next keys, what it derives, and waiting to be admitted."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from eth_account import Account

from chain.errors import ChainUnreachable
from crypto import secrets
from node.consortium.view import ConsortiumView
from node.epochs.backup import _NAME
from node.errors import BadConfig, BadMotion
from node.home import Home, create_identity, unlock_identity
from node.membership import succession, waiting
from node.membership.request import read_request, write_request
from node.membership.succession import is_due, next_account, prepare, succeed
from tests.membership.support import ACCOUNTS, DEPLOYMENT, founded, hospital

PASSWORD = "correct horse"
NOW = 10**9


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"MEMORY_KIB": 8, "PASSES": 1, "LANES": 1}.items():
        monkeypatch.setattr(secrets, name, value)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    place = Home(tmp_path / "h")
    create_identity(place, PASSWORD)
    return place


def agreed(home: Home) -> ConsortiumView:
    """A view in which the hospital answers to its next account."""
    account, box = prepare(home, PASSWORD)
    return ConsortiumView.of([hospital(0), hospital(1, account=account, box_key=box)])


def test_a_request_is_read_by_those_it_is_meant_for() -> None:
    asks = hospital(4)
    text = write_request(asks, NOW + 60, DEPLOYMENT, ACCOUNTS[4])
    found = read_request(text.encode(), DEPLOYMENT, NOW)
    assert (found.hospital, found.deadline) == (asks, NOW + 60)
    with pytest.raises(BadMotion, match="another consortium"):
        read_request(text.encode(), replace(DEPLOYMENT, registry="0x" + "5" * 40), NOW)


def test_nobody_asks_with_anothers_account() -> None:
    text = write_request(hospital(4), NOW, DEPLOYMENT, ACCOUNTS[5])
    with pytest.raises(BadMotion, match="not by the account it names"):
        read_request(text.encode(), DEPLOYMENT, NOW)


@pytest.mark.parametrize("field", ["account", "box_key", "data_size", "name", "url"])
def test_every_field_of_a_request_is_signed(field: str) -> None:
    found = json.loads(write_request(hospital(4), NOW, DEPLOYMENT, ACCOUNTS[4]))
    other = json.loads(write_request(hospital(5), NOW, DEPLOYMENT, ACCOUNTS[5]))
    found["hospital"][field] = other["hospital"][field]
    with pytest.raises(BadMotion):
        read_request(json.dumps(found).encode(), DEPLOYMENT, NOW)


@pytest.mark.parametrize(
    "text", [b"", b"[]", b"\xff", b"{" * 4000, b"{" * 5000, b'{"hospital":{},"signature":""}', b" " * 5000]
)
def test_what_is_no_request_is_refused(text: bytes) -> None:
    with pytest.raises(BadMotion):
        read_request(text, DEPLOYMENT, NOW)


def test_next_keys_are_made_once(home: Home) -> None:
    assert next_account(home) is None
    first = prepare(home, PASSWORD)
    assert prepare(home, PASSWORD) == first
    assert next_account(home) == first[0]
    assert unlock_identity(home, PASSWORD).account.address != first[0], "the present ones stay until the members agree"
    assert all(path.stat().st_mode & 0o077 == 0 for path in home.secrets.iterdir())


def test_keys_are_exchanged_when_the_chain_says_so(home: Home) -> None:
    before = unlock_identity(home, PASSWORD)
    view = agreed(home)
    assert not is_due(home, founded())
    assert is_due(home, view)
    succeed(home, before)
    after = unlock_identity(home, PASSWORD)
    assert str(after.account.address) == view.hospitals[1].account
    assert after.box.public == view.hospitals[1].box_key
    assert after.derive(b"label") == before.derive(b"label"), "own secrets outlive the account"
    assert after.derive(b"label") != after.derive(b"other")
    kept = home.secrets / f"account.{str(before.account.address).lower()}.json"
    assert Account.decrypt(json.loads(kept.read_text()), PASSWORD) == before.account.key
    assert not is_due(home, view)


@pytest.mark.parametrize("step", ["write_private", "rename_private"])
@pytest.mark.parametrize("place", [0, 1])
def test_a_crash_between_two_steps_is_resumed(
    home: Home, monkeypatch: pytest.MonkeyPatch, step: str, place: int
) -> None:
    before, view = unlock_identity(home, PASSWORD), agreed(home)
    real, calls = getattr(succession, step), []

    def dies(*arguments: object) -> None:
        if len(calls) == place:
            raise KeyError("killed")
        calls.append(1)
        real(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(succession, step, dies)
        with pytest.raises(KeyError):
            succeed(home, before)
    assert is_due(home, view), "the account is exchanged last"
    succeed(home, unlock_identity(home, PASSWORD))
    after = unlock_identity(home, PASSWORD)
    assert (str(after.account.address), after.box.public) == (view.hospitals[1].account, view.hospitals[1].box_key)
    assert after.derive(b"label") == before.derive(b"label")


def test_a_second_rotation_derives_from_the_same_root(home: Home) -> None:
    first = unlock_identity(home, PASSWORD)
    for _ in range(2):
        agreed(home)
        succeed(home, unlock_identity(home, PASSWORD))
    assert unlock_identity(home, PASSWORD).derive(b"label") == first.derive(b"label")


def test_a_damaged_next_account_is_named(home: Home) -> None:
    home.next_account_file.write_text("{}")
    with pytest.raises(BadConfig, match=r"account\.next\.json"):
        next_account(home)


def test_all_of_it_goes_into_a_backup(home: Home) -> None:
    agreed(home)
    succeed(home, unlock_identity(home, PASSWORD))
    prepare(home, PASSWORD)
    names = [f"secrets/{path.name}" for path in home.secrets.iterdir()]
    assert len(names) == 6
    assert all(_NAME.fullmatch(name) for name in names), names


class Chain:
    """A chain on which a hospital is admitted after some looks."""

    funds = 10**18

    def __init__(self, views: list[ConsortiumView | None]) -> None:
        self.views = views

    def balance(self, _account: str) -> int:
        return self.funds

    def gas_price(self) -> int:
        return 1

    def verify(self) -> None:
        pass


class Follower:
    def __init__(self, chain: Chain) -> None:
        self.chain = chain
        self.view = ConsortiumView()

    def look(self) -> None:
        found = self.chain.views.pop(0)
        if found is None:
            raise ChainUnreachable("http://chain", 1, OSError())
        self.view = found


def waits(home: Home, monkeypatch: pytest.MonkeyPatch, *views: ConsortiumView | None) -> str:
    chain = Chain(list(views))
    monkeypatch.setattr(waiting, "Chain", lambda *_: chain)
    monkeypatch.setattr(waiting, "Follower", Follower)
    monkeypatch.setattr(waiting, "LOOK_SECONDS", 0.0)
    monkeypatch.setattr(waiting, "read_deployment", lambda _home: DEPLOYMENT)
    monkeypatch.setattr(Home, "config", lambda _home: type("C", (), {"chain": type("D", (), {"rpc": "http://x"})}))
    found = waiting.until_member(home, unlock_identity(home, PASSWORD))
    assert chain.views == []
    return str(found.account.address)


def test_a_daemon_waits_until_its_hospital_is_admitted(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    mine = unlock_identity(home, PASSWORD)
    joined = ConsortiumView.of([hospital(0), hospital(1, account=str(mine.account.address))])
    assert waits(home, monkeypatch, founded(1), None, founded(1), joined) == mine.account.address


def test_what_it_waits_for_is_said_once_and_again_when_it_changes(
    home: Home, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    mine = str(unlock_identity(home, PASSWORD).account.address)
    joined = ConsortiumView.of([hospital(0), hospital(1, account=mine)])
    monkeypatch.setattr(Chain, "funds", 0)
    waits(home, monkeypatch, founded(1), founded(1), founded(3), joined)
    said = [record.getMessage() for record in caplog.records if "waiting for" in record.getMessage()]
    assert len(said) == 2
    assert "1 of 1 members" in said[0]
    assert "for funds" in said[0]
    assert "2 of 3 members" in said[1]


def test_a_daemon_that_missed_its_rotation_starts_with_the_next_keys(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    view = agreed(home)
    assert waits(home, monkeypatch, view) == view.hospitals[1].account


def test_who_was_removed_is_told(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    mine = str(unlock_identity(home, PASSWORD).account.address)
    view = ConsortiumView.of([hospital(0), hospital(1, account=mine)])
    left = replace(view, standing=replace(view.standing, members=frozenset({0})))
    with pytest.raises(BadConfig, match="is none any more"):
        waits(home, monkeypatch, left)
