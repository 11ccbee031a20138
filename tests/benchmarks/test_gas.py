"""The arithmetic of the gas benchmark, and one small consortium measured for real."""

from __future__ import annotations

import pytest

from benchmarks import gas
from benchmarks.errors import NotMeasured
from benchmarks.gas import Cost


def cost(members: int, finalise: int) -> Cost:
    return Cost(members, 1, 1, open=50_000, propose=50_000, finalise=finalise, slots=43_000 * members)


def test_the_slope_is_what_a_further_member_adds():
    assert gas.slope([cost(4, 120_000), cost(10, 150_000), cost(50, 350_000)]) == pytest.approx(5_000)
    with pytest.raises(NotMeasured):
        gas.slope([cost(4, 1), cost(4, 2)])


def test_promises_are_held_against_the_right_figures():
    held = {target.name: target for target in gas.result_of([cost(10, 299_000), cost(20, 380_000)]).targets}
    assert held["a round of 10 members"].value == 399_000
    assert held["a round of 10 members"].holds
    assert held["a further member"].value == pytest.approx(8_100)
    assert not held["a further member"].holds
    assert not gas.result_of([cost(10, 301_000)]).targets[0].holds


def test_a_consortium_is_measured():
    found = gas.measure_consortium(4, 1)
    assert 43_000 * 4 < found.slots < 45_000 * 4
    assert 21_000 < found.propose < found.finalise
    assert found.round < gas.ROUND_GAS


def test_impossible_sizes_are_refused(capsys):
    with pytest.raises(SystemExit):
        gas.main(["--members", "257"])
    assert "1 to 256" in capsys.readouterr().err
