"""The arithmetic of the learning benchmarks: splits, sums, tables, charts; and both commands on little images."""

import hashlib
import json
import re
import sys
import xml.etree.ElementTree as ET
import zlib
from argparse import Namespace
from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from benchmarks import charts, federation, learning, outcomes, paper, running
from benchmarks.errors import NotMeasured
from benchmarks.federation import (
    Clear,
    InSteps,
    Nudged,
    Rounding,
    Run,
    Sealed,
    Split,
    alone,
    federated,
    folds_of,
    shared_out,
    weights_of,
)
from benchmarks.flower import Flower
from benchmarks.outcomes import CENTRAL, CLEAR, FLOWER, LOCAL, NUDGED, ROUNDED, SEALED, STEPS, Outcome
from benchmarks.running import side_by_side
from node.images.phantom import generate
from node.learning.averaging import average
from node.learning.metrics import predict
from node.learning.parameters import initial, layout_of, size_of
from node.learning.quality import youden_thresholds
from node.learning.settings import TrainingSettings, derive_seed
from node.learning.training import train

TINY = TrainingSettings(architecture="cnn", image_size=32, epochs=1, batch_size=8)


@pytest.fixture(scope="module")
def split():
    return Split(tuple(generate(12, 32, 0, scanner) for scanner in range(3)), generate(12, 32, 1))


# ---- sums ------------------------------------------------------------------------------------------------------------


def updates(count=3, size=500, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=size).astype(np.float32), [
        (0.01 * rng.normal(size=size)).astype(np.float32) for _ in range(count)
    ]


def test_the_clear_sum_is_the_products_average():
    base, found = updates()
    samples = [40, 20, 17]
    np.testing.assert_allclose(Clear()(base, found, samples, 0), average(base, found, samples), atol=1e-7)
    assert weights_of(samples) == [1_000_000, 500_000, 425_000]


def test_the_sealed_sum_is_the_clear_one_but_for_rounding(split):
    plan = TINY
    model = train(np.zeros(_size(plan), np.float32), split.hospitals[0], plan).vector
    rng = np.random.default_rng(1)
    found = [rng.uniform(-0.06, 0.06, model.size).astype(np.float32) for _ in range(3)]
    sealed = Sealed(plan, 3, 0)
    apart = np.abs(sealed(model, found, [40, 20, 17], 0) - Clear()(model, found, [40, 20, 17], 0))
    assert 0 < apart.max() < 2e-5
    assert sealed.clipped == 0
    assert sealed.upload_bytes > 4 * model.size
    sealed(model, [each * 2 for each in found], [1, 1, 1], 1)
    assert sealed.clipped > 0


def test_the_sealed_sum_is_that_of_the_same_steps_bit_for_bit(split):
    sealed, open_to_all = Sealed(TINY, 3, 7), InSteps(TINY, 3, 7)
    model, found = updates(size=_size(TINY))
    found[0] *= 20  # some of it out of range
    for number in (0, 1):
        mine, theirs = (add(model, found, [40, 20, 17], number) for add in (open_to_all, sealed))
        assert mine.tobytes() == theirs.tobytes()
    assert sealed.clipped == open_to_all.clipped > 0
    assert InSteps(TINY, 3, 8)(model, found, [40, 20, 17], 0).tobytes() != InSteps(TINY, 3, 7)(model, found, [40, 20, 17], 0).tobytes()  # fmt: skip


def test_a_nudge_is_half_a_step_after_the_first_round_and_never_again():
    model, found = updates(size=_size(TINY))
    clear, nudged = Clear(), Nudged(TINY, 3, 0)
    apart = np.abs(nudged(model, found, [1, 1, 1], 0) - clear(model, found, [1, 1, 1], 0))
    steps = Rounding(TINY, 3, 0).steps
    rounding = np.spacing(np.abs(model).max())
    assert (apart <= steps / 2 + rounding).all()
    assert apart.mean() == pytest.approx(steps.mean() / 4, rel=0.05)
    assert nudged(model, found, [1, 1, 1], 1).tobytes() == clear(model, found, [1, 1, 1], 1).tobytes()


