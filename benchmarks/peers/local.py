"""What a client of any peer does: what `benchmarks.plain` does, on tensors by name as these systems send them.

Imported inside a peer's own environment, so it needs torch, numpy and `node` alone.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import psutil

from node.images.dataset import load_saved
from node.learning.metrics import evaluate
from node.learning.parameters import initial, layout_of
from node.learning.training import configure_threads, train
from node.rounds.plan import Plan
from node.work.learning import settings_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from node.learning.results import TrainingResult

    Tensors = dict[str, NDArray[np.float32]]


class Local:
    """One hospital's images and the plan.

    Args:
        directory: With `plan.toml` and `hospital-I/data`.
        index: Which hospital, from 0.
        hospitals: Of how many that share this machine.
    """

    def __init__(self, directory: Path, index: int, hospitals: int) -> None:
        self._plan = Plan.from_toml(directory / "plan.toml")
        self._settings = settings_of(self._plan)
        self._index = index
        data = directory / f"hospital-{index}" / "data"
        self._parts = {name: load_saved(data / f"{name}.npz") for name in ("train", "validation", "test")}
        configure_threads(max(1, (psutil.cpu_count() or 1) // hospitals))

    def train(self, base: Mapping[str, NDArray[np.float32]], number: int) -> tuple[Tensors, TrainingResult]:
        """Train from a base; `number` counts rounds from 1. The model by tensors, and how it went."""
        settings = self._settings.for_round(number - 1, self._plan.rounds, self._index)
        result = train(join(self._plan, base), self._parts["train"], settings)
        return split(self._plan, result.vector), result

    def score(self, model: Mapping[str, NDArray[np.float32]]) -> float:
        """Measure a model on the held-out and on the test images, as ours does; accuracy on the latter."""
        vector = join(self._plan, model)
        evaluate(vector, self._parts["validation"], self._settings)
        return evaluate(vector, self._parts["test"], self._settings).accuracy


def first(plan: Plan) -> Tensors:
    """The model that the first round starts from."""
    return split(plan, initial(plan.architecture, len(plan.classes), plan.seed))


def split(plan: Plan, vector: NDArray[np.float32]) -> Tensors:
    """A vector as tensors by name, in the network's order."""
    found, at = {}, 0
    for name, shape in layout_of(plan.architecture, len(plan.classes)):
        size = math.prod(shape)
        found[name] = vector[at : at + size].reshape(shape).astype(np.float32)
        at += size
    return found


def join(plan: Plan, tensors: Mapping[str, NDArray[np.float32]]) -> NDArray[np.float32]:
    """The inverse of `split`; values may come in any shape that holds as many."""
    names = [name for name, _ in layout_of(plan.architecture, len(plan.classes))]
    found: NDArray[np.float32] = np.concatenate([np.asarray(tensors[name], np.float32).ravel() for name in names])
    return found
