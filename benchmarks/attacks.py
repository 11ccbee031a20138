"""What lying hospitals cost, with and without defence: AUC, how soon they are left out, and who is wrongly accused.

    python -m benchmarks.attacks [--data F …] [--attack KIND …] [--attackers 1 3] [--seeds 2] [--first-seed 0]
        [--no-bounds] [--architecture cnn] [--rounds 30] [--sections 3] [--processes 1] [--keep DIR] [--out DIR]
        [--json F]

Ten hospitals train together; the 2nd, 5th and 8th of them lie, or the first so many of these. Each attack runs without defence,
with what this project does, without the liars' updates (the best that leaving out can reach), and, unless --no-bounds is given,
with Krum, trimmed mean and median of updates that anyone could read (upper bounds that need plaintext). What is left out of the
comparison, and why it changes nothing: `benchmarks.adversarial`.

Without --data, synthetic phantoms are drawn; several files of the same classes make one task. With --keep DIR every play is
kept there as soon as it ends, and an interrupted benchmark goes on. --out is for pictures, AUC by round.
"""

from __future__ import annotations

import statistics
import sys
from argparse import BooleanOptionalAction
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from benchmarks import charts, harness
from benchmarks.adversarial import OURS, UNDEFENDED, WITHOUT, Played, Scene
from benchmarks.errors import NotMeasured
from benchmarks.harness import Figure, Result, Row, Target
from benchmarks.material import joined
from benchmarks.plaintext import AGGREGATORS
from benchmarks.plays import Job, played
from node.attacks.spec import POISONS, Attack, parse_attack
from node.errors import BadInput
from node.images.dataset import concatenate
from node.images.errors import DataError
from node.images.partition import partition
from node.images.phantom import generate
from node.learning.errors import LearningError
from node.learning.settings import TrainingSettings

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
TURNED: Final = "sign-flip"
"""The attack whose updates those of `SAME_UPDATES` are, byte for byte: these differ in what verdicts say."""
SAME_UPDATES: Final = ("covert", "colluding")
CLEAR_NOTE: Final = (
    "Krum, trimmed mean, median: of single updates in the clear, told how many lie; they hide nothing.",
)


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
        return statistics.fmean(self.aucs(arm))

    def aucs(self, arm: str) -> list[float]:
        """The last model's AUC, by seed."""
        return [found.aucs[-1] for found in self.arms[arm]]

    def lost(self, base: Sequence[float]) -> list[float]:
        """What this project's last model lacks of ``base``, by seed."""
        return [whole - ours for whole, ours in zip(base, self.aucs(OURS), strict=True)]

    def waits(self) -> list[int | None]:
        """Per attacker and seed, the rounds before it was first left out."""
        return [found.isolated(seat) for found in self.arms[OURS] for seat in sorted(self.seats)]

    def accused(self) -> tuple[int, int]:
        """How often an honest hospital was left out for suspicion, of how many times that it could have been."""
        runs = self.arms[OURS]
        wrong = sum(len(out - self.seats) for found in runs for out in found.left_out)
        return wrong, sum(len(found.left_out) for found in runs) * (HOSPITALS - self.attackers)


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
    return Scene(parts, test, settings, options.rounds, MIN_GROUP, CLIP_NORM, TOLERANCE, options.sections)


def _images(options: argparse.Namespace, seed: int) -> tuple[Dataset, Dataset]:
    if options.data:
        return joined(options.data, options.image_size, seed)
    size, scanners = options.image_size, range(HOSPITALS)
    drawn = [generate(PHANTOMS, size, 2 * seed, scanner) for scanner in scanners]
    others = [generate(PHANTOM_TEST, size, 2 * seed + 1, scanner) for scanner in scanners]
    return concatenate(drawn, "phantom chest CT"), concatenate(others, "phantom chest CT test")


