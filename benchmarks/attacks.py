"""What lying hospitals cost, with and without defence: AUC, how soon they are left out, and who is wrongly accused.

    python -m benchmarks.attacks [--data F] [--attack KIND …] [--attackers 1 3] [--seeds 2] [--first-seed 0]
        [--no-bounds] [--architecture cnn] [--json F]

Ten hospitals train for 30 rounds; the first attackers by seat lie. Each attack runs without defence, with what this project does,
and with Krum, trimmed mean and median of updates that anyone could read (upper bounds that need plaintext). What is left out
of the comparison, and why it changes nothing: `benchmarks.adversarial`. --no-bounds leaves the upper bounds out. Without --data, synthetic phantoms are drawn.
"""

from __future__ import annotations

import statistics
import sys
from argparse import BooleanOptionalAction
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from benchmarks import harness
from benchmarks.adversarial import OURS, UNDEFENDED, WITHOUT, Played, Scene, play
from benchmarks.errors import NotMeasured
from benchmarks.harness import Figure, Result, Row, Target
from benchmarks.plaintext import AGGREGATORS
from node.attacks.spec import POISONS, parse_attack
from node.errors import BadInput
from node.images.dataset import concatenate, load, resize
from node.images.errors import DataError
from node.images.partition import partition
from node.images.phantom import generate
from node.learning.errors import LearningError
from node.learning.settings import TrainingSettings
from node.learning.training import configure_threads

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping, Sequence

    from node.images.record import Dataset

HOSPITALS: Final = 10
PHANTOMS, PHANTOM_TEST = 80, 20
"""Slices at each hospital, and of its scanner among the test images."""
MIN_GROUP: Final = 3
CLIP_NORM: Final = 2.0
"""A few times the length of an honest update: what lets the bound on sums find updates made larger."""
TOLERANCE: Final = 0.1
CRUDE: Final = ("sign-flip", "scaled", "noise", "label-flip")
"""Attacks that a promise is made of."""
WITHIN: Final = 10
"""Rounds in which their attackers are promised to be left out."""
PLACES: Final = (2, 5, 8)
"""Which hospitals lie, the first so many of these."""


@dataclass(frozen=True, slots=True)
class Case:
    """One attack by so many hospitals, over all seeds and arms."""

    kind: str
    attackers: int
    arms: Mapping[str, list[Played]]
    """By arm, one run a seed."""

    @property
    def seats(self) -> frozenset[int]:
        """Who lies."""
        return frozenset(place - 1 for place in PLACES[: self.attackers])

    def auc(self, arm: str) -> float:
        """The last model's AUC, mean over seeds."""
        return statistics.fmean(played.aucs[-1] for played in self.arms[arm])

    def waits(self) -> list[int | None]:
        """Per attacker and seed, the rounds before it was first left out."""
        return [played.isolated(seat) for played in self.arms[OURS] for seat in sorted(self.seats)]

    def accused(self) -> tuple[int, int]:
        """How often an honest hospital was left out for suspicion, of how many times that it could have been."""
        runs = self.arms[OURS]
        wrong = sum(len(out - self.seats) for played in runs for out in played.left_out)
        return wrong, sum(len(played.left_out) for played in runs) * (HOSPITALS - self.attackers)


def scene(options: argparse.Namespace, seed: int) -> Scene:
    """One seed's hospitals and settings."""
    train, test = _images(options, seed)
    settings = TrainingSettings(
        architecture=options.architecture,
        classes=len(train.class_names),
        image_size=options.image_size,
        epochs=options.epochs,
        seed=seed,
        last_rate=0.5,
    )
    parts = tuple(partition(train, HOSPITALS, "by-patient", seed))
    return Scene(parts, test, settings, options.rounds, MIN_GROUP, CLIP_NORM, TOLERANCE)


def _images(options: argparse.Namespace, seed: int) -> tuple[Dataset, Dataset]:
    if options.data:
        train, test = load(options.data, seed=seed)
        return resize(train, options.image_size), resize(test, options.image_size)
    size, scanners = options.image_size, range(HOSPITALS)
    drawn = [generate(PHANTOMS, size, 2 * seed, scanner) for scanner in scanners]
    others = [generate(PHANTOM_TEST, size, 2 * seed + 1, scanner) for scanner in scanners]
    return concatenate(drawn, "phantom chest CT"), concatenate(others, "phantom chest CT test")


def measure(options: argparse.Namespace) -> tuple[list[Case], dict[str, list[Played]]]:
    """Every attack and number of attackers; and the same hospitals when nobody lies, by arm."""
    scenes = [scene(options, options.first_seed + number) for number in range(options.seeds)]
    clean = {arm: [_told("nobody lies", arm, play(one, None, arm)) for one in scenes] for arm in (UNDEFENDED, OURS)}
    cases = []
    for kind in options.attack:
        for attackers in options.attackers:
            attack = parse_attack(f"{kind}@{','.join(map(str, PLACES[:attackers]))}", HOSPITALS)
            arms = [UNDEFENDED, OURS, *(_bounds(options, attackers) if options.bounds else ())]
            runs = {arm: [_told(str(attack), arm, play(one, attack, arm)) for one in scenes] for arm in arms}
            cases.append(Case(kind, attackers, runs))
    return cases, clean


