"""The benchmark of lying hospitals: its robust means by hand, its bookkeeping, and a run as small as can be."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks.adversarial import OURS, WITHOUT, Played, Scene
from benchmarks.attacks import Case, main
from benchmarks.material import joined
from benchmarks.plaintext import AGGREGATORS, krum, median, trimmed_mean
from benchmarks.plays import Job
from node.attacks.spec import parse_attack
from node.images.errors import WrongShape
from node.images.phantom import generate
from node.learning.settings import TrainingSettings

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


def test_what_is_lost_is_lost_of_the_same_seed():
    case = Case("sign-flip", 3, {OURS: [Played(aucs=[0.1, 0.7]), Played(aucs=[0.2, 0.9])]})
    assert case.lost([0.75, 0.85]) == pytest.approx([0.05, -0.05])


@pytest.fixture
def few_hospitals(monkeypatch):
    monkeypatch.setattr("benchmarks.attacks.PHANTOMS", 24)
    monkeypatch.setattr("benchmarks.attacks.PHANTOM_TEST", 8)
    monkeypatch.setattr("benchmarks.attacks.HOSPITALS", 4)
    monkeypatch.setattr("benchmarks.attacks.MIN_GROUP", 2)


@pytest.mark.usefixtures("few_hospitals")
def test_a_small_run_is_kept_and_goes_on(tmp_path, capsys, monkeypatch):
    kept, where = tmp_path / "kept", tmp_path / "attacks.json"
    asked = ["--attack", "scaled", "covert", "--attackers", "1", "--seeds", "1", "--rounds", "2", "--epochs", "1"]
    asked += ["--no-bounds", "--keep", str(kept), "--out", str(tmp_path), "--json", str(where)]
    assert main([*asked, "--processes", "2"]) == 0
    told = capsys.readouterr()
    assert "synthetic phantoms" in told.out
    assert "0 plays kept" in told.err
    found = json.loads(where.read_text())
    rows = {row["name"]: row for row in found["rows"] if row["table"] == "1 of 4 lie: AUC of the last model"}
    assert rows["scaled"]["no_defence"] < rows["scaled"]["this"], "a hundredfold update ruins a model nobody defends"
    assert rows["scaled"]["without_them"] == rows["covert"]["without_them"], "who is left out does not matter otherwise"
    assert rows["scaled"]["lost_beyond"] == rows["scaled"]["without_them"] - rows["scaled"]["this"]
    assert "Krum" not in rows["scaled"]
    assert {target["name"] for target in found["targets"]} >= {"scaled by 1: AUC lost"}
    assert "nobody lies</text>" in (tmp_path / "scaled-1.svg").read_text()
    plays = sorted(kept.glob("play-*.json"))
    assert len(plays) == 7, "nobody lies twice, without them once, each attack with and without defence"

    def never(*_: object) -> Played:
        raise AssertionError("a kept play was played again")

    monkeypatch.setattr("benchmarks.plays.play", never)
    assert main(asked) == 0
    assert "7 plays kept" in capsys.readouterr().err
    assert json.loads(where.read_text())["rows"] == found["rows"]
    plays[0].write_text("{}")
    assert main(asked) == 2
    assert plays[0].name in capsys.readouterr().err


def test_a_plays_digest_tells_what_decides_it(monkeypatch):
    job = Job(tiny_scene(1), None, OURS)
    bare = Job(tiny_scene(1), None, WITHOUT)
    assert job.digest == Job(tiny_scene(1), None, OURS).digest
    assert job.digest != Job(tiny_scene(2), None, OURS).digest, "images"
    assert job.digest != replace(job, scene=replace(job.scene, rounds=5)).digest
    assert job.digest != replace(job, attack=parse_attack("noise:9@1", 10)).digest
    before = job.digest, bare.digest
    monkeypatch.setattr("benchmarks.plays.JUDGED_BY", ("node/attacks",))
    assert job.digest != before[0], "other rules"
    assert bare.digest == before[1], "which an arm without rules does not follow"


def tiny_scene(images: int) -> Scene:
    settings = TrainingSettings(architecture="cnn", image_size=32)
    part = generate(8, 32, images, 0)
    return Scene((part, part), part, settings, 4, 1, 2.0, 0.1, 1)


@pytest.mark.usefixtures("few_hospitals")
def test_a_file_that_is_none_is_said(tmp_path, capsys):
    assert main(["--data", str(tmp_path / "none.npz"), "--out", str(tmp_path)]) == 2
    assert "none.npz" in capsys.readouterr().err


def test_kinds_are_checked():
    with pytest.raises(SystemExit):
        main(["--attack", "nonsense"])


@pytest.mark.usefixtures("few_hospitals")
def test_upper_bounds_and_from_another_seed(tmp_path, capsys):
    where = tmp_path / "attacks.json"
    asked = ["--attack", "covert", "--attackers", "1", "--seeds", "1", "--first-seed", "7", "--out", str(tmp_path)]
    assert main([*asked, "--rounds", "1", "--epochs", "1", "--json", str(where)]) == 0
    found = json.loads(where.read_text())
    (row,) = [row for row in found["rows"] if row["name"] == "covert"]
    assert all(0 < row[name] < 1 for name in ("without_them", "Krum", "trimmed_mean", "median"))
    assert "1 seeds from 7" in capsys.readouterr().out


def grouped(where: Path, classes: tuple[str, ...], grey: int) -> Path:
    """A file of eight patients named as in every other such file, two of them for testing."""
    images = np.full((16, 16, 16), grey, np.uint8)
    patients = np.array([f"p{number // 2}" for number in range(16)])
    np.savez(
        where,
        images=images,
        labels=np.arange(16) // 2 % 2,
        patients=patients,
        class_names=np.array(classes),
        train_idx=np.arange(12),
        test_idx=np.arange(12, 16),
    )
    return where


def test_several_files_are_one_task_and_their_patients_stay_apart(tmp_path):
    files = [grouped(tmp_path / f"{name}.npz", ("no", "yes"), grey) for name, grey in (("one", 10), ("two", 200))]
    train, test = joined(files, 16, 0)
    assert (len(train), len(test)) == (24, 8)
    assert train.patient_count == 12
    assert {str(name).partition("/")[0] for name in train.patients[train.images[:, 0, 0] == 200]} == {"2"}
    assert joined(files[:1], 16, 0)[0].patient_count == 6


def test_files_of_other_classes_are_not_joined(tmp_path, capsys):
    files = [grouped(tmp_path / "one.npz", ("no", "yes"), 1), grouped(tmp_path / "two.npz", ("yes", "no"), 1)]
    with pytest.raises(WrongShape, match=r"two.*one"):
        joined(files, 16, 0)
    assert main(["--data", *map(str, files), "--out", str(tmp_path)]) == 2
    assert "('yes', 'no')" in capsys.readouterr().err
