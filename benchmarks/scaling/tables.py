"""What is shown of the simulated rounds: tables, promises and a picture."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from benchmarks import charts
from benchmarks.gas import slope
from benchmarks.harness import Result, Row, Target, median
from benchmarks.scaling.cases import AS_BUILT, TEN_GROUPS
from benchmarks.scaling.counting import load_of
from chain.cohort import tail, too_many_faulty

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from benchmarks.gas import Cost
    from benchmarks.harness import Figure
    from benchmarks.scaling.cases import Case
    from benchmarks.scaling.counting import Units

MOST_MEMBERS: Final = 256
"""The contracts' bound."""
EPOCH_ROUNDS: Final = 10
"""Rounds over which a key ceremony is spread here."""
LOGARITHMIC: Final = 1.5
"""(1 + ln 1000) / (1 + ln 100) = 1.41: what ten times as many members may multiply a hospital's bytes by, with a little room."""
FROM, TO = 100, 1000
"""Between these sizes."""
TALK: Final = "ledger transactions of a round, groups of three"
RISK: Final = "chance that a third or more of a cohort is Byzantine, by their share of all"
BYZANTINE: Final = (5, 10, 20)
CHAIN: Final = "gas, and the key ceremony"

NOTES: Final = (
    "SIMULATED on virtual time: the real round core, real transactions and record sizes; CRYPTOGRAPHY SAMPLED and charged.",
    "Assumed: links of 1 Gbit/s and 20 ms, four effects at a time, 0.1 s to score a model, all honest and present.",
    f"* More than the {MOST_MEMBERS} members that the contracts take: gas is the line through what was measured.",
    "in: bytes that arrive at one that takes part; most out: that leave the busiest; core: without training and scoring.",
    "A cohort's round is the same core among M members; who rests is counted, not run: ledger, statement, model, no update.",
    "counted: simulated bytes of updates and openings over those that arithmetic gives.",
    f"with ceremony: a key ceremony spread over {EPOCH_ROUNDS} rounds. Targets: the logarithm of N would give 1.41.",
)


@dataclass(frozen=True, slots=True)
class Gas:
    """What the chain asks for, by members that take part."""

    fixed: float
    each: float
    ceremony: float
    """A member's transactions of a key ceremony."""

    @classmethod
    def of(cls, costs: Sequence[Cost]) -> Gas:
        """The line through what was measured, of two sizes at least."""
        each = slope(costs)
        fixed = median(cost.round - each * cost.members for cost in costs)
        return cls(fixed, each, median(float(cost.ceremony) for cost in costs))

    def round(self, members: int) -> int:
        """Of a round."""
        return round(self.fixed + self.each * members)

    def epoch(self, members: int) -> int:
        """Of a key ceremony, everybody's together."""
        return round(self.ceremony * members)


def summarise(units: Units, costs: Sequence[Cost], found: Sequence[Case], alone: Mapping[int, int]) -> Result:
    """Tables and targets.

    Args:
        units: Unit costs.
        costs: Measured gas, of two sizes at least.
        found: The simulated rounds.
        alone: By size, transactions of a round in which each update is acknowledged by itself.
    """
    gas = Gas.of(costs)
    rows = [Row("unit costs, one core, 529,347 parameters", "measured", _units(units, gas))]
    rows += [Row(case.table, _named(case), _load(case)) for case in found]
    rows += [Row(f"{case.table}: what arrives at one of them", _named(case), _arriving(case, units)) for case in found]
    rows += [Row(f"{case.table}: by phase, at the leader", _named(case), _phases(case)) for case in found]
    rows += [Row(CHAIN, f"{_named(case)}, {case.table.partition(',')[0]}", _chain(case, units, gas)) for case in found]
    rows += [Row(TALK, _named(case), _talk(case, alone)) for case in found if case.table == AS_BUILT]
    rows += [Row(RISK, f"{_named(case)}, {_short(case.table)}", _risk(case)) for case in found if case.setting.resting]
    return Result(tuple(rows), tuple(_targets(found)), NOTES)


def _named(case: Case) -> str:
    return f"{case.hospitals:,}" + ("" if case.hospitals <= MOST_MEMBERS else " *")


def _units(units: Units, gas: Gas) -> dict[str, Figure]:
    return {
        "seal_ms": 1e3 * units.seal,
        "unlock_ms": 1e3 * units.unlock,
        "add_ms": 1e3 * units.add,
        "partial_ms": 1e3 * units.partial,
        "combine_ms": 1e3 * units.combine,
        "verify_ms": 1e3 * units.verify,
        "update_bytes": float(units.update_bytes),
        "share_bytes": float(units.share_bytes),
        "gas_a_member": round(gas.each),
    }


