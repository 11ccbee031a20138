"""What `learning` found, arm by arm and seed by seed, and what it is held against: pure arithmetic on answers.

*Sealed* is compared with two arms in the clear. **In whole steps** is the same run without sealing: the same updates, the
same integers, added where anyone could read them; its models must be the sealed arm's, bit for bit, after every round. **Together** leaves the
rounding out as well, less than 2e-5 a parameter, and how far training carries a difference of that size is measured by
*nudged*: the arm in the clear once more, moved by as much a single time.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import starmap
from typing import TYPE_CHECKING, Final

import numpy as np

from benchmarks.harness import Row, Target
from node.learning.metrics import measure

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

CENTRAL, CLEAR, SEALED, LOCAL, FLOWER = "one place", "together", "together, sealed", "alone", "Flower"
ROUNDED: Final = "together, in whole steps"
NUDGED: Final = "together, nudged once"
STEPS: Final = "one place, a hospital's steps"
PAIRS: Final = ((SEALED, ROUNDED), (SEALED, CLEAR), (NUDGED, CLEAR))
"""Arms that differ by sealing alone, by sealing and rounding, and by a nudge as large as rounding."""
LAST: Final = 5
"""Rounds over which an AUC is averaged, to see whether a gap is a matter of the last round."""
AUC_WANTED: Final = {"covid_ct_128": 0.93, "lung_ultrasound_128": 0.94}
ACCURACY_WANTED: Final = {"pneumoniamnist": 0.92}
"""What the default network promises of sets that are often measured, trained in one place."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """One arm with one seed, all folds and (for `LOCAL`) one hospital."""

    arm: str
    seed: int
    member: int
    rounds: tuple[NDArray[np.float32], ...]
    """Answers after each round on all folds' test images, ``[n, J]``."""
    labels: NDArray[np.int64]
    patients: NDArray[np.str_]
    seconds: float
    clipped: int
    thresholds: NDArray[np.float64] | None = None
    """Youden's on validation images, ``[J]``, where some were held out."""
    digests: tuple[str, ...] = ()
    """SHA-256 of the model after each round of each fold; of hospitals that learn together only."""
    clips: NDArray[np.str_] | None = None
    """The clip each test image is a frame of, where that was asked for."""

    def auc(self, number: int = -1) -> float:
        """Area under the ROC curve after a round, by default the last."""
        return measure(self.rounds[number], self.labels).auc or float("nan")

    def late_auc(self) -> float:
        """Mean area under the ROC curve after each of the last five rounds."""
        return float(np.mean([self.auc(number) for number in range(-min(LAST, len(self.rounds)), 0)]))

    def accuracy(self, number: int = -1) -> float:
        """Share of right answers after a round."""
        return measure(self.rounds[number], self.labels).accuracy


def by_seed(found: Sequence[Outcome], arm: str, number: int = -1) -> NDArray[np.float64]:
    """The AUC of each seed after a round; of `LOCAL` the mean over its hospitals."""
    seeds = sorted({each.seed for each in found})
    return np.array([np.mean([o.auc(number) for o in found if (o.arm, o.seed) == (arm, seed)]) for seed in seeds])


def pairs(found: Sequence[Outcome], one: str, other: str) -> list[tuple[Outcome, Outcome]]:
    """The outcomes of two arms, seed by seed, where both were run."""
    others = {each.seed: each for each in found if each.arm == other}
    return [(each, others[each.seed]) for each in found if each.arm == one and each.seed in others]


def unlike(one: Outcome, other: Outcome) -> int:
    """After how many rounds (of all folds) two arms' models differ in any bit."""
    return sum(a != b for a, b in zip(one.digests, other.digests, strict=True))


