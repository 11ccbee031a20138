"""What a plan asks for reaches the training, and a training under way survives in the hospital's directory.

Trainings run in the worker process, as in a daemon.
"""

import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import numpy as np
import psutil
import pytest

from crypto.secrets import ContentKey
from node.config import ChainSection, Compute, Data, Hospital, NodeConfig
from node.daemon.learner import WorkerLearner, setup_of
from node.errors import BadConfig, BadPlan, WorkerLost, WorkProblem, WorkTooSlow
from node.home import Home
from node.images.dataset import concatenate, load_saved, save
from node.images.errors import UnreadableData
from node.images.phantom import CLASS_NAMES, generate
from node.learning.descent import descent
from node.learning.errors import BadSettings
from node.learning.parameters import initial
from node.learning.settings import TrainingSettings
from node.rounds.plan import Plan
from node.work.learning import Learning, settings_of
from node.work.messages import Measure

KEY = ContentKey(bytes(range(32)))
LITTLE = {"classes": CLASS_NAMES, "threshold": 2, "architecture": "cnn", "image_size": 32, "epochs": 3, "batch_size": 8}


def test_a_plan_of_defaults_trains_with_the_settings_defaults():
    assert settings_of(Plan.create(classes=("a", "b"), threshold=2)) == TrainingSettings()


@pytest.mark.parametrize(
    ("key", "value"),
    [("schedule", "cosine"), ("schedule_over", "plan"), ("last_rate", Decimal("0.5")), ("max_gradient", Decimal(1)),
     ("class_weights", "none"), ("label_smoothing", Decimal("0.1")), ("focal_gamma", Decimal(2)), ("patience", 3),
     ("precision", "float32"), ("weight_decay", Decimal("0.5")), ("augment", False),
     ("views", "ultrasound")],
)  # fmt: skip
def test_every_training_key_reaches_the_settings(key, value):
    found = getattr(settings_of(Plan.create(classes=("a", "b"), threshold=2, **{key: value})), key)
    assert found == (float(value) if isinstance(value, Decimal) else value)
    assert found != getattr(TrainingSettings(), key)


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    root = tmp_path_factory.mktemp("home")
    (root / "data").mkdir()
    save(generate(24, 32, 1), root / "data" / "train.npz")
    save(generate(12, 32, 2), root / "data" / "validation.npz")
    return Home(root)


def config(device="cpu"):
    return NodeConfig(
        hospital=Hospital(name="A", port=8470, url="http://127.0.0.1:8470"),
        chain=ChainSection(rpc="http://127.0.0.1:8545"),
        data=Data(train="data/train.npz", validation="data/validation.npz"),
        compute=Compute(device=device),
    )


@pytest.fixture(scope="module")
def learner(home):
    found = WorkerLearner(home, config(), 0, KEY)
    yield found
    found.worker.stop()


class Cut(Exception):  # noqa: N818
    pass


def alone(home, plan, base, number=1):
    """The same training in this process, without checkpoints."""
    return Learning(setup_of(home, config())).train(plan, base, number, 0, lambda _: None)


@pytest.mark.parametrize("patience", [0, 2])
def test_a_training_that_was_cut_goes_on_in_the_same_home(home, learner, patience):
    plan = Plan.create(**LITTLE, patience=patience)
    base = initial("cnn", 2, 0)

    def cut(progress):
        if progress.epoch == 3:
            raise Cut

    with pytest.raises(Cut):
        learner.train(plan, base, 1, cut)
    process = learner.worker.pid
    assert home.training.exists()
    resumed = learner.train(plan, base, 1, lambda _: None)
    whole = alone(home, plan, base)
    assert (resumed.resumed, whole.resumed) == (2, 0)
    assert np.array_equal(resumed.vector, whole.vector), "the process trains bit for bit as this one"
    assert resumed.losses == whole.losses
    assert learner.worker.pid == process, "a cancelled training leaves the process alive"


def test_a_long_training_is_cancelled_and_its_process_lives_on(learner):
    def cut(progress):
        raise Cut

    learner.worker.start()
    learner.worker.check()
    process = learner.worker.pid
    with pytest.raises(Cut):
        learner.train(Plan.create(**LITTLE | {"epochs": 1000}, seed=9), initial("cnn", 2, 0), 3, cut)
    assert learner.worker.pid == process
    assert learner.score(Plan.create(**LITTLE), initial("cnn", 2, 0)).n == 12


def test_a_killed_process_is_named_and_the_next_goes_on(home, learner):
    plan, base = Plan.create(**LITTLE, seed=5), initial("cnn", 2, 0)

    def kill(progress):
        if progress.epoch == 3:
            os.kill(learner.worker.pid, signal.SIGKILL)

    with pytest.raises(WorkerLost, match=r"SIGKILL\); memory may have run out"):
        learner.train(plan, base, 2, kill)
    assert learner.worker.pid is None
    resumed = learner.train(plan, base, 2, lambda _: None)
    assert resumed.resumed == 2
    assert np.array_equal(resumed.vector, alone(home, plan, base, 2).vector)


def test_a_process_lost_while_idle_is_started_anew(learner):
    learner.worker.start()
    learner.worker.check()
    os.kill(learner.worker.pid, signal.SIGKILL)
    learner.worker._process.wait()
    assert learner.score(Plan.create(**LITTLE), initial("cnn", 2, 0)).n == 12


def test_the_log_says_what_is_left(learner, caplog):
    caplog.set_level("INFO", logger="medweave.learning")
    learner.train(Plan.create(**LITTLE), initial("cnn", 2, 0), 4, lambda _: None)
    lines = [line for line in caplog.messages if "left" in line]
    assert [line[:22] for line in lines] == [f"round 4: epoch {k} of 3," for k in (1, 2, 3)]
    assert lines[-1].endswith("about 0 s left")


