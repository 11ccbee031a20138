"""The shape of the paper's Table 4 and Figures 7, 8 and 10, on data that exists here.

    python -m benchmarks.paper [--data F] [--rounds 20] [--hospitals-to 10] [--part P …] [--keep DIR] [--out DIR] [--json F]

Kumar et al. 2021, "Blockchain based Privacy-Preserved Federated Learning for Medical Images: A Case Study of COVID-19 CT
Scans". Their CC-19 set is not available, so figures cannot be compared with theirs, only who does better than whom.

* Table 4: three hospitals with shares of 40, 20 and 17; each holds out a quarter of its patients as its local test. *Global*:
  accuracy on test images of nobody. *Local*: mean over hospitals of the accuracy on their own test images of the model they
  use. *Generalisation*: the same on the other hospitals' test images. A joint model is everyone's, so its last two agree.
* Figure 7: accuracy and time against gradient steps a hospital has taken. Figure 8: against the number of hospitals.
* Figure 10: share of each class that is recognised, each hospital's own model beside the joint one.

"FedAvg-Blockchain" is this project's sealed sum (`federation.Sealed`); the chain itself moves no accuracy. "FedAvg" adds the
updates unrounded and in the clear.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from benchmarks import charts, harness, learning
from benchmarks.errors import NotMeasured
from benchmarks.federation import Clear, Run, Sealed, Split, alone, federated, shared_out
from benchmarks.harness import Result, Row, Target
from benchmarks.material import images
from benchmarks.running import side_by_side
from node.images.errors import DataError
from node.images.partition import split_validation
from node.learning.errors import LearningError
from node.learning.metrics import evaluate, measure

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping, Sequence

    from node.images.record import Dataset
    from node.learning.settings import TrainingSettings

SHARES: Final = (40.0, 20.0, 17.0)
"""Of the paper's three hospitals."""
LOCAL_TEST: Final = 0.25
LOCALS: Final = ("Local I", "Local II", "Local III")
FEDAVG, OURS, FEDPROX = "FedAvg", "FedAvg-Blockchain", "FedProx"
MODELS: Final = (*LOCALS, FEDAVG, OURS, FEDPROX)
PARTS: Final = {"table4": MODELS, "fig7": (OURS,), "fig8": (), "fig10": (*LOCALS, OURS)}
"""What can be asked for by itself, and the models of Table 4 it needs."""
MU: Final = 0.01
"""FedProx's pull here; Li et al. 2020 try 0.001 to 1."""


@dataclass(frozen=True, slots=True)
class Job:
    """One model to train."""

    name: str
    split: Split
    settings: TrainingSettings
    rounds: int
    threads: int
    member: int | None = None
    """Who trains alone; None for all together."""

    def __call__(self) -> Run:
        """Train it."""
        if self.member is not None:
            mine = self.split.hospitals[self.member]
            return alone(mine, self.split.test, self.settings, self.rounds, self.member)
        add = (
            Clear()
            if self.name in {FEDAVG, FEDPROX}
            else Sealed(self.settings, len(self.split.hospitals), self.settings.seed)
        )
        return federated(self.split, self.settings, self.rounds, add)

    def __str__(self) -> str:
        """What it is called in the tables."""
        return self.name


@dataclass(frozen=True, slots=True)
class Table4:
    """Who trains on what, and whose test images there are."""

    split: Split
    local_tests: tuple[Dataset, ...]

    @classmethod
    def of(cls, train_set: Dataset, test: Dataset, seed: int) -> Table4:
        """Three hospitals of the paper's shares, each with a quarter of its patients held out."""
        held = [split_validation(part, LOCAL_TEST, seed) for part in shared_out(train_set, SHARES, seed)]
        return cls(Split(tuple(kept for kept, _ in held), test), tuple(asked for _, asked in held))

    def jobs(self, settings: TrainingSettings, rounds: int, threads: int) -> list[Job]:
        """The six models of the table."""
        common = (self.split, settings, rounds, threads)
        found = [Job(name, *common, member) for member, name in enumerate(LOCALS)]
        pulled = replace(settings, proximal_mu=MU)
        return [*found, Job(FEDAVG, *common), Job(OURS, *common), Job(FEDPROX, self.split, pulled, rounds, threads)]

    def scores(self, job: Job, run: Run) -> dict[str, float]:
        """Accuracy and AUC on the global test, local and generalisation accuracy, of one model."""
        whole = measure(run.answers[-1], np.asarray(self.split.test.labels))
        here = [evaluate(run.vector, test, job.settings).accuracy for test in self.local_tests]
        users = range(len(here)) if job.member is None else [job.member]
        return {
            "global_test": whole.accuracy,
            "global_AUC": whole.auc or float("nan"),
            "local": float(np.mean([here[k] for k in users])),
            "generalisation": float(np.mean([np.mean([h for j, h in enumerate(here) if j != k]) for k in users])),
        }


