"""A daemon killed with -9 in the middle of a round starts again from its directory, and no round is lost."""

from __future__ import annotations

import time

import pytest
from rich.console import Console

from node.demo.data import prepare
from node.demo.network import network
from node.demo.options import DemoOptions
from node.demo.watch import Watcher, ask
from node.errors import PeerProblem

ROUNDS = 2
SECONDS = 180


def until(hospital, ready) -> None:
    """Wait until a daemon's status satisfies a condition."""
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        try:
            if ready(ask(hospital, "/v1/status")):
                return
        except PeerProblem:
            pass
        time.sleep(0.02)
    raise TimeoutError(hospital.name)


@pytest.mark.parametrize("phase", ["train", "confirm", "ceremony"])
def test_a_killed_daemon_comes_back_and_every_round_finalises(tmp_path, phase):
    options = DemoOptions(out=tmp_path / "run", rounds=ROUNDS, samples=96, architecture="cnn", image_size=32, epochs=8)
    data = prepare(options)
    with network(options, data, lambda _line: None) as (hospitals, _deployment, _anvil):
        victim = hospitals[1]
        if phase == "ceremony":
            until(victim, lambda status: status["epoch"]["doing"] and not status["epoch"]["active"])
        else:
            until(victim, lambda status: status["round"] and status["round"]["phase"] in {phase, "done"})
        victim.process.kill()
        victim.process.wait(10)
        victim.start(1)
        Watcher(hospitals, Console(quiet=True), ROUNDS, SECONDS).wait()
        heads = {ask(hospital, "/v1/status")["model"] for hospital in hospitals}
        rows = ask(victim, "/v1/rounds")["rounds"]
        updates = ask(victim, "/v1/transactions?kind=update&limit=500")["transactions"]
    assert len(heads) == 1
    assert [row["status"] for row in rows[:ROUNDS]] == ["finalised"] * ROUNDS
    for number in range(1, ROUNDS + 1):
        issuers = [tx["issuer"] for tx in updates if tx["round"] == number]
        assert len(issuers) == len(set(issuers)), "nothing was posted twice"
        assert victim.name in {tx["hospital"] for tx in updates if tx["round"] == number}
