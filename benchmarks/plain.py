"""Federated averaging in the clear, the baseline of `benchmarks.round`: no chain, no ledger, no encryption.

One server process and one process a hospital, joined by pipes that carry float32 vectors:

    server    -> hospital   the round's base model
    hospital  -> server     its trained update, clipped like the network's
    server    -> hospital   the average
    hospital  -> server     the average's quality on its held-out and on the test images

Training, clipping, averaging and scoring are `node.learning`'s own, on the images and settings the network has, so the two
differ in what they protect and in nothing else. Started as `python -m benchmarks.plain DIRECTORY`, where `DIRECTORY` holds
`plan.toml` and one `hospital-I/data` each; prints one JSON object.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from node.demo.memory import MemoryWatch, proportional_bytes
from node.images.dataset import load_saved
from node.learning.averaging import average
from node.learning.metrics import evaluate
from node.learning.parameters import initial
from node.learning.training import clip_l2, configure_threads, train
from node.rounds.plan import Plan
from node.work.learning import settings_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from multiprocessing.connection import Connection
    from multiprocessing.process import BaseProcess

    import numpy as np
    from numpy.typing import NDArray

    Vector = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class PlainRound:
    """One round of averaging in the clear."""

    wall_seconds: float
    """From sending the base to the last hospital's scores."""
    training_seconds: float
    """Of the slowest hospital."""
    upload_bytes: int
    """Of one hospital's update."""


@dataclass(frozen=True, slots=True)
class PlainRun:
    """A whole run."""

    rounds: tuple[PlainRound, ...]
    peak_bytes: int
    """Proportional set size over server and hospitals."""
    test_accuracy: float
    """Of the last average."""


def serve(directory: Path) -> PlainRun:
    """Run every round of the plan in `directory`.

    Raises:
        MedweaveError: The plan or the images cannot be used.
        EOFError: A hospital's process ended early; its own traceback says why.
    """
    plan = Plan.from_toml(directory / "plan.toml")
    count = len(list(directory.glob("hospital-*")))
    context = multiprocessing.get_context("spawn")
    pipes, children = [], []
    with MemoryWatch() as memory:
        for index in range(count):
            ours, theirs = context.Pipe()
            child = context.Process(target=_hospital, args=(directory, index, count, theirs), daemon=True)
            child.start()
            theirs.close()
            pipes.append(ours)
            children.append(child)
        rounds, accuracy = _rounds(plan, pipes)
        peak = max(memory.peak, _memory_now(children))
        for pipe in pipes:
            pipe.send(None)
        for child in children:
            child.join()
    return PlainRun(rounds, peak, accuracy)


def _memory_now(children: Sequence[BaseProcess]) -> int:
    """A run may be over before the watch has looked twice."""
    return sum(proportional_bytes(pid) for pid in (os.getpid(), *(child.pid for child in children)) if pid)


def _rounds(plan: Plan, pipes: Sequence[Connection]) -> tuple[tuple[PlainRound, ...], float]:
    base = initial(plan.architecture, len(plan.classes), plan.seed)
    for pipe in pipes:
        pipe.recv()  # it is up and has read its images
    rounds, accuracy = [], 0.0
    for number in range(1, plan.rounds + 1):
        started = time.monotonic()
        _send(pipes, (number, base))
        answers = [pipe.recv() for pipe in pipes]
        base = average(base, [update for update, _, _ in answers], [samples for _, samples, _ in answers])
        _send(pipes, (0, base))
        accuracy, *_ = [pipe.recv() for pipe in pipes]
        wall = time.monotonic() - started
        rounds.append(PlainRound(wall, max(seconds for _, _, seconds in answers), int(base.nbytes)))
    return tuple(rounds), accuracy


def _send(pipes: Sequence[Connection], message: tuple[int, Vector]) -> None:
    for pipe in pipes:
        pipe.send(message)


def _hospital(directory: Path, index: int, count: int, pipe: Connection) -> None:
    """One hospital's process: answers the server until it is told None."""
    configure_threads((psutil.cpu_count() or 1) // count)
    plan = Plan.from_toml(directory / "plan.toml")
    data = directory / f"hospital-{index}" / "data"
    parts = {name: load_saved(data / f"{name}.npz") for name in ("train", "validation", "test")}
    settings = settings_of(plan)
    pipe.send("ready")
    while (message := pipe.recv()) is not None:
        number, vector = message
        if number:
            result = train(vector, parts["train"], settings.for_round(number - 1, plan.rounds, index))
            delta, _ = clip_l2(result.vector - vector, float(plan.clip_norm))
            pipe.send((delta, result.samples, result.seconds))
        else:
            evaluate(vector, parts["validation"], settings)
            pipe.send(evaluate(vector, parts["test"], settings).accuracy)


def from_json(text: str) -> PlainRun:
    """What the process printed.

    Raises:
        ValueError: It printed something else.
    """
    fields: dict[str, Any] = json.loads(text)
    rounds = tuple(PlainRound(**row) for row in fields.pop("rounds"))
    return PlainRun(rounds=rounds, **fields)


if __name__ == "__main__":
    print(json.dumps(asdict(serve(Path(sys.argv[1])))))
