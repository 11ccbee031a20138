"""The counting, the tables and the unit costs of `benchmarks.scale`; what it simulates: `test_scaling`."""

import math

import pytest

from benchmarks import scale as bench
from benchmarks.gas import Cost
from benchmarks.scaling import tables, units
from benchmarks.scaling.cases import AS_BUILT, TEN_GROUPS, cases, cohort_of
from benchmarks.scaling.counting import load_of
from crypto.locking import locked_bytes
from crypto.opening import partial_bytes
from crypto.parameters import STANDARD
from tests.benchmarks.support import UNITS


def test_three_hospitals_are_counted_by_hand():
    """T = 2: each fetches two updates; of two openings a sum it made two thirds of one on average, and fetches the rest."""
    load = load_of(UNITS, 3, groups=1)
    assert load.updates_bytes == 2 * 22 * locked_bytes(STANDARD)
    assert load.openings_bytes == pytest.approx(4 / 3 * 22 * partial_bytes(STANDARD))
    assert load.ledger_bytes == pytest.approx(2 * 8.5 * 379)
    hashed = 44 * locked_bytes(STANDARD) + 44 * partial_bytes(STANDARD)
    parts = (0.06, 3 * 0.014, 2 / 3 * 0.03, 2 * 0.0005, 3 * 8.5 * 6e-5, hashed * 5e-10)
    assert load.seconds == pytest.approx(sum(parts))
    assert load.ceremony_bytes == 2 * (300_000 + 165)
    assert load.bytes == load.updates_bytes + load.openings_bytes + load.ledger_bytes


def test_openings_grow_with_members_and_groups():
    one, two = load_of(UNITS, 300, 10), load_of(UNITS, 300, 20)
    assert two.openings_bytes == 2 * one.openings_bytes
    assert two.updates_bytes == one.updates_bytes


def cost(members):
    return Cost(members, 0, 7, 100, 200, 1000 + 5 * members, 0)


@pytest.fixture(scope="module")
def found():
    """Rounds of 10 and 30 hospitals; the larger also in cohorts of eight."""
    return cases(UNITS, (10, 30), (8,))


def test_every_consortium_is_simulated_before_and_after(found):
    shown = [(case.table, case.hospitals, case.setting.members, case.setting.groups) for case in found]
    assert shown == [
        (AS_BUILT, 10, 10, 3),
        (AS_BUILT, 30, 30, 10),
        (TEN_GROUPS, 10, 10, 3),
        (TEN_GROUPS, 30, 30, 10),
        (cohort_of(8), 10, 8, 2),
        (cohort_of(8), 30, 8, 2),
    ]


@pytest.mark.slow
def test_two_processes_find_what_one_does(found):
    for alone, beside in zip(found, cases(UNITS, (10, 30), (8,), processes=2), strict=True):
        assert (alone.table, alone.hospitals, alone.setting) == (beside.table, beside.hospitals, beside.setting)
        assert alone.observed.seconds == beside.observed.seconds
        assert alone.member_bytes == beside.member_bytes


def test_gas_is_the_line_through_what_was_measured(found):
    result = tables.summarise(UNITS, [cost(4), cost(10), cost(50)], found, {10: 158})
    rows = [row for row in result.rows if row.table == tables.CHAIN]
    assert [row.figures["gas"] for row in rows] == [1350, 1450, 1350, 1450, 1340, 1340]
    assert [row.figures["ceremony_gas"] for row in rows] == [70, 210, 70, 210, 56, 56]
    ceremony = 7 * (300_000 + 440) / 10
    assert rows[-1].figures["member_with_ceremony_bytes"] == found[-1].member_bytes + ceremony
    assert rows[-1].figures["mean_with_ceremony_bytes"] == pytest.approx(found[-1].mean_bytes + 8 / 30 * ceremony)
    risks = [row.figures for row in result.rows if row.table == tables.RISK]
    assert risks[0] == {"5_percent": "0.0e+00", "10_percent": "0.0e+00", "20_percent": "0.0e+00"}, "two of ten at most"
    assert float(risks[1]["20_percent"]) == pytest.approx(0.186, abs=0.02), (
        "three or more of six among thirty, in eight"
    )
    talk = [row.figures for row in result.rows if row.table == tables.TALK]
    assert [row["each_update_alone"] for row in talk] == [158, None]


def test_what_grows_faster_than_the_logarithm_is_said_to_miss(found, monkeypatch):
    monkeypatch.setattr(tables, "FROM", 10)
    monkeypatch.setattr(tables, "TO", 30)
    targets = tables.summarise(UNITS, [cost(4), cost(10)], found, {}).targets
    assert [target.holds for target in targets] == [False, False, True, True]
    before, _, member, mean = (target.value for target in targets)
    assert 3 < before < 9, "three times the updates, and nine times the openings"
    assert member == pytest.approx(1.0, rel=1e-3), "a cohort's members are spared what the others do"
    assert mean < member
    assert (1 + math.log(1000)) / (1 + math.log(100)) < tables.LOGARITHMIC


def test_the_picture_has_a_curve_for_each_kind(found):
    drawn = tables.picture(found)
    names = ("all, groups of 3", "all, ten groups", "cohort of 8", "cohort of 8, mean")
    assert [f">{name}</text>" in drawn for name in names] == [True] * 4


def test_impossible_sizes_are_refused(capsys):
    with pytest.raises(SystemExit):
        bench.main(["--members", "3"])
    assert "3: simulated are 4 to 4,096 members" in capsys.readouterr().err


def test_unit_costs_are_of_real_things(monkeypatch):
    monkeypatch.setattr(units, "SAMPLE_CHUNKS", 1)
    found = units._crypto(2, 2, 1)
    assert min(found.seal, found.unlock, found.total, found.partial, found.combine) > 0
    assert 0 < units._digest_seconds(1) < 1e-6
    assert units._verify_seconds(1, count=3) > 0
    few, more = units._dealing_bytes(2), units._dealing_bytes(6)
    assert few < more < few + 4 * 1000, "the public part and one share, whatever N; the header names all members"
