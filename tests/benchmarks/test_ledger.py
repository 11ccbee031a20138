"""The arithmetic of the ledger's benchmark, on ledgers small enough for a test."""

import json

import pytest

from benchmarks import ledger
from benchmarks.harness import MEASURED
from dag.index.engine import COMPILE_FROM, compile_from


@pytest.fixture(autouse=True)
def _restored():
    yield
    compile_from(COMPILE_FROM)


def sample(p99: float, index: int = 100, numba: int = 50) -> ledger.Sample:
    return ledger.Sample(1.0, p99, 9.0, 2.0, 3.0, index, 1000, numba, 0)


def test_promises_compare_the_largest_with_the_smallest():
    found = ledger.promises({10: sample(20.0), 1000: sample(40.0, 250_000, 60_000)})
    assert [(target.value, target.holds) for target in found] == [(40.0, True), (2.0, False), (310.0, False)]
    assert [target.value for target in ledger.promises({10: sample(101.0)})] == [101.0, 15.0]


def test_quantiles():
    values = [float(number) for number in range(100)]
    assert ledger._quantile(values, 0.5) == 50
    assert ledger._quantile(values, 0.99) == 99
    assert ledger._quantile([3.0], 0.99) == 3


def test_the_synthetic_ledger_is_as_described():
    book = ledger.Synthetic()
    for _ in range(700):
        book.step()
    tangle = book.tangle
    assert len(tangle) == 701
    assert book.orphans() == 0
    assert tangle.is_confirmed(tangle.entry)
    newest = list(tangle.ids())[-1]
    assert tangle.round(newest) == 8
    position = tangle.position(newest)
    assert all(tangle.position(parent) <= position - ledger.IN_FLIGHT for parent in tangle.parents(newest))


def test_networkx_counts_every_ancestor():
    microseconds, _ = ledger.naive(300)
    assert microseconds > 0


def test_a_small_run_measures_and_writes(tmp_path, capsys):
    code = ledger.main(["--size", "600", "--repeats", "1", "--json", str(tmp_path / "f.json")])
    assert code == MEASURED
    written = json.loads((tmp_path / "f.json").read_text())
    assert {row["name"] for row in written["rows"]} == {"600", "600, plain Python", "600, networkx"}
    assert "holds" in capsys.readouterr().out