def figure8_jobs(
    options: argparse.Namespace, train_set: Dataset, test: Dataset, settings: TrainingSettings
) -> list[Job]:
    """The sealed sum of 3 to so many hospitals of equal shares of the same images."""
    return [
        Job(
            f"{count} hospitals",
            Split(tuple(shared_out(train_set, [1.0] * count, settings.seed)), test),
            settings,
            options.rounds,
            options.threads,
        )
        for count in range(3, options.hospitals_to + 1)
    ]


def benchmark(options: argparse.Namespace) -> Result:
    """Train the models of what is asked for: of the table every seed, of the figures the first."""
    first, parts = options.first_seed, set(options.part)
    try:
        train_set, test, name = images(options)
        settings = learning.settings_of(options, len(train_set.class_names), 0)
        seeds = range(first, first + (options.seeds if "table4" in parts else 1))
        tables = {seed: Table4.of(train_set, test, seed) for seed in seeds}
        asked_for = {model for part in parts for model in PARTS[part]}
        works = {
            (seed, job.name): job
            for seed, table in tables.items()
            for job in table.jobs(replace(settings, seed=seed), options.rounds, options.threads)
            if job.name in asked_for
        }
        wide = figure8_jobs(options, train_set, test, settings) if "fig8" in parts else []
        found = side_by_side([*works.values(), *wide], options.jobs, options.keep)
    except (DataError, LearningError) as error:
        raise NotMeasured(str(error)) from None
    runs, of_wide = dict(zip(works, found, strict=False)), found[len(works) :]
    rows: list[Row] = []
    wanted: tuple[Target, ...] = ()
    options.out.mkdir(parents=True, exist_ok=True)
    if "table4" in parts:
        means = table4({model: [tables[s].scores(works[s, model], runs[s, model]) for s in seeds] for model in MODELS})
        rows += [Row("Table 4: accuracy", model, figures) for model, figures in means.items()]
        wanted = targets(means)
    if "fig7" in parts:
        by_steps = figure7(runs[first, OURS], steps_a_hospital(works[first, OURS]), test)
        rows += by_steps
        draw_figure7(options.out, by_steps)
    if wide:
        by_count = figure8(wide, of_wide, test)
        rows += by_count
        draw_figure8(options.out, by_count)
    if "fig10" in parts:
        by_class = figure10({model: runs[first, model] for model in PARTS["fig10"]}, test)
        rows += by_class
        draw_figure10(options.out, by_class, test.class_names)
    return Result(tuple(rows), wanted, notes(options, tables[first], name))


def table4(scored: Mapping[str, Sequence[Mapping[str, float]]]) -> dict[str, dict[str, float]]:
    """Each model's scores, means over seeds; after the three local models their mean."""
    means = {
        model: {key: float(np.mean([each[key] for each in seeds])) for key in seeds[0]}
        for model, seeds in scored.items()
    }
    mean = {key: float(np.mean([means[name][key] for name in LOCALS])) for key in means[FEDAVG]}
    return {
        **{name: means[name] for name in LOCALS},
        "Local, mean": mean,
        **{name: means[name] for name in (FEDAVG, OURS, FEDPROX)},
    }


