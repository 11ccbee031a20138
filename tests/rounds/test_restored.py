"""A node restored from a backup sits out the rounds in which it may have spoken (OPS-3)."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from node.daemon.desk import Desk
from node.daemon.parts import Parts
from node.rounds.journal import Journal
from node.rounds.restored import REASON, forgot, last_forgotten, mark_restored


def test_a_node_that_was_never_restored_sits_out_nothing(tmp_path):
    assert last_forgotten(Journal(tmp_path / "j"), 9) == 0


def test_the_rounds_known_at_the_first_start_are_sat_out_and_no_later_ones(tmp_path):
    journal = Journal(tmp_path / "j")
    mark_restored(journal, "2026-11-21T00:00:00Z")
    assert last_forgotten(journal, 9) == 9
    journal.close()
    assert last_forgotten(Journal(tmp_path / "j"), 12) == 9, "its second start has forgotten nothing"


def test_a_second_restore_begins_anew_and_never_goes_back(tmp_path):
    journal = Journal(tmp_path / "j")
    mark_restored(journal, "a")
    last_forgotten(journal, 9)
    mark_restored(journal, "b")
    assert last_forgotten(journal, 4) == 9, "a chain that lags behind does not shorten it"
    mark_restored(journal, "c")
    assert last_forgotten(journal, 20) == 20


def test_what_updates_lost_before_is_let_go(tmp_path):
    journal = Journal(tmp_path / "j")
    for number in (1, 2):
        journal.keep_lost(number, b"x")
        if number == 1:
            journal.settle_lost(counted=True)
    mark_restored(journal, "a")
    assert journal.lost(counted=True) is None
    assert journal.lost(counted=False) is None


@pytest.mark.parametrize(("number", "open_", "aside"), [(3, True, True), (4, True, False), (3, False, False)])
def test_the_daemon_brings_nothing_to_a_forgotten_round_that_is_open(number, open_, aside, caplog):
    members = frozenset({0, 1})
    standing = SimpleNamespace(members=members, accounts=("0xa", "0xb"))
    view = SimpleNamespace(members=members, hospitals=[SimpleNamespace(account="0xa")])
    asked = []
    planning = SimpleNamespace(orders=SimpleNamespace(left=frozenset))
    keeper = SimpleNamespace(keys=asked.append)
    parts = SimpleNamespace(view=view, me=0, planning=planning, last_forgotten=3, keeper=keeper)
    row = SimpleNamespace(round=number, epoch=7, open=open_, standing=standing, resting=frozenset())
    assert Desk(parts).ports(row) is None, "this hospital holds no keys here"
    assert (REASON in caplog.text) == aside
    assert asked == ([] if aside else [7])


def test_what_a_peer_tells_of_this_hospital_and_it_does_not_know_is_sat_out_too(tmp_path):
    journal = Journal(tmp_path / "j")
    forgot(journal, 5)
    forgot(journal, 3)
    assert last_forgotten(journal, 9) == 5, "it was not restored: rounds it knows nothing of are others'"
    mark_restored(journal, "a")
    assert last_forgotten(journal, 7) == 7
    forgot(journal, 8)
    assert last_forgotten(journal, 9) == 8


def test_the_daemon_leaves_the_round_at_once_and_says_so(tmp_path, caplog):
    left = []
    parts = SimpleNamespace(
        loop=SimpleNamespace(call_soon_threadsafe=lambda call, *arguments: call(*arguments)),
        last_forgotten=3,
        journal=Journal(tmp_path / "j"),
        conductor=SimpleNamespace(leave=lambda number, why: left.append((number, why))),
    )
    parts._sit_out = lambda number: Parts._sit_out(parts, number)
    for number in (2, 6, 6, 4):
        Parts._forgotten(parts, SimpleNamespace(round=number))
    assert [number for number, _ in left] == [6]
    assert parts.last_forgotten == 6
    assert last_forgotten(parts.journal, 9) == 6
    assert caplog.text.count("the directory is older than what it said") == 1
