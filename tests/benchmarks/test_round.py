import json
import multiprocessing
import subprocess
import sys
import threading

import numpy as np
import pytest
import tomli_w

from benchmarks import plain, sealed, severity
from benchmarks import round as bench
from benchmarks.errors import NotMeasured
from benchmarks.plain import PlainRound, PlainRun
from benchmarks.severity import CLASS_NAMES, severities
from node.cli.demo import command as demo
from node.images.dataset import load_saved, save
from node.learning.averaging import average
from node.learning.metrics import evaluate
from node.learning.parameters import initial
from node.learning.training import train
from node.rounds.plan import Plan
from node.work.learning import settings_of
from tests.benchmarks.support import facts, report


@pytest.fixture(scope="module")
def task(tmp_path_factory):
    return bench.lay_out(tmp_path_factory.mktemp("task"))


def test_severities_are_three_synthetic_classes_by_patient():
    data = severities(2, 40, 32, seed=3)
    assert data.synthetic
    assert "SYNTHETIC" in data.name
    assert data.class_names == CLASS_NAMES
    assert data.class_counts == (40, 20, 20)
    for patient in np.unique(data.patients):
        assert np.unique(data.labels[data.patients == patient]).size == 1


def test_severe_is_what_covers_more_than_the_median():
    patients = np.repeat(["a", "b", "c", "d"], 2)
    lesions = np.zeros((8, 4, 4), dtype=np.bool_)
    lesions[2, 0, :1] = lesions[4, 0, :2] = lesions[7, 0, :3] = True  # a: clear, b < c < d
    assert severity._by_area(lesions, patients).tolist() == [0, 0, 1, 1, 1, 1, 2, 2]


def test_the_task_is_the_one_promised(task):
    assert task.parameters == 529_347
    assert len(task.train) == 4
    assert task.plan.classes == CLASS_NAMES
    assert task.plan.rounds == 3
    for index, size in enumerate(task.train):
        assert len(load_saved(task.directory / "plain" / f"hospital-{index}" / "data" / "train.npz")) == size
    assert Plan.from_toml(task.directory / "plain" / "plan.toml") == task.plan


def test_the_demo_knows_the_options_it_is_given(task):
    given = demo.make_context("demo", task.demo_arguments).params
    assert given["architecture"] == "cnn-529k"
    assert given["data"] == task.data
    assert given["no_baseline"] is True


def test_phases_add_up_to_the_overhead():
    here = [[facts(100.0, 0.1), facts(100.2, 0.1, training=0.4)], [facts(101.5, 0.2), facts(101.4, 0.2)]]
    run = sealed.read(report(2), here, 2)
    first, second = run.rounds
    assert first.period_seconds == pytest.approx(1.2)  # from its own beginning to the slower hospital's end
    assert second.period_seconds == pytest.approx(103.5 - 101.2)  # from the end of the first
    assert second.phases["begin"] == pytest.approx(0.2)
    for row in run.rounds:
        assert sum(row.phases.values()) == pytest.approx(row.overhead_seconds)
    assert (first.upload_bytes, first.share_bytes, first.gas) == (6, 3, 7)
    assert run.verified


def test_a_round_that_begins_before_the_last_ended_counts_no_time_twice():
    run = sealed.read(report(2), [[facts(100.0, 0.1)], [facts(100.9, 0.1)]], 2)
    assert run.rounds[1].phases["begin"] == 0
    assert run.rounds[1].period_seconds == pytest.approx(0.9)
    assert sum(run.rounds[1].phases.values()) == pytest.approx(run.rounds[1].overhead_seconds)


def test_a_phase_that_a_hospital_skipped_is_nobodys():
    late = facts(100.0, 0.1)
    del late["marks"]["sign"]
    run = sealed.read(report(1), [[facts(100.0, 0.1), late]], 1)
    assert run.rounds[0].phases["sign"] == pytest.approx(0.1)


def test_steps_are_the_slowest_hospitals():
    here = [[facts(0.0, 0.1, open_seconds=0.3), facts(0.0, 0.1, open_seconds=0.7)]]
    steps = sealed.read(report(1), here, 1).rounds[0].steps
    assert (steps["open"], steps["aggregate"]) == (0.7, 0.0)


def test_a_round_that_was_not_finalised_is_no_measurement():
    broken = report(2)
    broken["rounds"][1]["status"] = "aborted"
    with pytest.raises(NotMeasured, match="expected 1 to 2"):
        sealed.read(broken, [], 2)


def test_a_demo_that_fails_is_quoted(tmp_path):
    with pytest.raises(NotMeasured, match="choose 2 to"):
        sealed.run(["--hospitals", "1"], tmp_path / "run", 1)


def test_phases_and_steps_all_have_names():
    run = sealed.read(report(1), [[facts(0.0, 0.1)]], 1)
    assert list(run.rounds[0].phases) == list(bench.PHASE_NAMES)
    assert list(run.rounds[0].steps) == list(bench.STEP_NAMES)


def summarised(task, *, verdict="verified", step=0.2):
    # The first round takes five seconds more than the others, and must not count.
    here = [[facts(95.0, step + 0.5)], [facts(100.0 + 10 * step, step)], [facts(100.0 + 20 * step, step)]]
    network = sealed.read(report(3, audit={"verdict": verdict}), here, 3)
    clear = PlainRun((PlainRound(9.0, 0.5, 2), *(PlainRound(0.6, 0.5, 2) for _ in range(2))), 500, 0.5)
    return bench.summarise(task, [network, network], [clear, clear])