def test_a_run_tells_each_rounds_model_by_its_hash(split):
    run = federated(split, TINY, 2, InSteps(TINY, 3, 0))
    assert run.digests[-1] == hashlib.sha256(run.vector.tobytes()).hexdigest()
    assert len(set(run.digests)) == 2
    again = federated(split, TINY, 2, InSteps(TINY, 3, 0))
    assert again.digests == run.digests


def _size(plan):
    return size_of(layout_of(plan.architecture, plan.classes))


def test_one_hospital_together_is_that_hospital_alone(split):
    mine = Split(split.hospitals[:1], split.test)
    joint, lone = federated(mine, TINY, 1, Clear()), alone(split.hospitals[0], split.test, TINY, 1, 0)
    np.testing.assert_allclose(joint.vector, lone.vector, atol=1e-6)
    np.testing.assert_allclose(joint.answers[0], lone.answers[0], atol=1e-4)
    assert joint.loss == pytest.approx(lone.loss, rel=1e-4)


def test_who_is_alone_trains_once_and_is_asked_where_rounds_would_end(split):
    lone = alone(split.hospitals[0], split.test, replace(TINY, epochs=2), 3, 0)
    once = train(initial("cnn", 2, 0), split.hospitals[0], replace(TINY, epochs=6, seed=derive_seed(TINY.seed, 0, 0)))
    assert np.array_equal(lone.vector, once.vector)
    assert len(lone.answers) == len(lone.marks) == 3
    assert list(lone.marks) == sorted(lone.marks)
    assert lone.loss == once.losses[-1]


def test_flower_without_flwr_says_what_to_install():
    base, found = updates()
    with Flower(sys.executable) as peer, pytest.raises(NotMeasured, match="pip install flwr"):
        peer(base, found, [1, 1, 1], 0)


@pytest.mark.slow
def test_runs_side_by_side_keep_their_order(split):
    jobs = [paper.Job(str(member), split, TINY, 1, 1, member) for member in range(3)]
    one, two = side_by_side(jobs, 1), side_by_side(jobs, 2)
    assert all(np.array_equal(a.vector, b.vector) for a, b in zip(one, two, strict=True))
    assert not np.array_equal(one[0].vector, one[1].vector)


# ---- splits ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shares", [(40, 20, 17), (1, 1, 1, 1, 1)])
def test_shares_are_by_patient_and_as_large_as_asked(shares):
    data = generate(308, 32, 3)
    parts = shared_out(data, shares, 0)
    assert sum(map(len, parts)) == len(data)
    people = [set(part.patients) for part in parts]
    assert sum(map(len, people)) == data.patient_count
    for part, share in zip(parts, shares, strict=True):
        assert len(part) == pytest.approx(len(data) * share / sum(shares), abs=6)
        assert part.class_counts[0] == pytest.approx(len(part) / 2, abs=4)


def test_folds_ask_everybody_once():
    data = generate(60, 32, 3)
    folds = folds_of(data, 5, 1)
    assert sorted(np.concatenate([asked.patients for _, asked in folds])) == sorted(data.patients)
    for learnt, asked in folds:
        assert not set(learnt.patients) & set(asked.patients)
        assert len(learnt) + len(asked) == len(data)


# ---- tables ----------------------------------------------------------------------------------------------------------


def outcome(arm, seed, skill, member=0, rounds=2):
    rng = np.random.default_rng(zlib.crc32(f"{arm}/{seed}/{member}".encode()))
    labels = rng.integers(0, 2, 200)
    answers = []
    for number in range(rounds):
        score = 1 / (1 + np.exp(-(rng.normal(size=200) + skill * (number + 1) / rounds * (2 * labels - 1))))
        answers.append(np.column_stack([1 - score, score]).astype(np.float32))
    return Outcome(arm, seed, member, tuple(answers), labels, np.arange(200).astype(str), 3.0, 0)


def made():
    found = [
        outcome(arm, seed, skill) for seed in range(2) for arm, skill in ((CENTRAL, 0.9), (CLEAR, 0.8), (SEALED, 0.8))
    ]
    return found + [outcome(LOCAL, seed, 0.1, member) for seed in range(2) for member in range(2)]