def measure(options: argparse.Namespace) -> tuple[Case, list[Case]]:
    """The hospitals when nobody lies; and every attack by every number of attackers."""
    scenes = [scene(options, options.first_seed + number) for number in range(options.seeds)]
    asked: list[tuple[str, int, tuple[str, ...]]] = [("nobody lies", 0, (UNDEFENDED, OURS))]
    for attackers in options.attackers:
        bounds = AGGREGATORS if options.bounds and attackers == max(options.attackers) else ()
        asked += [(kind, attackers, (UNDEFENDED, OURS, WITHOUT, *bounds)) for kind in options.attack]
    jobs = [
        Job(one, _attack(kind, attackers, arm), arm)
        for kind, attackers, arms in asked
        for arm in arms
        for one in scenes
    ]
    found = iter(played(jobs, options.processes, options.keep))
    cases = [
        Case(kind, attackers, {arm: [next(found) for _ in scenes] for arm in arms}) for kind, attackers, arms in asked
    ]
    return cases[0], cases[1:]


def _attack(kind: str, attackers: int, arm: str) -> Attack | None:
    """Who lies and how, as far as the arm can tell: what it cannot tell apart is played once."""
    if not attackers:
        return None
    judged = arm == OURS
    if arm == WITHOUT or (kind in SAME_UPDATES and not judged):
        kind = TURNED
    return parse_attack(f"{kind}@{','.join(map(str, PLACES[:attackers]))}", HOSPITALS)


def benchmark(options: argparse.Namespace) -> Result:
    """Tables, pictures and promises."""
    try:
        quiet, cases = measure(options)
    except (DataError, LearningError, BadInput) as error:
        raise NotMeasured(str(error)) from error
    rows = [Row("nobody lies", arm, {"auc": quiet.auc(arm)}) for arm in quiet.arms]
    rows += [_row(case, quiet) for case in cases]
    draw(quiet, cases, options.out)
    return Result(tuple(rows), tuple(_promises(cases, quiet)), _notes(options))


def _row(case: Case, quiet: Case) -> Row:
    waits = case.waits()
    found = [wait for wait in waits if wait is not None]
    wrong, chances = case.accused()
    lost = case.lost(quiet.aucs(UNDEFENDED))
    figures: dict[str, Figure] = {
        "no_defence": case.auc(UNDEFENDED),
        "this": case.auc(OURS),
        "lost": statistics.fmean(lost),
        "each_seed": ", ".join(f"{each:.3f}" for each in lost),
        "without_them": case.auc(WITHOUT),
        "lost_beyond": statistics.fmean(case.lost(case.aucs(WITHOUT))),
        **{arm.replace(" ", "_"): case.auc(arm) for arm in AGGREGATORS if arm in case.arms},
        "left_out": f"{len(found)} of {len(waits)}",
        "after_rounds": statistics.median(found) if found else None,
        "wrongly": f"{wrong / chances:.1%}",
    }
    if case.kind == "backdoor":
        figures |= {
            "fooled_no_defence": statistics.fmean(each.fooled for each in case.arms[UNDEFENDED]),
            "fooled_this": statistics.fmean(each.fooled for each in case.arms[OURS]),
        }
    return Row(f"{case.attackers} of {HOSPITALS} lie: AUC of the last model", case.kind, figures)


def draw(quiet: Case, cases: Sequence[Case], folder: Path) -> None:
    """A picture an attack: AUC by round, mean over seeds, a band from least to most."""
    folder.mkdir(parents=True, exist_ok=True)
    for case in cases:
        curves = [
            _curve("nobody lies", quiet.arms[UNDEFENDED]),
            *(_curve(arm, case.arms[arm]) for arm in (WITHOUT, OURS, UNDEFENDED)),
        ]
        title = f"{case.kind} by {case.attackers} of {HOSPITALS}: AUC by round"
        text = charts.lines(title, "round", "AUC", curves)
        (folder / f"{case.kind}-{case.attackers}.svg").write_text(text, encoding="utf-8")


