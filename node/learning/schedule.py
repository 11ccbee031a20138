"""How the learning rate moves while a model trains. Numbers only.

one-cycle   up along half a cosine in the first quarter, down along another in the rest (Smith & Topin 2019)
cosine      down along half a cosine (Loshchilov & Hutter 2017, eq. 5, one period)
constant    the peak throughout
"""

from __future__ import annotations

import math
from typing import Final, Literal, get_args

Schedule = Literal["one-cycle", "cosine", "constant"]
SCHEDULES: Final[tuple[str, ...]] = get_args(Schedule)

WARM_UP: Final = 0.25
"""Share of a one-cycle in which the rate rises."""

LOWEST: Final = 0.02
"""Share of the peak that a cycle starts from and both end at."""


def rate_share(schedule: str, done: float) -> float:
    """The learning rate as a share of its peak, in [0.02, 1], when ``done`` in [0, 1] of the schedule is over."""
    if schedule == "constant":
        return 1.0
    if schedule == "cosine":
        phase = 1 + done
    else:
        phase = done / WARM_UP if done < WARM_UP else 1 + (done - WARM_UP) / (1 - WARM_UP)
    height = (1 - math.cos(math.pi * phase)) / 2
    return LOWEST + (1 - LOWEST) * height


def across_rounds(number: int, rounds: int, last: float) -> float:
    """The peak of round ``number`` (0-based) of ``rounds`` as a share of the first's: half a cosine down to ``last``.

    A round beyond the planned ones keeps the lowest.
    """
    progress = min(1.0, number / max(1, rounds - 1))
    return last + (1 - last) * (1 + math.cos(math.pi * progress)) / 2