def test_figures_are_scikit_learns():
    each = outcome(CENTRAL, 0, 1.0)
    assert each.auc() == pytest.approx(roc_auc_score(each.labels, each.rounds[-1][:, 1]))
    false, true = learning.roc_curve([each])
    assert np.trapezoid(true, false) == pytest.approx(each.auc(), abs=0.02)
    assert (false[0], true[-1]) == (0, 1)


def test_targets_are_differences_of_means():
    found = made()
    held = {target.name: target for target in outcomes.targets(found, "covid_ct_128")}
    central, sealed = outcomes.by_seed(found, CENTRAL).mean(), outcomes.by_seed(found, SEALED).mean()
    lone = np.mean([each.auc() for each in found if each.arm == LOCAL])
    assert held["together below one place"].value == pytest.approx(central - sealed)
    assert held["together above the mean alone"].value == pytest.approx(sealed - lone)
    assert held["together above the mean alone"].holds
    assert held["one place"].target == 0.93
    unsealed = {t.name: t for t in outcomes.targets([o for o in found if o.arm != SEALED], "")}
    assert set(unsealed) == {"together below one place", "together above the mean alone"}


def test_every_arm_and_seed_has_its_line(monkeypatch):
    monkeypatch.setattr(learning, "DRAWS", 20)
    lines = learning.rows(made())
    assert sum(line.table == "mean over seeds" for line in lines) == 4
    assert sum("intervals" in line.table for line in lines) == 10
    assert re.fullmatch(r"0\.\d{3} [01]\.\d\d-[01]\.\d\d", str(lines[4].figures["AUC"]))


def test_what_changes_a_run_is_told_pair_by_pair():
    digests = ("a", "b")
    base = [replace(outcome(arm, 0, 0.8), digests=digests) for arm in (CLEAR, SEALED, NUDGED)]
    twin = replace(base[1], arm=ROUNDED)
    found = [*base, twin, outcome(CENTRAL, 0, 0.9), outcome(LOCAL, 0, 0.1)]
    lines = {line.name: line.figures for line in outcomes.apart(found)}
    assert list(lines) == [
        f"{SEALED} / {ROUNDED}, seed 0",
        f"{SEALED} / {CLEAR}, seed 0",
        f"{NUDGED} / {CLEAR}, seed 0",
    ]
    assert set(lines[f"{SEALED} / {ROUNDED}, seed 0"].values()) == {0}
    nudged = lines[f"{NUDGED} / {CLEAR}, seed 0"]
    assert nudged["AUC_apart"] == pytest.approx(abs(base[2].auc() - base[0].auc()))
    assert nudged["last_five_rounds"] == pytest.approx(
        abs(np.mean([base[2].auc(k) for k in (0, 1)]) - np.mean([base[0].auc(k) for k in (0, 1)]))
    )
    held = {target.name: target for target in outcomes.targets(found, "")}
    assert held["sealed and unrounded apart, mean over seeds"].value == pytest.approx(
        abs(base[1].auc() - base[0].auc())
    )
    assert held["rounds after which their models differ"].holds
    off = [*base, replace(twin, digests=("a", "c")), *found[4:]]
    assert not {t.name: t for t in outcomes.targets(off, "")}["rounds after which their models differ"].holds


def test_a_sum_that_opens_wrong_ends_the_run(monkeypatch):
    model, found = updates(size=_size(TINY))
    truth = federation.combine_stream
    monkeypatch.setattr(
        federation, "combine_stream", lambda *words: [each + (k == 0) for k, each in enumerate(truth(*words))]
    )
    with pytest.raises(NotMeasured, match=r"round 3: .* opened values are not the sum"):
        Sealed(TINY, 3, 0)(model, found, [1, 1, 1], 2)