def _curve(name: str, runs: Sequence[Played]) -> charts.Line:
    by_round = list(zip(*(found.aucs for found in runs), strict=True))
    numbers = list(range(1, len(by_round) + 1))
    band = (list(map(min, by_round)), list(map(max, by_round))) if len(runs) > 1 else ((), ())
    return charts.Line(name, numbers, [statistics.fmean(each) for each in by_round], *band)


def _promises(cases: Sequence[Case], quiet: Case) -> list[Target]:
    """What the project promises of crude attacks, and of accusations in all runs."""
    crude = [case for case in cases if case.kind in CRUDE]
    waits = [wait for case in crude for wait in case.waits()]
    late = sum(wait is None or wait > WITHIN for wait in waits)
    accused = [case.accused() for case in (quiet, *cases)]
    share = sum(wrong for wrong, _ in accused) / sum(chances for _, chances in accused)
    base = quiet.aucs(UNDEFENDED)
    losses = [
        Target(f"{case.kind} by {case.attackers}: AUC lost", statistics.fmean(case.lost(base)), "", "<=", 0.02)
        for case in crude
    ]
    late_share = [Target(f"crude attackers not left out within {WITHIN} rounds", late, "", "<=", 0)] if crude else []
    return [*losses, *late_share, Target("honest hospitals left out, of all chances", share, "", "<=", 0.02)]


def _notes(options: argparse.Namespace) -> tuple[str, ...]:
    data = " and ".join(path.stem for path in options.data or ()) or "synthetic phantoms"
    network = (
        f"{options.architecture} at {options.image_size} pixels, {options.rounds} rounds of {options.epochs} epochs"
    )
    return (
        f"{data}; {network}, groups of {MIN_GROUP} or more, L2 bound {CLIP_NORM:g}; mean of {options.seeds} seeds from {options.first_seed}.",
        f"Sections: {options.sections}, or as many as the parameters fill ciphertexts, each with groups of its own.",
        "no_defence: one sum of all. lost: against nobody lies, no defence. without_them: one sum of the honest updates.",
        "lost_beyond: against that, what leaving the liars out at once would have kept; the rest is what their images are worth.",
        *(CLEAR_NOTE if options.bounds else ()),
        "left_out, after_rounds: attackers ever left out of the sums for suspicion, and when first (median). wrongly: honest ones.",
        f"Pictures: {options.out}/KIND-N.svg.",
    )


def main(arguments: list[str] | None = None) -> int:
    """Measure what the arguments ask for."""
    parser = harness.parser(__doc__ or "", repeats=1)
    parser.add_argument("--data", type=Path, nargs="+", metavar="F", help="real images; default synthetic phantoms")
    parser.add_argument("--attack", nargs="+", choices=list(POISONS), default=list(POISONS), metavar="KIND")
    parser.add_argument("--attackers", type=int, nargs="+", choices=(1, 2, 3), default=[1, 3], metavar="N")
    parser.add_argument("--seeds", type=int, default=2, metavar="N")
    parser.add_argument("--first-seed", type=int, default=0, metavar="N", help="seeds are this and the next ones")
    parser.add_argument("--bounds", action=BooleanOptionalAction, default=True, help="measure upper bounds")
    parser.add_argument("--architecture", default="cnn", metavar="NAME")
    parser.add_argument("--image-size", type=int, default=32, metavar="PIXELS")
    parser.add_argument("--epochs", type=int, default=2, metavar="N")
    parser.add_argument("--rounds", type=int, default=30, metavar="N")
    parser.add_argument("--sections", type=int, default=3, metavar="K", help="of the parameters; default %(default)s")
    parser.add_argument("--processes", type=int, default=1, metavar="N", help="plays at a time; default 1")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="keep finished plays here, and take them up again")
    parser.add_argument(
        "--out", type=Path, default=Path("benchmarks/out/attacks"), help="pictures; default %(default)s"
    )
    options = parser.parse_args(arguments)
    return harness.run(lambda: benchmark(options), options.json)


if __name__ == "__main__":
    sys.exit(main())