def test_scores_come_with_intervals_and_are_those_of_this_process(home, learner):
    plan, vector = Plan.create(**LITTLE), initial("cnn", 2, 0)
    found = learner.score(plan, vector)
    assert found.intervals.accuracy[0] <= found.accuracy <= found.intervals.accuracy[1]
    assert found == Learning(setup_of(home, config())).measure(plan, "validation", vector)
    assert learner.report(plan, vector) is None


def test_where_the_loss_of_all_its_images_falls(home, learner):
    """Of training and held-out images together, seen in the process and in this one."""
    plan, vector = Plan.create(**LITTLE), initial("cnn", 2, 0)
    found = learner.descent(plan, vector)
    parts = [load_saved(home.root / "data" / f"{part}.npz") for part in ("train", "validation")]
    everything = descent(vector, concatenate(parts, "both"), settings_of(plan))
    np.testing.assert_allclose(found, everything, atol=1e-6 * np.abs(everything).max())
    alone = descent(vector, parts[0], settings_of(plan))
    assert np.abs(found - alone).max() > 0.01 * np.abs(found).max(), "the held-out ones count"


def test_images_that_were_replaced_are_read_anew(tmp_path):
    (tmp_path / "data").mkdir()
    place = tmp_path / "data" / "validation.npz"
    save(generate(12, 32, 2), place)
    learning = Learning(setup_of(Home(tmp_path), config()))
    plan = Plan.create(**LITTLE)
    first = learning.images("validation", plan)
    assert learning.images("validation", plan) is first
    save(generate(9, 32, 2), place)
    assert len(learning.images("validation", plan)) == 9
    place.unlink()
    with pytest.raises(UnreadableData, match="No such file"):
        learning.images("validation", plan)


def test_images_that_are_prepared_otherwise_than_the_plans_are_not_trained_on(tmp_path):
    (tmp_path / "data").mkdir()
    place, network = tmp_path / "data" / "train.npz", "5e" * 32
    plain, cropping = Plan.create(**LITTLE), Plan.create(**LITTLE | {"crop_lungs": network})
    learning = Learning(setup_of(Home(tmp_path), config()))
    save(generate(12, 32, 2), place)
    assert learning.images("train", plain).cropped == ""
    with pytest.raises(
        BadConfig, match=r"not cropped to the lungs, the plan's cropped to the lungs by 5e5e.*--crop-lungs"
    ):
        learning.images("train", cropping)
    save(replace(generate(12, 32, 2), cropped=network), place)
    assert learning.images("train", cropping).cropped == network
    with pytest.raises(BadConfig, match=r"cropped to the lungs by 5e5e.*, the plan's not cropped"):
        learning.images("train", plain)


def test_what_the_process_meets_is_raised_as_what_it_is(learner):
    with pytest.raises(BadConfig, match="the plan a, b"):
        learner.score(Plan.create(**LITTLE | {"classes": ("a", "b")}), initial("cnn", 2, 0))
    with pytest.raises(BadPlan, match="classes"):
        learner.worker.ask(Measure(plan="{}", part="test", vector=initial("cnn", 2, 0)), seconds=20)


def test_a_gpu_that_is_not_there_is_refused_at_the_start(home, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    learner = WorkerLearner(home, config("cuda"), 0)
    with pytest.raises(BadSettings, match="no GPU"):
        learner.worker.check()
    assert learner.worker.pid is None


def test_the_process_steps_back_knows_no_password_and_goes_first(learner, monkeypatch):
    learner.worker.end()
    monkeypatch.setenv("MEDWEAVE_PASSWORD", "horse")
    learner.worker.start()
    learner.worker.check()
    process = psutil.Process(learner.worker.pid)
    assert process.nice() == min(19, psutil.Process().nice() + 10)
    assert "MEDWEAVE_PASSWORD" not in process.environ()
    assert not any("horse" in word for word in process.cmdline())
    assert Path(f"/proc/{process.pid}/oom_score_adj").read_text().strip() == "800"


def test_a_process_that_says_nothing_is_stopped(learner):
    learner.worker.start()
    learner.worker.check()
    os.kill(learner.worker.pid, signal.SIGSTOP)
    with pytest.raises(WorkTooSlow, match="said nothing"):
        learner.worker.ask(Measure(plan="{}", part="validation", vector=initial("cnn", 2, 0)), seconds=0.2)
    assert learner.worker.pid is None


def test_a_stopping_node_waits_for_no_training(home):
    learner = WorkerLearner(home, config(), 0)
    begun, found = threading.Event(), []

    def train():
        try:
            plan = Plan.create(**LITTLE | {"epochs": 1000})
            learner.train(plan, initial("cnn", 2, 0), 1, lambda _: begun.set())
        except WorkerLost as error:
            found.append(str(error))

    thread = threading.Thread(target=train)
    thread.start()
    assert begun.wait(60)
    started = time.monotonic()
    learner.worker.stop()
    thread.join(10)
    assert time.monotonic() - started < 5
    assert "stopping" in found[0]
    with pytest.raises(WorkProblem, match="stopping"):
        learner.worker.start()


DAEMON = """
import sys, time
from node.work.host import Worker
from node.work.messages import Setup
worker = Worker("training", Setup())
worker.check()
print(worker.pid, flush=True)
time.sleep(60)
"""


def test_the_process_ends_with_its_daemon_however_that_ends():
    daemon = subprocess.Popen([sys.executable, "-c", DAEMON], stdout=subprocess.PIPE, text=True)
    process = psutil.Process(int(daemon.stdout.readline()))
    assert process.is_running()
    daemon.kill()
    daemon.communicate()
    gone, _ = psutil.wait_procs([process], timeout=10)
    assert gone == [process]
