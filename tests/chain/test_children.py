"""Real processes: asked to end they end, those that will not are killed, and none outlives who started it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import psutil
import pytest

from chain.children import end
from chain.toolchain import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DEAF = "import signal, time; signal.signal(15, signal.SIG_IGN); print(flush=True); time.sleep(60)"
POLITE = "import signal, sys, time; signal.signal(15, lambda *_: sys.exit(7)); print(flush=True); time.sleep(60)"
linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the kernel's death signal is Linux only")

Process = subprocess.Popen[str]


def started(script: str, *arguments: str) -> Process:
    """A process that has said its first word: its signal handlers are in place."""
    command = [sys.executable, "-c", script, *arguments]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    process.stdout.readline()
    return process


@pytest.fixture
def processes(request: pytest.FixtureRequest) -> Iterator[list[Process]]:
    made = [started(script) for script in request.param]
    yield made
    for process in made:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("processes", [[POLITE, DEAF]], indirect=True)
def test_who_does_not_end_when_asked_is_killed(processes: list[Process]) -> None:
    end(0.5, *processes)
    assert [process.returncode for process in processes] == [7, -signal.SIGKILL]
    end(0.5, *processes)  # nothing is there any more


@pytest.mark.parametrize("processes", [[POLITE]], indirect=True)
def test_who_is_stopped_hears_the_question_all_the_same(processes: list[Process]) -> None:
    processes[0].send_signal(signal.SIGSTOP)
    while psutil.Process(processes[0].pid).status() != psutil.STATUS_STOPPED:
        time.sleep(0.01)
    end(30, *processes)
    assert processes[0].returncode == 7


@pytest.mark.parametrize("processes", [[DEAF, DEAF, DEAF]], indirect=True)
def test_the_time_is_for_all_of_them_together(processes: list[Process]) -> None:
    began = time.monotonic()
    end(1.0, *processes)
    assert 1.0 <= time.monotonic() - began < 2.5, "one after the other would be three seconds"
    assert {process.returncode for process in processes} == {-signal.SIGKILL}


STARTS_A_CHILD = (
    "import subprocess, sys, time; from chain.children import ending_with_parent; from signal import Signals\n"
    "hook = ending_with_parent(Signals(int(sys.argv[1])))\n"
    "child = subprocess.Popen([sys.executable, '-c', sys.argv[2], sys.argv[3]], preexec_fn=hook)\n"
    "time.sleep(60)"
)
SAYS_ITS_ID = (
    "import os; open(sys.argv[1] + '.new', 'w').write(str(os.getpid())); os.rename(sys.argv[1] + '.new', sys.argv[1])"
)
SAYS_WHAT_IT_HEARD = (
    "import signal, sys, time\n"
    "def heard(number, _):\n"
    "    open(sys.argv[1] + '.heard', 'w').write(str(number)); sys.exit()\n"
    f"signal.signal(15, heard); {SAYS_ITS_ID}; time.sleep(60)"
)
HEARS_NOTHING = f"import signal, sys, time; signal.signal(15, signal.SIG_IGN); {SAYS_ITS_ID}; time.sleep(60)"


@linux
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_program_ends_with_who_started_it(tmp_path: Path, number: signal.Signals) -> None:
    script = SAYS_WHAT_IT_HEARD if number == signal.SIGTERM else HEARS_NOTHING
    place = tmp_path / "child"
    command = [sys.executable, "-c", STARTS_A_CHILD, str(int(number)), script, str(place)]
    with subprocess.Popen(command, cwd=ROOT) as parent:
        child = first_word(place)
        parent.kill()
    assert gone(child)
    heard = tmp_path / "child.heard"
    assert (heard.read_text() if heard.exists() else None) == ("15" if number == signal.SIGTERM else None)


DIES_WITH_ITS_PARENT = (
    "import os, sys, time; from chain.children import die_with\n"
    "die_with(int(sys.argv[2]))\n"
    f"{SAYS_ITS_ID}; time.sleep(60)"
)
STARTS_IT = (
    "import os, subprocess, sys, time\n"
    "subprocess.Popen([sys.executable, '-c', sys.argv[1], sys.argv[2], str(os.getpid())])\n"
    "time.sleep(60)"
)


@linux
def test_a_process_ends_with_the_parent_it_names(tmp_path: Path) -> None:
    place = tmp_path / "child"
    with subprocess.Popen([sys.executable, "-c", STARTS_IT, DIES_WITH_ITS_PARENT, str(place)], cwd=ROOT) as parent:
        child = first_word(place)
        parent.kill()
    assert gone(child)


def test_a_process_whose_parent_has_ended_does_not_begin(tmp_path: Path) -> None:
    place = tmp_path / "child"
    other = str(os.getpid() + 1)
    command = [sys.executable, "-c", DIES_WITH_ITS_PARENT, str(place), other]
    assert subprocess.run(command, cwd=ROOT, timeout=60, check=False).returncode == 0
    assert not place.exists()


def first_word(place: Path) -> psutil.Process:
    """The process that wrote its id there."""
    deadline = time.monotonic() + 60
    while not place.exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return psutil.Process(int(place.read_text()))


def gone(process: psutil.Process) -> bool:
    """Whether it ends within ten seconds; killed where it does not."""
    _, alive = psutil.wait_procs([process], 10)
    for left in alive:
        left.kill()
    return not alive
