"""The daemon's side of a worker process: started, asked, cancelled, and started anew when it was lost."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, Final

from node.errors import WorkerLost, WorkProblem, WorkTooSlow
from node.work import faults
from node.work.channel import Channel
from node.work.messages import Cancel, Failed, Ready, Said, Saved, Told, parse

if TYPE_CHECKING:
    from collections.abc import Callable

    from node.work.messages import Message, Setup

log = logging.getLogger("medweave.worker")

START_SECONDS: Final = 120.0
"""For loading torch, on a machine that is busy."""
SEND_SECONDS: Final = 60.0
"""A process always reads; one that takes nothing for so long hangs."""
CANCEL_SECONDS: Final = 5.0
"""A process that does not give up within this is killed."""


class Worker:
    """One worker process; asked one thing at a time, from any thread.

    Args:
        name: What the log calls it.
        setup: What it is told first.
    """

    def __init__(self, name: str, setup: Setup) -> None:
        self._name, self._setup = name, setup
        self._asking = threading.Lock()
        self._changing = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._channel: Channel | None = None
        self._ready = False
        self._stopped = False
        self.lives = 0
        """How many processes were started; a model given to an earlier one is gone."""
        self.used = time.monotonic()
        """When it was asked last."""

    @property
    def pid(self) -> int | None:
        """The process's id while it runs."""
        process = self._process
        return process.pid if process is not None and process.poll() is None else None

    def start(self) -> None:
        """Start the process, if there is none, without waiting for it.

        Raises:
            WorkProblem: It cannot be started.
        """
        with self._changing:
            if self._stopped:
                raise WorkProblem(f"the {self._name} process is not started: this node is stopping")
            if self._process is None:
                self._spawn()

    def check(self) -> str:
        """Wait until the process is ready; the device it computes on.

        Raises:
            BadSettings: The configuration asks for a GPU, and there is none.
            WorkProblem: It did not become ready.
        """
        with self._asking:
            device = self._introduced()
            self.used = time.monotonic()
            return device

    def ask(
        self, message: Message, told: Callable[[Told | Saved], None] | None = None, seconds: float | None = None
    ) -> Message:
        """Ask for one thing and wait for the answer; waits first for what others asked.

        Args:
            message: What to do.
            told: Called on the way; what it raises cancels the work and reaches the caller.
            seconds: The process is killed when it says nothing for so long; None: it may take its time.

        Raises:
            WorkerLost: The process ended, or ran out of memory.
            WorkTooSlow: No answer in time.
            WorkProblem: What it answered is no message.
            MedweaveError, LearningError, DataError: What it met.
        """
        with self._asking:
            self.used = time.monotonic()
            self._introduced()
            self._send(message, min(seconds or SEND_SECONDS, SEND_SECONDS))
            try:
                return self._until_done(told, seconds)
            finally:
                self.used = time.monotonic()

    def end(self) -> None:
        """End the process; the next request starts one anew."""
        with self._changing:
            self._kill()

    def stop(self) -> None:
        """End the process for good; who waits for an answer gets `WorkerLost` at once."""
        with self._changing:
            self._stopped = True
            self._kill()

    # ---- asking, one at a time ---------------------------------------------------------------------------------------

    def _introduced(self) -> str:
        """Have a process that is ready."""
        if self._process is not None and self._process.poll() is not None:
            log.warning("%s", self._lost())
        self.start()
        if not self._ready:
            answer = self._next(START_SECONDS)
            if isinstance(answer, Failed):
                self._forget()
                raise faults.raised(answer.error, answer.message)
            if not isinstance(answer, Ready):
                raise self._broken(f"begins with {type(answer).__name__}")
            self._device, self._ready = answer.device, True
        return self._device

    def _until_done(self, told: Callable[[Told | Saved], None] | None, seconds: float | None) -> Message:
        while True:
            message = self._next(seconds)
            if isinstance(message, Told | Saved):
                if told is not None:
                    self._tell(told, message)
            elif isinstance(message, Failed) and message.error != faults.NO_MODEL:
                raise faults.raised(message.error, message.message)
            else:
                return message

    def _tell(self, told: Callable[[Told | Saved], None], message: Told | Saved) -> None:
        try:
            told(message)
        except BaseException:
            self._cancel()
            raise

    def _cancel(self) -> None:
        """Have the process give up what it does, so that it can be asked for something else."""
        with contextlib.suppress(WorkProblem):
            self._send(Cancel(), CANCEL_SECONDS)
            deadline = time.monotonic() + CANCEL_SECONDS
            while isinstance(self._next(max(0.1, deadline - time.monotonic())), Told | Saved):
                if time.monotonic() > deadline:  # it tells, and does not listen
                    self.end()
                    return

    def _send(self, message: Message, seconds: float = SEND_SECONDS) -> None:
        channel = self._channel
        try:
            if channel is None:
                raise self._lost()
            channel.send(message.frame(), seconds)
        except TimeoutError:
            raise self._too_slow(seconds) from None
        except OSError:
            raise self._lost() from None

    def _next(self, seconds: float | None) -> Message:
        """The next message but for log records, which are logged."""
        while True:
            channel = self._channel
            if channel is None:
                raise self._lost()
            try:
                frame = channel.receive(seconds)
                if frame is None:
                    raise self._lost()
                message = parse(frame)
            except TimeoutError:
                raise self._too_slow(seconds or 0) from None
            except OSError:
                raise self._lost() from None
            except WorkerLost:
                raise
            except WorkProblem as error:
                raise self._broken(str(error)) from None
            if not isinstance(message, Said):
                return message
            logging.getLogger(message.logger).log(message.level, message.template, *message.values)

    def _too_slow(self, seconds: float) -> WorkTooSlow:
        self.end()
        return WorkTooSlow(f"the {self._name} process said nothing for {seconds:.0f} s and was stopped")

    def _broken(self, how: str) -> WorkProblem:
        """It speaks nonsense: nothing it says later can be understood."""
        self.end()
        return WorkProblem(f"the {self._name} process was stopped: it {how}")

    def _lost(self) -> WorkerLost:
        """Why there is no process any more."""
        process = self._process
        code = _ended(process) if process is not None else None
        self.end()
        if self._stopped:
            return WorkerLost(f"the {self._name} process was ended: this node is stopping")
        if code is None:
            return WorkerLost(f"the {self._name} process was ended; it is started anew")
        why = f"signal {-code} ({signal.Signals(-code).name})" if code < 0 else f"exit code {code}"
        hint = "; memory may have run out" if code == -signal.SIGKILL else ""
        return WorkerLost(f"the {self._name} process was lost: {why}{hint}; it is started anew")

    # ---- the process -------------------------------------------------------------------------------------------------

    def _spawn(self) -> None:
        ours, theirs = socket.socketpair()
        command = [sys.executable, "-P", "-m", "node.work.child", str(theirs.fileno())]
        try:
            self._process = subprocess.Popen(
                command,
                pass_fds=(theirs.fileno(),),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                env=_environment(self._setup.threads),
            )
        except OSError as error:
            ours.close()
            raise WorkProblem(f"the {self._name} process cannot be started: {error}") from None
        finally:
            theirs.close()
        self._channel, self._ready = Channel(ours), False
        self.lives += 1
        with contextlib.suppress(OSError):
            self._channel.send(self._setup.frame())

    def _forget(self) -> None:
        with self._changing:
            self._kill()

    def _kill(self) -> None:
        process, channel = self._process, self._channel
        if process is not None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            process.wait()
        if channel is not None:
            channel.close()
        self._process, self._channel, self._ready = None, None, False


def _ended(process: subprocess.Popen[bytes]) -> int | None:
    """The exit code of a process whose socket is closed; None where it still runs, which then is a fault of its own."""
    try:
        return process.wait(CANCEL_SECONDS)
    except subprocess.TimeoutExpired:
        return None


def _environment(threads: int) -> dict[str, str]:
    """The daemon's environment and module path without its own settings: the process needs none, and must not learn a password."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MEDWEAVE_")}
    path = os.pathsep.join(each for each in sys.path if each)
    few = str(threads)
    return kept | {"PYTHONPATH": path, "OMP_NUM_THREADS": few, "MKL_NUM_THREADS": few, "OPENBLAS_NUM_THREADS": few}