def test_a_finished_run_is_taken_up_again(split, tmp_path):
    job = paper.Job("FedAvg", split, TINY, 1, 1)
    first, again = (side_by_side([job], 1, tmp_path)[0] for _ in range(2))
    assert again.marks == first.marks  # a second training would take other seconds
    assert again.vector.tobytes() == first.vector.tobytes()
    assert (again.digests, again.loss) == (first.digests, first.loss)
    assert np.array_equal(again.answers, first.answers)
    kept = next(iter(tmp_path.iterdir()))
    other = replace(split, test=replace(split.test, images=255 - split.test.images))
    assert running.file_of(tmp_path, replace(job, split=other)) != kept == running.file_of(tmp_path, job)
    assert running.file_of(tmp_path, replace(job, settings=replace(TINY, seed=1))) != kept
    kept.write_bytes(kept.read_bytes()[:200])
    with pytest.raises(NotMeasured, match="no whole run"):
        side_by_side([job], 1, tmp_path)


def test_flower_is_put_beside_ours_round_by_round():
    found = [outcome(CLEAR, 0, 1.0), outcome(FLOWER, 0, 1.0)]
    lines = outcomes.beside_flower(found)
    assert [line.name for line in lines] == ["round 1", "round 2"]
    assert lines[1].figures["accuracy_Flower"] == found[1].accuracy(1)
    assert lines[1].figures["accuracy"] == found[0].accuracy(1)
    gaps = outcomes.flower_gaps(found, found[1:])
    assert gaps == [found[0].accuracy(k) - found[1].accuracy(k) for k in range(2)]
    held = {t.name: t for t in outcomes.targets([*made(), found[1]], "")}
    assert held["together and Flower apart, accuracy, mean over rounds"].value >= 0


def test_folds_are_put_together_before_they_are_scored(split):
    options = Namespace(first_seed=3, seeds=1, folds=3, sealed=False, peer=None, model="cnn", image_size=32, epochs=1, batch_size=8,
                        learning_rate=1e-3, proximal=0.0, schedule_over="plan", label_smoothing=0.0, validation=0.0, hospitals=2,
                        partition="iid", rounds=1, threads=1, flower_python="", precision="auto", equal_steps=False, nudge=False, one_place_only=False,
                        views="ultrasound", class_weights="patients")  # fmt: skip
    listed = learning.jobs(options, split.whole, split.test)
    assert len(listed) == 3 * 4
    assert {(job.settings.views, job.settings.class_weights) for job in listed} == {("ultrasound", "patients")}
    runs = [
        Run((np.full((len(job.split.test), 2), 0.5, np.float32),), np.zeros(1, np.float32), (1.0,)) for job in listed
    ]
    found = learning.outcomes(listed, runs)
    assert len(found) == 4
    assert all(each.labels.size == len(split.whole) + len(split.test) for each in found)
    assert all((each.seed, each.seconds) == (3, 3) for each in found)


# ---- charts ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("low", "high"), [(0, 1), (0.713, 0.941), (3, 10), (0.5, 0.5), (0, 12345)])
def test_ticks_are_round_and_span_the_range(low, high):
    found = charts.ticks(low, high)
    assert found[0] <= low
    assert found[-1] >= high
    assert 2 <= len(found) <= 8
    assert np.allclose(np.diff(found), found[1] - found[0])


def test_charts_are_well_formed_and_hold_every_name():
    text = charts.lines("a < b", "x", "y", [charts.Line("one & two", [1, 2], [0.1, 0.2], [0.0, 0.1], [0.2, 0.3])])
    root = ET.XML(text)
    assert "one & two" in "".join(root.itertext())
    assert len(list(root.iter("{http://www.w3.org/2000/svg}circle"))) == 2  # so few points are shown
    long = ET.XML(charts.lines("t", "x", "y", [charts.Line("a name of more letters than fit", range(30), range(30))]))
    words = [
        each
        for each in long.iter("{http://www.w3.org/2000/svg}text")
        if each.text in {"a name of more", "letters than fit"}
    ]
    assert len({each.get("y") for each in words}) == 2
    bars = [charts.Bar("g", "n", 0.5, 0.4, 0.6), charts.Bar("h", "n", 0.25)]
    heights = [
        float(rect.get("height"))
        for rect in ET.XML(charts.bars("t", "y", bars)).iter("{http://www.w3.org/2000/svg}rect")
    ]
    assert heights[1] == pytest.approx(2 * heights[2], abs=0.2)


