"""Who is to blame for bad sums, though nobody ever sees a single update: group tests decoded over rounds.

Every round draws other groups, and of each group's opened sum a round leaves results in the ledger: how far it points where
the members' own updates point and where the losses of their images fall (`alignment_ppm` and `descent_ppm` of the verdicts),
and whether the verdicts refused it. An *explanation* is a set of attackers. One that is right fits the results of all rounds; most that are wrong fit those of a few. The suspicion against
a member is how much better the best explanation with it fits than the best without it, in thousandths of a nat of log-likelihood:

    cost(A)  = PRIOR · |A|  +  Σ rounds  ( Σ sections misfit(A, section) / √K + price of broken and refused groups without a member of A )
               +  Σ members without A  own(member)
    misfit   = min( CAP, Σ groups (y_g - μ f_g)² / 2s² ),    f_g = 1 - κ |A ∩ g| / |g|,  μ ≥ 0 the best fit of the round
    own      = what its own verdicts say against a member (a CUSUM over rounds of `readings.opposing`, with some credit)
    S_i      = min { cost(A) : i ∉ A } - min { cost(A) : i ∈ A }

y_g is the trimmed mean of what the verdicts state of group g, s its deviation; attackers pull a group's alignment down, as absent
members do (κ = 1) or as members that push the other way (κ = 2); the better of the two counts. Once the model stands nearly
still, honest updates point nowhere in common, and what is left are hospitals' lasting differences and chance, which add up over
many rounds: misfit and own are of rounds whose best sums point at least `TELLING` percent as far as those of the second best round.

A round's K sections are K group tests of the same members, each in other company (`node.rounds.sections`). Their levels are neither
independent, for an honest member that is odd is so in all, nor the same: a round counts as √K tests, of what a member says itself as one.

Group testing of secure sums: Xhemrishi, Östman, Wachter-Zeh, Graell i Amat, "FedGT: Identification of malicious clients in
federated learning with secure aggregation", IEEE TIFS 2025 (arXiv 2305.05506), which decodes overlapping groups of one round by
their a-posteriori likelihood; here groups of one section are disjoint, so that no difference of sums shows fewer members, and
sections and rounds take the place of overlap. Alignment with trusted updates: Cao et al., "FLTrust", NDSS 2021. The best-explanation
form of the likelihood ratio is the max-log one (Robertson, Villebrun, Hoeher 1995); CUSUM: Page, "Continuous inspection
schemes", Biometrika 1954, which finds who starts to lie late as soon as who always did.

Whole numbers only, so that every member and auditor derives the same from the same ledger.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from node.rounds.readings import UNIT, added, cosines, credible, noise, opposing, trimmed_mean
from node.rounds.sections import parts

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

PRIOR: Final = 2_000
"""Cost of each attacker in an explanation: one member in eight is one."""
BROKEN: Final = 4_000
"""Cost of a sum beyond the plan's bound, which honest members cannot make, if no attacker of an explanation explains it."""
REFUSED: Final = 500
"""Cost of a round's only sum, if the verdicts refused it, which an unlucky round can make too, likewise; where every section has
one sum alone they are scored as one model, and share it."""
CAP: Final = 8_000
"""Largest misfit of one round: a single odd one decides nothing."""
FLOOR: Final = 2_000
"""A member whose suspicion reaches this is left out of the sums: odds of seven to one."""
STAY: Final = 0
"""Who was left out in the round before is so again unless its suspicion is below this: even odds."""
WINDOW: Final = 64
"""Finalised rounds that count, all alike: the first tell most, and a liar waits for nothing better than that they are forgotten.
Who is left out comes back after so many at the latest, on probation."""
TELLING: Final = 15
"""Percent of the second best round's level that a round's must reach for its levels to count."""
LATELY: Final = 16
"""Finalised rounds in which a refusal makes members rest; each forgets one part in so many of what members' own verdicts said."""
LEAST_SPREAD: Final = 50
"""Least s, in ten-thousandths, however well the verdicts agree."""
LEAST_DESCENT: Final = 200
"""Likewise of how far sums point where losses fall, in which honest hospitals differ more."""
DIFFERENCE: Final = 3
"""Honest groups' levels differ by one such part of the best one's, because hospitals do."""
MOST_OWN: Final = 8_000
"""Most that a member's own verdicts say against it."""
CREDIT: Final = 4_000
"""Most that they say for it, which later ones use up first: an honest hospital's rows point the other way for a while now and then.
It never weighs against what sums say, or who lies in its verdicts would be cleared by them."""
MAX_SETS: Final = 1 << 16
"""Explanations looked at: as many attackers at a time as this allows, fewer than a third in any case."""

