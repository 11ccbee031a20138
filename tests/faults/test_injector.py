"""The injector on real processes: each stands in for a daemon and answers `/v1/status` as one in its training does."""

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

DAEMON = """
import http.server, json, sys
STATUS = {"epoch": {"doing": ""}, "finalised": 1, "model": "m", "peers": [],
          "round": {"round": 2, "phase": "train", "doing": "training", "leader": sys.argv[2] == "1"}}
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers(); self.wfile.write(json.dumps(STATUS).encode())
    def log_message(self, *_): pass
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""


@dataclass
class StandIn(HospitalProcess):
    """A process with a daemon's status; the second leads."""

    starts: int = 0
    headers: Any = None

    def start(self, threads: int) -> None:
        assert threads == 1
        self.starts += 1
        command = [sys.executable, "-c", DAEMON, str(self.port), str(self.index)]
        self.process = subprocess.Popen(command, start_new_session=True)


@pytest.fixture
def hospitals(tmp_path: Path) -> Iterator[tuple[StandIn, ...]]:
    ports = choose_ports(2, 0)
    made = tuple(StandIn(k, f"hospital-{k + 1}", tmp_path, f"http://127.0.0.1:{p}", p) for k, p in enumerate(ports))
    for hospital in made:
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


def injector(text: str, hospitals: tuple[StandIn, ...]) -> Injector:
    nothing: Any = None
    return Injector(parse_fault(text, 2, 5), Stage(hospitals, nothing, 1), 5)


@pytest.mark.parametrize(("kind", "code"), [("kill", -signal.SIGKILL), ("restart", -signal.SIGTERM)])
def test_the_leader_is_ended_excused_and_started_again(hospitals: tuple[StandIn, ...], kind: str, code: int) -> None:
    leader = hospitals[1]
    first = leader.process
    assert first is not None
    with injector(f"{kind}:leader:0.5@2.train", hospitals) as fault:
        until(lambda: first.poll() is not None)
        assert first.returncode == code
        assert fault.excuses(leader)
        assert not fault.excuses(hospitals[0])
        until(lambda: fault.settled)
        assert not fault.excuses(leader)
    done = fault.happened
    assert (done.victim, done.seat, done.round, done.phase, done.problem) == ("hospital-2", 1, 2, "train", "")
    assert (leader.starts, hospitals[0].starts) == (2, 1)
    assert done.begun is not None
    assert done.lifted is not None
    assert done.lifted - done.begun >= 0.5


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
