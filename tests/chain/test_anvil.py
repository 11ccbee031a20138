"""The local chain as a child process: it comes up, keeps its state, and never outlives its parent."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import psutil
import pytest

from chain.anvil import Anvil, dev_account, free_port
from chain.connection import Connection
from chain.deployment import fund
from chain.errors import AnvilFailed, AnvilMissing, PortInUse
from chain.toolchain import ROOT

if TYPE_CHECKING:
    from pathlib import Path

RECEIVER = "0x000000000000000000000000000000000000dEaD"


def test_state_survives_a_stop(tmp_path: Path) -> None:
    with Anvil(None, tmp_path / "chain" / "state.json", chain_id=4242) as anvil:
        assert Connection(anvil.url).chain_id() == 4242
        fund(anvil.url, dev_account(0), [RECEIVER], "0.25")
        height = int(Connection(anvil.url).block()["number"])
    with Anvil(None, tmp_path / "chain" / "state.json", chain_id=4242) as anvil:
        w3 = Connection(anvil.url).w3
        assert w3.eth.block_number == height == 1
        assert w3.eth.get_balance(RECEIVER) == 25 * 10**16
        assert w3.eth.get_balance(RECEIVER, 0) == 0, "history is kept"


def test_stop_ends_the_process_and_is_repeatable(tmp_path: Path) -> None:
    anvil = Anvil(None, tmp_path / "state.json")
    assert anvil.pid is None
    anvil.start()
    anvil.start()
    pid = anvil.pid
    assert pid is not None
    assert psutil.pid_exists(pid)
    anvil.stop()
    anvil.stop()
    assert not psutil.pid_exists(pid)


def test_it_restarts_on_its_port(tmp_path: Path) -> None:
    anvil = Anvil(None, tmp_path / "state.json")
    for _ in range(2):
        with anvil:
            assert Connection(anvil.url).chain_id() == 31337


def test_a_taken_port_is_named(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(PortInUse, match=str(port)):
            Anvil(port, tmp_path / "state.json").start()


def test_a_missing_binary_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEDWEAVE_ANVIL", str(tmp_path / "nowhere"))
    with pytest.raises(AnvilMissing, match="npm ci"):
        Anvil(None, tmp_path / "state.json").start()


def test_a_bad_state_file_is_reported_with_its_words(tmp_path: Path) -> None:
    (tmp_path / "state.json").write_text("not a state")
    anvil = Anvil(None, tmp_path / "state.json")
    with pytest.raises(AnvilFailed, match=r"ended with status \d+.*it said: .*state"):
        anvil.start()
    assert anvil.pid is None


def test_a_state_torn_by_a_kill_is_replaced_by_the_copy_before_it(tmp_path: Path) -> None:
    state = tmp_path / "state.json"
    anvil = Anvil(None, state)
    anvil.start()
    fund(anvil.url, dev_account(0), [RECEIVER], "0.25")
    deadline = time.monotonic() + 10
    while not (tmp_path / "state.json.kept").exists() or _height(tmp_path / "state.json.kept") < 1:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert anvil.pid is not None
    os.kill(anvil.pid, signal.SIGKILL)
    anvil.stop()
    state.write_bytes(state.read_bytes()[: state.stat().st_size // 2])
    with anvil:
        assert Connection(anvil.url).w3.eth.get_balance(RECEIVER) == 25 * 10**16


def _height(state: Path) -> int:
    return int(json.loads(state.read_text())["best_block_number"])


def test_output_goes_to_the_log(tmp_path: Path) -> None:
    (tmp_path / "state.json").write_text("not a state")
    with pytest.raises(AnvilFailed):
        Anvil(None, tmp_path / "state.json", log=tmp_path / "logs" / "anvil.log").start()
    assert (tmp_path / "logs" / "anvil.log").stat().st_size > 0


def test_it_has_a_session_of_its_own(tmp_path: Path) -> None:
    """Ctrl-C reaches the parent's process group, not the chain the parent still needs."""
    with Anvil(None, tmp_path / "state.json") as anvil:
        assert anvil.pid is not None
        assert os.getpgid(anvil.pid) != os.getpgid(0)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the kernel's death signal is Linux only")
def test_it_dies_with_its_parent(tmp_path: Path) -> None:
    script = (
        "import sys, time; from pathlib import Path; from chain.anvil import Anvil\n"
        "anvil = Anvil(int(sys.argv[1]), Path(sys.argv[2])); anvil.start(); print(anvil.pid, flush=True); time.sleep(60)"
    )
    command = [sys.executable, "-c", script, str(free_port()), str(tmp_path / "state.json")]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert psutil.pid_exists(pid)
        parent.send_signal(signal.SIGKILL)
        parent.wait()
    try:
        psutil.Process(pid).wait(10)
    except psutil.NoSuchProcess:
        pass
    except psutil.TimeoutExpired:
        psutil.Process(pid).kill()
        pytest.fail("anvil outlived its parent")
    assert (tmp_path / "state.json").exists(), "it saved its state"


def test_dev_accounts_are_the_well_known_ones() -> None:
    assert dev_account(0).address == "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"
    assert dev_account(9).address == "0xa0Ee7A142d267C1f36714E4a8F75612F20a79720"
