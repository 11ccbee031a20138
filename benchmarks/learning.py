"""Learning alone, together and in one place on the same patients, with and without sealing; Flower beside it if asked.

    python -m benchmarks.learning [--data F] [--hospitals 4] [--rounds 30] [--seeds 3] [--folds K] [--peer flower]
                                  [--by-clip] [--equal-steps] [--nudge] [--out DIR] [--keep DIR] [--json F]

Every arm passes over its images equally often; --equal-steps adds one place that takes only as many steps of descent as
each hospital does, so many times fewer passes as there are hospitals. Without --data, synthetic phantoms are drawn. Figures are those of the last
round's model on test images whose patients nobody trained on: nothing is chosen on them. With --folds, all images are
test images once, in folds by patient, and a seed's figures are of all its folds' answers together.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from benchmarks import charts, harness
from benchmarks.clips import by_clip, clips_in, clips_of
from benchmarks.errors import NotMeasured
from benchmarks.federation import (
    Clear,
    InSteps,
    Nudged,
    Run,
    Sealed,
    Split,
    alone,
    federated,
    folds_of,
    split_of,
)
from benchmarks.flower import Flower
from benchmarks.harness import Result, Row
from benchmarks.material import images
from benchmarks.outcomes import (
    CENTRAL,
    CLEAR,
    FLOWER,
    LOCAL,
    NUDGED,
    ROUNDED,
    SEALED,
    STEPS,
    Outcome,
    apart,
    beside_flower,
    by_seed,
    targets,
)
from benchmarks.running import side_by_side
from node.images.dataset import concatenate
from node.images.errors import DataError
from node.images.partition import split_validation
from node.learning.errors import LearningError
from node.learning.metrics import predict
from node.learning.quality import quality, youden_thresholds
from node.learning.settings import CLASS_WEIGHTS, PRECISIONS, VIEWS, TrainingSettings

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from benchmarks.federation import Sum
    from node.images.record import Dataset
    from node.learning.quality import Estimate

SUMS: Final[Mapping[str, Callable[[TrainingSettings, int, int], Sum]]] = {
    SEALED: Sealed,
    ROUNDED: InSteps,
    NUDGED: Nudged,
}
"""Of the arms whose sums are rounded, or moved by as much."""
DRAWS: Final = 400
"""Bootstrap samples of an interval."""


@dataclass(frozen=True, slots=True)
class Job:
    """One arm on one split: what one process does."""

    arm: str
    seed: int
    fold: int
    member: int
    """Whose images, for `LOCAL`; 0 otherwise."""
    split: Split
    settings: TrainingSettings
    rounds: int
    threads: int
    flower_python: str

    def __call__(self) -> Run:
        """Train it."""
        if self.arm in {CENTRAL, STEPS}:
            count = len(self.split.hospitals)
            passes = self.settings.epochs // (count if self.arm == STEPS else 1)
            own = replace(self.settings, epochs=passes)
            return alone(self.split.whole, self.split.test, own, self.rounds, count)
        if self.arm == LOCAL:
            mine = self.split.hospitals[self.member]
            return alone(mine, self.split.test, self.settings, self.rounds, self.member)
        if self.arm in SUMS:
            add = SUMS[self.arm](self.settings, len(self.split.hospitals), self.seed)
            return federated(self.split, self.settings, self.rounds, add)
        if self.arm == FLOWER:
            with Flower(self.flower_python) as peer:
                return federated(self.split, self.settings, self.rounds, peer)
        return federated(self.split, self.settings, self.rounds, Clear())

    def __str__(self) -> str:
        """Which arm, seed and fold."""
        return f"{self.arm}{f' {self.member + 1}' if self.arm == LOCAL else ''}, seed {self.seed}, fold {self.fold + 1}"


def jobs(options: argparse.Namespace, train_set: Dataset, test: Dataset) -> list[Job]:
    """Every arm, seed, fold and hospital."""
    found = []
    chosen = {
        STEPS: options.equal_steps,
        CENTRAL: True,
        CLEAR: True,
        SEALED: options.sealed,
        ROUNDED: options.sealed,
        NUDGED: options.nudge,
        FLOWER: options.peer,
    }
    arms = [CENTRAL] if options.one_place_only else [arm for arm, wanted in chosen.items() if wanted]
    alone_too = 0 if options.one_place_only else options.hospitals
    for seed in range(options.first_seed, options.first_seed + options.seeds):
        settings = settings_of(options, len(train_set.class_names), seed)
        for fold, (learn, ask) in enumerate(sets(options, train_set, test, seed)):
            split = _held_out(options, learn, ask, seed)
            common = (split, settings, options.rounds, options.threads, options.flower_python)
            found += [Job(arm, seed, fold, 0, *common) for arm in arms]
            found += [Job(LOCAL, seed, fold, member, *common) for member in range(alone_too)]
    return found


def _held_out(options: argparse.Namespace, learn: Dataset, ask: Dataset, seed: int) -> Split:
    """The hospitals' shares, of what validation leaves."""
    if not options.validation:
        return split_of(learn, ask, options.hospitals, options.partition, seed)
    kept, held = split_validation(learn, options.validation, seed)
    return replace(split_of(kept, ask, options.hospitals, options.partition, seed), held=held)