def steps_a_hospital(job: Job) -> float:
    """Gradient steps that a hospital takes in a round, on average."""
    each = [-(-len(data) // job.settings.batch_size) * job.settings.epochs for data in job.split.hospitals]
    return float(np.mean(each))


def figure7(run: Run, steps: float, test: Dataset) -> list[Row]:
    """Accuracy and time after each round of the sealed sum."""
    found = []
    for number, answers in enumerate(run.answers):
        measured = measure(answers, np.asarray(test.labels))
        figures: dict[str, harness.Figure] = {
            "gradients": round(steps * (number + 1)),
            "accuracy": measured.accuracy,
            "AUC": measured.auc,
            "time_seconds": run.marks[number],
        }
        found.append(Row("Figure 7: against gradients a hospital", f"round {number + 1}", figures))
    return found


def figure8(jobs: Sequence[Job], runs: Sequence[Run], test: Dataset) -> list[Row]:
    """Accuracy and time for each number of hospitals, and how many images the smallest of them has."""
    found = []
    for job, run in zip(jobs, runs, strict=True):
        measured = measure(run.answers[-1], np.asarray(test.labels))
        figures: dict[str, harness.Figure] = {
            "hospitals": len(job.split.hospitals),
            "least_images": min(map(len, job.split.hospitals)),
            "accuracy": measured.accuracy,
            "AUC": measured.auc,
            "time_seconds": run.seconds,
        }
        found.append(Row("Figure 8: against the number of hospitals", job.name, figures))
    return found


def figure10(runs: Mapping[str, Run], test: Dataset) -> list[Row]:
    """Share of each class recognised on the global test, by each local model and the sealed joint one."""
    labels, names = np.asarray(test.labels), test.class_names
    title = "Figure 10: share of each class recognised"
    return [
        Row(title, model, dict(zip(names, measure(run.answers[-1], labels).sensitivity, strict=True)))
        for model, run in runs.items()
    ]


# ---- pictures --------------------------------------------------------------------------------------------------------


def draw_figure7(folder: Path, rows: Sequence[Row]) -> None:
    """``figure7.svg`` and ``figure7-time.svg``."""
    x, name = _numbers(rows, "gradients"), "gradient steps a hospital"
    both = [charts.Line(key, x, _numbers(rows, key)) for key in ("AUC", "accuracy")]
    (folder / "figure7.svg").write_text(
        charts.lines(f"After Figure 7: {OURS} on the global test", name, "AUC, accuracy", both)
    )
    line = charts.Line(OURS, x, _numbers(rows, "time_seconds"))
    (folder / "figure7-time.svg").write_text(
        charts.lines("After Figure 7: time", name, "seconds, all hospitals", [line])
    )


def draw_figure8(folder: Path, rows: Sequence[Row]) -> None:
    """``figure8.svg`` and ``figure8-time.svg``."""
    x = _numbers(rows, "hospitals")
    both = [charts.Line(key, x, _numbers(rows, key)) for key in ("AUC", "accuracy")]
    title = "After Figure 8: the same images in more hospitals"
    (folder / "figure8.svg").write_text(charts.lines(title, "hospitals", "AUC, accuracy", both))
    line = charts.Line(OURS, x, _numbers(rows, "time_seconds"))
    (folder / "figure8-time.svg").write_text(
        charts.lines("After Figure 8: time", "hospitals", "seconds, one core", [line])
    )


def draw_figure10(folder: Path, rows: Sequence[Row], names: Sequence[str]) -> None:
    """``figure10.svg``."""
    found = [
        charts.Bar(name, row.name, float(share))
        for row in rows
        for name in names
        if (share := row.figures[name]) is not None
    ]
    title = "After Figure 10: each hospital's own model and the joint one"
    (folder / "figure10.svg").write_text(charts.bars(title, "share of the class recognised", found))


def _numbers(rows: Sequence[Row], key: str) -> list[float]:
    return [float(row.figures[key] or 0) for row in rows]


# ---- as a command ----------------------------------------------------------------------------------------------------


def targets(means: dict[str, dict[str, float]]) -> tuple[Target, ...]:
    """What the paper's table shows in shape: together beats alone, sealing costs nothing, it carries over."""
    ours, local = means[OURS], means["Local, mean"]
    return (
        Target("sealed above the mean local, global test", ours["global_test"] - local["global_test"], "", ">=", 0.0),
        Target(
            "sealed above the mean local, generalisation", ours["generalisation"] - local["generalisation"], "", ">=", 0
        ),
        Target(
            "sealed and unrounded FedAvg apart, AUC",
            abs(ours["global_AUC"] - means[FEDAVG]["global_AUC"]),
            "",
            "<=",
            0.002,
        ),
    )


def notes(options: argparse.Namespace, table: Table4, name: str) -> tuple[str, ...]:
    """What a reader must know."""
    sizes, tests = (", ".join(str(len(data)) for data in sets) for sets in (table.split.hospitals, table.local_tests))
    return (
        (
            f"{name}: hospitals of {sizes} training and {tests} test images, {len(table.split.test)} of nobody, {options.rounds} rounds of {options.epochs} epochs, network "
            f"{options.model}, seeds: {options.seeds} (figures: the first); FedProx mu {MU}."
        ),
        "The paper's own figures are of CC-19, which is not available: compare who is ahead of whom, not numbers.",
        "Every sealed sum was held against that of the same integers in the clear: no bit differs.",
        f"Pictures: {options.out}/figure7.svg, figure7-time.svg, figure8.svg, figure8-time.svg, figure10.svg.",
    )


def parser() -> argparse.ArgumentParser:
    """The options of `learning`, and the largest number of hospitals."""
    found = learning.parser()
    found.description = (__doc__ or "").splitlines()[0]
    found.set_defaults(out=Path("benchmarks/out/paper"), seeds=1, hospitals=3)
    found.add_argument(
        "--hospitals-to", type=int, default=10, metavar="N", help="in Figure 8; default %(default)s, 2 for none"
    )
    found.add_argument("--part", nargs="+", choices=tuple(PARTS), default=tuple(PARTS), help="default: all of them")
    return found


def main(arguments: list[str] | None = None) -> int:
    """Measure what the arguments ask for."""
    options = parser().parse_args(arguments)
    options.seeds = max(options.seeds, options.repeats)
    options.rounds = options.rounds or (20 if options.data else 5)
    return harness.run(lambda: benchmark(options), options.json)


if __name__ == "__main__":
    sys.exit(main())
