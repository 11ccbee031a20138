"""When rounds are opened: every N hours, for new data, within hours, not again and again where rounds cannot end."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.planning.timetable import DAY, HOUR, Past, into_hours, next_opening
from node.rounds.plan import Plan

MIDNIGHT = 20_000 * DAY


def plan(**fields):
    return Plan.create(**{"classes": ("a", "b"), "rounds": 5} | fields)


def test_the_first_round_is_due_at_once_and_the_next_after_the_hours():
    timed = plan(every_hours=24)
    assert next_opening(timed, Past(), 0, MIDNIGHT).due(MIDNIGHT)
    past = Past(opened_at=MIDNIGHT, finalised=1)
    assert next_opening(timed, past, 0, MIDNIGHT + 60).at == MIDNIGHT + DAY
    assert not next_opening(timed, past, 0, MIDNIGHT + 60).due(MIDNIGHT + DAY - 1)
    assert next_opening(timed, past, 0, MIDNIGHT + 3 * DAY).due(MIDNIGHT + 3 * DAY), (
        "a node that was off is late, not lost"
    )


def test_enough_hospitals_with_new_data_open_one():
    timed = plan(new_data_from=2)
    past = Past(opened_at=MIDNIGHT, finalised=1)
    waiting = next_opening(timed, past, 1, MIDNIGHT + 60)
    assert (waiting.at, waiting.why) == (None, "1 of 2 hospitals have announced new data")
    assert next_opening(timed, past, 2, MIDNIGHT + 60).due(MIDNIGHT + 60)
    both = plan(new_data_from=2, every_hours=24)
    assert next_opening(both, past, 1, MIDNIGHT + 60).at == MIDNIGHT + DAY
    assert next_opening(both, past, 2, MIDNIGHT + 60).at == MIDNIGHT + 60, "whichever comes first"


def test_it_ends_with_the_planned_rounds():
    done = next_opening(plan(every_hours=1, rounds=5), Past(MIDNIGHT, 0, 5), 9, MIDNIGHT + DAY)
    assert done.at is None
    assert "propose another plan" in done.why
    assert next_opening(plan(), Past(), 9, MIDNIGHT).at is None


def test_aborted_rounds_are_tried_again_later_and_later():
    timed = plan(new_data_from=1, round_seconds=1200)
    tries = [next_opening(timed, Past(MIDNIGHT, aborted), 1, MIDNIGHT).at for aborted in (1, 2, 3, 4, 50)]
    assert [at - MIDNIGHT for at in tries] == [1200, 2400, 4800, 9600, DAY]
    regular = plan(every_hours=1, round_seconds=1200)
    assert next_opening(regular, Past(MIDNIGHT, 3), 0, MIDNIGHT).at == MIDNIGHT + HOUR, "never later than the timetable"


@pytest.mark.parametrize(
    ("hour", "between", "opens"),
    [(21, "20:00-06:00", 21), (5, "20:00-06:00", 5), (6, "20:00-06:00", 20), (12, "20:00-06:00", 20), (3, "", 3),
     (3, "08:00-16:00", 8), (16, "08:00-16:00", 32), (8, "08:00-16:00", 8)],
)  # fmt: skip
def test_hours_of_the_day_are_kept(hour, between, opens):
    assert into_hours(MIDNIGHT + hour * HOUR, between) == MIDNIGHT + opens * HOUR


@given(st.floats(0, 10 * DAY), st.integers(0, 1439), st.integers(0, 1439))
def test_an_opening_is_never_earlier_and_always_within_its_hours(at, start, end):
    if start == end:
        return
    between = f"{start // 60:02}:{start % 60:02}-{end // 60:02}:{end % 60:02}"
    moved = into_hours(at, between)
    assert at <= moved <= at + DAY
    assert (moved / 60 - start) % 1440 < (end - start) % 1440 + 1e-6
    assert into_hours(moved, between) == pytest.approx(moved, abs=1e-3)


def test_hours_move_the_opening_of_a_timetable():
    timed = plan(every_hours=12, open_between="20:00-06:00")
    past = Past(opened_at=MIDNIGHT + 2 * HOUR, finalised=1)
    assert next_opening(timed, past, 0, MIDNIGHT + 3 * HOUR).at == MIDNIGHT + 20 * HOUR