def sets(options: argparse.Namespace, train_set: Dataset, test: Dataset, seed: int) -> list[tuple[Dataset, Dataset]]:
    """The training and test sets of each fold; the set's own split without folds."""
    if options.folds < 2:
        return [(train_set, test)]
    return folds_of(concatenate([train_set, test], train_set.name), options.folds, seed)


def settings_of(options: argparse.Namespace, classes: int, seed: int) -> TrainingSettings:
    """What every arm trains with."""
    base = TrainingSettings(architecture=options.model, classes=classes, image_size=options.image_size)
    return replace(
        base,
        epochs=options.epochs,
        batch_size=options.batch_size,
        learning_rate=options.learning_rate,
        proximal_mu=options.proximal,
        schedule_over=options.schedule_over,
        label_smoothing=options.label_smoothing,
        views=options.views,
        class_weights=options.class_weights,
        precision=options.precision,
        seed=seed,
    )


def outcomes(found: Sequence[Job], runs: Sequence[Run], clips: Mapping[str, str] | None = None) -> list[Outcome]:
    """Folds put together; ``clips`` as `clips_in` gives them."""
    places: dict[tuple[str, int, int], list[int]] = {}
    for place, job in enumerate(found):
        places.setdefault((job.arm, job.seed, job.member), []).append(place)
    return [
        Outcome(
            *(arm, seed, member),
            tuple(np.concatenate(each) for each in zip(*(runs[place].answers for place in here), strict=True)),
            np.concatenate([found[place].split.test.labels for place in here]),
            np.concatenate([found[place].split.test.patients for place in here]),
            sum(runs[place].seconds for place in here),
            sum(runs[place].clipped for place in here),
            thresholds_of(found[here[0]], runs[here[0]]),
            tuple(digest for place in here for digest in runs[place].digests),
            np.concatenate([clips_of(found[place].split.test, clips) for place in here]) if clips else None,
        )
        for (arm, seed, member), here in places.items()
    ]


def thresholds_of(job: Job, run: Run) -> NDArray[np.float64] | None:
    """Youden's thresholds of a run's last model on the validation images, if any."""
    held = job.split.held
    return None if held is None else youden_thresholds(predict(run.vector, held, job.settings), np.asarray(held.labels))


# ---- figures ---------------------------------------------------------------------------------------------------------


def rows(found: Sequence[Outcome]) -> list[Row]:
    """One line an arm over all seeds, then one an arm and seed with intervals by patient."""
    lines = [_summary(arm, [each for each in found if each.arm == arm]) for arm in dict.fromkeys(o.arm for o in found)]
    for each in found:
        name = f"{each.arm}{f' {each.member + 1}' if each.arm == LOCAL else ''}, seed {each.seed}"
        limits = each.thresholds
        measured = quality(each.rounds[-1], each.labels, each.patients, limits, draws=DRAWS, seed=each.seed)
        figures: dict[str, harness.Figure] = {
            "AUC": _interval(measured.auc),
            "accuracy": _interval(measured.accuracy),
            "macro_F1": _interval(measured.macro_f1),
            "calibration_error": _interval(measured.calibration_error),
            "Brier": _interval(measured.brier),
        }
        lines.append(Row("each seed, with 95 % intervals by patient", name, figures))
        shares = {"sensitivity": measured.sensitivity, "specificity": measured.specificity}
        by_class = {f"{word}_{k}": _interval(v) for word, values in shares.items() for k, v in enumerate(values)}
        chosen = "" if limits is None else ", called by thresholds chosen on validation images"
        lines.append(Row(f"each seed, by class{chosen}", name, by_class))
        if each.clips is not None:
            lines.append(_by_clip(each, each.clips, name))
    return lines