def test_the_summary_compares_both_sides(task):
    result = summarised(task)
    rows = {(row.table, row.name): row.figures for row in result.rows}
    ratios = rows["medweave as a multiple of averaging in the clear", "medians"]
    assert ratios["overhead_ratio"] == pytest.approx((2.0 - 0.5) / (0.6 - 0.5))
    assert ratios["upload_ratio"] == 3
    table = "a round after the first"
    assert rows[table, "medweave"]["overhead_most_seconds"] == pytest.approx(1.5)
    assert rows[table, "averaging in the clear"]["overhead_most_seconds"] == pytest.approx(0.1)
    assert ratios["peak_ratio"] == 2
    assert all(target.holds for target in result.targets)
    assert "SYNTHETIC" in " ".join(result.notes)
    json.dumps(result.to_json({}), allow_nan=False)


def test_peers_stand_beside_and_are_divided_by_ours(task):
    network = sealed.read(report(3), [[facts(95.0 + 5 * k, 0.1)] for k in range(3)], 3)
    clear = PlainRun((PlainRound(9.0, 0.5, 2), PlainRound(0.6, 0.5, 2)), 500, 0.5)
    peer = PlainRun((PlainRound(99.0, 0.5, 2), PlainRound(12.5, 0.5, 24)), 2000, 0.25)
    result = bench.summarise(task, [network], [clear], {"a peer": [peer]})
    rows = {(row.table, row.name): row.figures for row in result.rows}
    ours, theirs = (rows["a round after the first", name] for name in ("medweave", "a peer"))
    assert theirs["overhead_seconds"] == 12.0, "the first round does not count"
    ratios = rows["peers as a multiple of medweave", "a peer"]
    assert ratios["overhead_ratio"] == pytest.approx(12.0 / ours["overhead_seconds"])
    assert ratios["upload_ratio"] == 24 / ours["upload_bytes"]
    assert ratios["peak_ratio"] == 2000 / ours["peak_bytes"]


def test_targets_can_be_missed(task):
    slow = {target.name: target.holds for target in summarised(task, step=0.5, verdict="falsified").targets}
    assert slow == {
        "overhead of a round": False,
        "one upload": True,
        "peak memory of all processes": True,
        "runs whose audit verified": False,
    }


@pytest.fixture
def clear(tmp_path):
    """A plan of two rounds and two hospitals' images, as the baseline reads them."""
    plan = Plan.create(
        architecture="cnn", classes=CLASS_NAMES, image_size=32, rounds=2, epochs=1, threshold=2, augment=False
    )
    (tmp_path / "plan.toml").write_text(tomli_w.dumps(plan.model_dump(mode="json")))
    data = [severities(1, 24, 32, seed) for seed in (1, 2)]
    for index, each in enumerate(data):
        folder = tmp_path / f"hospital-{index}" / "data"
        folder.mkdir(parents=True)
        for name in ("train", "validation", "test"):
            save(each, folder / f"{name}.npz")
    return tmp_path, plan, data


def check_rounds(rounds, size):
    assert len(rounds) == 2
    for row in rounds:
        assert 0 < row.training_seconds < row.wall_seconds
        assert row.upload_bytes == 4 * size


def test_averaging_in_the_clear_is_what_its_parts_give(clear, monkeypatch):
    directory, plan, data = clear
    averages = []
    monkeypatch.setattr(plain, "average", lambda *given: averages.append(average(*given)) or averages[-1])
    monkeypatch.setattr(plain, "configure_threads", lambda count: None)
    pipes = [multiprocessing.Pipe() for _ in data]
    hospitals = [
        threading.Thread(target=plain._hospital, args=(directory, index, len(data), theirs))
        for index, (_, theirs) in enumerate(pipes)
    ]
    for hospital in hospitals:
        hospital.start()
    rounds, accuracy = plain._rounds(plan, [ours for ours, _ in pipes])
    for (ours, _), hospital in zip(pipes, hospitals, strict=True):
        ours.send(None)
        hospital.join()

    settings, base = settings_of(plan), initial("cnn", 3, plan.seed)
    for number in range(2):
        results = [train(base, each, settings.for_round(number, 2, i)) for i, each in enumerate(data)]
        base = average(base, [r.vector - base for r in results], [r.samples for r in results])
        np.testing.assert_array_equal(averages[number], base)
    assert accuracy == evaluate(base, data[0], settings).accuracy
    check_rounds(rounds, base.size)


@pytest.mark.slow
def test_averaging_in_the_clear_in_processes(clear):
    directory, plan, _ = clear
    command = [sys.executable, "-m", "benchmarks.plain", str(directory)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    run = plain.from_json(done.stdout)
    check_rounds(run.rounds, initial("cnn", 3, plan.seed).size)
    assert 0 <= run.test_accuracy <= 1
    assert run.peak_bytes > 0


def test_a_baseline_that_fails_is_quoted(tmp_path):
    with pytest.raises(NotMeasured, match=r"plan\.toml"):
        bench.run_plain(tmp_path)
