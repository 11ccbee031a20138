"""What a round's verdicts state of its sums, read together: fewer than a third of liars move little, and frame nobody.

A verdict that states where the sums point is two rows: of each opened sum, how far it points where its issuer's own update
points (alignment), and how far where the loss of its issuer's own images falls (descent). Three things follow from the
rows, all in whole numbers, so that everybody who holds the same verdicts derives the same:

    levels    how far each sum points where the members' rows say, and how sure that is
    lagging   sums that point there clearly less than the best one of the round does, by both rows together
    opposing  members whose own rows say that their updates or their losses point against the others'

What a member states of its own update counts through `opposing` against itself alone.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

PPM: Final = 1_000_000
UNIT: Final = 100
"""Parts per million in one ten-thousandth of an alignment."""
FAR: Final = 3
"""A verdict whose groups differ so many times as much as the middle verdict's is not counted as a result."""
LEAST_GAP: Final = 100
"""A sum lags by so many ten-thousandths at least, beyond what chance explains."""
LEAST_NOISE: Final = 50
"""Least deviation of one statement, in ten-thousandths, that `opposing` reckons with."""
MOST_AGAINST: Final = 3_000
"""Most that one round says against a member by its own row, in thousandths of a nat."""
MOST_FOR: Final = 1_000
"""Most that it says for the member."""


def cosines(stated_ppm: Sequence[int]) -> tuple[int, ...]:
    """Cosines in parts per million of what verdicts state as (1 + cosine) / 2."""
    return tuple(2 * value - PPM for value in stated_ppm)


def added(aligned_ppm: Sequence[int], falling_ppm: Sequence[int]) -> tuple[int, ...]:
    """Alignments and descents as verdicts state them, as cosines added number by number, parts per million."""
    return tuple(a + b for a, b in zip(cosines(aligned_ppm), cosines(falling_ppm), strict=True))


def trimmed_mean(values: Sequence[int]) -> int:
    """The mean, rounded down, of what is left without the lowest and the highest third.

    Fewer liars than a third move it no further than honest values reach.
    """
    ordered, cut = sorted(values), (len(values) - 1) // 3
    kept = ordered[cut : len(ordered) - cut]
    return sum(kept) // len(kept)


def middle(values: Sequence[int]) -> int:
    """Number ⌊n/2⌋ of n values in ascending order; fewer liars than half move it no further than honest values reach."""
    return sorted(values)[len(values) // 2]


def credible(stated: Sequence[Sequence[int]]) -> list[tuple[int, ...]]:
    """What verdicts state of each group, without those whose groups differ `FAR` times as much as the middle verdict's do.

    Cutting off extremes group by group would leave a lie that praises one group and blames another half its effect.
    """
    rows = list(zip(*stated, strict=True))
    reach = [max(row) - min(row) for row in rows]
    if not rows:
        return [() for _ in stated]
    most = FAR * sorted(reach)[(len(reach) - 1) // 2]
    kept = [row for row, wide in zip(rows, reach, strict=True) if wide <= most]
    return list(zip(*kept, strict=True))


def noise(stated: Sequence[Sequence[int]]) -> int:
    """The deviation of a group's mean, ten-thousandths: from the middle of how far verdicts differ in the groups' contrasts.

    The middle value, so that liars cannot blind the test by making everything look uncertain.
    """
    rows = list(zip(*stated, strict=True))
    means = [sum(row) // len(row) for row in rows]
    away = []
    for values in stated:
        contrasts = [value - mean for value, mean in zip(values, means, strict=True)]
        centre = middle(contrasts)
        away += [abs(contrast - centre) for contrast in contrasts]
    deviation = 1483 * middle(away) // (1000 * UNIT)
    return deviation * 100 // math.isqrt(10_000 * len(rows))


def lagging(stated: Sequence[Sequence[int]], least: int) -> tuple[bool, ...]:
    """Which sums point less than half as far as the best one, and clearly so.

    Args:
        stated: Per sum, the cosines of alignment and descent that verdicts state, added, in parts per million, in one
            order of verdicts.
        least: So many verdicts must state them; of fewer, liars could be the half.
    """
    kept = credible(stated)
    if len(stated) < 2 or len(stated[0]) < least:
        return (False,) * len(stated)
    levels = [middle(values) // UNIT for values in kept]
    best, gap = max(levels), LEAST_GAP + noise(kept)
    return tuple(2 * level < best and best - level > gap for level in levels)


def opposing(stated: Sequence[Sequence[int]]) -> tuple[int, ...]:
    """How much each row speaks for an update that points against the others', thousandths of a nat; negative: along with them.

    The log-likelihood ratio between a row that points as far against the sums' levels as the middle row points along them,
    and one that does not point at all. A hospital whose data are merely odd points along with the others a little, and
    gains nothing by it.

    Args:
        stated: Per sum, the cosines that verdicts state, in parts per million, in one order of verdicts.

    Returns:
        One number a verdict, from -`MOST_FOR` to `MOST_AGAINST`; all 0 where fewer than two sums can be compared.
    """
    rows = [[value // UNIT for value in row] for row in zip(*stated, strict=True)]
    if len(stated) < 2 or not rows:
        return (0,) * len(rows)
    levels = [trimmed_mean(values) // UNIT for values in credible(stated)]
    length = math.isqrt(sum(level * level for level in levels))
    if length == 0:
        return (0,) * len(rows)
    along = [sum(value * level for value, level in zip(row, levels, strict=True)) // length for row in rows]
    spread = LEAST_NOISE + 13 * middle(list(_beside(rows, levels, along, length))) // 10
    usual = max(0, middle(along))
    variance = spread * spread + usual * usual // 4  # chance, and hospitals that honestly differ by half
    found = (-1000 * usual * (2 * each + usual) // (2 * variance) for each in along)
    return tuple(min(MOST_AGAINST, max(-MOST_FOR, value)) for value in found)


def _beside(rows: Sequence[Sequence[int]], levels: Sequence[int], along: Sequence[int], length: int) -> Iterator[int]:
    """How far each statement lies beside the levels' direction: chance, whoever states it."""
    for row, each in zip(rows, along, strict=True):
        for value, level in zip(row, levels, strict=True):
            yield abs(value - each * level // length)
