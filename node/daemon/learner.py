"""This hospital's images and what can be learnt from them: `Learner` of `node.rounds.ports`."""

from __future__ import annotations

import functools
import logging
import threading
from typing import TYPE_CHECKING

from node.daemon.checkpoints import SealedCheckpoint
from node.errors import BadConfig
from node.images.dataset import load_saved
from node.learning.metrics import evaluate
from node.learning.precision import choose_device
from node.learning.settings import TrainingSettings
from node.learning.training import configure_threads, train

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

    from crypto.secrets import ContentKey
    from node.config import NodeConfig
    from node.home import Home
    from node.images.record import Dataset
    from node.learning.metrics import Metrics
    from node.learning.training import Progress, TrainingResult
    from node.rounds.plan import Plan

log = logging.getLogger("medweave.learning")


def settings_of(plan: Plan) -> TrainingSettings:
    """The training settings a plan asks for."""
    return TrainingSettings(
        architecture=plan.architecture,
        classes=len(plan.classes),
        image_size=plan.image_size,
        epochs=plan.epochs,
        batch_size=plan.batch_size,
        learning_rate=float(plan.learning_rate),
        weight_decay=float(plan.weight_decay),
        proximal_mu=float(plan.proximal),
        seed=plan.seed,
        augment=plan.augment,
        schedule=plan.schedule,
        schedule_over=plan.schedule_over,
        last_rate=float(plan.last_rate),
        max_gradient=float(plan.max_gradient),
        class_weights=plan.class_weights,
        label_smoothing=float(plan.label_smoothing),
        focal_gamma=float(plan.focal_gamma),
        patience=plan.patience,
        precision=plan.precision,
    )


class LocalLearner:
    """Trains and measures on the images in a hospital's directory; one job at a time.

    Args:
        home: The hospital's directory.
        config: Says where the images lie and how many threads may be used.
        member: This hospital's index; gives it a shuffle of its own.
        checkpoint_key: Seals the checkpoints of a training under way; without it there are none.

    Raises:
        BadSettings: The configuration asks for a GPU, and there is none.
    """

    def __init__(self, home: Home, config: NodeConfig, member: int, checkpoint_key: ContentKey | None = None) -> None:
        self._home = home
        self._key = checkpoint_key
        self._device = choose_device(config.compute.device)
        self._config = config
        self._member = member
        self._lock = threading.Lock()
        configure_threads(config.compute.threads)

    def train(
        self, plan: Plan, base: NDArray[np.float32], number: int, progress: Callable[[Progress], None]
    ) -> TrainingResult:
        """Train from `base` for round `number` (from 1), from the last checkpoint of the same training on."""
        settings = settings_of(plan).for_round(number - 1, plan.rounds, self._member)

        def told(step: Progress) -> None:
            _tell(number, step)
            progress(step)

        with self._lock:
            return train(
                base,
                self._dataset("train", plan),
                settings,
                told,
                validation=self._dataset("validation", plan) if plan.patience else None,
                checkpoints=SealedCheckpoint(self._home.training, self._key, number) if self._key else None,
                device=self._device,
            )

    def score(self, plan: Plan, vector: NDArray[np.float32]) -> Metrics:
        """Measure on the held-out images."""
        with self._lock:
            return evaluate(vector, self._dataset("validation", plan), settings_of(plan), self._device)

    def report(self, plan: Plan, vector: NDArray[np.float32]) -> Metrics | None:
        """Measure on the test images, where there are any."""
        if not self._config.data.test:
            return None
        with self._lock:
            return evaluate(vector, self._dataset("test", plan), settings_of(plan), self._device)

    def _dataset(self, part: str, plan: Plan) -> Dataset:
        dataset = self._load(part)
        if dataset.class_names != plan.classes:
            raise BadConfig(
                f"[data] {part}: has classes {', '.join(dataset.class_names)}, the plan {', '.join(plan.classes)}"
            )
        return dataset

    @functools.cache  # noqa: B019  (one learner lives as long as its process)
    def _load(self, part: str) -> Dataset:
        return load_saved(self._home.file(getattr(self._config.data, part)))


def _tell(number: int, step: Progress) -> None:
    """Log the end of an epoch, with what is left at the pace so far."""
    if step.step * step.epochs == step.epoch * step.steps:
        log.info(
            "round %d: epoch %d of %d, loss %.4f, about %.0f s left",
            *(number, step.epoch, step.epochs, step.loss, step.remaining),
        )