def _load(case: Case) -> dict[str, Figure]:
    return {
        "groups": case.setting.groups,
        "round_seconds": case.observed.seconds,
        "in_bytes": case.member_bytes,
        "most_out_bytes": float(case.observed.sent().max()),
        "resting_in_bytes": case.resting_bytes or None,
        "mean_in_bytes": case.mean_bytes,
        "core_seconds": float(case.observed.core.mean()),
    }


def _arriving(case: Case, units: Units) -> dict[str, Figure]:
    counted = load_of(units, case.setting.members, case.setting.groups)
    simulated = case.mean("updates") + case.mean("openings")
    return {
        "updates_bytes": case.mean("updates"),
        "openings_bytes": case.mean("openings"),
        "ledger_bytes": case.mean("ledger"),
        "counted_ratio": simulated / (counted.updates_bytes + counted.openings_bytes),
    }


def _phases(case: Case) -> dict[str, Figure]:
    return {f"{name}_seconds": seconds for name, seconds in case.observed.phases.items()}


def _chain(case: Case, units: Units, gas: Gas) -> dict[str, Figure]:
    members = case.setting.members
    ceremony, share = units.ceremony_bytes(members), members / case.hospitals
    return {
        "gas": gas.round(members),
        "ceremony_gas": gas.epoch(members),
        "ceremony_bytes": ceremony,
        "member_with_ceremony_bytes": case.member_bytes + ceremony / EPOCH_ROUNDS,
        "mean_with_ceremony_bytes": case.mean_bytes + share * ceremony / EPOCH_ROUNDS,
    }


def _risk(case: Case) -> dict[str, Figure]:
    """How likely a drawn cohort has a third or more of Byzantine members, by their share of the consortium."""
    members = case.setting.members
    least = too_many_faulty(members)
    return {
        f"{share}_percent": f"{float(tail(case.hospitals, case.hospitals * share // 100, members, least)):.1e}"
        for share in BYZANTINE
    }


def _talk(case: Case, alone: Mapping[int, int]) -> dict[str, Figure]:
    single = alone.get(case.hospitals)
    return {
        "each_update_alone": single,
        "alone_a_member": single and single / case.hospitals,
        "transactions": case.observed.transactions,
        "a_member": case.observed.transactions / case.hospitals,
    }


def _targets(found: Sequence[Case]) -> list[Target]:
    """What ten times as many members multiply a hospital's bytes by, before and after."""
    targets = []
    for table in dict.fromkeys(case.table for case in found):
        sizes = {case.hospitals: case for case in found if case.table == table}
        if FROM not in sizes or TO not in sizes:
            continue
        few, many, span = sizes[FROM], sizes[TO], f"from {FROM} to {TO:,}"
        before = table in {AS_BUILT, TEN_GROUPS}
        who = "bytes a hospital" if before else "bytes a member of it"
        targets.append(_growth(f"{table}: {who} {span}", many.member_bytes / few.member_bytes))
        if not before:
            targets.append(_growth(f"{table}: bytes a hospital, the mean, {span}", many.mean_bytes / few.mean_bytes))
    return targets


def _growth(name: str, value: float) -> Target:
    return Target(name, value, "x", "<=", LOGARITHMIC)


def picture(found: Sequence[Case]) -> str:
    """SVG: bytes of a hospital over the size of its consortium, both in powers of ten.

    A consortium no larger than a cohort takes part as a whole: there its curves begin.
    """
    curves = []
    for table in dict.fromkeys(case.table for case in found):
        rows = [case for case in found if case.table == table]
        if table in {AS_BUILT, TEN_GROUPS}:
            curves.append(_curve(_short(table), rows, [case.member_bytes for case in rows]))
            continue
        whole = [case for case in found if case.table == AS_BUILT and case.hospitals <= rows[0].setting.members]
        rows = [*whole, *rows]
        curves.append(_curve(_short(table), rows, [case.member_bytes for case in rows]))
        curves.append(_curve(f"{_short(table)}, mean", rows, [case.mean_bytes for case in rows]))
    return charts.lines("Bytes that arrive at a hospital in a round", "log10 of hospitals", "log10 of bytes", curves)


def _curve(name: str, rows: Sequence[Case], values: Sequence[float]) -> charts.Line:
    return charts.Line(name, [math.log10(case.hospitals) for case in rows], [math.log10(value) for value in values])


def _short(table: str) -> str:
    return {AS_BUILT: "all, groups of 3", TEN_GROUPS: "all, ten groups"}.get(
        table, table.removeprefix("a ").split(" takes")[0]
    )
