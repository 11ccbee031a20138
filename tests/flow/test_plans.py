"""A plan by vote in a running consortium: real daemons, a real Anvil, the commands of operators; no file copied, nobody restarted."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from node.config import TESTING_VARIABLE
from node.demo.processes import HospitalProcess, command
from node.planning.text import plan_toml
from node.rounds.plan import Plan

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def hospitals(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[HospitalProcess, ...]]:
    from node.demo.data import prepare
    from node.demo.network import network
    from node.demo.options import DemoOptions

    options = DemoOptions(
        out=tmp_path_factory.mktemp("plans") / "run",
        hospitals=3,
        threshold=2,
        min_group=2,
        rounds=1,
        samples=48,
        epochs=1,
        architecture="cnn",
        image_size=32,
        parameter_set="minimal",
        round_seconds=120,
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(TESTING_VARIABLE, "1")
        patch.setenv("MEDWEAVE_MEMBERSHIP_EXCHANGE_SECONDS", "0.5")
        with network(options, prepare(options), lambda _: None) as (processes, _deployment, _anvil):
            yield processes


def look(hospital: HospitalProcess, *arguments: str) -> Any:
    """What a command that needs no password prints as JSON."""
    line = [*command(*arguments), "--home", str(hospital.home), "--json"]
    return json.loads(subprocess.run(line, capture_output=True, text=True, timeout=100, check=True).stdout)


def say(hospital: HospitalProcess, *arguments: str) -> str:
    child = hospital.run(*arguments)
    out, err = child.communicate(timeout=100)
    assert child.returncode == 0, err.decode()
    return out.decode()


def ended(hospital: HospitalProcess, number: int) -> dict[str, Any]:
    """Follow a round to its end; its last line."""
    line = [*command("round", "watch", str(number)), "--home", str(hospital.home), "--json", "--timeout", "150"]
    done = subprocess.run(line, capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr
    last: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return last


def until(ready: Any, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not ready():
        assert time.monotonic() < end
        time.sleep(0.3)


def test_a_plan_by_vote_is_what_the_next_round_trains_by(
    hospitals: tuple[HospitalProcess, ...], tmp_path: Path
) -> None:
    first, second, third = hospitals
    until(lambda: look(first, "round", "list")["rounds"])
    assert ended(first, 1)["status"] == "finalised"

    old = Plan.from_toml(first.home / "plan.toml")
    changes = {
        "name": "by vote",
        "epochs": 2,
        "threshold": 0,
        "new_data_from": 2,
        "collect_seconds": 20,
        "round_seconds": 40,
    }
    new = Plan.of(old.model_dump() | changes)
    file = tmp_path / "plan.toml"
    file.write_text(plan_toml(new), encoding="utf-8")
    say(first, "plan", "propose", str(file), "--yes")
    until(lambda: any(row["name"] == "by vote" for row in look(second, "plan", "pending")["motions"]))
    assert "epochs: 1 -> 2" in say(second, "plan", "approve", new.digest.hex()[:12], "--yes", "--wait", "60")
    until(lambda: look(third, "plan", "show")["digest"] == new.digest.hex())

    # The images of all three are new to a consortium that has never heard of them, but round 1 was finalised meanwhile; the
    # daemons announce on their own, and that opens round 2.
    until(lambda: len(look(third, "round", "list")["rounds"]) == 2, 90)
    assert ended(third, 2)["status"] == "finalised"
    rows = look(second, "round", "list")["rounds"]
    assert [row["plan"] for row in rows] == [old.digest.hex(), new.digest.hex()]

    # Nothing new since: the next round is opened by order alone.
    assert look(first, "round", "next")["at"] is None
    assert say(first, "round", "start", "--wait", "60").startswith("round 3: open")
    assert ended(second, 3)["status"] == "finalised"
    shown = look(second, "round", "show", "3")
    assert [step["name"] for step in shown["progress"]["steps"] if step["over"]][-1] == "signatures"
    assert shown["here"]["training"]["steps"] > 0


def test_a_plan_that_asks_for_more_openers_gets_its_key_by_itself(
    hospitals: tuple[HospitalProcess, ...], tmp_path: Path
) -> None:
    first, second, third = hospitals
    number = len(look(first, "round", "list")["rounds"]) + 1
    present = Plan.of(look(first, "plan", "show")["plan"])
    strict = Plan.of(present.model_dump() | {"name": "all three", "threshold": 3})
    file = tmp_path / "plan.toml"
    file.write_text(plan_toml(strict), encoding="utf-8")
    assert "once the plan is approved the nodes make it" in say(third, "plan", "propose", str(file), "--yes")
    until(lambda: any(row["name"] == "all three" for row in look(first, "plan", "pending")["motions"]))
    say(first, "plan", "approve", strict.digest.hex(), "--yes")
    until(lambda: look(second, "plan", "show")["digest"] == strict.digest.hex())
    say(second, "round", "start", "--wait", "90")
    assert ended(first, number)["status"] == "finalised"
    rows = look(first, "round", "list")["rounds"]
    assert (rows[-1]["epoch"], rows[-2]["epoch"]) == (2, 1)


def test_a_round_that_too_many_left_is_aborted_and_the_others_go_on(hospitals: tuple[HospitalProcess, ...]) -> None:
    first, second, third = hospitals
    number = len(look(first, "round", "list")["rounds"]) + 1
    for hospital in (second, third):  # before it is open there is nothing to leave
        line = [*command("round", "cancel"), "--home", str(hospital.home), "--yes"]
        assert subprocess.run(line, capture_output=True, timeout=100, check=False).returncode == 3
    assert third.process is not None
    third.process.send_signal(signal.SIGSTOP)  # so that the round waits for its update
    try:
        say(first, "round", "start", "--wait", "60")
        found = look(first, "round", "watch", "--once")
        assert (found["phase"], "hospital-3" in found["steps"][0]["missing"]) == ("updates", True)
        for hospital in (second, third):
            assert look(hospital, "round", "cancel", str(number))["left"] is True
    finally:
        third.process.send_signal(signal.SIGCONT)
    until(lambda: look(first, "round", "list")["rounds"][-1]["status"] == "aborted", 200)
    log = (second.home / "node.log").read_text()
    assert f"round {number}: left, as this hospital's operator asked" in log or "taking no part: it was left" in log
