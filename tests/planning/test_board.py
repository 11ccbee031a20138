"""Data notices: signed by members, newest counts, hostile messages are refused by field, nothing is lost in a restart."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from node.consortium.records import RoundView
from node.errors import BadMotion
from node.planning.board import NoticeBoard
from node.planning.notices import MAX_NOTICES, DataNotice, SignedNotice, pack, unpack
from tests.membership.support import ACCOUNTS, DEPLOYMENT, digest, founded


def ended(number, *, finalised):
    return RoundView(
        number, 1, digest("plan"), bytes(32), bytes(32), "", 0, 0, 0, finalised=finalised, aborted=not finalised
    )


class World:
    """What the chain says, changed by the tests."""

    def __init__(self, root):
        self.root, self.view = root, founded()

    def board(self, k):
        return NoticeBoard(self.root / f"notices-{k}.json", DEPLOYMENT, lambda: self.view)

    def rounds(self, *finalised):
        rows = {number: ended(number, finalised=done) for number, done in enumerate(finalised, 1)}
        self.view = replace(self.view, rounds=rows)


@pytest.fixture
def world(tmp_path):
    return World(tmp_path)


def test_notices_travel_and_count_until_a_round_was_finalised(world):
    mine, other = world.board(0), world.board(1)
    assert mine.announce(10, digest("images"), ACCOUNTS[0])
    assert not mine.announce(10, digest("images"), ACCOUNTS[0]), "the same images are no news"
    assert other.heard(mine.told())
    assert not other.heard(mine.told()), "told again is no news"
    assert other.fresh(world.view) == mine.fresh(world.view) == {0}
    world.rounds(False)
    assert other.fresh(world.view) == {0}, "an aborted round has used nobody's data"
    world.rounds(False, True)
    assert other.fresh(world.view) == frozenset()
    mine.announce(12, digest("more images"), ACCOUNTS[0])
    other.heard(mine.told())
    assert other.fresh(world.view) == {0}
    assert other.of(ACCOUNTS[0].address).images == 12


def test_a_restart_forgets_nothing(world):
    board = world.board(0)
    board.announce(10, digest("images"), ACCOUNTS[0])
    again = world.board(0)
    assert again.told() == board.told()
    assert not again.announce(10, digest("images"), ACCOUNTS[0])
    (world.root / "notices-0.json").write_text("{")
    assert world.board(0).fresh(world.view) == frozenset(), "a damaged file is begun anew"


def test_strangers_former_members_and_older_notices_count_for_nothing(world):
    board, sender = world.board(0), world.board(1)
    sender.announce(5, digest("old"), ACCOUNTS[1])
    old = sender.told()
    sender.announce(6, digest("new"), ACCOUNTS[1])
    assert board.heard(sender.told())
    assert not board.heard(old)
    assert board.of(ACCOUNTS[1].address).images == 6
    stranger = SignedNotice.make(unpack(old)[0].notice, DEPLOYMENT, ACCOUNTS[-1])
    assert not board.heard(pack([stranger]))
    world.view = replace(world.view, standing=replace(world.view.standing, members=frozenset({0, 2})))
    assert board.fresh(world.view) == frozenset()
    assert unpack(board.told()) == ()


def test_nobody_announces_for_rounds_that_are_not_yet(world):
    """It would count as new for ever."""
    board = world.board(0)
    notice = DataNotice(images=1, digest=digest("x"), after=10**6, made_at=1)
    assert not board.heard(pack([SignedNotice.make(notice, DEPLOYMENT, ACCOUNTS[1])]))
    assert board.fresh(world.view) == frozenset()


@pytest.mark.parametrize("field", ["images", "digest", "after", "made_at"])
def test_every_field_is_signed(world, field):
    board, sender = world.board(0), world.board(1)
    world.rounds(True, True)
    sender.announce(5, digest("images"), ACCOUNTS[1])
    row = json.loads(sender.told())["notices"][0]
    row[field] = digest("other").hex() if field == "digest" else row[field] - 1
    assert not board.heard(json.dumps({"notices": [row]}).encode())


GOOD = {"images": 1, "digest": "00" * 32, "after": 0, "made_at": 1, "signature": "00" * 65}


@pytest.mark.parametrize(
    ("message", "said"),
    [
        (b"", "no JSON"),
        (b"\xff", "no JSON"),
        (b"[" * 600, "brackets"),
        (b"x" * (1 << 18), "bytes"),
        (b"[]", "expected an object"),
        (json.dumps({"notices": [GOOD] * (MAX_NOTICES + 1)}).encode(), "256"),
        *(
            (json.dumps({"notices": [GOOD | change]}).encode(), said)
            for change, said in [
                ({"images": -1}, "images"),
                ({"images": True}, "images"),
                ({"images": 2**32}, "images"),
                ({"digest": "00"}, "digest"),
                ({"digest": 5}, "digest"),
                ({"after": 1.5}, "after"),
                ({"made_at": None}, "made_at"),
                ({"signature": "zz" * 65}, "signature"),
                ({"patient": "Jane"}, "fields"),
            ]
        ),
    ],
)
def test_malformed_messages_are_refused_naming_the_field(message, said):
    with pytest.raises(BadMotion, match=said):
        unpack(message)