def _bounds(options: argparse.Namespace, attackers: int) -> tuple[str, ...]:
    """What anything could reach, and for the most attackers what needs plaintext."""
    return (WITHOUT, *(AGGREGATORS if attackers == max(options.attackers) else ()))


def _told(what: str, arm: str, played: Played) -> Played:
    print(f"{what}, {arm}: AUC {played.aucs[-1]:.3f}", file=sys.stderr, flush=True)
    return played


def benchmark(options: argparse.Namespace) -> Result:
    """Tables and promises."""
    configure_threads(1)
    try:
        cases, clean = measure(options)
    except (DataError, LearningError, BadInput) as error:
        raise NotMeasured(str(error)) from error
    base = statistics.fmean(played.aucs[-1] for played in clean[UNDEFENDED])
    quiet = Case("nobody lies", 0, clean)
    rows = [Row("nobody lies", arm, {"auc": quiet.auc(arm)}) for arm in clean]
    rows += [_row(case, base) for case in cases]
    return Result(tuple(rows), tuple(_promises(cases, quiet, base)), _notes(options))


def _row(case: Case, base: float) -> Row:
    waits = case.waits()
    found = [wait for wait in waits if wait is not None]
    wrong, chances = case.accused()
    figures: dict[str, Figure] = {
        "no_defence": case.auc(UNDEFENDED),
        "this": case.auc(OURS),
        "loss": base - case.auc(OURS),
        "without_them": case.auc(WITHOUT) if WITHOUT in case.arms else None,
        **{arm.replace(" ", "_"): case.auc(arm) if arm in case.arms else None for arm in AGGREGATORS},
        "left_out": f"{len(found)} of {len(waits)}",
        "after_rounds": statistics.median(found) if found else None,
        "wrongly_ratio": wrong / chances,
    }
    if case.kind == "backdoor":
        figures |= {
            "fooled_no_defence": statistics.fmean(played.fooled for played in case.arms[UNDEFENDED]),
            "fooled_this": statistics.fmean(played.fooled for played in case.arms[OURS]),
        }
    return Row(f"{case.attackers} of {HOSPITALS} lie: AUC of the last model", case.kind, figures)


def _promises(cases: Sequence[Case], quiet: Case, base: float) -> list[Target]:
    """What the project promises of crude attacks, and of accusations in all runs."""
    crude = [case for case in cases if case.kind in CRUDE]
    waits = [wait for case in crude for wait in case.waits()]
    late = sum(wait is None or wait > WITHIN for wait in waits)
    accused = [case.accused() for case in (quiet, *cases)]
    share = sum(wrong for wrong, _ in accused) / sum(chances for _, chances in accused)
    losses = [
        Target(f"{case.kind} by {case.attackers}: AUC lost", base - case.auc(OURS), "", "<=", 0.02) for case in crude
    ]
    late_share = [Target(f"crude attackers not left out within {WITHIN} rounds", late, "", "<=", 0)] if crude else []
    return [*losses, *late_share, Target("honest hospitals left out, of all chances", share, "", "<=", 0.02)]


def _notes(options: argparse.Namespace) -> tuple[str, ...]:
    data = f"{options.data}" if options.data else "synthetic phantoms"
    network = (
        f"{options.architecture} at {options.image_size} pixels, {options.rounds} rounds of {options.epochs} epochs"
    )
    return (
        f"{data}; {network}, groups of {MIN_GROUP} or more, L2 bound {CLIP_NORM:g}; mean of {options.seeds} seeds from {options.first_seed}.",
        "no_defence: one sum of all. without_them: the same without the liars' updates, the best that leaving out can reach.",
        "Krum, trimmed mean, median: of single updates in the clear, told how many lie; they hide nothing.",
        "left_out, after_rounds: attackers ever left out of the sums for suspicion, and when first. wrongly: honest hospitals.",
    )


def main(arguments: list[str] | None = None) -> int:
    """Measure what the arguments ask for."""
    parser = harness.parser(__doc__ or "", repeats=1)
    parser.add_argument("--data", type=Path, metavar="F", help="real images; default synthetic phantoms")
    parser.add_argument("--attack", nargs="+", choices=list(POISONS), default=list(POISONS), metavar="KIND")
    parser.add_argument("--attackers", type=int, nargs="+", choices=(1, 2, 3), default=[1, 3], metavar="N")
    parser.add_argument("--seeds", type=int, default=2, metavar="N")
    parser.add_argument("--first-seed", type=int, default=0, metavar="N", help="seeds are this and the next ones")
    parser.add_argument("--bounds", action=BooleanOptionalAction, default=True, help="measure upper bounds as well")
    parser.add_argument("--architecture", default="cnn", metavar="NAME")
    parser.add_argument("--image-size", type=int, default=32, metavar="PIXELS")
    parser.add_argument("--epochs", type=int, default=2, metavar="N")
    parser.add_argument("--rounds", type=int, default=30, metavar="N")
    options = parser.parse_args(arguments)
    return harness.run(lambda: benchmark(options), options.json)


if __name__ == "__main__":
    sys.exit(main())
