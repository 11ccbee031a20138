"""What a demo run came to: a row a round, the comparison with training alone, the audit's verdict."""

from __future__ import annotations

import platform
import statistics
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import psutil
from rich.table import Table

from node.rounds.phases import PHASES
from node.rounds.sections import count_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rich.console import Console

    from node.demo.options import DemoOptions

MEGA = 1e6


@dataclass(frozen=True)
class RoundReport:
    """One round over all hospitals."""

    round: int
    status: str
    participants: int
    """Hospitals whose update is in the round's sums."""
    groups: int
    """Opened sums, of all sections of the model."""
    accepted: int
    """Of these, those that entered the model."""
    leader: str
    model: str
    before: Mapping[str, Any] | None
    """Metrics of the base model on the test images."""
    after: Mapping[str, Any] | None
    """Metrics of the round's model on the test images."""
    seconds: Mapping[str, float]
    """Per phase, from when the slowest hospital ended the phase before to when the slowest ended this one."""
    wall_seconds: float
    training_seconds: float
    """Of the slowest hospital."""
    upload_bytes: tuple[int, ...]
    """Sealed update of each hospital, manifest included."""
    share_bytes: tuple[int, ...]
    """Sealed partial openings of each hospital; 0 where it was not asked to open."""
    clipped_values: int
    gas: int
    left_out: tuple[str, ...] = ()
    """Hospitals whose update was listed and not summed: the results of earlier rounds put them under suspicion."""
    sections: int = 1
    """Parts of the model that were summed in groups of their own."""

    @property
    def overhead_seconds(self) -> float:
        """Wall time of the round beyond the slowest member's training."""
        return self.wall_seconds - self.training_seconds


@dataclass
class DemoReport:
    """Everything `--json` writes."""

    options: Mapping[str, Any]
    data: Mapping[str, Any]
    environment: Mapping[str, Any]
    rounds: list[RoundReport] = field(default_factory=list)
    local_only: list[Mapping[str, Any]] = field(default_factory=list)
    """Per hospital, test metrics of a model trained on its own images alone for the same epochs."""
    ceremony_seconds: float = 0.0
    total_seconds: float = 0.0
    peak_bytes: int = 0
    """Peak proportional set size over all processes."""
    plaintext_check: str = "not asked for"
    audit: Mapping[str, Any] = field(default_factory=dict)
    fault: Mapping[str, Any] | None = None
    """What went wrong on purpose and what came of it (`node.demo.faults`); None where nothing was to."""
    run_directory: str = ""

    def to_json(self) -> dict[str, Any]:
        """As JSON; `final` repeats the last round's test metrics beside the mean of the local-only ones."""
        rows = [asdict(row) | {"overhead_seconds": row.overhead_seconds} for row in self.rounds]
        return asdict(self) | {"rounds": rows, "final": self.final()}

    def final(self) -> dict[str, Any]:
        """The last model's test metrics, and the mean over the hospitals' local-only models."""
        last = next((r.after for r in reversed(self.rounds) if r.after is not None), None)
        return {"federated": last, "local_only_mean": {key: self._local_mean(key) for key in ("accuracy", "auc")}}

    def _local_mean(self, key: str) -> float | None:
        values = [m["test"][key] for m in self.local_only if m.get("test") and m["test"][key] is not None]
        return statistics.fmean(values) if values else None


def environment() -> dict[str, Any]:
    """The machine a figure was measured on."""
    return {
        "python": platform.python_version(),
        "system": platform.platform(),
        "machine": platform.machine(),
        "cores": psutil.cpu_count(),
        "memory_bytes": psutil.virtual_memory().total,
    }


def summarise(
    row: Mapping[str, Any],
    here: Sequence[Mapping[str, Any]],
    names: Mapping[str, str],
    statement: Mapping[str, Any] | None,
) -> RoundReport:
    """One round's row.

    Args:
        row: The round as the chain tells it.
        here: Per hospital, what its journal remembers of the round.
        names: Hospital name by account.
        statement: The round's statement, where it was finalised.
    """
    marks = [facts.get("marks", {}) for facts in here]
    seconds = _phase_seconds(marks)
    trainings = [facts.get("training", {}) for facts in here]
    predicate = statement["predicate"] if statement else {"updates": [], "groups": []}
    gas = sum(facts.get(key, 0) for facts in here for key in ("gas_open", "gas_propose", "gas_finalise", "gas_abort"))
    return RoundReport(
        round=row["round"],
        status=row["status"],
        participants=len(_summed(predicate)),
        groups=len(predicate["groups"]),
        accepted=sum(group["accepted"] for group in predicate["groups"]),
        leader=names.get(row["leader"] or "", "-"),
        model=row["model"] or row["base"],
        before=_first(here, "test_before"),
        after=_first(here, "test"),
        seconds=seconds,
        wall_seconds=sum(seconds.values()),
        training_seconds=max((t.get("seconds", 0.0) for t in trainings), default=0.0),
        upload_bytes=tuple(facts.get("upload_bytes", 0) for facts in here),
        share_bytes=tuple(facts.get("share_bytes", 0) for facts in here),
        clipped_values=sum(t.get("clipped_values", 0) for t in trainings),
        gas=gas,
        left_out=tuple(_named(names, account) for account in _left_out(predicate)),
        sections=count_of(group["updates"] for group in predicate["groups"]),
    )