def _by_clip(each: Outcome, clips: NDArray[np.str_], name: str) -> Row:
    answers, labels, patients = by_clip(each.rounds[-1], each.labels, each.patients, clips)
    measured = quality(answers, labels, patients, draws=DRAWS, seed=each.seed)
    figures: dict[str, harness.Figure] = {
        "clips": len(labels),
        "AUC": _interval(measured.auc),
        "accuracy": _interval(measured.accuracy),
        "macro_F1": _interval(measured.macro_f1),
    }
    return Row("each seed, by clip: the mean of its frames' answers", name, figures)


def _summary(arm: str, found: Sequence[Outcome]) -> Row:
    aucs, right = [each.auc() for each in found], [each.accuracy() for each in found]
    figures: dict[str, harness.Figure] = {
        "AUC": float(np.mean(aucs)),
        "AUC_least": min(aucs),
        "AUC_most": max(aucs),
        "accuracy": float(np.mean(right)),
        "training_seconds": float(np.mean([each.seconds for each in found])),
        "clipped_values": sum(each.clipped for each in found) if arm in {SEALED, ROUNDED} else None,
    }
    return Row("mean over seeds", arm + (", mean of the hospitals" if arm == LOCAL else ""), figures)


def _interval(found: Estimate | None) -> str | None:
    return None if found is None else f"{found.value:.3f} {found.low:.2f}-{found.high:.2f}"


# ---- pictures --------------------------------------------------------------------------------------------------------


def draw(found: Sequence[Outcome], folder: Path, data: str) -> None:
    """``curves.svg`` (AUC by round, band from least to most) and ``roc.svg`` (last round, seeds together).

    Without the sealed arm's twin in whole steps, whose curves are the same.
    """
    folder.mkdir(parents=True, exist_ok=True)
    arms = list(dict.fromkeys(each.arm for each in found if each.arm != ROUNDED))
    count = len(found[0].rounds)
    curves = []
    for arm in arms:
        table = np.array([by_seed(found, arm, number) for number in range(count)])
        x = list(range(1, count + 1))
        curves.append(charts.Line(arm, x, *(each.tolist() for each in (table.mean(1), table.min(1), table.max(1)))))
    (folder / "curves.svg").write_text(charts.lines(f"{data}: test AUC by round", "round", "AUC", curves))
    if found[0].rounds[0].shape[1] == 2:
        roc = [charts.Line(arm, *roc_curve([each for each in found if each.arm == arm])) for arm in arms]
        title = f"{data}: ROC after the last round"
        (folder / "roc.svg").write_text(charts.lines(title, "1 - specificity", "sensitivity", roc))


def roc_curve(found: Sequence[Outcome]) -> tuple[list[float], list[float]]:
    """False and true positive rates of class 1 over all thresholds, answers of all runs ranked within their own."""
    grid = np.linspace(0, 1, 101)
    rates = []
    for each in found:
        order = np.argsort(-each.rounds[-1][:, 1], kind="stable")
        positive = each.labels[order] == 1
        true = np.concatenate([[0], np.cumsum(positive) / max(1, positive.sum())])
        false = np.concatenate([[0], np.cumsum(~positive) / max(1, (~positive).sum())])
        rates.append(np.interp(grid, false, true))
    return grid.tolist(), np.mean(rates, axis=0).tolist()


# ---- as a command ----------------------------------------------------------------------------------------------------


def benchmark(options: argparse.Namespace) -> Result:
    """Train everything the options ask for."""
    try:
        train_set, test, name = images(options)
        listed = jobs(options, train_set, test)
        clips = clips_in(options.data) if options.by_clip else None
        found = outcomes(listed, side_by_side(listed, options.jobs, options.keep), clips)
    except (DataError, LearningError) as error:
        raise NotMeasured(str(error)) from None
    draw(found, options.out, name)
    named = options.data.stem if options.data and options.model == TrainingSettings().architecture else ""
    notes = [
        (
            f"{name}: {len(train_set)} training and {len(test)} test images, {options.hospitals} hospitals "
            f"({options.partition}), {options.rounds} rounds of {options.epochs} epochs, network {options.model}."
        ),
        (
            "Sealed: quantised, packed, encrypted, added and opened by the product's code in this process, at `standard`; "
            "no chain, ledger or gossip, and no update is scored or refused. In whole steps: the same integers, added in the clear."
        ),
        f"Pictures: {options.out}/curves.svg and roc.svg.",
    ]
    return Result(
        (*rows(found), *apart(found), *beside_flower(found)),
        tuple(targets(found, named)),
        tuple(notes),
    )