_PULLS: Final = (1, 2)
"""How far an attacker pulls: as if it were absent, or the other way."""
_SHARE: Final = 840
"""Denominator of f: whole thirds, quarters, fifths, sixths, sevenths and eighths."""


@dataclass(frozen=True)
class GroupResult:
    """What a round's ledger says of one opened sum."""

    members: tuple[int, ...]
    """Seats whose updates were in it, ascending."""
    accepted: bool
    """Whether it entered the model."""
    broken: bool
    """Whether more than half of the counted verdicts score it 0: it is longer than the plan's bound allows."""
    gains_ppm: tuple[int, ...]
    """By how much its score exceeds the base's, in the order of the verdicts' ids; negative where it falls short."""
    alignments_ppm: tuple[int, ...]
    """What the verdicts state that state it, in the same order; 500,000 is a right angle."""
    descents_ppm: tuple[int, ...] = ()
    """Likewise."""


@dataclass(frozen=True)
class RoundResult:
    """What a finalised round's ledger says of its opened sums."""

    groups: tuple[GroupResult, ...]
    """Of all sections, section by section."""
    issuers: tuple[int, ...] = ()
    """Seats of the members whose verdicts state alignments, in the order of the verdicts' ids."""
    spared: tuple[int, ...] = ()
    """Seats whose updates were listed and in no sum, ascending."""
    sections: int = 1
    """How many sections the groups are of, as many of each."""

    @property
    def tests(self) -> tuple[tuple[GroupResult, ...], ...]:
        """The groups, by section."""
        return parts(self.groups, self.sections)


def suspicion(history: Sequence[RoundResult], members: frozenset[int]) -> dict[int, int]:
    """How much suspicion each member is under, in thousandths of a nat; above 0 is more likely than not.

    Args:
        history: The rounds finalised so far, oldest first; the last `WINDOW` count.
        members: Seats of the present members; others explain what they did and are not reported.
    """
    recent = list(history)[-WINDOW:]
    told = telling(recent)
    seats = sorted(members.union(*(group.members for result in recent for group in result.groups)))
    sets = explanations(len(seats))
    place = {seat: number for number, seat in enumerate(seats)}
    costs = PRIOR * sets.sum(axis=1)
    seen = [np.zeros(sets.shape[0], np.int64) for _ in _CHANNELS for _ in _PULLS]
    for result, tells in zip(recent, told, strict=True):
        counts = np.stack([sets[:, [place[seat] for seat in group.members]].sum(axis=1) for group in result.groups])
        costs = costs + _unexplained(result, counts)
        if not tells:
            continue
        of_sections = list(zip(result.tests, np.split(counts, result.sections), strict=True))
        for number, ((channel, least), pull) in enumerate(itertools.product(_CHANNELS, _PULLS)):
            found = sum(_misfit(channel, least, test, inside, pull) for test, inside in of_sections)
            seen[number] = seen[number] + 1000 * found // math.isqrt(1_000_000 * result.sections)
    for first in range(0, len(seen), len(_PULLS)):
        costs = costs + np.minimum.reduce(seen[first : first + len(_PULLS)])
    for seat, said in own_evidence(recent).items():
        if seat in place:
            costs = costs + max(0, said) * (1 - sets[:, place[seat]])
    return {seat: _ratio(costs, sets[:, place[seat]] > 0) for seat in sorted(members)}