# ---- the commands ----------------------------------------------------------------------------------------------------

LITTLE = ["--phantoms", "12", "--image-size", "32", "--rounds", "1", "--epochs", "1", "--seeds", "1", "--model", "cnn"]


def test_learning_measures(tmp_path, capsys):
    file = tmp_path / "found.json"
    assert learning.main([*LITTLE, "--hospitals", "3", "--out", str(tmp_path), "--json", str(file)]) == 0
    found = json.loads(file.read_text())
    assert [row["name"] for row in found["rows"][:4]] == [CENTRAL, CLEAR, SEALED, ROUNDED]
    by_name = {target["name"]: target for target in found["targets"]}
    assert len(by_name) == 5
    assert by_name["sealed and the same whole steps in the clear apart"]["value"] == 0
    assert by_name["rounds after which their models differ"]["holds"]
    assert {"curves.svg", "roc.svg"} <= {path.name for path in tmp_path.iterdir()}
    assert "synthetic" in capsys.readouterr().out


def test_one_place_with_a_hospitals_steps_is_an_arm_of_its_own(capsys):
    options = learning.parser().parse_args(
        [*LITTLE, "--hospitals", "2", "--epochs", "2", "--unsealed", "--equal-steps"]
    )
    options.rounds = 3
    listed = learning.jobs(options, generate(16, 32, 0), generate(12, 32, 1))
    job = next(each for each in listed if each.arm == STEPS)
    own = replace(job.settings, epochs=3, seed=derive_seed(0, 0, 2))
    assert np.array_equal(job().vector, train(initial("cnn", 2, 0), job.split.whole, own).vector)
    found = [*made(), *(outcome(STEPS, seed, 0.9) for seed in range(2))]
    held = {target.name: target for target in outcomes.targets(found, "")}
    apart = outcomes.by_seed(found, STEPS).mean() - outcomes.by_seed(found, SEALED).mean()
    assert held["together below one place, a hospital's steps"].value == pytest.approx(apart)
    with pytest.raises(SystemExit):
        learning.main([*LITTLE, "--hospitals", "2", "--epochs", "3", "--equal-steps"])
    assert "a multiple of --hospitals" in capsys.readouterr().err


def test_one_place_only_leaves_the_hospitals_out(tmp_path):
    file = tmp_path / "found.json"
    words = [*LITTLE, "--hospitals", "2", "--folds", "2", "--one-place-only", "--out", str(tmp_path)]
    assert learning.main([*words, "--json", str(file)]) == 0
    found = json.loads(file.read_text())
    assert [row["name"] for row in found["rows"] if row["table"] == "mean over seeds"] == [CENTRAL]
    assert found["targets"] == []
    held = outcomes.targets([o for o in made() if o.arm == CENTRAL], "lung_ultrasound_128")
    assert [target.name for target in held] == ["one place"]


def test_thresholds_are_chosen_on_images_that_nobody_trains_on(capsys):
    options = learning.parser().parse_args([*LITTLE, "--hospitals", "2", "--validation", "0.25", "--unsealed"])
    options.rounds = 1
    listed = learning.jobs(options, generate(48, 32, 0), generate(12, 32, 1))
    split = listed[0].split
    assert len(split.whole) + len(split.held) == 48
    assert not set(split.held.patients) & set(split.whole.patients)
    job = listed[0]
    run = job()
    chosen = learning.thresholds_of(job, run)
    again = youden_thresholds(predict(run.vector, split.held, job.settings), np.asarray(split.held.labels))
    assert chosen.tolist() == again.tolist()
    line = next(row for row in learning.rows(learning.outcomes([job], [run])) if "thresholds" in row.table)
    assert "sensitivity_1" in line.figures
    with pytest.raises(SystemExit):
        learning.main([*LITTLE, "--validation", "0.2", "--folds", "3"])
    assert "not both" in capsys.readouterr().err


def test_data_that_cannot_be_read_is_no_measurement(tmp_path, capsys):
    assert learning.main([*LITTLE, "--data", str(tmp_path / "absent.npz"), "--out", str(tmp_path)]) == 2
    assert "absent.npz" in capsys.readouterr().err
