"""The benchmark of lying hospitals: its robust means by hand, its bookkeeping, and a run as small as can be."""

from __future__ import annotations

import json

import numpy as np
import pytest

from benchmarks.adversarial import OURS, Played
from benchmarks.attacks import Case, main
from benchmarks.plaintext import AGGREGATORS, krum, median, trimmed_mean

UPDATES = np.array([[1, 0], [2, 0], [3, 0], [2, 1], [100, -50]], np.float32)
WEIGHTS = np.ones(5, np.int64)


def test_the_robust_means_by_hand():
    np.testing.assert_array_equal(krum(UPDATES, WEIGHTS, 1), [2, 0])
    np.testing.assert_allclose(trimmed_mean(UPDATES, WEIGHTS, 1), [7 / 3, 0])
    np.testing.assert_array_equal(median(UPDATES, WEIGHTS, 1), [2, 0])
    assert set(AGGREGATORS) == {"Krum", "trimmed mean", "median"}


def test_who_was_left_out_when_and_wrongly():
    out = [frozenset(), frozenset({1}), frozenset({1, 9}), frozenset({4})]
    case = Case("sign-flip", 2, {OURS: [Played(aucs=[0.5, 0.7], left_out=out)]})
    assert case.seats == {1, 4}
    assert case.waits() == [1, 3]
    assert case.accused() == (1, 4 * 8)
    assert case.auc(OURS) == 0.7


def test_a_small_run(tmp_path, capsys):
    where = tmp_path / "attacks.json"
    asked = ["--attack", "scaled", "--attackers", "1", "--seeds", "1", "--rounds", "3", "--epochs", "1"]
    assert main([*asked, "--json", str(where)]) == 0
    found = json.loads(where.read_text())
    rows = {(row["table"], row["name"]): row for row in found["rows"]}
    row = rows["1 of 10 lie: AUC of the last model", "scaled"]
    assert row["no_defence"] < row["this"], "a hundredfold update ruins a model that nobody defends"
    assert {target["name"] for target in found["targets"]} >= {"scaled by 1: AUC lost"}
    assert "synthetic phantoms" in capsys.readouterr().out


def test_a_file_that_is_none_is_said(tmp_path, capsys):
    assert main(["--data", str(tmp_path / "none.npz")]) == 2
    assert "none.npz" in capsys.readouterr().err


def test_kinds_are_checked():
    with pytest.raises(SystemExit):
        main(["--attack", "nonsense"])


def test_without_bounds_and_from_another_seed(tmp_path, capsys):
    where = tmp_path / "attacks.json"
    asked = ["--attack", "covert", "--attackers", "1", "--seeds", "1", "--first-seed", "7", "--no-bounds"]
    assert main([*asked, "--rounds", "1", "--epochs", "1", "--json", str(where)]) == 0
    found = json.loads(where.read_text())
    (row,) = [row for row in found["rows"] if row["name"] == "covert"]
    assert row["this"] is not None
    assert all(row[name] is None for name in ("without_them", "Krum", "trimmed_mean", "median"))
    assert "1 seeds from 7" in capsys.readouterr().out
