"""Real daemons on a real chain refresh their shares between rounds: the same key, the next rounds finalise, old shares are gone."""

from __future__ import annotations

import time

import pytest
from rich.console import Console

from node.demo.data import prepare
from node.demo.network import network
from node.demo.options import DemoOptions
from node.demo.watch import Watcher, ask
from node.epochs.vault import Vault
from node.home import Home
from node.storage import MemoryStore
from tests.flow.test_crash import until

ROUNDS = 6
SECONDS = 180


@pytest.mark.slow
def test_daemons_refresh_between_rounds_and_the_next_rounds_finalise(tmp_path):
    options = DemoOptions(
        out=tmp_path / "run", hospitals=3, rounds=ROUNDS, samples=72, architecture="cnn", image_size=32, epochs=16
    )
    data = prepare(options)
    with network(options, data, lambda _line: None) as (hospitals, _deployment, _anvil):
        homes = [Home(hospital.home) for hospital in hospitals]
        until(hospitals[0], lambda status: status["finalised"] >= 1)
        before = [home.epoch_file(1, "member").read_bytes() for home in homes]
        joint = homes[0].joint_file(1).read_bytes()
        command = hospitals[1].run("keys", "refresh", "--timeout", "90")
        out, err = command.communicate(timeout=120)
        assert command.returncode == 0, err.decode()
        assert b"refresh 1 to generation 1  active" in out
        finalised = ask(hospitals[0], "/v1/status")["finalised"]
        Watcher(hospitals, Console(quiet=True), ROUNDS, SECONDS).wait()
        assert finalised < ROUNDS, "no round was left to open with the new shares"
        deadline = time.monotonic() + 30
        while any(home.epoch_file(1, "member").exists() for home in homes) and time.monotonic() < deadline:
            time.sleep(0.2)
        logs = [home.log.read_text() for home in homes]
    for hospital, home, old in zip(hospitals, homes, before, strict=True):
        assert {path.name for path in home.secrets.iterdir()} == {
            "account.json",
            "box.sealed",
            "epoch-1.member-1.sealed",
        }
        assert home.joint_file(1).read_bytes() == joint
        keys = Vault(home, hospital.password, MemoryStore(), allow_minimal=False).keys(1)
        assert keys.member.generation == 1
        assert home.epoch_file(1, "member-1").read_bytes() != old
    assert not any("Traceback" in log for log in logs)
