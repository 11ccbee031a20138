"""Motions as bytes: what is written is read again, what is hostile is refused by name, and nobody fills another's disk."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from pathlib import Path
from types import SimpleNamespace

import pytest
from fastapi.testclient import TestClient
from hypothesis import given
from hypothesis import strategies as st

from chain.conduct import Fault
from chain.votes import Admission, Finding, PlanDecision, Removal, Resizing, Rotation, Vote, sign_vote
from node.api.app import create_app
from node.calling import MemberAuth
from node.errors import BadMotion
from node.membership import motion as module
from node.membership.book import MAX_LIVE_OF_ONE, MotionBook
from node.membership.fingerprint import fingerprint
from node.membership.motion import MAX_SIGNATURES, Motion, pack, unpack
from tests.api.access.support import access_over
from tests.membership.support import ACCOUNTS, DEPLOYMENT, LATER, Peer, digest, hospital

ONE = ACCOUNTS[1].address
VOTES: list[Vote] = [
    Admission(hospital=hospital(4, name='H "é" [x', url=""), decision=3, deadline=LATER),
    Removal(account=ONE, decision=0, deadline=LATER),
    Rotation(account=ONE, new_account=ACCOUNTS[4].address, new_box_key=digest("b"), decision=1, deadline=LATER),
    Resizing(account=ONE, data_size=2**32 - 1, decision=1, deadline=LATER),
    PlanDecision(plan=digest("plan"), admitted=False, decision=9, deadline=LATER),
    Finding(round=7, fault=Fault.UNREVEALED, members=1 << 255 | 1, evidence=digest("e")),
]


def signed(vote: Vote, *members: int) -> tuple[Motion, list[bytes]]:
    return Motion.of(vote, DEPLOYMENT), [sign_vote(vote, DEPLOYMENT, ACCOUNTS[k]) for k in members]


@pytest.mark.parametrize("vote", VOTES, ids=lambda vote: type(vote).__name__)
def test_what_is_written_is_read_again(vote: Vote) -> None:
    motion, signatures = signed(vote, 0, 1)
    assert unpack(pack([(motion, signatures)]), DEPLOYMENT) == [(motion, tuple(signatures))]
    assert Motion.from_text(motion.text(), DEPLOYMENT) == motion
    assert [motion.signer(s, DEPLOYMENT) for s in signatures] == [a.address for a in ACCOUNTS[:2]]


def test_a_motion_of_another_consortium_has_another_id() -> None:
    from dataclasses import replace

    other = replace(DEPLOYMENT, registry="0x" + "5" * 40)
    assert Motion.of(VOTES[1], DEPLOYMENT).id != Motion.of(VOTES[1], other).id


def row(vote: Vote = VOTES[0], **changes: object) -> dict:
    found = Motion.of(vote, DEPLOYMENT).to_json()
    return {**found, "vote": {**found["vote"], **changes}}


@pytest.mark.parametrize(
    ("found", "named"),
    [
        ([], "object"),
        ({"kind": "Outcome", "vote": {}}, "kind"),
        ({"kind": [], "vote": {}}, "kind"),
        (row() | {"more": 1}, "object"),
        (row(decision="3"), "decision"),
        (row(decision=-1), "decision"),
        (row(deadline=True), "deadline"),
        (row(deadline=1.5), "deadline"),
        (row(hospital={}), "Hospital"),
        (row(hospital=row()["vote"]["hospital"] | {"url": "file:///etc/passwd"}), "url"),
        (row(hospital=row()["vote"]["hospital"] | {"name": "a\u202eb"}), "name"),
        (row(hospital=row()["vote"]["hospital"] | {"box_key": "zz" * 32}), "box_key"),
        (row(hospital=row()["vote"]["hospital"] | {"data_size": 0}), "data_size"),
        (row(VOTES[1], account="0x12"), "account"),
        (row(VOTES[1], account=5), "account"),
        (row(VOTES[5], members="-1"), "members"),
        (row(VOTES[5], members="1" * 65), "members"),
        (row(VOTES[5], fault=int(Fault.EQUIVOCATION)), "fault"),
        (row(VOTES[5], fault=99), "fault"),
        (row(VOTES[5], evidence="00"), "evidence"),
    ],
)
def test_what_is_no_motion_is_refused_by_name(found: object, named: str) -> None:
    with pytest.raises(BadMotion, match=named):
        Motion.from_json(found, DEPLOYMENT)


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"\xff",
        b"[]",
        b'{"motions":1}',
        b'{"motions":[],"x":1}',
        b'{"motions":[' + b"[" * 5000,
        json.dumps({"motions": [row()] * 129}).encode(),
        b" " * (module.MAX_MESSAGE_BYTES + 1),
        json.dumps({"motions": [row() | {"signatures": ["00" * 65] * (MAX_SIGNATURES + 1)}]}).encode(),
        json.dumps({"motions": [row() | {"signatures": ["00" * 65] * 300}] * 2}).encode(),
        json.dumps({"motions": [row() | {"signatures": ["00"]}]}).encode(),
    ],
    ids=range(11),
)
def test_messages_are_bounded(message: bytes) -> None:
    with pytest.raises(BadMotion):
        unpack(message, DEPLOYMENT)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(), lambda c: st.lists(c) | st.dictionaries(st.text(), c)
    )
)
def test_no_json_is_a_crash(found: object) -> None:
    for message in (found, {"motions": found}, {"motions": [found]}, {"motions": [row() | {"vote": found}]}):
        with contextlib.suppress(BadMotion):
            assert unpack(json.dumps(message).encode(), DEPLOYMENT) == []


def test_only_what_fits_is_packed() -> None:
    many = [signed(Removal(account=ONE, decision=0, deadline=LATER + k), 0) for k in range(200)]
    assert 0 < len(unpack(pack(many), DEPLOYMENT)) <= module.MAX_MOTIONS


# ---- between hospitals -------------------------------------------------------------------------------------------------


def test_signatures_spread_and_are_counted_once() -> None:
    peers = [Peer(k) for k in range(3)]
    motion = Motion.of(VOTES[1], DEPLOYMENT)
    for peer in peers[:2]:
        assert peer.book.add(motion, peer.account.address, sign_vote(motion.vote, DEPLOYMENT, peer.account))
    peers[2].call(peers[0])
    peers[2].call(peers[1])
    peers[0].call(peers[2])
    for peer in (peers[0], peers[2], peers[2]):
        assert set(peer.book.signatures(motion)) == {ACCOUNTS[0].address, ACCOUNTS[1].address}
    assert peers[0].exchange.heard(peers[2].exchange.told()) is False, "nothing is new twice"


def test_strangers_signatures_count_for_nothing() -> None:
    peer, motion = Peer(0), Motion.of(VOTES[1], DEPLOYMENT)
    stranger = sign_vote(motion.vote, DEPLOYMENT, ACCOUNTS[5])
    assert peer.exchange.heard(pack([(motion, [stranger])])) is False
    assert peer.book.live() == []


def test_a_broken_signature_leaves_the_others() -> None:
    peer, motion = Peer(0), Motion.of(VOTES[1], DEPLOYMENT)
    good = sign_vote(motion.vote, DEPLOYMENT, ACCOUNTS[2])
    assert peer.exchange.heard(pack([(motion, [bytes(65), good])])) is True
    assert list(peer.book.signatures(motion)) == [ACCOUNTS[2].address]


def test_a_member_cannot_fill_the_others_disks() -> None:
    peer = Peer(0)
    flood = [signed(Removal(account=ONE, decision=0, deadline=LATER + k), 2) for k in range(MAX_LIVE_OF_ONE + 5)]
    peer.exchange.heard(pack(flood))
    assert len(peer.book.live()) == MAX_LIVE_OF_ONE
    honest, signatures = signed(VOTES[3], 3)
    peer.exchange.heard(pack([(honest, signatures)]))
    assert honest in peer.book.live(), "others are heard all the same"


def test_a_signature_that_cannot_be_written_leaves_no_motion_and_locks_nobody_out(tmp_path: Path) -> None:
    book = MotionBook(tmp_path / "motions", DEPLOYMENT)
    motion, (signature,) = signed(VOTES[1], 2)
    full = "CREATE TEMP TRIGGER full BEFORE INSERT ON signatures BEGIN SELECT RAISE(FAIL, 'disk is full'); END"
    book._db.execute(full)
    with pytest.raises(sqlite3.Error, match="disk is full"):
        book.add(motion, ACCOUNTS[2].address, signature)
    with MotionBook(tmp_path / "motions", DEPLOYMENT) as other:
        assert other.live() == []
        assert other.add(motion, ACCOUNTS[2].address, signature)
    book._db.execute("DROP TRIGGER full")
    assert book.live() == [motion]
    assert book.add(motion, ACCOUNTS[2].address, signature) is False
    book.close()


def test_what_ended_is_not_taken_in_again() -> None:
    peer = Peer(0)
    motion, signatures = signed(VOTES[1], 1)
    peer.exchange.heard(pack([(motion, signatures)]))
    peer.book.end(motion, "carried out")
    fresh = Peer(1)
    fresh.book.add(motion, ACCOUNTS[1].address, signatures[0])
    peer.exchange.heard(fresh.exchange.told())
    assert peer.book.live() == []
    assert [how for _, how in peer.book.ended()] == ["carried out"]


def test_a_motion_is_found_by_the_beginning_of_its_id() -> None:
    peer = Peer(0)
    motion, signatures = signed(VOTES[1], 1)
    peer.book.add(motion, ACCOUNTS[1].address, signatures[0])
    assert peer.book.find(motion.id.hex()[:8]) == motion
    assert peer.book.find("0x" + motion.id.hex()) == motion
    for prefix in ("", "zz", "f" * 64):
        with pytest.raises(BadMotion, match="pending"):
            peer.book.find(prefix)


def test_a_fingerprint_names_both_keys() -> None:
    one = fingerprint(ONE, digest("a"))
    assert one != fingerprint(ONE, digest("b"))
    assert one != fingerprint(ACCOUNTS[2].address, digest("a"))
    assert [len(group) for group in one.split("-")] == [4] * 6


# ---- over HTTP --------------------------------------------------------------------------------------------------------


def test_a_peers_motions_are_heard_and_answered_with_ones_own() -> None:
    here, there = Peer(0), Peer(1)
    own, own_signatures = signed(VOTES[1], 0)
    theirs, their_signatures = signed(VOTES[3], 1)
    here.book.add(own, ACCOUNTS[0].address, own_signatures[0])
    there.book.add(theirs, ACCOUNTS[1].address, their_signatures[0])
    service = SimpleNamespace(
        config=SimpleNamespace(hospital=SimpleNamespace(name="H")),
        motions=here.exchange,
        access=access_over(here.view, DEPLOYMENT.consortium),
    )
    with TestClient(create_app(service)) as client:  # type: ignore[arg-type]
        assert client.post("/v1/motions", content=there.exchange.told()).status_code == 401
        client.auth = MemberAuth(bytes(ACCOUNTS[1].key), DEPLOYMENT.consortium)
        answer = client.post("/v1/motions", content=there.exchange.told())
        assert answer.status_code == 200
        there.exchange.heard(answer.content)
        assert {m.id for m in here.book.live()} == {m.id for m in there.book.live()} == {own.id, theirs.id}
        assert client.post("/v1/motions", content=b"{").status_code == 400
        assert client.post("/v1/motions", content=b" " * (module.MAX_MESSAGE_BYTES + 1)).status_code == 413
