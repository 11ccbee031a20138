"""A training that was cut goes on where it was and ends with the same bits."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import cbor2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from crypto.secrets import ContentKey
from node.daemon.checkpoints import SealedCheckpoint
from node.images.phantom import generate
from node.learning import registry
from node.learning.checkpoints import Best, Checkpoint, run_digest
from node.learning.cnn import PlainNet
from node.learning.errors import MalformedCheckpoint
from node.learning.normalisation import BatchNorm
from node.learning.parameters import initial
from node.learning.settings import TrainingSettings
from node.learning.training import train

REPOSITORY = Path(__file__).parents[2]
SMALL = TrainingSettings(architecture="cnn", image_size=32, epochs=4, batch_size=8)
BASE = initial("cnn", 2, 0)
KEY = ContentKey(bytes(range(32)))


class Memory:
    """Keeps what was saved; can end the training after so many epochs."""

    def __init__(self, cut=None, data=None):
        self.cut, self.data, self.saved = cut, data, 0

    def load(self):
        return self.data

    def save(self, data):
        self.data, self.saved = data, self.saved + 1
        if self.saved == self.cut:
            raise InterruptedError


VARIANTS = {
    "plain": {},
    "capsules": {"architecture": "capsnet", "epochs": 3},
    "fedprox": {"proximal_mu": 0.1},
    "early stopping": {"patience": 3, "schedule": "constant"},
    "over the plan": {"schedule_over": "plan", "span": (0.25, 0.5)},
    "16 bits": {"precision": "mixed", "epochs": 3},
}


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("cut", [1, 2])
def test_a_resumed_training_ends_with_the_same_bits(phantoms, variant, cut):
    plan, held = replace(SMALL, **VARIANTS[variant]), generate(16, size=32, seed=9)
    base = initial(plan.architecture, 2, 0)
    whole = train(base, phantoms, plan, validation=held)
    store = Memory(cut)
    with pytest.raises(InterruptedError):
        train(base, phantoms, plan, validation=held, checkpoints=store)
    seen = []
    resumed = train(base, phantoms, plan, seen.append, validation=held, checkpoints=Memory(data=store.data))
    assert resumed.resumed == cut
    assert seen[0].step == 4 * cut + 1
    assert np.array_equal(resumed.vector, whole.vector)
    assert resumed.losses == whole.losses
    assert resumed.kept == whole.kept


def test_noise_and_statistics_of_a_networks_own_are_resumed_too(monkeypatch, phantoms):
    def dropping(classes):
        return PlainNet(nn.Sequential(BatchNorm(1), nn.Flatten(), nn.Dropout(0.5), nn.Linear(32 * 32, classes)))

    monkeypatch.setitem(registry._BUILDERS, "dropping", dropping)
    plan = replace(SMALL, architecture="dropping", image_size=32)
    base = np.zeros(4 + 2 * 32 * 32 + 2, dtype=np.float32)
    base[0] = 1  # the normalisation's gain
    whole, again = train(base, phantoms, plan), train(base, phantoms, plan)
    assert np.array_equal(whole.vector, again.vector)
    assert not np.array_equal(whole.vector, train(base, phantoms, replace(plan, seed=1)).vector)
    store = Memory(2)
    with pytest.raises(InterruptedError):
        train(base, phantoms, plan, checkpoints=store)
    assert np.array_equal(train(base, phantoms, plan, checkpoints=Memory(data=store.data)).vector, whole.vector)


def test_a_finished_training_is_not_trained_again(phantoms):
    store = Memory()
    first = train(BASE, phantoms, SMALL, checkpoints=store)
    seen = []
    again = train(BASE, phantoms, SMALL, seen.append, checkpoints=store)
    assert not seen
    assert np.array_equal(first.vector, again.vector)
    assert again.seconds >= first.seconds * 0.5


def test_another_runs_checkpoint_is_not_taken_up(phantoms):
    store = Memory()
    train(BASE, phantoms, SMALL, checkpoints=store)
    other = initial("cnn", 2, 1)
    for base, data, plan in (
        (other, phantoms, SMALL),
        (BASE, phantoms.take(range(31)), SMALL),
        (BASE, phantoms, replace(SMALL, seed=5)),
    ):
        assert train(base, data, plan, checkpoints=Memory(data=store.data)).resumed == 0


def test_a_damaged_checkpoint_costs_only_time(phantoms, caplog):
    result = train(BASE, phantoms, SMALL, checkpoints=Memory(data=b"\xa0noise"))
    assert np.array_equal(result.vector, train(BASE, phantoms, SMALL).vector)
    assert "starts anew" in caplog.text


def test_a_run_is_named_by_all_that_decides_it(phantoms):
    held = generate(8, size=32, seed=3)
    names = {
        run_digest(BASE, phantoms, SMALL, None),
        run_digest(BASE, phantoms, SMALL, held),
        run_digest(BASE, phantoms.take(range(31)), SMALL, None),
        run_digest(BASE + 1, phantoms, SMALL, None),
        run_digest(BASE, phantoms, replace(SMALL, seed=1), None),
    }
    assert len(names) == 5


def made(size=5, best=True):
    values = np.arange(size, dtype=np.float32)
    return Checkpoint(
        bytes(32), 2, values, values + 1, values + 2, 7, (0.5, 0.25), b"order", b"noise", b"", 1.0, 0,
        Best(1, 0.25, values) if best else None, 3.5,
    )  # fmt: skip


@pytest.mark.parametrize("best", [True, False])
def test_a_checkpoint_survives_its_bytes(best):
    data = made(best=best).to_bytes()
    again = Checkpoint.from_bytes(data, 5)
    assert again.to_bytes() == data
    assert again.losses == (0.5, 0.25)
    assert np.array_equal(again.square, made().square)


@given(st.data())
@settings(deadline=None, max_examples=200)
def test_altered_bytes_are_refused_or_another_checkpoint(data):
    raw = bytearray(made().to_bytes())
    at = data.draw(st.integers(0, len(raw) - 1))
    raw[at] ^= data.draw(st.integers(1, 255))
    raw = raw[: data.draw(st.integers(0, len(raw)))]
    with contextlib.suppress(MalformedCheckpoint):
        assert Checkpoint.from_bytes(bytes(raw), 5).to_bytes() == bytes(raw)


@pytest.mark.parametrize(
    ("field", "value"),
    [("run", b"short"), ("epochs", 0), ("epochs", True), ("parameters", bytes(16)), ("mean", np.full(5, np.nan, "<f4").tobytes()),
     ("steps", -1), ("losses", [0.5]), ("losses", ["a", "b"]), ("order", b""), ("scale", float("inf")), ("growth", 1.5),
     ("best", [3, 0.1, bytes(20)]), ("best", [1, 0.1]), ("seconds", "1"), ("version", 2), ("more", 1)],
)  # fmt: skip
def test_every_field_is_checked(field, value):
    fields = cbor2.loads(made().to_bytes()) | {field: value}
    with pytest.raises(
        MalformedCheckpoint, match="version" if field == "version" else "expected" if field == "more" else field
    ):
        Checkpoint.from_bytes(cbor2.dumps(fields, canonical=True), 5)


# ---- on disk ---------------------------------------------------------------------------------------------------------


def test_it_lies_sealed_and_for_its_round_only(tmp_path, phantoms):
    file = tmp_path / "training.sealed"
    result = train(BASE, phantoms, SMALL, checkpoints=SealedCheckpoint(file, KEY, 3))
    lying = file.read_bytes()
    assert file.stat().st_mode & 0o077 == 0
    assert result.vector[:8].tobytes() not in lying
    assert SealedCheckpoint(file, KEY, 3).load() is not None
    assert SealedCheckpoint(file, KEY, 4).load() is None
    assert SealedCheckpoint(file, ContentKey(bytes(32)), 3).load() is None
    file.write_bytes(lying[:-1] + bytes([lying[-1] ^ 1]))
    assert SealedCheckpoint(file, KEY, 3).load() is None


def test_a_disk_that_refuses_does_not_stop_the_training(tmp_path, phantoms, caplog):
    (tmp_path / "training.sealed").mkdir()
    result = train(BASE, phantoms, SMALL, checkpoints=SealedCheckpoint(tmp_path / "training.sealed", KEY, 1))
    assert np.array_equal(result.vector, train(BASE, phantoms, SMALL).vector)
    assert "cannot be written" in caplog.text


SCRIPT = """
import sys, time
import numpy as np, torch
from pathlib import Path
from crypto.secrets import ContentKey
from node.daemon.checkpoints import SealedCheckpoint
from node.images.phantom import generate
from node.learning.parameters import initial
from node.learning.settings import TrainingSettings
from node.learning.training import train
torch.set_num_threads(1)
folder, pause = Path(sys.argv[1]), float(sys.argv[2])
plan = TrainingSettings(architecture="cnn", image_size=32, epochs=6, batch_size=8)
store = SealedCheckpoint(folder / "training.sealed", ContentKey(bytes(range(32))), 1)
found = train(initial("cnn", 2, 0), generate(32, size=32, seed=1), plan, lambda p: time.sleep(pause), checkpoints=store)
np.save(folder / "vector.npy", found.vector)
print(found.resumed)
"""


def start(folder, pause):
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(folder), str(pause)], cwd=REPOSITORY, stdout=subprocess.PIPE, env=environment
    )


def test_a_killed_process_is_resumed_bit_for_bit(tmp_path, phantoms):
    victim = start(tmp_path, 0.05)
    deadline = time.monotonic() + 120
    while not (tmp_path / "training.sealed").exists():
        assert time.monotonic() < deadline
        assert victim.poll() is None
        time.sleep(0.005)
    victim.send_signal(signal.SIGKILL)
    victim.wait()
    assert not (tmp_path / "vector.npy").exists()
    second = start(tmp_path, 0)
    assert 1 <= int(second.communicate()[0]) < 6
    whole = train(BASE, phantoms, replace(SMALL, epochs=6))
    assert np.array_equal(np.load(tmp_path / "vector.npy"), whole.vector)
