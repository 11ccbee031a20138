"""What a plan can ask of training beyond epochs and rate: schedules, losses, early stopping, bits."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional

from node.images.phantom import generate
from node.learning.errors import BadSettings, WrongData
from node.learning.metrics import evaluate
from node.learning.objective import Objective, balanced
from node.learning.parameters import initial, load
from node.learning.precision import arithmetic, choose_device
from node.learning.registry import build
from node.learning.schedule import LOWEST, SCHEDULES, WARM_UP, rate_share
from node.learning.settings import TrainingSettings
from node.learning.training import train

SMALL = TrainingSettings(architecture="cnn", image_size=32, epochs=2, batch_size=8)
BASE = initial("cnn", 2, 0)


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_rates_stay_between_the_lowest_and_the_peak(schedule):
    shares = [rate_share(schedule, step / 200) for step in range(201)]
    assert min(shares) >= LOWEST - 1e-12
    assert max(shares) == pytest.approx(1)
    assert shares[-1] == pytest.approx(1.0 if schedule == "constant" else LOWEST)


def test_one_cycle_rises_for_a_quarter_and_cosine_only_falls():
    cycle = [rate_share("one-cycle", step / 100) for step in range(101)]
    assert cycle.index(max(cycle)) == 100 * WARM_UP
    fall = [rate_share("cosine", step / 100) for step in range(101)]
    assert fall == sorted(fall, reverse=True)


def test_a_schedule_over_the_plan_is_one_curve_over_all_rounds():
    plan = replace(SMALL, schedule_over="plan")
    spans = [plan.for_round(number, 4, 0).span for number in range(6)]
    assert spans == [(0, 0.25), (0.25, 0.5), (0.5, 0.75), (0.75, 1), (0.75, 1), (0.75, 1)]
    assert all(plan.for_round(number, 4, 0).learning_rate == plan.learning_rate for number in range(4))


def test_a_part_of_the_schedule_trains_with_the_rates_of_that_part(phantoms):
    """The end of a cosine moves the model far less than its beginning."""
    moved = [
        np.linalg.norm(train(BASE, phantoms, replace(SMALL, schedule="cosine", span=span)).vector - BASE)
        for span in ((0.0, 0.1), (0.9, 1.0))
    ]
    assert moved[1] < moved[0] / 3


@pytest.mark.parametrize("change", [{"schedule": "cosine"}, {"label_smoothing": 0.1}, {"focal_gamma": 2.0},
                                    {"max_gradient": 0.01}, {"class_weights": "none"}])  # fmt: skip
def test_every_option_changes_what_is_learnt(phantoms, change):
    uneven = phantoms.take([*np.flatnonzero(phantoms.labels == 0), *np.flatnonzero(phantoms.labels == 1)[:5]])
    plain = train(BASE, uneven, SMALL).vector
    assert not np.array_equal(train(BASE, uneven, replace(SMALL, **change)).vector, plain)


def scores(n=12, J=3, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, J, generator=generator), torch.arange(n) % J


def test_smoothing_is_torchs_label_smoothing():
    output, labels = scores()
    found = Objective(torch.ones(3), 0.2, 0.0)(build("cnn", 3), output, labels)
    torch.testing.assert_close(found, functional.cross_entropy(output, labels, label_smoothing=0.2))


def test_focus_is_the_focal_loss_by_hand():
    """Lin et al. 2017, eq. 4: -(1 - p)^gamma log p, in plain floats."""
    output, labels = scores()
    found = Objective(torch.ones(3), 0.0, 2.0)(build("cnn", 3), output, labels)
    expected = 0.0
    for row, label in zip(output.tolist(), labels.tolist(), strict=True):
        p = math.exp(row[label]) / sum(map(math.exp, row))
        expected -= (1 - p) ** 2 * math.log(p) / len(labels)
    assert found.item() == pytest.approx(expected, rel=1e-5)


def test_class_weights_are_torchs_weighted_mean():
    output, labels = scores(J=2)
    weights = torch.tensor([3.0, 1.0])
    found = Objective(weights, 0.0, 0.0)(build("cnn", 2), output, labels)
    torch.testing.assert_close(found, functional.cross_entropy(output, labels, weight=weights))


def test_balanced_weights_make_classes_count_alike():
    labels = torch.tensor([0] * 6 + [1] * 2)
    weights = balanced(labels, 3)
    assert weights.tolist() == pytest.approx([8 / 12, 8 / 4, 0])
    assert (weights[labels].sum() / len(labels)).item() == pytest.approx(1)


def test_smoothing_keeps_capsules_from_their_extremes():
    """The smoothed margin loss of a perfect answer is not zero any more."""
    model = build("capsnet", 2)
    perfect = torch.zeros(1, 2, 16)
    perfect[0, 0, 0] = 0.95
    label = torch.tensor([0])
    assert Objective(torch.ones(2), 0.0, 0.0)(model, perfect, label).item() == 0
    assert Objective(torch.ones(2), 0.1, 0.0)(model, perfect, label).item() > 0


def test_early_stopping_keeps_the_best_epoch():
    data, held = generate(24, size=32, seed=1), generate(40, size=32, seed=2, scanner=3)
    plan = replace(SMALL, epochs=12, learning_rate=0.02, schedule="constant", patience=2)
    result = train(BASE, data, plan, validation=held)
    assert result.kept < len(result.losses) < 12
    assert len(result.losses) - result.kept == 2
    assert result.steps == 3 * len(result.losses)
    exactly = train(BASE, data, replace(plan, epochs=result.kept, patience=0))
    assert np.array_equal(result.vector, exactly.vector)


def test_without_patience_validation_images_are_not_looked_at(phantoms):
    plain = train(BASE, phantoms, SMALL)
    given = train(BASE, phantoms, SMALL, validation=phantoms.take(range(4)))
    assert np.array_equal(plain.vector, given.vector)
    assert plain.kept == 2


def test_early_stopping_needs_validation_images(phantoms):
    with pytest.raises(WrongData, match="patience"):
        train(BASE, phantoms, replace(SMALL, patience=1))


@pytest.mark.parametrize("bits", [torch.bfloat16, torch.float16])
def test_sixteen_bits_learn_what_thirty_two_do(monkeypatch, bits):
    """The same code as on a GPU; float16 with its loss scaled."""
    data = generate(32, size=32, seed=1)
    plan = replace(SMALL, epochs=4, precision="mixed")
    monkeypatch.setattr("node.learning.training.arithmetic", lambda p, d: arithmetic(p, d, bits))
    result = train(BASE, data, plan)
    assert result.vector.dtype == np.float32
    assert not np.array_equal(result.vector, train(BASE, data, replace(plan, precision="float32")).vector)
    assert result.losses[-1] < 0.95 * result.losses[0]


def test_an_overflow_in_float16_leaves_the_step_out_and_scales_less():
    weight = torch.nn.Parameter(torch.ones(1))
    optimiser = torch.optim.AdamW([weight], lr=0.1)
    half = arithmetic("mixed", torch.device("cpu"), torch.float16)
    before = half.scaler.get_scale()
    half.descend((weight * 3e38 * 10).sum(), [weight], optimiser, 5.0)
    assert weight.item() == 1
    assert half.scaler.get_scale() < before
    half.descend(weight.sum(), [weight], optimiser, 5.0)
    assert weight.item() < 1


def test_on_a_processor_sixteen_bits_are_off_unless_asked_for():
    cpu = torch.device("cpu")
    assert arithmetic("auto", cpu).bits is None
    assert arithmetic("float32", cpu).bits is None
    assert arithmetic("mixed", cpu).bits == torch.bfloat16
    assert arithmetic("float32", torch.device("cuda")).bits is None


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_a_gpu_that_is_not_there_is_refused():
    assert choose_device("auto") == torch.device("cpu")
    with pytest.raises(BadSettings, match="no GPU"):
        choose_device("cuda")
    with pytest.raises(BadSettings, match="tpu"):
        choose_device("tpu")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_learns_and_repeats_itself(phantoms):
    plan, gpu = replace(SMALL, epochs=6), torch.device("cuda")
    first, again = train(BASE, phantoms, plan, device=gpu), train(BASE, phantoms, plan, device=gpu)
    assert np.array_equal(first.vector, again.vector)
    assert evaluate(first.vector, phantoms, plan, gpu).auc == pytest.approx(
        evaluate(first.vector, phantoms, plan).auc, abs=0.02
    )


@pytest.mark.parametrize(
    "wrong",
    [{"schedule": "linear"}, {"schedule_over": "year"}, {"last_rate": 0.0}, {"span": (0.5, 0.4)}, {"span": (0.0, 1.1)},
     {"max_gradient": 0.0}, {"class_weights": "heavy"}, {"label_smoothing": 0.6}, {"focal_gamma": -1.0},
     {"patience": -1}, {"precision": "half"}],
)  # fmt: skip
def test_options_are_bounded(wrong):
    with pytest.raises(BadSettings, match=next(iter(wrong))):
        replace(SMALL, **wrong)


def test_different_settings_have_different_digests():
    assert SMALL.digest == replace(SMALL).digest
    assert len({SMALL.digest, replace(SMALL, seed=1).digest, replace(SMALL, patience=1).digest}) == 3


def test_a_model_of_one_layout_fits_the_objective_of_every_architecture():
    model = build("cnn", 2)
    load(model, BASE)
    assert (
        Objective(torch.ones(2), 0.1, 1.0)(model, model(torch.rand(4, 1, 32, 32)), torch.tensor([0, 1, 1, 0])).ndim == 0
    )
