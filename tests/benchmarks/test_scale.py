"""The counting of `benchmarks.scale`, and that its unit costs come from real ciphertexts, transactions and dealings."""

import math

import pytest

from benchmarks import scale as bench
from benchmarks.gas import Cost
from benchmarks.scale import Units, load_of
from crypto.locking import locked_bytes
from crypto.opening import partial_bytes
from crypto.parameters import STANDARD

UNITS = Units(
    chunks=2,
    seal=1.0,
    unlock=0.2,
    add=0.1,
    digest=1e-6,
    partial=0.3,
    combine=0.01,
    verify=0.001,
    dealing_fixed=1000.0,
    dealing_member=10.0,
)


def test_three_hospitals_are_counted_by_hand():
    """T = 2: each fetches two updates; of two openings a sum it made two thirds of one on average, and fetches the rest."""
    load = load_of(UNITS, 3, groups=1)
    assert load.updates_bytes == 2 * 2 * locked_bytes(STANDARD)
    assert load.openings_bytes == pytest.approx(4 / 3 * 2 * partial_bytes(STANDARD))
    assert load.ledger_bytes == pytest.approx(2 * 8.5 * 379)
    hashed = 4 * locked_bytes(STANDARD) + 4 * partial_bytes(STANDARD)
    parts = (1.0, 3 * 0.3, 2 / 3 * 0.3, 2 * 0.01, 3 * 8.5 * 0.001, hashed * 1e-6)
    assert load.seconds == pytest.approx(sum(parts))
    assert load.ceremony_bytes == 2 * (1000 + 30)
    assert load.bytes == load.updates_bytes + load.openings_bytes + load.ledger_bytes


def test_openings_grow_with_members_and_groups():
    one, two = load_of(UNITS, 300, 10), load_of(UNITS, 300, 20)
    assert two.openings_bytes == 2 * one.openings_bytes
    assert two.updates_bytes == one.updates_bytes


def cost(members):
    return Cost(members, 0, 0, 100, 200, 1000 + 5 * members, 0)


def test_gas_is_the_line_through_what_was_measured():
    result = bench.summarise(UNITS, [cost(4), cost(10), cost(50)])
    rows = [row for row in result.rows if row.table == bench.AS_BUILT]
    assert [row.figures["gas"] for row in rows] == [1350, 1800, 6300]
    assert [row.name for row in rows] == ["10", "100", "1,000 *"]
    assert [row.figures["groups"] for row in rows] == [3, 33, 333]
    few = [row.figures["groups"] for row in result.rows if row.table == bench.TEN_GROUPS]
    assert few == [3, 10, 10]


def test_what_grows_faster_than_the_logarithm_is_said_to_miss():
    targets = bench.summarise(UNITS, [cost(4), cost(10)]).targets
    assert [target.holds for target in targets] == [False, False]
    assert targets[0].value > targets[1].value > 9
    assert (1 + math.log(1000)) / (1 + math.log(100)) < bench.LOGARITHMIC


def test_unit_costs_are_of_real_things(monkeypatch):
    monkeypatch.setattr(bench, "SAMPLE_CHUNKS", 1)
    found = bench._crypto(2, 2, 1)
    assert min(found.seal, found.unlock, found.total, found.partial, found.combine) > 0
    assert 0 < bench._digest_seconds(1) < 1e-6
    assert bench._verify_seconds(1, count=3) > 0
    few, more = bench._dealing_bytes(2), bench._dealing_bytes(6)
    assert few < more < few + 4 * 1000, "the public part and one share, whatever N; the header names all members"