def apart(found: Sequence[Outcome]) -> list[Row]:
    """How far arms that differ by sealing, rounding or a nudge are from each other, seed by seed."""
    return [
        Row(
            "what sealing, rounding and a nudge change",
            f"{one} / {other}, seed {mine.seed}",
            {
                "rounds_that_differ": unlike(mine, theirs),
                "AUC_apart": abs(mine.auc() - theirs.auc()),
                "last_five_rounds": abs(mine.late_auc() - theirs.late_auc()),
                "answers_apart": float(np.abs(mine.rounds[-1] - theirs.rounds[-1]).mean()),
            },
        )
        for one, other in PAIRS
        for mine, theirs in pairs(found, one, other)
    ]


# ---- targets ---------------------------------------------------------------------------------------------------------


def targets(found: Sequence[Outcome], data: str) -> list[Target]:
    """What the project promises of it; means over seeds."""
    wanted = _compared(found) if any(o.arm == CLEAR for o in found) else []
    if data in AUC_WANTED:
        wanted.append(Target("one place", float(by_seed(found, CENTRAL).mean()), "AUC", ">=", AUC_WANTED[data]))
    if data in ACCURACY_WANTED:
        right = float(np.mean([o.accuracy() for o in found if o.arm == CENTRAL]))
        wanted.append(Target("one place, accuracy", right, "", ">=", ACCURACY_WANTED[data]))
    return wanted


def _compared(found: Sequence[Outcome]) -> list[Target]:
    """What is promised of those who learn together, beside one place, alone, unsealed and Flower."""
    sealed = any(o.arm == SEALED for o in found)
    together = by_seed(found, SEALED if sealed else CLEAR).mean()
    wanted = [
        Target(f"together below {place}", float(by_seed(found, place).mean() - together), "AUC", "<=", 0.02)
        for place in (CENTRAL, STEPS)
        if any(o.arm == place for o in found)
    ]
    lone = by_seed(found, LOCAL).mean()
    wanted.append(Target("together above the mean alone", float(together - lone), "AUC", ">=", 0.05))
    wanted += _sealing(found)
    if theirs := [each for each in found if each.arm == FLOWER]:
        gap = float(np.mean(np.abs(flower_gaps(found, theirs))))
        wanted.append(Target("together and Flower apart, accuracy, mean over rounds", gap, "", "<=", 0.01))
    return wanted


def _sealing(found: Sequence[Outcome]) -> list[Target]:
    """That sealing changes nothing; and, told beside it, what it and rounding come to after all of training."""
    wanted = []
    if same := pairs(found, SEALED, ROUNDED):
        gap = max(abs(mine.auc() - theirs.auc()) for mine, theirs in same)
        wanted.append(Target("sealed and the same whole steps in the clear apart", gap, "AUC", "<=", 0.002))
        wanted.append(Target("rounds after which their models differ", sum(starmap(unlike, same)), "", "==", 0))
    if pairs(found, SEALED, CLEAR):
        gap = float(abs(by_seed(found, SEALED).mean() - by_seed(found, CLEAR).mean()))
        wanted.append(Target("sealed and unrounded apart, mean over seeds", gap, "AUC", "<=", 0.002))
    return wanted


# ---- beside Flower ---------------------------------------------------------------------------------------------------


def flower_gaps(found: Sequence[Outcome], theirs: Sequence[Outcome]) -> list[float]:
    """Our accuracy less Flower's, after every round of every seed."""
    ours = {o.seed: o for o in found if o.arm == CLEAR}
    return [ours[o.seed].accuracy(k) - o.accuracy(k) for o in theirs for k in range(len(o.rounds))]


def beside_flower(found: Sequence[Outcome]) -> list[Row]:
    """Accuracy and AUC after each round, ours and Flower's, seed by seed."""
    return [
        Row(
            f"beside Flower's FedAvg, seed {theirs.seed}",
            f"round {number + 1}",
            {
                "accuracy": ours.accuracy(number),
                "accuracy_Flower": theirs.accuracy(number),
                "AUC": ours.auc(number),
                "AUC_Flower": theirs.auc(number),
            },
        )
        for theirs, ours in pairs(found, FLOWER, CLEAR)
        for number in range(len(theirs.rounds))
    ]
