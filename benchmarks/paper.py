"""The shape of the paper's Table 4 and Figures 7, 8 and 10, on data that exists here.

    python -m benchmarks.paper [--data F] [--rounds 20] [--hospitals-to 10] [--out DIR] [--json F]

Kumar et al. 2021, "Blockchain based Privacy-Preserved Federated Learning for Medical Images: A Case Study of COVID-19 CT
Scans". Their CC-19 set is not available, so figures cannot be compared with theirs, only who does better than whom.

* Table 4: three hospitals with shares of 40, 20 and 17; each holds out a quarter of its patients as its local test. *Global*:
  accuracy on test images of nobody. *Local*: mean over hospitals of the accuracy on their own test images of the model they
  use. *Generalisation*: the same on the other hospitals' test images. A joint model is everyone's, so its last two agree.
* Figure 7: accuracy and time against gradient steps a hospital has taken. Figure 8: against the number of hospitals.
* Figure 10: share of each class that is recognised, each hospital's own model beside the joint one.

"FedAvg-Blockchain" is this project's sealed sum (`federation.Sealed`); the chain itself moves no accuracy.
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
from node.learning.metrics import Metrics, evaluate, measure

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from node.images.record import Dataset
    from node.learning.settings import TrainingSettings

SHARES: Final = (40.0, 20.0, 17.0)
"""Of the paper's three hospitals."""
LOCAL_TEST: Final = 0.25
LOCALS: Final = ("Local I", "Local II", "Local III")
FEDAVG, OURS, FEDPROX = "FedAvg", "FedAvg-Blockchain", "FedProx"
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
    """Train every model of the table and the figures."""
    try:
        train_set, test, name = images(options)
        settings = learning.settings_of(options, len(train_set.class_names), 0)
        seeds = range(options.first_seed, options.first_seed + options.seeds)
        listed = [Table4.of(train_set, test, seed) for seed in seeds]
        table_jobs = [
            table.jobs(replace(settings, seed=seed), options.rounds, options.threads)
            for seed, table in zip(seeds, listed, strict=True)
        ]
        wide = figure8_jobs(options, train_set, test, settings)
        runs = iter(side_by_side([*(job for jobs in table_jobs for job in jobs), *wide], options.jobs))
        found = [[next(runs) for _ in jobs] for jobs in table_jobs]
    except (DataError, LearningError) as error:
        raise NotMeasured(str(error)) from None
    scored = [
        [table.scores(job, run) for job, run in zip(jobs, here, strict=True)]
        for table, jobs, here in zip(listed, table_jobs, found, strict=True)
    ]
    table_rows, means = table4(table_jobs[0], scored)
    asked = np.asarray(test.labels)
    steps = steps_a_hospital(table_jobs[0][4])
    by_steps = figure7(found[0][4], steps, test)
    by_count = [(job.name, measure(run.answers[-1], asked), run.seconds) for job, run in zip(wide, runs, strict=True)]
    by_class = figure10(table_jobs[0], found[0], test)
    draw(options.out, by_steps, by_count, by_class, test.class_names)
    rows = (*table_rows, *by_steps, *figure8(by_count), *class_rows(by_class, test.class_names))
    return Result(rows, targets(means), notes(options, listed[0], name))


def table4(
    jobs: Sequence[Job], scored: Sequence[Sequence[dict[str, float]]]
) -> tuple[list[Row], dict[str, dict[str, float]]]:
    """A row a model, means over seeds; and a row of the three local models' mean."""
    means = {
        job.name: {key: float(np.mean([seed[place][key] for seed in scored])) for key in scored[0][place]}
        for place, job in enumerate(jobs)
    }
    means["Local, mean"] = {key: float(np.mean([means[name][key] for name in LOCALS])) for key in means[FEDAVG]}
    order = [*LOCALS, "Local, mean", FEDAVG, OURS, FEDPROX]
    return [Row("Table 4: accuracy", name, means[name]) for name in order], means


