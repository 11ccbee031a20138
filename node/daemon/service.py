"""The daemon: one hospital's node, kept going until it is told to stop."""

from __future__ import annotations

import asyncio
import ctypes
import gc
import signal
import socket
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from node.api.access.tls import server_settings
from node.api.app import create_app
from node.api.serving import ApiServer
from node.daemon.conductor import Conductor
from node.daemon.desk import Desk
from node.daemon.jobs import Jobs
from node.daemon.parts import Parts
from node.errors import BadEnvironment

if TYPE_CHECKING:
    from node.config import NodeConfig
    from node.home import Home, Identity

EFFECT_THREADS = 4
ARENAS = 2
MAPPED_BYTES = 128 * 1024
M_MMAP_THRESHOLD, M_ARENA_MAX = -3, -8
"""Of glibc's <malloc.h>."""
SWITCH_SECONDS = 0.001
"""A thread that computes gives way after this long; with Python's 5 ms, answers beside a busy thread take twice as long."""


class Daemon(Parts):
    """One hospital's running node.

    Args:
        home: The hospital's directory.
        config: Its configuration.
        identity: Its unlocked keys.

    Raises:
        MedweaveError: Something it needs is missing or contradicts itself; the message says what to do.
        ChainError: The chain cannot be reached, or is another one.
    """

    def __init__(self, home: Home, config: NodeConfig, identity: Identity) -> None:
        make_lean()
        super().__init__(home, config, identity)
        self._pool = ThreadPoolExecutor(EFFECT_THREADS, thread_name_prefix="effect")
        self._desk = Desk(self)
        self._jobs = Jobs(self)

    async def run(self) -> bool:
        """Serve and take part until SIGTERM or SIGINT, or until the members have agreed to this hospital's next keys.

        Returns:
            Whether the next keys are due: put them in place (`node.membership.succession`) and start again with them.

        Raises:
            BadEnvironment: The port is in use.
        """
        self.loop = asyncio.get_running_loop()
        self.conductor = Conductor(
            self.loop, self._pool, self._desk.ports, self.publisher.replay, lambda m: self.journal.model(m) is not None
        )
        for number in (signal.SIGTERM, signal.SIGINT):
            # uvicorn stops serving on these and then raises them again: that must not end the process before its stores
            # are closed.
            self.loop.add_signal_handler(number, lambda: None)
        hospital = self.config.hospital
        listener = listen(hospital.host, hospital.port)
        server = ApiServer(create_app(self), **server_settings(self.home, self.config))
        _make_quick()
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        succession = asyncio.create_task(self._jobs.until_succession())
        work = [succession, *(asyncio.create_task(job) for job in self._jobs.all())]
        done, _ = await asyncio.wait([serving, *work], return_when=asyncio.FIRST_COMPLETED)
        server.should_exit = True
        for task in work:
            task.cancel()
        await asyncio.gather(*work, return_exceptions=True)
        await asyncio.gather(serving, return_exceptions=True)
        self._stop(self.conductor)
        for task in done:
            if not task.cancelled() and (error := task.exception()) is not None:
                raise error
        return succession in done

    def _stop(self, conductor: Conductor) -> None:
        """End the work under way, then close the stores."""
        self._desk.stop()
        self.learner.worker.stop()
        self.inference.stop()
        conductor.stop()
        self._pool.shutdown(wait=True, cancel_futures=True)
        self.close()
        gc.unfreeze()


def _make_quick() -> None:
    """Have Python let callers wait less.

    A full collection of garbage looks at all there is, modules and ledger too, for half a second in which nobody gets an
    answer: what the node begins with is set aside for good. And a thread that computes gives way sooner.
    """
    gc.collect()
    gc.freeze()
    sys.setswitchinterval(SWITCH_SECONDS)


def make_lean() -> None:
    """Have the C library give memory back: call it before there are threads.

    glibc gives each of a dozen threads a heap of its own, and keeps buffers of a ciphertext's size in it once it has seen one
    freed. Two heaps, and chunks outside them, are a fifth less memory over a round (`benchmarks.round`). Other C libraries
    have no such setting, and no need of it.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(M_ARENA_MAX, ARENAS)
        mallopt(M_MMAP_THRESHOLD, MAPPED_BYTES)


def listen(host: str, port: int) -> socket.socket:
    """A listening socket.

    Raises:
        BadEnvironment: The address cannot be had, with what to change.
    """
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise BadEnvironment(
            f"cannot listen on {host}:{port} ({error.strerror}): choose another [hospital] host or port"
        ) from None
    return listener