def _named(names: Mapping[str, str], account: str) -> str:
    """A hospital's name by its account, which statements write without EIP-55's capitals."""
    return next((name for known, name in names.items() if known.lower() == account.lower()), account)


def _left_out(predicate: Mapping[str, Any]) -> list[str]:
    """Accounts of those whose listed update is in no group."""
    summed = _summed(predicate)
    return [update["issuer"] for position, update in enumerate(predicate["updates"]) if position not in summed]


def _summed(predicate: Mapping[str, Any]) -> frozenset[int]:
    """Positions of the updates that are in a sum."""
    return frozenset(position for group in predicate["groups"] for position in group["updates"])


def _first(here: Sequence[Mapping[str, Any]], name: str) -> Mapping[str, Any] | None:
    return next((facts[name] for facts in here if name in facts), None)


def _phase_seconds(marks: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Seconds between the moments at which the slowest hospital ended each phase."""
    started = [m["begin"] for m in marks if "begin" in m]
    if not started:
        return {}
    at, seconds = min(started), {}
    for name, _ in PHASES:
        ended = [m[name] for m in marks if name in m]
        if ended:
            seconds[name] = max(0.0, max(ended) - at)
            at = max(at, *ended)
    return seconds


def show(report: DemoReport, console: Console, options: DemoOptions) -> None:
    """Print the final table and what it means."""
    title = f"{options.hospitals} hospitals, any {options.members_needed} open a sum of ≥ {options.min_group}"
    table = Table(title=title, box=None, pad_edge=False)
    for heading in ("round", "in", "leader", "accuracy", "AUC", "posted", "wall", "overhead", "gas"):
        table.add_column(heading, justify="left" if heading == "leader" else "right", no_wrap=True)
    for row in report.rounds:
        table.add_row(
            f"{row.round}",
            f"{row.participants}/{options.hospitals}" if row.status == "finalised" else row.status,
            row.leader,
            _change(row, "accuracy"),
            _change(row, "auc"),
            f"{sum(row.upload_bytes) / MEGA:.1f} MB",
            f"{row.wall_seconds:.1f} s",
            f"{row.overhead_seconds:.1f} s",
            f"{row.gas:,}",
        )
    console.print(table)
    _show_left_out(report, console, options)
    _show_phases(report, console)
    _show_comparison(report, console)
    console.print(
        f"keys {report.ceremony_seconds:.1f} s, everything {report.total_seconds:.1f} s, "
        f"peak memory of all processes during the rounds {report.peak_bytes / MEGA:,.0f} MB (PSS)",
        highlight=False,
        soft_wrap=True,
    )
    tolerated = max(0, options.min_group - 2)
    console.print(
        f"opened sums hold ≥ {options.min_group} updates: {tolerated} colluding member(s) in a group learn no single update",
        highlight=False,
        soft_wrap=True,
    )


def _show_left_out(report: DemoReport, console: Console, options: DemoOptions) -> None:
    if not options.attack:
        return
    console.print(f"attack: {options.attack}", style="bold red", highlight=False, soft_wrap=True)
    for row in report.rounds:
        if row.left_out or row.accepted < row.groups:
            line = f"round {row.round}: {row.groups - row.accepted} of {_sums(row)} refused"
            out = f"; listed and not summed: {', '.join(row.left_out)}" if row.left_out else ""
            console.print(line + out, highlight=False, soft_wrap=True)


def _sums(row: RoundReport) -> str:
    """How many sums were opened: `2 sums`, or `9 sums (3 sections of 3 groups)`."""
    if row.sections == 1:
        return f"{row.groups} sums"
    return f"{row.groups} sums ({row.sections} sections of {row.groups // row.sections} groups)"


def _change(row: RoundReport, key: str) -> str:
    before, after = (_number(metrics, key) for metrics in (row.before, row.after))
    return f"{before}→{after}"


def _number(metrics: Mapping[str, Any] | None, key: str) -> str:
    return "-" if metrics is None or metrics[key] is None else f"{metrics[key]:.3f}".removeprefix("0")


def _show_phases(report: DemoReport, console: Console) -> None:
    table = Table(title="seconds a phase (slowest hospital)", box=None, pad_edge=False)
    names = [name for name, _ in PHASES]
    for title in ("round", *names):
        table.add_column(title, justify="right")
    for row in report.rounds:
        table.add_row(str(row.round), *(f"{row.seconds.get(name, 0.0):.2f}" for name in names))
    console.print(table)


def _show_comparison(report: DemoReport, console: Console) -> None:
    final = report.final()
    mean = final["local_only_mean"]
    if final["federated"] is None:
        return
    line = f"test images: together accuracy {_number(final['federated'], 'accuracy')}, AUC {_number(final['federated'], 'auc')}"
    if report.local_only:
        line += f"; each alone, mean: accuracy {_number(mean, 'accuracy')}, AUC {_number(mean, 'auc')}"
    console.print(line + (" (synthetic data)" if report.data["synthetic"] else ""), highlight=False, soft_wrap=True)
