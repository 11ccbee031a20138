"""Local training at one hospital: from the round's base model to its own update.

    w_i  = argmin of the local loss, reached from the base by mini-batch descent    (eq. 1-3 of Kumar et al. 2021)
    d_i  = w_i - w_base, clipped to the plan's L2 bound                             what leaves the hospital, sealed

Optimiser: AdamW (Loshchilov & Hutter 2019) under one cycle a round (Smith & Topin 2019). The optimiser's moments start
anew in every round, so that nothing but the base model links two rounds. With ``proximal_mu`` > 0 the local loss gains
FedProx's term mu/2 |w - w_base|^2 (Li et al. 2020, eq. 2).

Deterministic given base, data, settings, torch build and thread count (sums of floats depend on how threads split them).
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from node.images.dataset import resize
from node.learning.augmentation import augmented
from node.learning.errors import TrainingDiverged, WrongData
from node.learning.parameters import flatten, load, verify_vector
from node.learning.registry import build
from node.learning.settings import TrainingSettings, derive_seed

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray
    from torch import Tensor

    from node.images.record import Dataset
    from node.learning.classifier import Classifier

__all__ = ["Progress", "TrainingResult", "TrainingSettings", "clip_l2", "configure_threads", "derive_seed", "train"]

WARM_UP = 0.25
"""Share of a round's steps in which the learning rate rises."""

LOWEST = 0.02
"""Share of the peak that the learning rate starts from and ends at."""

MAX_GRADIENT = 5.0
"""L2 norm to which a step's gradient is cut: a single odd batch cannot throw the model away."""


@dataclass(frozen=True, slots=True)
class Progress:
    """Where training stands, after each step."""

    step: int
    """Steps done, from 1."""
    steps: int
    """Steps in all."""
    epoch: int
    """The running epoch, from 1."""
    epochs: int
    """Epochs in all."""
    loss: float
    """Of this step's batch."""
    seconds: float
    """Since training began."""

    @property
    def remaining(self) -> float:
        """Seconds until the end at the pace so far."""
        return self.seconds / self.step * (self.steps - self.step)


@dataclass(frozen=True, slots=True, eq=False)
class TrainingResult:
    """What local training gave."""

    vector: NDArray[np.float32]
    """The trained parameters, ``[D]``."""
    steps: int
    """Optimiser steps taken."""
    samples: int
    """Images trained on (each ``epochs`` times): |d_i| of eq. 19."""
    seconds: float
    """Wall-clock time."""
    losses: tuple[float, ...]
    """Mean training loss of each epoch."""


def configure_threads(count: int) -> None:
    """Let torch use ``count`` threads in this process from now on; a count below 1 means 1."""
    torch.set_num_threads(max(1, count))


def train(
    base: NDArray[np.float32],
    dataset: Dataset,
    settings: TrainingSettings,
    progress: Callable[[Progress], None] | None = None,
) -> TrainingResult:
    """The base model ``[D]`` after ``settings.epochs`` passes over ``dataset``.

    ``progress`` is called after every step; what it raises ends the training and reaches the caller.

    Raises:
        WrongData: the data set has not the settings' number of classes.
        UnknownArchitecture, WrongVector: as :func:`prepared`.
        TrainingDiverged: loss or parameters are no finite numbers any more.
    """
    started = time.monotonic()
    images, labels = tensors(dataset, settings)
    model = prepared(base, settings).train()
    losses = _descend(model, images, labels, settings, progress, started)
    vector = flatten(model)
    if not np.isfinite(vector).all():
        raise TrainingDiverged(f"{dataset.name}: parameters are not finite after training; lower learning_rate")
    steps = settings.epochs * math.ceil(len(dataset) / settings.batch_size)
    return TrainingResult(vector, steps, len(dataset), time.monotonic() - started, losses)


def clip_l2(delta: NDArray[np.float32], bound: float) -> tuple[NDArray[np.float32], float]:
    """The update shortened to L2 norm ``bound`` if it is longer, and the norm it had.

    Shape ``[D]``. The clipped norm exceeds the bound by float32 rounding at most.

    Raises:
        WrongVector: the update is not finite float32 ``[D]``.
    """
    verify_vector(delta)
    norm = float(np.linalg.norm(delta.astype(np.float64)))
    if norm <= bound:
        return delta, norm
    return (delta * (bound / norm)).astype(np.float32), norm


