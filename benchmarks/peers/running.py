"""A peer's processes: started, watched, stopped; and the form in which what runs inside them reports.

Inside, every event is one line of JSON appended to a file, so that it outlives whoever wrote it:

    {"event": "round", "number": R, "at": seconds}              round R is over (0: the first begins)
    {"event": "trained", "number": R, "client": I, "seconds": s, "bytes": b}    bytes of what was sent; absent: not known
    {"event": "scored", "number": R, "client": I, "accuracy": a}
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, Self

import psutil

from benchmarks.errors import NotMeasured
from benchmarks.plain import PlainRound, PlainRun
from node.demo.memory import PAUSE_SECONDS as SAMPLE_SECONDS
from node.demo.memory import proportional_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from benchmarks.peers.environments import Peer

STOP_SECONDS: Final = 20
PAUSE_SECONDS: Final = 0.2
_TAIL: Final = 400


class Processes:
    """Children of one peer, each a session of its own, with their output in one log.

    Args:
        peer: For messages.
        log: Where their output goes.
        environment: Added to this process's.
    """

    def __init__(self, peer: Peer, log: Path, environment: Mapping[str, str]) -> None:
        self._peer = peer
        self._log = log
        self._environment = {**os.environ, **environment}
        self._children: list[subprocess.Popen[bytes]] = []

    def start(self, command: Sequence[str], directory: Path) -> None:
        """One that stays."""
        with self._log.open("ab") as log:
            self._children.append(
                subprocess.Popen(
                    list(command),
                    cwd=directory,
                    env=self._environment,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                )
            )

    def finish(self, command: Sequence[str], directory: Path, seconds: float) -> str:
        """One that ends; what it printed.

        Raises:
            NotMeasured: It failed, or not in time.
        """
        try:
            done = subprocess.run(
                list(command),
                cwd=directory,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                check=False,
                timeout=seconds,
            )
        except subprocess.TimeoutExpired:
            raise NotMeasured(f"{self._peer.requirement}: {command[0]} did not end within {seconds:.0f} s") from None
        if done.returncode:
            raise NotMeasured(f"{self._peer.requirement}: {command[0]} failed: {(done.stderr or done.stdout)[-_TAIL:]}")
        return done.stdout

    def wait(self, over: Callable[[], bool], what: str, seconds: float) -> None:
        """Until something is so.

        Raises:
            NotMeasured: It is not in time, or a process ended; the log's end is quoted.
        """
        limit = time.monotonic() + seconds
        while not over():
            ended = [child.returncode for child in self._children if child.poll() is not None]
            if ended or time.monotonic() > limit:
                why = f"a process ended with {ended[0]}" if ended else f"not within {seconds:.0f} s"
                said = self._log.read_text(errors="replace")[-_TAIL:] if self._log.is_file() else ""
                raise NotMeasured(f"{self._peer.requirement}: {what}: {why}; last words: {said.strip()}")
            time.sleep(PAUSE_SECONDS)

    def descendants(self) -> list[psutil.Process]:
        """Every process below this one that started with a child of ours; those set free by their parents are not found."""
        found = []
        for child in self._children:
            try:
                process = psutil.Process(child.pid)
                found += [process, *process.children(recursive=True)]
            except psutil.NoSuchProcess:
                continue
        return found

    def stop(self) -> None:
        """All of them: first asked, then killed."""
        everyone = self.descendants()
        for process in everyone:
            _signal(process, signal.SIGTERM)
        _, alive = psutil.wait_procs(everyone, STOP_SECONDS)
        for process in {*alive, *self.descendants()}:
            _signal(process, signal.SIGKILL)
        for child in self._children:
            child.wait()


def _signal(process: psutil.Process, number: signal.Signals) -> None:
    try:
        process.send_signal(number)
    except psutil.NoSuchProcess:
        return


class Memory:
    """Largest PSS of a peer's processes together, sampled as `MemoryWatch` samples ours; this process does not count."""

    def __init__(self, processes: Processes) -> None:
        self.peak = 0
        """Bytes."""
        self._processes = processes
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        """Start sampling."""
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        """Stop sampling."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(SAMPLE_SECONDS):
            self.peak = max(self.peak, sum(proportional_bytes(each.pid) for each in self._processes.descendants()))


@contextmanager
def running(peer: Peer, log: Path, environment: Mapping[str, str]) -> Iterator[tuple[Processes, Memory]]:
    """Processes that are stopped on the way out, and the memory they take."""
    processes = Processes(peer, log, environment)
    with Memory(processes) as memory:
        try:
            yield processes, memory
        finally:
            processes.stop()


def free_ports(count: int) -> list[int]:
    """Free ones on the loopback address, all different."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    found = [int(each.getsockname()[1]) for each in sockets]
    for each in sockets:
        each.close()
    return found


def note(file: Path, **event: Any) -> None:
    """Append one event; short lines appended whole, by several processes."""
    with file.open("a", encoding="utf-8") as out:
        out.write(json.dumps(event) + "\n")


def events(file: Path) -> list[dict[str, Any]]:
    """What was noted so far; a line cut short is left out."""
    if not file.is_file():
        return []
    return [
        json.loads(line) for line in file.read_text(encoding="utf-8").splitlines(keepends=True) if line.endswith("\n")
    ]


def read(file: Path, peer: Peer, rounds: int, peak_bytes: int, upload_bytes: int | None = None) -> PlainRun:
    """A run from its events.

    Args:
        file: Where they were noted.
        peer: For messages.
        rounds: Rounds that must have ended.
        peak_bytes: PSS of its processes.
        upload_bytes: Of one update, where the events do not say.

    Raises:
        NotMeasured: Not all rounds ended, or nobody trained or scored in one.
    """
    found = events(file)
    ended = {row["number"]: row["at"] for row in found if row["event"] == "round"}
    if sorted(ended) != list(range(rounds + 1)):
        raise NotMeasured(f"{peer.requirement}: rounds {sorted(ended)} were noted, expected 0 to {rounds}")
    measured = []
    for number in range(1, rounds + 1):
        trained = [row for row in found if row["event"] == "trained" and row["number"] == number]
        if not trained:
            raise NotMeasured(f"{peer.requirement}: nobody trained in round {number}")
        sent = max(row.get("bytes", 0) for row in trained) if upload_bytes is None else upload_bytes
        measured.append(PlainRound(ended[number] - ended[number - 1], max(row["seconds"] for row in trained), sent))
    scores = [row["accuracy"] for row in found if row["event"] == "scored"]
    if not scores:
        raise NotMeasured(f"{peer.requirement}: nobody scored a model")
    return PlainRun(tuple(measured), peak_bytes, scores[-1])
