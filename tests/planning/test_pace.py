"""How long a round's training takes here, reckoned from a part of it, and the deadlines that follow."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from node.errors import BadPlan
from node.images.phantom import generate
from node.learning.layouts import initial
from node.learning.training import train
from node.planning import pace
from node.planning.pace import training_seconds, with_deadlines
from node.rounds.plan import Plan
from node.work.learning import settings_of

PLAN = Plan.create(classes=("a", "b"), architecture="cnn", image_size=16, epochs=2, batch_size=8)


def test_the_rest_is_reckoned_from_the_steps_that_were_done(monkeypatch):
    """A step takes a second by this clock, the first ten: 30 steps, of which five seconds are enough."""
    torch.set_num_threads(1)
    images = generate(120, 32, 0)
    base = np.asarray(initial(PLAN.architecture, 2, 0))
    now, steps = [0.0], []

    class Clock:
        @staticmethod
        def monotonic() -> float:
            return now[0]

    def ticking(vector, dataset, settings, told):
        def counted(progress):
            now[0] += 10.0 if not steps else 1.0
            steps.append(progress.step)
            told(progress)

        return train(vector, dataset, settings, counted)

    monkeypatch.setattr(pace, "time", Clock)
    monkeypatch.setattr(pace, "train", ticking)
    assert training_seconds(base, images, settings_of(PLAN), budget=5.0) == 10 + 29
    assert len(steps) == 7, "it stops once it knows"
    steps.clear()
    assert training_seconds(base, images, settings_of(PLAN), budget=1e6) == 10 + 29, "what is done wholly is measured"


@pytest.mark.parametrize(("seconds", "collect", "whole"), [(1, 600, 1200), (400, 1260, 1860), (3599, 10800, 14400)])
def test_deadlines_leave_room_for_slower_hospitals(seconds, collect, whole):
    timed = with_deadlines(PLAN, seconds)
    assert (timed.collect_seconds, timed.round_seconds) == (collect, whole)
    assert timed.model_copy(update={"collect_seconds": 600, "round_seconds": 1200}) == PLAN


def test_a_training_that_no_round_can_wait_for_is_refused():
    with pytest.raises(BadPlan, match="collect_seconds"):
        with_deadlines(PLAN, 8 * 86_400)
