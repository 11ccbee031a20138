"""Training the segmentation network on slices with masks, and asking it for masks.

The loss is the margin loss of each pixel's class capsules (eq. 16), the mean over pixels with each class weighing as much
as any other: most pixels are background. Deterministic given slices, masks, settings, torch build and thread count.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import torch
from torch import nn

from node.learning.errors import BadSettings, TrainingDiverged, WrongData
from node.learning.losses import margin_loss
from node.learning.objective import balanced
from node.learning.schedule import rate_share
from node.learning.segmentation.scores import dice, hausdorff
from node.learning.segmentation.segcaps import SegCaps
from node.learning.segmentation.views import seen_otherwise

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray
    from torch import Tensor

BATCH: Final = 16
"""Slices asked at once."""


@dataclass(frozen=True, slots=True)
class MaskSettings:
    """How to train.

    Raises:
        BadSettings: a value is out of its range.
    """

    classes: int = 4
    """Values of the masks: 0 to this less one, 2 to 16."""
    epochs: int = 20
    """Passes over the slices, 1 to 1000."""
    batch_size: int = 4
    """Slices a step, 1 to 256."""
    learning_rate: float = 3e-3
    """Peak of one cycle, more than 0, at most 1."""
    seed: int = 0
    """First parameters, order and views, 0 to 2^63 - 1."""
    augment: bool = False
    """Show every slice otherwise in every epoch, see ``views``: for slices of scanners that are not in the set."""

    def __post_init__(self) -> None:
        bounds = {
            "classes": (2, 16),
            "epochs": (1, 1000),
            "batch_size": (1, 256),
            "learning_rate": (1e-9, 1),
            "seed": (0, 2**63 - 1),
        }
        for field, (low, high) in bounds.items():
            if not low <= getattr(self, field) <= high:
                raise BadSettings(f"mask setting {field} is {getattr(self, field)}, expected {low} to {high}")


@dataclass(frozen=True, slots=True)
class MaskScores:
    """How masks agree with the truth, one figure a class; None where no slice has that class."""

    dice: tuple[float | None, ...]
    """Mean over slices, 0 to 1."""
    hausdorff: tuple[float | None, ...]
    """95th percentile distance of outlines, mean over slices, pixels."""


def train_masks(
    slices: NDArray[np.uint8],
    masks: NDArray[np.uint8],
    settings: MaskSettings,
    told: Callable[[int, float], None] = lambda _epoch, _loss: None,
) -> SegCaps:
    """A network that finds ``masks [n, S, S]`` in ``slices [n, S, S]``; ``told`` (epoch from 1, mean loss) after each.

    Raises:
        WrongData: shapes differ, the side is no multiple of 4, or a mask has other values than the classes.
        TrainingDiverged: the loss is no finite number any more.
    """
    images, labels = _tensors(slices), _labels(slices, masks, settings.classes)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        network = SegCaps(settings.classes)
        optimiser = torch.optim.AdamW(network.parameters(), lr=settings.learning_rate)
        weights = balanced(labels.flatten(), settings.classes)
        steps = math.ceil(len(labels) / settings.batch_size)
        for epoch in range(settings.epochs):
            total = 0.0
            for number, chosen in enumerate(torch.randperm(len(labels)).tensor_split(steps)):
                share = rate_share("one-cycle", (epoch + number / steps) / settings.epochs)
                for group in optimiser.param_groups:
                    group["lr"] = settings.learning_rate * share
                batch = images[chosen], labels[chosen]
                if settings.augment:
                    batch = seen_otherwise(*batch)
                total += _step(network, optimiser, *batch, weights) * len(chosen)
            told(epoch + 1, total / len(labels))
    return network.eval()


def masks_of(network: SegCaps, slices: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The likeliest class of each pixel of ``slices [n, S, S]``, the same shape.

    Raises:
        WrongData: the side is no multiple of 4.
    """
    with torch.inference_mode():
        parts = [network(batch).argmax(dim=1) for batch in torch.split(_tensors(slices), BATCH)]
    return torch.cat(parts).numpy().astype(np.uint8)


def scores(found: NDArray[np.uint8], truth: NDArray[np.uint8], classes: int) -> MaskScores:
    """Dice and Hausdorff of masks ``[n, S, S]`` by class."""
    pairs = list(zip(found, truth, strict=True))
    overlap = [[dice(a == k, b == k) for a, b in pairs] for k in range(classes)]
    apart = [[hausdorff(a == k, b == k, 95) for a, b in pairs] for k in range(classes)]
    return MaskScores(tuple(map(_mean, overlap)), tuple(map(_mean, apart)))


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


def _step(network: SegCaps, optimiser: torch.optim.Optimizer, images: Tensor, labels: Tensor, weights: Tensor) -> float:
    found = network(images).permute(0, 2, 3, 1).flatten(0, 2)  # [B S S, J]
    each = weights[labels.flatten()]
    loss = (margin_loss(found, labels.flatten()) * each).sum() / each.sum()
    value = float(loss.detach())
    if not math.isfinite(value):
        raise TrainingDiverged(f"segmentation loss became {value}; lower learning_rate")
    optimiser.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    nn.utils.clip_grad_norm_(network.parameters(), 5.0)
    optimiser.step()
    return value


def _tensors(slices: NDArray[np.uint8]) -> Tensor:
    if slices.ndim != 3 or slices.dtype != np.uint8 or slices.shape[1] % 4 or slices.shape[2] % 4 or not slices.size:
        raise WrongData(
            f"segmentation: slices must be uint8 [n, S, S] with S a multiple of 4, got {slices.dtype} {list(slices.shape)}"
        )
    return torch.from_numpy(slices.astype(np.float32) / np.float32(255)).unsqueeze(1)


def _labels(slices: NDArray[np.uint8], masks: NDArray[np.uint8], classes: int) -> Tensor:
    if masks.shape != slices.shape or int(masks.max(initial=0)) >= classes:
        raise WrongData(
            f"segmentation: masks of {list(masks.shape)} with values to {int(masks.max(initial=0))} do not fit slices of "
            f"{list(slices.shape)} and {classes} classes"
        )
    return torch.from_numpy(masks.astype(np.int64))
