"""The consortia that are simulated: all of them taking part, and cohorts."""

from __future__ import annotations

import sys
import time
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from typing import TYPE_CHECKING, Final

from benchmarks.scaling.setting import Setting
from benchmarks.scaling.world import World
from node.rounds import machine

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from benchmarks.scaling.counting import Units
    from benchmarks.scaling.world import Observed

MIN_GROUP: Final = 3
FEW_GROUPS: Final = 10
AS_BUILT: Final = "all take part, groups of three (the default)"
TEN_GROUPS: Final = "all take part, ten groups (min_group = N/10)"


def cohort_of(size: int) -> str:
    """Title of the table of one size of cohorts."""
    return f"a cohort of {size} takes part, groups of three"


@dataclass(frozen=True, slots=True)
class Case:
    """One simulated consortium and what its round took."""

    table: str
    hospitals: int
    setting: Setting
    observed: Observed

    @property
    def member_bytes(self) -> float:
        """What arrives at a hospital that takes part, the mean."""
        return float(self.observed.arrived()[: self.setting.members].mean())

    @property
    def resting_bytes(self) -> float:
        """What arrives at one that rests, the mean; 0 where none does."""
        resting = self.observed.arrived()[self.setting.members :]
        return float(resting.mean()) if len(resting) else 0.0

    @property
    def mean_bytes(self) -> float:
        """What arrives at a hospital of the consortium, the mean."""
        return float(self.observed.arrived().mean())

    def mean(self, what: str) -> float:
        """The same of one kind, at those who take part."""
        return float(self.observed.came[what][: self.setting.members].mean())


def simulate(units: Units, table: str, hospitals: int, members: int, groups: int) -> Case:
    """Run one round on virtual time.

    Args:
        units: Unit costs.
        table: Where it is shown.
        hospitals: N.
        members: How many of them take part.
        groups: Sums that are opened.

    Raises:
        NotMeasured: The round was not finalised.
    """
    setting = Setting(members, groups, hospitals - members)
    started = time.process_time()
    observed = World(setting, units).run()
    spent = time.process_time() - started
    print(f"{table}: {hospitals:,} hospitals, {spent:.0f} s of a core to simulate", file=sys.stderr)
    return Case(table, hospitals, setting, observed)


def cases(units: Units, sizes: Sequence[int], cohorts: Sequence[int], processes: int = 1) -> list[Case]:
    """Every consortium: all taking part with many groups and with few, then each size of cohort that is smaller than all.

    Args:
        units: Unit costs.
        sizes: Hospitals of each consortium.
        cohorts: Sizes of cohorts.
        processes: How many are simulated at a time; the figures do not depend on it.
    """
    wanted = [(AS_BUILT, size, size, _groups(size)) for size in sizes]
    wanted += [(TEN_GROUPS, size, size, min(FEW_GROUPS, _groups(size))) for size in sizes]
    for cohort in cohorts:
        wanted += [(cohort_of(cohort), size, cohort, _groups(cohort)) for size in sizes if size > cohort]
    if processes == 1:
        return [simulate(units, *case) for case in wanted]
    with ProcessPoolExecutor(processes, get_context("spawn")) as pool:
        longest_first = sorted(range(len(wanted)), key=lambda place: -wanted[place][2])
        found = {place: pool.submit(simulate, units, *wanted[place]) for place in longest_first}
        return [found[place].result() for place in range(len(wanted))]


def transactions_singly(units: Units, size: int) -> int:
    """Ledger transactions of a round in which every member acknowledges every update by itself, as it once was."""
    with _acknowledging(size):
        return World(Setting(size, _groups(size)), units).run().transactions


def _groups(members: int) -> int:
    return max(1, members // MIN_GROUP)


@contextmanager
def _acknowledging(times: int) -> Iterator[None]:
    """Has a member acknowledge as soon as so small a share of the updates waits."""
    before = machine.ACKNOWLEDGEMENTS
    machine.ACKNOWLEDGEMENTS = times
    try:
        yield
    finally:
        machine.ACKNOWLEDGEMENTS = before
