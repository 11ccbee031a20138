"""Specifications of faults: what is read, what is refused, what a seed draws."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.demo.faults.spec import (
    BESIDES,
    KINDS,
    LEADER,
    MOMENTS,
    OPENER,
    SEALING,
    Fault,
    draw_fault,
    parse_fault,
)
from node.demo.options import DemoOptions
from node.errors import BadInput


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("kill:member-2@sealing", Fault("kill", "member-2", 12.0, 1, "sealing", 0.0)),
        ("pause:leader:20@3.propose+0.5", Fault("pause", "leader", 20.0, 3, "propose", 0.5)),
        ("restart:opener:0@2.open", Fault("restart", "opener", 0.0, 2, "open", 0.0)),
        ("kill:ipfs:8@2.open", Fault("kill", "ipfs", 8.0, 2, "open", 0.0)),
        ("kill:anvil@sign", Fault("kill", "anvil", 12.0, 1, "sign", 0.0)),
        ("clock:member-1:-30@2.train", Fault("clock", "member-1", -30.0, 2, "train", 0.0)),
        ("cut@ceremony", Fault("cut", "member-1", 12.0, 1, "ceremony", 0.0)),
    ],
)
def test_a_fault_is_read_as_it_is_written(text: str, fault: Fault) -> None:
    assert parse_fault(text, 4, 5) == fault


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("kill", "write KIND"),
        ("kill:member-0@train", "write KIND"),
        ("burn:member-1@train", "no fault 'burn'"),
        ("kill:member-5@train", "member-1 to member-4"),
        ("kill:member-1@lunch", "no phase 'lunch'"),
        ("kill:member-1@6.train", "only 5 rounds"),
        ("cut:anvil@train", "anvil can be killed, paused or restarted"),
        ("clock:ipfs@train", "ipfs can be killed, paused or restarted"),
        ("kill:opener@ceremony", "who is opener is not known"),
        ("disk-full:leader@train", "name a member"),
        ("kill:leader@ceremony", "name a member"),
        ("kill:member-1:-3@train", "0 seconds or longer"),
        ("kill:member-1:700@train", "at most 600"),
        ("random:x", "write KIND"),
        ("kill:member-1@train\n", "write KIND"),
    ],
)
def test_a_refusal_says_what_to_write_instead(text: str, word: str) -> None:
    with pytest.raises(BadInput, match=word):
        parse_fault(text, 4, 5)


@given(seed=st.integers(0, 10**18 - 1), hospitals=st.integers(2, 64), rounds=st.integers(1, 200))
def test_a_seed_always_draws_the_same_fault_and_it_can_be_written_down(seed: int, hospitals: int, rounds: int) -> None:
    fault = parse_fault(f"random:{seed}", hospitals, rounds)
    assert fault == draw_fault(seed, hospitals, rounds)
    assert parse_fault(str(fault), hospitals, rounds) == fault


def test_fifty_seeds_meet_everything_that_can_go_wrong() -> None:
    drawn = [draw_fault(seed, 4, 5) for seed in range(50)]
    members = Counter(fault.kind for fault in drawn if fault.victim not in BESIDES)
    assert members == dict.fromkeys(KINDS, 5)
    assert Counter(fault.victim for fault in drawn if fault.victim in BESIDES) == dict.fromkeys(BESIDES, 5)
    moments = Counter(fault.moment for fault in drawn)
    assert set(moments) == {*MOMENTS, SEALING}
    assert min(moments.values()) >= 4
    assert {LEADER, OPENER} <= {fault.victim for fault in drawn}
    assert {fault.delay == 0 for fault in drawn} == {True, False}


@given(block=st.integers(0, 10**15))
def test_ten_seeds_meet_every_kind_and_twelve_every_moment(block: int) -> None:
    of_ten = [draw_fault(10 * block + place, 4, 5) for place in range(10)]
    assert len({fault.victim if fault.victim in BESIDES else fault.kind for fault in of_ten}) == 10
    assert len({draw_fault(12 * block + place, 4, 5).moment for place in range(12)}) == 12


def test_a_demo_checks_its_fault_before_anything_starts(tmp_path) -> None:
    with pytest.raises(BadInput, match="no fault"):
        DemoOptions(out=tmp_path, fault="burn@train")
    with pytest.raises(BadInput, match="choose one"):
        DemoOptions(out=tmp_path, fault="kill@train", attack="noise@1")
