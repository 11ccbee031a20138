"""What a plan asks for reaches the training, and a training under way survives in the hospital's directory."""

from decimal import Decimal

import numpy as np
import pytest

from crypto.secrets import ContentKey
from node.config import ChainSection, Compute, Data, Hospital, NodeConfig
from node.daemon.learner import LocalLearner, settings_of
from node.home import Home
from node.images.dataset import save
from node.images.phantom import CLASS_NAMES, generate
from node.learning.errors import BadSettings
from node.learning.parameters import initial
from node.learning.settings import TrainingSettings
from node.rounds.plan import Plan

KEY = ContentKey(bytes(range(32)))
LITTLE = {"classes": CLASS_NAMES, "threshold": 2, "architecture": "cnn", "image_size": 32, "epochs": 3, "batch_size": 8}


def test_a_plan_of_defaults_trains_with_the_settings_defaults():
    assert settings_of(Plan.create(classes=("a", "b"), threshold=2)) == TrainingSettings()


@pytest.mark.parametrize(
    ("key", "value"),
    [("schedule", "cosine"), ("schedule_over", "plan"), ("last_rate", Decimal("0.5")), ("max_gradient", Decimal(1)),
     ("class_weights", "none"), ("label_smoothing", Decimal("0.1")), ("focal_gamma", Decimal(2)), ("patience", 3),
     ("precision", "float32"), ("weight_decay", Decimal("0.5")), ("augment", False)],
)  # fmt: skip
def test_every_training_key_reaches_the_settings(key, value):
    found = getattr(settings_of(Plan.create(classes=("a", "b"), threshold=2, **{key: value})), key)
    assert found == (float(value) if isinstance(value, Decimal) else value)
    assert found != getattr(TrainingSettings(), key)


@pytest.fixture
def home(tmp_path):
    (tmp_path / "data").mkdir()
    save(generate(24, 32, 1), tmp_path / "data" / "train.npz")
    save(generate(12, 32, 2), tmp_path / "data" / "validation.npz")
    return Home(tmp_path)


def config(device="cpu"):
    return NodeConfig(
        hospital=Hospital(name="A", port=8470, url="http://127.0.0.1:8470"),
        chain=ChainSection(rpc="http://127.0.0.1:8545"),
        data=Data(train="data/train.npz", validation="data/validation.npz"),
        compute=Compute(device=device),
    )


class Cut(Exception):  # noqa: N818
    pass


@pytest.mark.parametrize("patience", [0, 2])
def test_a_training_that_was_cut_goes_on_in_the_same_home(home, patience):
    plan = Plan.create(**LITTLE, patience=patience)
    base = initial("cnn", 2, 0)

    def cut(progress):
        if progress.epoch == 3:
            raise Cut

    with pytest.raises(Cut):
        LocalLearner(home, config(), 0, KEY).train(plan, base, 1, cut)
    assert home.training.exists()
    resumed = LocalLearner(home, config(), 0, KEY).train(plan, base, 1, lambda _: None)
    whole = LocalLearner(home, config(), 0).train(plan, base, 1, lambda _: None)
    assert (resumed.resumed, whole.resumed) == (2, 0)
    assert np.array_equal(resumed.vector, whole.vector)


def test_the_log_says_what_is_left(home, caplog):
    caplog.set_level("INFO", logger="medweave.learning")
    LocalLearner(home, config(), 0).train(Plan.create(**LITTLE), initial("cnn", 2, 0), 4, lambda _: None)
    lines = [line for line in caplog.messages if "left" in line]
    assert [line[:22] for line in lines] == [f"round 4: epoch {k} of 3," for k in (1, 2, 3)]
    assert lines[-1].endswith("about 0 s left")


def test_scores_come_with_intervals(home):
    found = LocalLearner(home, config(), 0).score(Plan.create(**LITTLE), initial("cnn", 2, 0))
    assert found.intervals.accuracy[0] <= found.accuracy <= found.intervals.accuracy[1]


def test_a_gpu_that_is_not_there_is_refused_at_the_start(home, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(BadSettings, match="no GPU"):
        LocalLearner(home, config("cuda"), 0)
