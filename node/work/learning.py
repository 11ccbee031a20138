"""A hospital's images and what can be learnt from them, where torch is: in the worker process, and in `medweave local`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from node.errors import BadConfig
from node.images.dataset import concatenate, load_saved, resize
from node.images.errors import UnreadableData
from node.images.record import cropping
from node.learning.descent import descent
from node.learning.metrics import evaluate
from node.learning.precision import choose_device
from node.learning.settings import TrainingSettings
from node.learning.training import configure_threads, train

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

    from node.images.record import Dataset
    from node.learning.checkpoints import CheckpointStore
    from node.learning.metrics import Metrics
    from node.learning.results import Progress, TrainingResult
    from node.rounds.plan import Plan
    from node.work.messages import Setup


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
        views=plan.views,
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


class Wanted(Protocol):
    """What images have to be."""

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names, in label order."""

    @property
    def crop_lungs(self) -> str:
        """Name of the lung network that slices are cropped by; empty: they are as they are."""


class Learning:
    """Trains and measures on the images in a hospital's directory.

    Args:
        setup: Where the images lie, on what device and with how many threads to compute.

    Raises:
        BadSettings: The configuration asks for a GPU, and there is none.
    """

    def __init__(self, setup: Setup) -> None:
        self._paths = {"train": setup.train, "validation": setup.validation, "test": setup.test}
        self._held: dict[str, tuple[tuple[int, int, int], Dataset]] = {}
        self.device = choose_device(setup.device)
        configure_threads(setup.threads)

    def train(
        self,
        plan: Plan,
        base: NDArray[np.float32],
        number: int,
        member: int,
        progress: Callable[[Progress], None],
        checkpoints: CheckpointStore | None = None,
    ) -> TrainingResult:
        """Train from `base` for round `number` (from 1), from the store's checkpoint of the same training on.

        Args:
            plan: The round's plan.
            base: Where to start, float32 ``[D]``.
            number: The round.
            member: This hospital's index; gives it a shuffle of its own.
            progress: Called after every step; what it raises ends the training.
            checkpoints: Keeps a checkpoint of every epoch.

        Raises:
            BadConfig: The images have other classes than the plan, or are cropped otherwise.
            LearningError, DataError: As `node.learning.training.train` and `load_saved`.
        """
        return train(
            base,
            self.images("train", plan),
            settings_of(plan).for_round(number - 1, plan.rounds, member),
            progress,
            validation=self.images("validation", plan) if plan.patience else None,
            checkpoints=checkpoints,
            device=self.device,
        )

    def measure(self, plan: Plan, part: str, vector: NDArray[np.float32]) -> Metrics:
        """Measure a model ``[D]`` on the `validation` or `test` images.

        Raises:
            BadConfig, LearningError, DataError: As `train`.
        """
        return evaluate(vector, self.images(part, plan), settings_of(plan), self.device)

    def descent(self, plan: Plan, vector: NDArray[np.float32]) -> NDArray[np.float32]:
        """Where the loss of the `train` and `validation` images together falls, seen from a model ``[D]``.

        Raises:
            BadConfig, LearningError, DataError: As `train`.
        """
        parts = [self.images(part, plan) for part in ("train", "validation")]
        return descent(vector, _one(parts, plan.image_size), settings_of(plan), self.device)

    def images(self, part: str, wanted: Wanted) -> Dataset:
        """The images of one part: `train`, `validation` or `test`.

        Args:
            part: Which one.
            wanted: The plan, or a question about one of its models: their classes, and how slices are prepared.

        Raises:
            BadConfig: There are none, or they have other classes, or are cropped otherwise.
            DataError: They cannot be read.
        """
        if not self._paths[part]:
            raise BadConfig(f"[data] {part}: no images are configured")
        dataset = self._current(part)
        if dataset.class_names != wanted.classes:
            raise BadConfig(
                f"[data] {part}: has classes {', '.join(dataset.class_names)}, the plan {', '.join(wanted.classes)}"
            )
        if dataset.cropped != wanted.crop_lungs:
            raise BadConfig(
                f"[data] {part}: slices are {cropping(dataset.cropped)}, the plan's {cropping(wanted.crop_lungs)}; take the "
                "images in again (`medweave data import --crop-lungs FILE`, or without)"
            )
        return dataset

    def _current(self, part: str) -> Dataset:
        """The images as they lie there now: an operator may replace them while the node runs."""
        path = Path(self._paths[part])
        try:
            state = path.stat()
        except OSError as error:
            raise UnreadableData(f"{path}: cannot be read ({error.strerror})") from None
        version = (state.st_mtime_ns, state.st_size, state.st_ino)
        held = self._held.get(part)
        if held is None or held[0] != version:
            held = self._held[part] = (version, load_saved(path))
        return held[1]


def _one(parts: list[Dataset], size: int) -> Dataset:
    """Several sets' images as one set, at one size."""
    return concatenate([resize(part, size) for part in parts], "its own images")
