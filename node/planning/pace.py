"""How fast this machine trains, and deadlines that fit: torch is loaded with this."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from node.learning.training import train
from node.rounds.plan import Plan

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from node.images.record import Dataset
    from node.learning.results import Progress
    from node.learning.settings import TrainingSettings

MEASURED_SECONDS = 5.0
"""How long `training_seconds` trains before it reckons the rest."""
SLACK = 3
"""Deadlines allow the others this many times what training took here."""
LEAST_COLLECT_SECONDS = 600
LEAST_CLOSING_SECONDS = 600
"""What a round has left after collecting, at least, to add, open, score and sign."""


class _Enough(Exception):  # noqa: N818  (no error: it ends a measurement)
    """Training has gone on long enough to know its pace."""


def training_seconds(
    base: NDArray[np.float32], images: Dataset, settings: TrainingSettings, budget: float = MEASURED_SECONDS
) -> float:
    """How long one round's training takes on this machine: a few seconds of it are done, the rest is reckoned.

    Args:
        base: A model of the plan's network, float32 [D].
        images: This hospital's.
        settings: How the plan trains.
        budget: Seconds to train.

    Raises:
        DataError: The images do not fit.
        LearningError: There is no such network.
    """
    marks: list[tuple[float, int, int]] = []

    def told(progress: Progress) -> None:
        marks.append((time.monotonic(), progress.step, progress.steps))
        if marks[-1][0] - marks[0][0] > budget:
            raise _Enough

    started = time.monotonic()
    try:
        train(base, images, settings, told)
    except _Enough:
        pass
    else:
        return time.monotonic() - started
    (first, _, _), (last, step, steps) = marks[0], marks[-1]
    # The first step is left out of the pace: it also loads and warms up what the others find ready.
    return (first - started) + (last - first) / (step - 1) * (steps - 1)


def with_deadlines(plan: Plan, seconds: float) -> Plan:
    """The plan with deadlines that fit a round's training, and with room for slower hospitals.

    Args:
        plan: The plan.
        seconds: How long training takes here, see `training_seconds`.

    Raises:
        BadPlan: Training takes longer than a plan can wait.
    """
    collect = max(LEAST_COLLECT_SECONDS, _rounded(SLACK * seconds))
    closing = max(LEAST_CLOSING_SECONDS, _rounded(seconds))
    fields = plan.model_dump()
    return Plan.of(fields | {"collect_seconds": collect, "round_seconds": collect + closing})


def _rounded(seconds: float) -> int:
    """Up to whole minutes."""
    return -(-int(seconds + 1) // 60) * 60
