"""What faults are done with: links that stop passing bytes, a disk that is full, a clock that is wrong."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from node.demo.faults.clock import FILE, set_clock, skewed
from node.demo.faults.disk import Disk, small_disk
from node.demo.faults.links import SLOW_SECONDS, Links
from node.demo.ports import choose_ports

NOBODY = 2**22
"""A process id that no system gives."""


@pytest.fixture
def echo() -> Iterator[int]:
    """The port of a server that says everything back."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve(there: socket.socket) -> None:
        with there:
            while data := there.recv(1024):
                there.sendall(data)

    def accept() -> None:
        while True:
            try:
                there, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=serve, args=(there,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    yield listener.getsockname()[1]
    listener.close()


def passes(line: socket.socket, seconds: float) -> bool:
    """Whether a message comes back in time."""
    line.settimeout(seconds)
    line.sendall(b"x")
    try:
        return line.recv(1) == b"x"
    except TimeoutError:
        return False


def test_what_is_cut_stops_and_comes_through_when_mended(echo: int) -> None:
    first, second = choose_ports(2, 0)
    with Links({first: echo, second: echo}) as links:
        towards, elsewhere = (socket.create_connection(("127.0.0.1", port)) for port in (first, second))
        with towards, elsewhere:
            assert passes(towards, 5)
            links.break_off("cut", first, NOBODY)
            assert not passes(towards, 0.4)
            assert passes(elsewhere, 5), "another's link is whole"
            links.mend()
            towards.settimeout(5)
            assert towards.recv(1) == b"x", "nothing was lost on the way"


def test_what_a_cut_off_process_opened_is_cut_too(echo: int) -> None:
    first, second = choose_ports(2, 0)
    with Links({first: echo, second: echo}) as links, socket.create_connection(("127.0.0.1", second)) as mine:
        assert passes(mine, 5)
        links.break_off("cut", first, os.getpid())
        assert not passes(mine, 0.4)
        links.break_off("cut-chain", first, os.getpid())
        assert mine.recv(1) == b"x", "its links to the others are whole when it is cut off from the chain"


def test_a_slow_link_takes_longer_both_ways(echo: int) -> None:
    (port,) = choose_ports(1, 0)
    with Links({port: echo}) as links, socket.create_connection(("127.0.0.1", port)) as line:
        links.break_off("slow", port, NOBODY)
        began = time.monotonic()
        assert passes(line, 10)
        assert time.monotonic() - began >= 2 * SLOW_SECONDS


def test_a_proxy_whose_target_is_gone_hangs_up() -> None:
    port, nobody = choose_ports(2, 0)
    with Links({port: nobody}), socket.create_connection(("127.0.0.1", port), 5) as line:
        assert line.recv(1) == b""


@pytest.mark.skipif(not sys.platform.startswith("linux") or os.geteuid() != 0, reason="only root may mount")
def test_a_full_disk_refuses_every_byte_until_there_is_room(tmp_path: Path) -> None:
    home = tmp_path / "hospital"
    with small_disk(home) as disk:
        if not os.path.ismount(home):
            pytest.skip("this machine lets nobody mount")
        (home / "kept").write_text("before")
        disk.fill(NOBODY)
        with pytest.raises(OSError, match="No space left"):
            (home / "more").write_bytes(bytes(4096))
        disk.clear(None)
        (home / "more").write_bytes(bytes(4096))
    assert not os.path.ismount(home)
    assert sorted(file.name for file in home.iterdir()) == ["kept", "more"]


def test_without_privileges_a_running_process_is_kept_from_writing(tmp_path: Path) -> None:
    file = tmp_path / "written"
    code = (
        "import sys, time\n"
        "for _ in range(600):\n"
        "    try: open(sys.argv[1], 'ab', 0).write(b'x')\n"
        "    except OSError as error: print(error.errno, flush=True)\n"
        "    else: print('ok', flush=True)\n"
        "    time.sleep(0.02)\n"
    )
    disk = Disk(tmp_path, mounted=False)
    with subprocess.Popen([sys.executable, "-c", code, str(file)], stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        try:
            assert child.stdout.readline() == "ok\n"
            disk.fill(child.pid)
            said = [child.stdout.readline() for _ in range(5)]
            assert said[-1] == "27\n"
            disk.clear(child.pid)
            said = [child.stdout.readline() for _ in range(5)]
            assert said[-1] == "ok\n"
        finally:
            child.kill()


def test_a_clock_goes_as_wrong_as_the_file_says_at_each_call(tmp_path: Path) -> None:
    set_clock(tmp_path, 0.0)
    clock = skewed(tmp_path, lambda: 1000.0)
    assert clock() == 1000.0
    set_clock(tmp_path, -45.0)
    assert clock() == 955.0
    set_clock(tmp_path, 30.5)
    assert clock() == 1030.5


def test_no_daemon_gets_a_wrong_clock_where_no_demo_said_so(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "node.demo.faults.clock", "node"]
    done = subprocess.run([*command, "--home", str(tmp_path)], capture_output=True, text=True, check=False)
    assert done.returncode == 3
    assert f"{FILE}: no such file" in done.stderr
    set_clock(tmp_path, 5.0)
    done = subprocess.run([*command, "--home", str(tmp_path)], capture_output=True, text=True, check=False)
    assert "no such file" in done.stderr, "it is the product's own command that now asks for its configuration"
    assert "medweave init" in done.stderr