def parser() -> argparse.ArgumentParser:
    """The options."""
    defaults = TrainingSettings()
    found = harness.parser(__doc__ or "", repeats=1)
    found.add_argument("--data", type=Path, metavar="F", help="npz archive or folder of classes; default: phantoms")
    found.add_argument("--phantoms", type=int, default=96, metavar="N", help="a hospital; default %(default)s")
    found.add_argument("--hospitals", type=int, default=4, metavar="N", help="default %(default)s")
    found.add_argument("--partition", default="by-patient", help="default %(default)s")
    found.add_argument("--rounds", type=int, metavar="N", help="default 30, of phantoms 5")
    found.add_argument("--epochs", type=int, default=2, metavar="N", help="a round; default %(default)s")
    found.add_argument("--seeds", type=int, default=3, metavar="N", help="default %(default)s")
    found.add_argument("--first-seed", type=int, default=0, metavar="N", help="default %(default)s")
    found.add_argument("--folds", type=int, default=0, metavar="K", help="cross-validation by patient; default: none")
    found.add_argument(
        "--validation", type=float, default=0.0, metavar="SHARE", help="hold out to choose thresholds on; default: none"
    )
    found.add_argument("--model", default=defaults.architecture, help="default %(default)s")
    found.add_argument("--image-size", type=int, default=defaults.image_size, help="default %(default)s")
    found.add_argument("--batch-size", type=int, default=defaults.batch_size, help="default %(default)s")
    found.add_argument("--learning-rate", type=float, default=defaults.learning_rate, help="default %(default)s")
    found.add_argument("--precision", default="auto", choices=PRECISIONS, help="of products; default %(default)s")
    found.add_argument("--schedule-over", default="round", choices=("round", "plan"), help="default %(default)s")
    found.add_argument("--label-smoothing", type=float, default=0.0, help="default %(default)s")
    found.add_argument(
        "--views", default=defaults.views, choices=VIEWS, help="what augmentation varies; default %(default)s"
    )
    found.add_argument(
        "--class-weights", default=defaults.class_weights, choices=CLASS_WEIGHTS, help="default %(default)s"
    )
    found.add_argument("--proximal", type=float, default=0.0, help="FedProx mu; default %(default)s")
    found.add_argument(
        "--by-clip", action="store_true", help="also figures by clip, of an archive that has the array `videos`"
    )
    found.add_argument(
        "--crop-lungs",
        action="store_true",
        help="first cut images to the lungs, found by a network that learnt phantoms",
    )
    found.add_argument(
        "--equal-steps", action="store_true", help="also one place that takes as many steps as a hospital, not passes"
    )
    found.add_argument(
        "--one-place-only", action="store_true", help="no hospitals: what the images allow by themselves"
    )
    found.add_argument(
        "--unsealed", dest="sealed", action="store_false", help="neither the sealed arm nor its twin in whole steps"
    )
    found.add_argument(
        "--nudge",
        action="store_true",
        help="also in the clear, moved once by half a step of rounding: training's own noise",
    )
    found.add_argument("--peer", choices=("flower",), help="Flower's FedAvg beside ours, same everything")
    found.add_argument("--flower-python", default=sys.executable, help="interpreter that has flwr; default: this one")
    found.add_argument(
        "--out", type=Path, default=Path("benchmarks/out/learning"), help="pictures; default %(default)s"
    )
    found.add_argument(
        "--keep", type=Path, metavar="DIR", help="keep finished runs there, and go on from those that are"
    )
    found.add_argument("--jobs", type=int, default=1, metavar="N", help="arms trained side by side; default 1")
    found.add_argument("--threads", type=int, default=1, metavar="N", help="of each; default 1")
    return found


def main(arguments: list[str] | None = None) -> int:
    """Measure what the arguments ask for."""
    options = parser().parse_args(arguments)
    if options.validation and options.folds > 1:
        parser().error("thresholds are of one split: give --validation or --folds, not both")
    if options.by_clip and (options.data is None or options.data.suffix != ".npz" or options.crop_lungs):
        parser().error("--by-clip knows frames by their pixels: give an npz archive as --data, and no --crop-lungs")
    if options.equal_steps and options.epochs % options.hospitals:
        parser().error("--equal-steps shares a round's epochs out: give --epochs a multiple of --hospitals")
    options.seeds = max(options.seeds, options.repeats)
    options.rounds = options.rounds or (30 if options.data else 5)
    return harness.run(lambda: benchmark(options), options.json)


if __name__ == "__main__":
    sys.exit(main())
