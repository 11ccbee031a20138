"""Requests of strangers: bounded, one a hospital, gone when over; two who approve one request sign one motion."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from chain.votes import sign_vote
from node.errors import BadMotion, LyingPeer, PeerBusy
from node.membership import waitingroom
from node.membership.fingerprint import consortium_fingerprint, letters
from node.membership.invitation import Invitation
from node.membership.request import MAX_SECONDS, read_request, write_request
from node.membership.tally import tally
from node.membership.waitingroom import WaitingRoom
from node.rounds.plan import Plan
from tests.membership.support import ACCOUNTS, DEPLOYMENT, Peer, founded, hospital

NOW = 1_700_000_000
PLAN = Plan.create(classes=("ill", "well"), threshold=2)


def asked(k: int, deadline: int = NOW + 100, **changes: object) -> bytes:
    return write_request(hospital(k, **changes), deadline, DEPLOYMENT, ACCOUNTS[k]).encode()


def test_a_request_waits_until_its_hospital_is_admitted(tmp_path: Path) -> None:
    view = founded()
    with WaitingRoom(tmp_path / "requests.sqlite", DEPLOYMENT) as room:
        room.take(asked(4), view, NOW)
        room.take(asked(5), view, NOW + 1)
    with WaitingRoom(tmp_path / "requests.sqlite", DEPLOYMENT) as room:
        assert [each.hospital.name for each in room.waiting(view, NOW + 2)] == ["Hospital 4", "Hospital 5"]
        assert [each.hospital.name for each in room.waiting(founded(5), NOW + 2)] == ["Hospital 5"]
        assert room.waiting(founded(5), NOW + 101) == []
    assert (tmp_path / "requests.sqlite").stat().st_mode & 0o777 == 0o600


def test_who_asks_again_replaces_what_it_asked() -> None:
    with WaitingRoom(":memory:", DEPLOYMENT) as room:
        room.take(asked(4), founded(), NOW)
        room.take(asked(4, data_size=99), founded(), NOW)
        (found,) = room.waiting(founded(), NOW)
        assert found.hospital.data_size == 99
        room.put_away(found)
        assert room.waiting(founded(), NOW) == []


def test_strangers_cannot_fill_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waitingroom, "MAX_WAITING", 1)
    with WaitingRoom(":memory:", DEPLOYMENT) as room:
        room.take(asked(4), founded(), NOW)
        room.take(asked(4), founded(), NOW)
        with pytest.raises(PeerBusy, match="1 hospitals wait"):
            room.take(asked(5), founded(), NOW)
        room.take(asked(5, NOW + 200), founded(), NOW + 101)


def test_members_and_their_names_are_not_asked_for() -> None:
    with WaitingRoom(":memory:", DEPLOYMENT) as room:
        with pytest.raises(BadMotion, match="a member's account"):
            room.take(asked(1), founded(), NOW)
        with pytest.raises(BadMotion, match="is called 'Hospital 1'"):
            room.take(asked(4, name="Hospital 1"), founded(), NOW)
        assert room.waiting(founded(), NOW) == []


@pytest.mark.parametrize("deadline", [NOW - 1, NOW + MAX_SECONDS + 1, -5])
def test_a_deadline_lies_ahead_and_not_far(deadline: int) -> None:
    text = json.loads(asked(4))
    with pytest.raises(BadMotion, match="deadline"):
        read_request(json.dumps({**text, "deadline": deadline}).encode(), DEPLOYMENT, NOW)


def test_the_deadline_is_signed() -> None:
    text = json.loads(asked(4))
    with pytest.raises(BadMotion, match="not by the account"):
        read_request(json.dumps({**text, "deadline": NOW + 99}).encode(), DEPLOYMENT, NOW)


def test_members_who_approve_one_request_apart_sign_one_motion() -> None:
    one, other = Peer(0), Peer(1)
    for peer in (one, other):
        motion = read_request(asked(4), DEPLOYMENT, NOW).motion(peer.view.decisions, DEPLOYMENT)
        peer.book.add(motion, peer.account.address, sign_vote(motion.vote, DEPLOYMENT, peer.account))
    one.call(other)
    (motion,) = one.book.live()
    assert len(tally(motion, one.book.signatures(motion), one.view, NOW).signatures) == 2


def test_an_invitation_arrives_as_it_was_sent() -> None:
    sent = Invitation(DEPLOYMENT, "Hospital 0", PLAN, "1.2")
    assert Invitation.from_bytes(json.dumps(sent.to_json()).encode()) == sent
    assert Invitation.from_bytes(json.dumps({**sent.to_json(), "more": 1}).encode()) == sent, "of a newer member"
    bare = Invitation(DEPLOYMENT, "Hospital 0", None, "1.2")
    assert Invitation.from_bytes(json.dumps(bare.to_json()).encode()) == bare


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("deployment", None),
        ("deployment", {"chain_id": 1}),
        ("host", ""),
        ("host", "a\x1bb"),
        ("host", 7),
        ("plan", {"threshold": 2}),
        ("plan", []),
        ("version", "x" * 81),
    ],
)
def test_an_invitation_that_cannot_be_is_refused(field: str, value: object) -> None:
    good = Invitation(DEPLOYMENT, "Hospital 0", PLAN, "1.2").to_json()
    with pytest.raises(LyingPeer):
        Invitation.from_bytes(json.dumps({**good, field: value}).encode())


@pytest.mark.parametrize("data", [b"", b"\xff", b"[]", b"[" * 100_000, b"null"])
def test_what_is_no_invitation_is_refused(data: bytes) -> None:
    with pytest.raises(LyingPeer):
        Invitation.from_bytes(data)


@pytest.mark.parametrize("field", ["chain_id", "block", "consortium", "registry", "epochs", "rounds", "models"])
def test_a_consortiums_fingerprint_covers_chain_id_and_contracts(field: str) -> None:
    other = {"chain_id": 1, "block": 7, "consortium": bytes(32)}.get(field, "0x" + "9" * 40)
    assert consortium_fingerprint(replace(DEPLOYMENT, **{field: other})) != consortium_fingerprint(DEPLOYMENT)
    assert letters(" abcd-efgh ") == "ABCDEFGH"