def prepared(vector: NDArray[np.float32], settings: TrainingSettings) -> Classifier:
    """The settings' network holding ``vector [D]``; torch's global generator is left as it was.

    Raises:
        UnknownArchitecture: the registry has no such network.
        WrongVector: the vector is not that network's.
    """
    with torch.random.fork_rng(devices=[]):
        model = build(settings.architecture, settings.classes)
    load(model, vector)
    return model


def tensors(dataset: Dataset, settings: TrainingSettings) -> tuple[Tensor, Tensor]:
    """The whole set as images ``[n, 1, S, S]`` in [0, 1] and labels ``[n]``.

    Raises:
        WrongData: the data set has not the settings' number of classes.
    """
    if len(dataset.class_names) != settings.classes:
        raise WrongData(
            f"{dataset.name}: has {len(dataset.class_names)} classes ({', '.join(dataset.class_names)}), "
            f"the plan {settings.classes}; choose data of the plan's task"
        )
    images = resize(dataset, settings.image_size).images
    scaled = torch.from_numpy(images.astype(np.float32) / np.float32(255)).unsqueeze(1)
    return scaled, torch.from_numpy(np.array(dataset.labels))


def _descend(
    model: Classifier,
    images: Tensor,
    labels: Tensor,
    settings: TrainingSettings,
    progress: Callable[[Progress], None] | None,
    started: float,
) -> tuple[float, ...]:
    """Train ``model`` in place; the mean loss of each epoch."""
    generator = torch.Generator().manual_seed(settings.seed)
    optimiser = torch.optim.AdamW(_groups(model, settings), lr=settings.learning_rate)
    base = [tensor.detach().clone() for tensor in model.parameters()] if settings.proximal_mu else []
    weights = _class_weights(labels, settings.classes)
    per_epoch = math.ceil(len(labels) / settings.batch_size)
    steps, step, epoch_losses = settings.epochs * per_epoch, 0, []
    for epoch in range(1, settings.epochs + 1):
        total = 0.0
        for chosen in torch.randperm(len(labels), generator=generator).tensor_split(per_epoch):
            _set_rate(optimiser, settings.learning_rate, step / steps)
            batch = augmented(images[chosen], generator) if settings.augment else images[chosen]
            loss = model.loss(model(batch), labels[chosen], weights)
            if base:
                loss = loss + _proximal(model, base, settings.proximal_mu)
            value = _step(model, optimiser, loss)
            step, total = step + 1, total + value * len(chosen)
            if progress:
                seconds = time.monotonic() - started
                progress(Progress(step, steps, epoch, settings.epochs, value, seconds))
        epoch_losses.append(total / len(labels))
    return tuple(epoch_losses)


def _step(model: Classifier, optimiser: torch.optim.Optimizer, loss: Tensor) -> float:
    value = float(loss.detach())
    if not math.isfinite(value):
        raise TrainingDiverged(f"training loss became {value}; lower learning_rate")
    optimiser.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    torch.nn.utils.clip_grad_norm_(model.parameters(), MAX_GRADIENT)
    optimiser.step()
    return value


def _groups(model: Classifier, settings: TrainingSettings) -> list[dict[str, object]]:
    """Decay matrices and kernels, leave gains and biases alone."""
    matrices = [tensor for tensor in model.parameters() if tensor.ndim >= 2]
    others = [tensor for tensor in model.parameters() if tensor.ndim < 2]
    return [
        {"params": matrices, "weight_decay": settings.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]


def _set_rate(optimiser: torch.optim.Optimizer, peak: float, done: float) -> None:
    """One cycle: up along half a cosine in the first quarter, down along another in the rest."""
    phase = done / WARM_UP if done < WARM_UP else 1 + (done - WARM_UP) / (1 - WARM_UP)
    height = (1 - math.cos(math.pi * phase)) / 2
    for group in optimiser.param_groups:
        group["lr"] = peak * (LOWEST + (1 - LOWEST) * height)


def _class_weights(labels: Tensor, classes: int) -> Tensor:
    """Inverse frequencies, 1 on average over the images: a rare class counts as much as a common one. ``[J]``."""
    counts = torch.bincount(labels, minlength=classes).to(torch.float32)
    present = counts > 0
    weights = len(labels) / (present.sum() * counts.clamp_min(1))
    return torch.where(present, weights, torch.zeros_like(weights))


def _proximal(model: Classifier, base: list[Tensor], mu: float) -> Tensor:
    """FedProx, Li et al. 2020, eq. 2: mu/2 |w - w_base|^2."""
    pairs = zip(model.parameters(), base, strict=True)
    return mu / 2 * torch.stack([(tensor - origin).square().sum() for tensor, origin in pairs]).sum()
