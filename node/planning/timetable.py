"""When the next round is to be opened, by the plan in force. Pure: the clock is given."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from node.consortium.view import ConsortiumView
    from node.rounds.plan import Plan

HOUR = 3600
DAY = 86_400


@dataclass(frozen=True)
class Past:
    """What has happened so far, as far as the timetable asks."""

    opened_at: float | None = None
    """Unix seconds at which the newest round was opened; None before the first."""
    aborted: int = 0
    """Rounds aborted since the last one that was finalised."""
    finalised: int = 0
    """Rounds finalised by this plan."""


@dataclass(frozen=True)
class Opening:
    """When the next round is to be opened."""

    at: float | None
    """Unix seconds; None: not by the timetable, as things stand."""
    why: str
    """For people."""

    def due(self, now: float) -> bool:
        """Whether it is time."""
        return self.at is not None and self.at <= now


def next_opening(plan: Plan, past: Past, fresh: int, now: float) -> Opening:
    """The next opening by the plan's timetable.

    An aborted round is tried again at once, `round_seconds` after it was opened that is; the second in a row after twice that, and so
    on, at most a day or the plan's `every_hours`: members that are too few do not open one hopeless round after the other.

    Args:
        plan: The plan in force.
        past: What happened so far.
        fresh: Hospitals that have announced new data since the last finalised round.
        now: Unix seconds.
    """
    if not plan.scheduled:
        return Opening(None, "the plan in force has no timetable")
    if past.finalised >= plan.rounds:
        return Opening(None, f"the {plan.rounds} rounds of the plan in force are done: propose another plan to go on")
    times: list[tuple[float, str]] = []
    begun = past.opened_at
    again = None if begun is None or not past.aborted else begun + _patience(plan, past.aborted)
    if plan.every_hours:
        regular = now if begun is None else begun + plan.every_hours * HOUR
        times.append((again if again is not None else regular, f"every {plan.every_hours} h"))
    if plan.new_data_from and fresh >= plan.new_data_from:
        times.append((again or now, f"{fresh} hospitals have new data"))
    if not times:
        return Opening(None, f"{fresh} of {plan.new_data_from} hospitals have announced new data")
    at, why = min(times)
    if past.aborted:
        why = f"{why}; {past.aborted} aborted since the last finalised round"
    return Opening(into_hours(max(at, 0.0), plan.open_between), why)


def past_of(view: ConsortiumView, plan: Plan, opened_at: float | None) -> Past:
    """What the timetable asks of the rounds so far.

    Args:
        view: What the chain said so far.
        plan: The plan in force.
        opened_at: When the newest round was opened, Unix seconds; None before the first.
    """
    last = max((number for number, row in view.rounds.items() if row.finalised), default=0)
    digest = plan.digest  # taken once: it is computed anew each time, and a node looks several times a second
    return Past(
        opened_at=opened_at,
        aborted=sum(row.aborted for number, row in view.rounds.items() if number > last),
        finalised=sum(row.finalised and row.plan == digest for row in view.rounds.values()),
    )


def _patience(plan: Plan, aborted: int) -> float:
    longest = min(DAY, plan.every_hours * HOUR) if plan.every_hours else DAY
    return float(max(plan.round_seconds, min(longest, plan.round_seconds * 2 ** min(aborted - 1, 20))))


def into_hours(at: float, between: str) -> float:
    """The first moment from `at` on that lies within the hours.

    Args:
        at: Unix seconds.
        between: `HH:MM-HH:MM` in UTC, the start included and the end not; it may span midnight. Empty: any time.
    """
    if not between:
        return at
    start, end = (
        int(hour) * HOUR + int(minute) * 60 for hour, _, minute in (t.partition(":") for t in between.split("-"))
    )
    inside = (at - start) % DAY < (end - start) % DAY
    return at if inside else at + (start - at) % DAY