def steps_a_hospital(job: Job) -> float:
    """Gradient steps that a hospital takes in a round, on average."""
    each = [-(-len(data) // job.settings.batch_size) * job.settings.epochs for data in job.split.hospitals]
    return float(np.mean(each))


def figure7(run: Run, steps: float, test: Dataset) -> list[Row]:
    """Accuracy and time after each round of the sealed sum."""
    return [
        Row(
            "Figure 7: accuracy and time against gradients a hospital",
            f"round {number + 1}",
            {
                "gradients": round(steps * (number + 1)),
                "accuracy": measure(answers, np.asarray(test.labels)).accuracy,
                "time_seconds": run.marks[number],
            },
        )
        for number, answers in enumerate(run.answers)
    ]


def figure8(found: Sequence[tuple[str, Metrics, float]]) -> list[Row]:
    """Accuracy and time for each number of hospitals."""
    title = "Figure 8: against the number of hospitals"
    return [Row(title, name, {"accuracy": m.accuracy, "AUC": m.auc, "time_seconds": s}) for name, m, s in found]


def figure10(jobs: Sequence[Job], runs: Sequence[Run], test: Dataset) -> list[tuple[str, tuple[float | None, ...]]]:
    """Share of each class recognised on the global test, by each local model and the sealed joint one."""
    labels = np.asarray(test.labels)
    return [
        (job.name, measure(run.answers[-1], labels).sensitivity)
        for job, run in zip(jobs, runs, strict=True)
        if job.name in {*LOCALS, OURS}
    ]


def class_rows(found: Sequence[tuple[str, tuple[float | None, ...]]], names: Sequence[str]) -> list[Row]:
    """Figure 10 as a table."""
    return [
        Row("Figure 10: share of each class recognised", who, dict(zip(names, shares, strict=True)))
        for who, shares in found
    ]


def draw(
    folder: Path,
    by_steps: Sequence[Row],
    by_count: Sequence[tuple[str, Metrics, float]],
    by_class: Sequence[tuple[str, tuple[float | None, ...]]],
    names: Sequence[str],
) -> None:
    """``figure7.svg``, ``figure7-time.svg``, ``figure8.svg``, ``figure10.svg``."""
    folder.mkdir(parents=True, exist_ok=True)
    x = [float(row.figures["gradients"] or 0) for row in by_steps]
    for file, key, title in (("figure7", "accuracy", "accuracy"), ("figure7-time", "time_seconds", "seconds")):
        line = charts.Line(OURS, x, [float(row.figures[key] or 0) for row in by_steps])
        text = charts.lines(f"After Figure 7: {title} by gradients", "gradient steps a hospital", title, [line])
        (folder / f"{file}.svg").write_text(text)
    if len(by_count) > 1:
        counts = [float(name.split()[0]) for name, _, _ in by_count]
        line = charts.Line(OURS, counts, [m.accuracy for _, m, _ in by_count])
        text = charts.lines("After Figure 8: accuracy by hospitals", "hospitals", "accuracy", [line])
        (folder / "figure8.svg").write_text(text)
    found = [
        charts.Bar(name, who, share)
        for who, shares in by_class
        for name, share in zip(names, shares, strict=True)
        if share is not None
    ]
    (folder / "figure10.svg").write_text(charts.bars("After Figure 10: local and joint", "share recognised", found))


def targets(means: dict[str, dict[str, float]]) -> tuple[Target, ...]:
    """What the paper's table shows in shape: together beats alone, sealing costs nothing, it carries over."""
    ours, local = means[OURS], means["Local, mean"]
    return (
        Target("sealed above the mean local, global test", ours["global_test"] - local["global_test"], "", ">=", 0.0),
        Target(
            "sealed above the mean local, generalisation", ours["generalisation"] - local["generalisation"], "", ">=", 0
        ),
        Target("sealed and FedAvg apart, AUC", abs(ours["global_AUC"] - means[FEDAVG]["global_AUC"]), "", "<=", 0.002),
    )


def notes(options: argparse.Namespace, table: Table4, name: str) -> tuple[str, ...]:
    """What a reader must know."""
    sizes = ", ".join(str(len(data)) for data in table.split.hospitals)
    return (
        (
            f"{name}: hospitals of {sizes} training images, {options.rounds} rounds of {options.epochs} epochs, network "
            f"{options.model}, {options.seeds} seeds (figures: the first); FedProx mu {MU}."
        ),
        "The paper's own figures are of CC-19, which is not available: compare who is ahead of whom, not numbers.",
        f"Pictures: {options.out}/figure7.svg, figure7-time.svg, figure8.svg, figure10.svg.",
    )


def parser() -> argparse.ArgumentParser:
    """The options of `learning`, and the largest number of hospitals."""
    found = learning.parser()
    found.description = (__doc__ or "").splitlines()[0]
    found.set_defaults(out=Path("benchmarks/out/paper"), seeds=1, hospitals=3)
    found.add_argument(
        "--hospitals-to", type=int, default=10, metavar="N", help="in Figure 8; default %(default)s, 2 for none"
    )
    return found


def main(arguments: list[str] | None = None) -> int:
    """Measure what the arguments ask for."""
    options = parser().parse_args(arguments)
    options.seeds = max(options.seeds, options.repeats)
    options.rounds = options.rounds or (20 if options.data else 5)
    return harness.run(lambda: benchmark(options), options.json)


if __name__ == "__main__":
    sys.exit(main())
