"""Processes that seal: one pipe each, one chunk under way in each, results in order.

Not `concurrent.futures.ProcessPoolExecutor`: before CPython 3.11.5 it waits for ever when a process dies while a large
argument is on its way to it (python/cpython#94777). Here nobody writes while the other side writes: a worker reads a
whole part, seals it, answers; its next part is sent only after the answer was taken.
"""

import multiprocessing
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import suppress
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Final

from crypto.errors import CryptoError
from crypto.keys import JointKey
from crypto.modular import Signed
from crypto.sealing import Sealer

_GRACE: Final = 5.0
"""Seconds a worker gets to end by itself."""


class Workers:
    """Processes that each hold their own `Sealer` of the (public) joint key; not for several threads at once."""

    def __init__(self, joint: JointKey, count: int) -> None:
        """Start nothing yet: the processes start with the first part."""
        self._joint = joint
        self._count = count
        self._started: list[tuple[BaseProcess, Connection]] = []

    @property
    def pids(self) -> tuple[int, ...]:
        """Ids of the running processes; none before the first part."""
        return tuple(process.pid for process, _ in self._started if process.pid is not None)

    def close(self) -> None:
        """End the processes."""
        for process, pipe in self._started:
            pipe.close()  # the worker reads the end of its pipe and returns
            process.join(_GRACE)
            if process.is_alive():
                process.kill()
                process.join()
        self._started = []

    def seal(self, parts: Iterable[tuple[int, Signed]]) -> Iterator[bytes]:
        """The chunk of each (index, values), in order.

        Raises:
            ValueOutOfRange: as :meth:`crypto.sealing.Sealer.seal_chunk`.
            CryptoError: a process was ended from outside.
        """
        if not self._started:
            self._started = [self._start() for _ in range(self._count)]
        idle = deque(pipe for _, pipe in self._started)
        busy: deque[Connection] = deque()
        try:
            for part in parts:
                if not idle:
                    yield self._take(busy, idle)
                pipe = idle.popleft()
                pipe.send(part)
                busy.append(pipe)
            while busy:
                yield self._take(busy, idle)
        except (EOFError, OSError) as error:
            busy.clear()
            self.close()
            raise CryptoError("a sealing process was ended from outside: seal again with a new pool") from error
        finally:
            with suppress(EOFError, OSError):
                while busy:  # the caller stopped early: take what is under way, so that the next vector starts clean
                    busy.popleft().recv()

    @staticmethod
    def _take(busy: deque[Connection], idle: deque[Connection]) -> bytes:
        answer = busy[0].recv()
        idle.append(busy.popleft())
        if isinstance(answer, Exception):
            raise answer
        return bytes(answer)

    def _start(self) -> tuple[BaseProcess, Connection]:
        spawn = multiprocessing.get_context("spawn")
        ours, theirs = spawn.Pipe()
        arguments = (theirs, self._joint.to_bytes(), self._joint.params.secure)
        process = spawn.Process(target=_work, args=arguments, daemon=True)
        process.start()
        theirs.close()
        return process, ours


def _work(pipe: Connection, joint: bytes, secure: bool) -> None:
    """A worker's life: seal what comes until the pipe ends."""
    sealer = Sealer(JointKey.from_bytes(joint, allow_minimal=not secure))
    while True:
        try:
            index, part = pipe.recv()
        except EOFError:
            return
        try:
            pipe.send(sealer.seal_chunk(index, part))
        except CryptoError as error:
            pipe.send(error)
