"""Histories of rounds as their ledgers tell them, drawn at random: what suspicion is tested on."""

from __future__ import annotations

import random
from dataclasses import replace

from node.rounds.groups import draw_groups, draw_partitions
from node.rounds.suspicion import GroupResult, RoundResult

MEMBERS = frozenset(range(10))
RIGHT_ANGLE = 500_000


def simple(groups, refused=(), broken=()) -> RoundResult:
    """A round of which only the decisions are known."""
    return RoundResult(
        tuple(GroupResult(tuple(g), k not in {*refused, *broken}, k in broken, (), ()) for k, g in enumerate(groups))
    )


def noisy(
    groups, liars, chance: random.Random, *, pull: float, honest: float = 0.08, noise: float = 0.02, falls: float = 0.0
) -> RoundResult:
    """A round in which honest updates point the same way, a little; ten verdicts see that with noise.

    With `falls` their losses fall along honest updates as well, by so much; else at right angles to all sums.
    """
    results = []
    for group in groups:
        share = sum(-pull if member in liars else 1 for member in group) / len(group)
        aligned, *told = (
            tuple(round((1 + level * share + chance.gauss(0, 2.5 * noise)) / 2 * 1000) * 1000 for _ in range(10))
            for level in ((honest, falls) if falls else (honest,))
        )
        falling = told[0] if told else (RIGHT_ANGLE,) * 10
        results.append(GroupResult(tuple(group), True, False, tuple(0 for _ in aligned), aligned, falling))
    spared = sorted(frozenset(range(10)).difference(*groups))
    return RoundResult(tuple(results), tuple(range(10)), tuple(spared))


def partition(chance: random.Random, members=10, least=3):
    return draw_groups(chance.randbytes(32), members, least)


def played(liars, rounds, seed, sections=1, **how) -> list[RoundResult]:
    chance = random.Random(seed)
    return [sectioned(liars, chance, sections, **how) for _ in range(rounds)]


def sectioned(liars, chance, sections, members=10, least=3, **how) -> RoundResult:
    """A round of so many sections."""
    groups = draw_partitions(chance.randbytes(32), members, least, sections=sections)
    return replace(noisy(groups, liars, chance, **how), sections=sections)


def turned(result: RoundResult, liars) -> RoundResult:
    """The same round, where the liars' verdicts are honest about updates that point the other way."""
    sign = [-1 if seat in liars else 1 for seat in result.issuers]
    return replace(result, groups=tuple(replace(g, alignments_ppm=bent(g.alignments_ppm, sign)) for g in result.groups))


def bent(stated, sign):
    return tuple(RIGHT_ANGLE + way * (value - RIGHT_ANGLE) for way, value in zip(sign, stated, strict=True))
