"""What a plan means: the numbers are those of the real sealing, the warnings come when they should and only then."""

from __future__ import annotations

import numpy as np
import pytest

from crypto.parameters import STANDARD
from crypto.sealing import Sealer
from node.planning.difference import difference
from node.planning.words import duration, explain, facts_of
from node.rounds.groups import draw_groups, tolerated_colluders
from node.rounds.plan import Plan
from tests.crypto.support import shortcut


def plan(**fields):
    return Plan.create(**{"classes": ("covid", "other"), "architecture": "cnn"} | fields)


def test_the_upload_is_what_sealing_gives():
    facts = facts_of(plan(), 4)
    joint, _ = shortcut(STANDARD, 3, 2)
    sealed = sum(map(len, Sealer(joint).seal(np.zeros(facts.parameters, np.int64))))
    assert facts.upload_bytes == sealed
    assert facts.plain_bytes == 4 * facts.parameters


@pytest.mark.parametrize("members", range(3, 14))
def test_groups_and_colluders_are_those_a_round_draws(members):
    facts = facts_of(plan(), members)
    sizes = [len(group) for group in draw_groups(b"seed", members, 3)]
    assert (facts.groups, facts.smallest_group) == (len(sizes), min(sizes))
    assert facts.tolerated_colluders == tolerated_colluders(sizes)
    assert facts.openers == -(-2 * members // 3)


@pytest.mark.parametrize(
    ("fields", "members", "said"),
    [
        ({"min_group": 1}, 6, "min_group is 1"),
        ({"min_group": 2}, 6, "min_group is 2"),
        ({}, 2, "cannot end a round"),
        ({}, 3, "One group of 3"),
        ({"defence": "suspicion", "min_group": 5, "sections": 5}, 10, "fills 3 ciphertexts"),
        ({"threshold": 3}, 6, "more than half"),
        ({"threshold": 7}, 6, "no more than all"),
        ({"threshold": 6}, 6, "one that is off stops every round"),
        ({"parameter_set": "minimal"}, 6, "protects nothing"),
        ({"slot_seconds": 300}, 6, "lead once"),
        ({"new_data_from": 7}, 6, "new_data_from is 7"),
        ({"every_hours": 1, "round_seconds": 7200}, 6, "delays the next"),
    ],
)
def test_a_warning_is_given_for_it(fields, members, said):
    (found,) = explain(plan(**fields), members).warnings
    assert said in found


@pytest.mark.parametrize(
    ("fields", "members", "said"),
    [
        ({}, 3, "1 sum is opened each round, of at least 3"),
        ({}, 7, "2 sums are opened each round, of at least 3"),
        (
            {"defence": "suspicion", "sections": 3},
            3,
            "1 sum of each of 3 sections of the model is opened each round, of",
        ),
        (
            {"defence": "suspicion", "sections": 2},
            7,
            "2 sums of each of 2 sections of the model are opened each round, of",
        ),
    ],
)
def test_what_is_opened_is_said_by_section(fields, members, said):
    explained = explain(plan(**fields), members)
    hides = " ".join(dict(explained.parts)["hides"])
    assert said in hides
    assert ("no value of an update is in two opened sums" in hides) == ("sections" in fields)
    assert explained.facts.sections == fields.get("sections", 1)


def test_a_difference_says_who_is_summed_with_whom():
    before = plan(defence="suspicion")
    (change,) = difference(before, plan(defence="suspicion", sections=3))
    assert (change.field, change.before, change.after) == ("sections", 1, 3)
    assert "who is summed with whom" in change.consequence


def test_a_sound_plan_is_not_warned_of():
    explained = explain(plan(every_hours=24, open_between="20:00-06:00"), 6)
    assert explained.warnings == ()
    said = " ".join(sentence for _, sentences in explained.parts for sentence in sentences)
    for expected in (
        "Any 4 of 6 members",
        "up to 1 colluding",
        "epsilon: none",
        "24 h after",
        "20:00 and 06:00 UTC",
        "all 10 take 9 days by the timetable",
        "20 min",
    ):
        assert expected in said


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(45, "45 s"), (1200, "20 min"), (12_000, "3 h 20 min"), (7200, "2 h"), (187_200, "2 days 4 h")],
)
def test_durations_read_like_speech(seconds, text):
    assert duration(seconds) == text


def test_a_difference_names_fields_and_consequences():
    changes = difference(plan(), plan(min_group=4, learning_rate="0.01"))
    assert [(c.field, c.before, c.after) for c in changes] == [("learning_rate", "0.002", "0.01"), ("min_group", 3, 4)]
    assert "hospital whose [rounds] min_group is higher refuses" in changes[1].consequence
    assert difference(plan(), plan()) == ()
