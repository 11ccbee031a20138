"""The worker process: `python -m node.work.child FD`, started by `node.work.host` alone.

It ends when the daemon's end of the socket does, however the daemon ended. It asks Linux to be the first to go when memory
runs out: the daemon that would otherwise be chosen holds the ledger.
"""

from __future__ import annotations

import contextlib
import logging
import os
import queue
import resource
import signal
import socket
import sys
import threading
import time
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from node.rounds.plan import Plan
from node.work import faults
from node.work.channel import Channel
from node.work.messages import (
    Ask,
    Cancel,
    Descend,
    Descended,
    Failed,
    Measure,
    Measured,
    Ready,
    Said,
    Saved,
    Setup,
    Told,
    Train,
    Trained,
    parse,
)

if TYPE_CHECKING:
    from node.learning.results import Progress
    from node.work.messages import Message

log = logging.getLogger("medweave.worker")

FIRST_TO_GO: Final = 800
"""For Linux, when memory runs out: of -1000 (never) to 1000 (first)."""
TELL_SECONDS: Final = 0.05
"""Between two reports of how far a training is."""


class _Cancelled(Exception):  # noqa: N818 - says what happened
    """The daemon wants no answer any more."""


class Child:
    """Does one thing at a time.

    Args:
        channel: To the daemon.
        setup: The daemon's first message.

    Raises:
        BadSettings: The configuration asks for a GPU, and there is none.
    """

    def __init__(self, channel: Channel, setup: Setup) -> None:
        from node.work.answering import Answering
        from node.work.learning import Learning  # torch: only once the socket proved to be a daemon's

        self._channel = channel
        self._learning = Learning(setup)
        self._answering = Answering(self._learning, setup.lungs)
        self._asked: queue.SimpleQueue[Message] = queue.SimpleQueue()
        self._cancelled = threading.Event()
        self._told = 0.0

    def run(self) -> None:
        """Answer until the daemon is gone; never returns."""
        threading.Thread(target=self._read, daemon=True).start()
        self._channel.send(Ready(device=self._learning.device.type).frame())
        while True:
            self._channel.send(self._answer(self._asked.get()).frame())

    def _read(self) -> None:
        try:
            while (frame := self._channel.receive()) is not None:
                message = parse(frame)
                if isinstance(message, Cancel):
                    self._cancelled.set()
                else:
                    self._cancelled.clear()  # before it is taken up: a cancel that follows is for this one
                    self._asked.put(message)
        finally:
            os._exit(0)  # whatever the main thread computes, nobody waits for it any more

    def _answer(self, message: Message) -> Message:
        try:
            return self._do(message)
        except _Cancelled:
            return Failed(error=faults.CANCELLED, message="")
        except Exception as error:
            name, words = faults.described(error)
            if not faults.is_ours(name):
                log.exception("a request of kind %s broke", type(message).__name__)
            return Failed(error=name, message=words)

    def _do(self, message: Message) -> Message:
        match message:
            case Train():
                return self._train(message)
            case Measure():
                plan = Plan.from_bytes(message.plan.encode())
                return Measured(metrics=self._learning.measure(plan, message.part, message.vector))
            case Descend():
                plan = Plan.from_bytes(message.plan.encode())
                return Descended(vector=self._learning.descent(plan, message.vector))
            case Ask():
                return self._answering.answer(message) or Failed(error=faults.NO_MODEL, message="")
            case _:
                return Failed(error="unknown", message=f"{type(message).__name__} is nothing to ask for")

    def _train(self, message: Train) -> Trained:
        plan = Plan.from_bytes(message.plan.encode())
        store = _Carried(self._channel, message.checkpoint.tobytes()) if message.keep else None
        found = self._learning.train(plan, message.base, message.number, message.member, self._tell, store)
        return Trained(
            steps=found.steps,
            samples=found.samples,
            seconds=found.seconds,
            losses=found.losses,
            kept=found.kept,
            resumed=found.resumed,
            vector=found.vector,
        )

    def _tell(self, step: Progress) -> None:
        if self._cancelled.is_set():
            raise _Cancelled
        now = time.monotonic()
        ends_epoch = step.step * step.epochs == step.epoch * step.steps
        if ends_epoch or now - self._told >= TELL_SECONDS:
            self._told = now
            told = Told(
                step=step.step,
                steps=step.steps,
                epoch=step.epoch,
                epochs=step.epochs,
                loss=step.loss,
                seconds=step.seconds,
            )
            self._channel.send(told.frame())


class _Carried:
    """`CheckpointStore` at the daemon's side of the channel."""

    def __init__(self, channel: Channel, last: bytes) -> None:
        self._channel, self._last = channel, last

    def load(self) -> bytes | None:
        return self._last or None

    def save(self, data: bytes) -> None:
        self._channel.send(Saved(checkpoint=np.frombuffer(data, np.uint8)).frame())


class _Teller(logging.Handler):
    """Log records of ours go to the daemon; other libraries' may name what stands in an image file and go nowhere."""

    def __init__(self, channel: Channel) -> None:
        super().__init__()
        self._channel = channel

    def emit(self, record: logging.LogRecord) -> None:
        values = record.args if isinstance(record.args, tuple) else ()
        template = str(record.msg)
        if record.exc_info:
            template, values = "%s", (logging.Formatter().format(record)[-1500:],)
        plain = tuple(each if isinstance(each, str | int | float) else str(each) for each in values)
        with contextlib.suppress(OSError):
            self._channel.send(
                Said(logger=record.name, level=record.levelno, template=template[:2000], values=plain[:16]).frame()
            )


def settle(setup: Setup) -> None:
    """Step back for the daemon: in the processor's queue, and when memory runs out."""
    os.nice(setup.nice)
    if setup.memory_mib:
        resource.setrlimit(resource.RLIMIT_DATA, (setup.memory_mib << 20, setup.memory_mib << 20))
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(str(FIRST_TO_GO))


def main(descriptor: int) -> None:
    """Serve the daemon on an inherited socket."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the daemon ends this process
    warnings.simplefilter("ignore")  # libraries warn with what stands in a file
    logging.lastResort = None
    channel = Channel(socket.socket(fileno=descriptor))
    first = channel.receive()
    if first is None:
        return
    setup = parse(first)
    if not isinstance(setup, Setup):
        sys.exit("the daemon did not introduce itself")
    settle(setup)
    teller = logging.getLogger("medweave")
    teller.addHandler(_Teller(channel))
    teller.setLevel(logging.INFO)
    teller.propagate = False
    try:
        child = Child(channel, setup)
    except Exception as error:  # noqa: BLE001 - told to the daemon, which says it
        name, words = faults.described(error)
        channel.send(Failed(error=name, message=words).frame())
        return
    child.run()


if __name__ == "__main__":
    main(int(sys.argv[1]))
