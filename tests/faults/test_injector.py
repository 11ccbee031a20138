"""The injector on real processes: each stands in for a daemon, logs as one in its training does and answers `/v1/status` so."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from node.demo.faults.injector import Injector, Stage
from node.demo.faults.spec import parse_fault
from node.demo.ports import choose_ports
from node.demo.processes import HospitalProcess

DAEMON = r"""
import http.server, json, sys
STATUS = {"epoch": {"doing": ""}, "finalised": 1, "model": "m", "peers": [],
          "round": {"round": 2, "phase": "train", "doing": "sealing 5%", "leader": False}}
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers(); self.wfile.write(json.dumps(STATUS).encode())
    def log_message(self, *_): pass
print("T INFO medweave.rounds: round 1: adopting\nT INFO medweave.rounds: round 1: done", flush=True)
print("T INFO medweave.rounds: round 2: taking part\nT INFO medweave.rounds: round 2: training", flush=True)
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""


@dataclass
class StandIn(HospitalProcess):
    """A process with a daemon's status and log."""

    starts: int = 0
    headers: Any = None

    def start(self, threads: int) -> None:
        assert threads == 1
        self.starts += 1
        command = [sys.executable, "-c", DAEMON, str(self.port)]
        with (self.home / "node.log").open("ab") as log:
            self.process = subprocess.Popen(command, start_new_session=True, stdout=log)


@pytest.fixture
def hospitals(tmp_path: Path) -> Iterator[tuple[StandIn, ...]]:
    ports = choose_ports(2, 0)
    made = tuple(
        StandIn(k, f"hospital-{k + 1}", tmp_path / f"{k}", f"http://127.0.0.1:{p}", p) for k, p in enumerate(ports)
    )
    for hospital in made:
        hospital.home.mkdir()
        hospital.headers = {}
        hospital.start(1)
    yield made
    for hospital in made:
        assert hospital.process is not None
        with contextlib.suppress(ProcessLookupError):
            hospital.process.send_signal(signal.SIGCONT)
            hospital.process.kill()
        hospital.process.wait(5)


def until(ready: Callable[[], object]) -> None:
    deadline = time.monotonic() + 20
    while not ready():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@dataclass
class Service:
    """Stands in for the chain or the IPFS node: a process that does nothing."""

    process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        return None if self.process is None else self.process.pid

    def start(self) -> None:
        self.process = subprocess.Popen(["sleep", "600"])

    def stop(self) -> None:
        process, self.process = self.process, None
        if process is not None:
            process.terminate()
            process.wait(5)


def injector(text: str, hospitals: tuple[StandIn, ...], **stage: Any) -> Injector:
    stage = {"anvil": None} | stage
    return Injector(parse_fault(text, 2, 5), Stage(hospitals, threads=1, **stage), 5)


@pytest.mark.parametrize(("kind", "code"), [("kill", -signal.SIGKILL), ("restart", -signal.SIGTERM)])
def test_a_hospital_is_ended_excused_and_started_again(hospitals: tuple[StandIn, ...], kind: str, code: int) -> None:
    leader = hospitals[1]
    first = leader.process
    assert first is not None
    with injector(f"{kind}:member-2:0.5@2.train", hospitals) as fault:
        until(lambda: first.poll() is not None)
        assert first.returncode == code
        assert fault.excuses(leader)
        assert not fault.excuses(hospitals[0])
        until(lambda: fault.settled)
        assert not fault.excuses(leader)
    done = fault.happened
    assert (done.victim, done.seat, done.round, done.phase, done.problem) == ("hospital-2", 1, 2, "train", "")
    assert done.finalised == 1
    assert (leader.starts, hospitals[0].starts) == (2, 1)
    assert done.begun is not None
    assert done.lifted is not None
    assert done.lifted - done.begun >= 0.5


@pytest.mark.parametrize("victim", ["anvil", "ipfs"])
@pytest.mark.parametrize("kind", ["kill", "restart", "pause"])
def test_the_chain_or_the_ipfs_node_goes_and_comes_back(hospitals: tuple[StandIn, ...], victim: str, kind: str) -> None:
    service, other = Service(), Service()
    service.start()
    first = service.process
    assert first is not None
    try:
        besides = {victim: service, "ipfs" if victim == "anvil" else "anvil": other}
        with injector(f"{kind}:{victim}:0.4@2.train", hospitals, **besides) as fault:
            if kind == "pause":
                until(lambda: psutil.Process(first.pid).status() == psutil.STATUS_STOPPED)
            else:
                until(lambda: first.poll() is not None)
                assert first.returncode == (-signal.SIGKILL if kind == "kill" else -signal.SIGTERM)
            until(lambda: fault.settled)
        assert service.process is not None
        assert psutil.Process(service.process.pid).status() != psutil.STATUS_STOPPED
        assert (service.process is first) == (kind == "pause")
        assert other.process is None
        assert (fault.happened.victim, fault.happened.seat, fault.happened.problem) == (victim, None, "")
        assert not any(fault.excuses(hospital) for hospital in hospitals)
    finally:
        service.stop()


def test_sealing_is_asked_for(hospitals: tuple[StandIn, ...]) -> None:
    with injector("pause:member-1:0.1@2.sealing", hospitals) as fault:
        until(lambda: fault.settled)
    assert (fault.happened.round, fault.happened.phase, fault.happened.problem) == (2, "sealing", "")


def test_a_paused_process_stands_still_and_goes_on(hospitals: tuple[StandIn, ...]) -> None:
    process = hospitals[0].process
    assert process is not None
    with injector("pause:member-1:0.5@train", hospitals) as fault:
        until(lambda: psutil.Process(process.pid).status() == psutil.STATUS_STOPPED)
        until(lambda: fault.settled)
        until(lambda: psutil.Process(process.pid).status() != psutil.STATUS_STOPPED)
    assert process.poll() is None


def test_a_fault_under_way_is_lifted_when_the_run_ends(hospitals: tuple[StandIn, ...]) -> None:
    process = hospitals[0].process
    assert process is not None
    with injector("pause:member-1:500@train", hospitals) as fault:
        until(lambda: fault.happened.begun)
    assert psutil.Process(process.pid).status() != psutil.STATUS_STOPPED


def test_a_fault_whose_moment_never_came_says_so(hospitals: tuple[StandIn, ...]) -> None:
    with injector("kill:member-1@3.train", hospitals) as fault:
        time.sleep(0.3)
    assert "before its moment came" in fault.happened.problem
    assert hospitals[0].starts == 1