def own_evidence(history: Sequence[RoundResult]) -> dict[int, int]:
    """What members' own verdicts say against them, by seat, thousandths of a nat, -`CREDIT` to `MOST_OWN`.

    Each telling round adds what `opposing` finds in alignments, or in alignments and descents added if that is more, the mean
    over its sections, after a sixteenth of what was there is forgotten: who turns its update round says so in the former, whose
    data teach the contrary in the latter.
    """
    found: dict[int, int] = {}
    for result in itertools.compress(history, telling(history)):
        said = [0] * len(result.issuers)
        for test in result.tests:
            whole = [group for group in test if not group.broken]
            alone, both = opposing([_aligned(group) for group in whole]), opposing([_both(group) for group in whole])
            said = [before + more for before, more in zip(said, map(max, alone, both), strict=True)] if whole else said
        for seat, each in zip(result.issuers, said, strict=True):
            before = found.get(seat, 0)
            found[seat] = min(MOST_OWN, max(-CREDIT, before - before // LATELY + each // result.sections))
    return found


def telling(history: Sequence[RoundResult]) -> tuple[bool, ...]:
    """Which rounds' levels count: their best sums point at least `TELLING` percent as far as those of the second best round.

    The second best, for in the very first round whatever anyone learns points the same way. Rounds in which nothing can be
    compared do not count; of a single one there is no second.
    """
    levels = [_level(result) for result in history]
    known = sorted(level for level in levels if level is not None)
    usual = known[-2:][0] if known else 0
    return tuple(level is not None and 100 * level >= TELLING * usual for level in levels)


def _level(result: RoundResult) -> int | None:
    """How far the best sum of each section points where members' updates point, ten-thousandths, 0 at least.

    The mean over those sections of which sums can be compared; None: there is none.
    """
    found = []
    for test in result.tests:
        stated = credible([_aligned(group) for group in test if not group.broken])
        if len(stated) >= 2 and stated[0]:
            found.append(max(0, *(trimmed_mean(values) // UNIT for values in stated)))
    return sum(found) // len(found) if found else None


def excluded(
    history: Sequence[RoundResult], members: frozenset[int], listed: frozenset[int], min_group: int
) -> frozenset[int]:
    """The members whose listed updates are not summed in the next round, by what the ledger says of earlier ones.

    Args:
        history: As `suspicion`.
        members: Seats of the present members.
        listed: Seats whose updates may be summed.
        min_group: So many must stay.

    Returns:
        Members at or above `FLOOR`, or at or above `STAY` who were in no sum of the newest round, the most suspect first
        and the lower seat of equals, fewer than a third of all members, and none that would leave fewer than `min_group`
        updates. Evidence is scarce, and would have to be gathered again from sums that hold the attacker.
    """
    if not history:
        return frozenset()
    blame, before = suspicion(history, members), set(history[-1].spared)
    order = sorted((-blame.get(seat, 0), seat) for seat in listed)
    suspects = [seat for negated, seat in order if -negated >= (STAY if seat in before else FLOOR)]
    most = min((len(members) - 1) // 3, max(0, len(listed) - min_group))
    return frozenset(suspects[:most])


def rests(history: Sequence[RoundResult], out: frozenset[int]) -> bool:
    """Whether a round with a single group leaves out one more, that the seed chooses.

    It does while a sum that was refused lately had none of those in it who are left out for suspicion.
    """
    recent = list(history)[-LATELY:]
    return any(not (group.accepted or out & set(group.members)) for result in recent for group in result.groups)


def explanations(members: int) -> NDArray[np.int64]:
    """Every set of attackers that is looked at, as rows of 0 and 1: `[sets, members]`, the empty one first.

    All sets of fewer than a third of the members, as far as there are at most `MAX_SETS` of them; else of as many as that
    allows, two at least.
    """
    most, total = 0, 1
    while most < (members - 1) // 3:
        more = math.comb(members, most + 1)
        if total + more > MAX_SETS and most >= 2:
            break
        most, total = most + 1, total + more
    rows = np.zeros((total, members), np.int64)
    chosen = itertools.chain.from_iterable(itertools.combinations(range(members), k) for k in range(most + 1))
    for row, attackers in zip(rows, chosen, strict=True):
        row[list(attackers)] = 1
    return rows


def _unexplained(result: RoundResult, counts: NDArray[np.int64]) -> NDArray[np.int64]:
    prices = [price for test in result.tests for price in _prices(test, REFUSED // result.sections)]
    cost: NDArray[np.int64] = (np.array(prices)[:, None] * (counts == 0)).sum(axis=0)
    return cost


def _prices(test: Sequence[GroupResult], refused: int) -> list[int]:
    """What each group of one section costs unless an attacker is in it; `refused`: a refusal of the section's only sum."""
    alone = sum(not group.broken for group in test) < 2
    only = refused if alone else 0  # where there are others, what the verdicts state of each says more
    return [BROKEN if group.broken else 0 if group.accepted else only for group in test]


def _aligned(group: GroupResult) -> tuple[int, ...]:
    return cosines(group.alignments_ppm)


def _descending(group: GroupResult) -> tuple[int, ...]:
    return cosines(group.descents_ppm)


def _both(group: GroupResult) -> tuple[int, ...]:
    return added(group.alignments_ppm, group.descents_ppm)


def _gained(group: GroupResult) -> tuple[int, ...]:
    return group.gains_ppm


_CHANNELS: Final = ((_aligned, LEAST_SPREAD), (_descending, LEAST_DESCENT), (_gained, LEAST_SPREAD))
"""What verdicts state of a sum that attackers pull down, and the least s of each."""


def _misfit(
    channel: Callable[[GroupResult], tuple[int, ...]],
    least: int,
    test: Sequence[GroupResult],
    counts: NDArray[np.int64],
    pull: int,
) -> NDArray[np.int64]:
    """How badly each explanation fits one section of a round by one channel; `counts` is `[groups, sets]`.

    A sum beyond the bound points and scores as its maker likes: it has its own price, and is not compared with others.
    """
    whole = [number for number, group in enumerate(test) if not group.broken]
    groups, counts = [test[number] for number in whole], counts[whole]
    stated = credible([channel(group) for group in groups])
    if len(stated) < 2 or not stated[0]:
        return np.zeros(counts.shape[1], np.int64)
    y: NDArray[np.int64] = np.array([trimmed_mean(values) // UNIT for values in stated], np.int64)[:, None]
    sizes: NDArray[np.int64] = np.array([len(group.members) for group in groups], np.int64)[:, None]
    f = (sizes - pull * counts) * _SHARE // sizes
    along = np.maximum((f * y).sum(axis=0), 0)
    fitted = along * along // np.maximum((f * f).sum(axis=0), 1)
    rest = (y * y).sum(axis=0) - fitted
    cost: NDArray[np.int64] = np.minimum(1000 * rest // (2 * variance(stated, int(y.max()), least)), CAP)
    return cost


def variance(stated: Sequence[Sequence[int]], best: int, least: int) -> int:
    """s², in ten-thousandths squared: of the verdicts' noise, and of honest hospitals that differ, the more the higher the best level."""
    chance, honest = noise(stated), max(0, best) // DIFFERENCE
    return least * least + chance * chance + honest * honest


def _ratio(costs: NDArray[np.int64], inside: NDArray[np.bool_]) -> int:
    if not inside.any():
        return 0  # with fewer than four members nobody can be told apart
    return int(costs[~inside].min() - costs[inside].min())


def named(blame: Mapping[int, int]) -> str:
    """Suspicion for people: the suspects, the worst first, in nats."""
    order = sorted((-value, seat) for seat, value in blame.items() if value > 0)
    return ", ".join(f"{seat} ({-negated / 1000:.1f})" for negated, seat in order) or "nobody"
