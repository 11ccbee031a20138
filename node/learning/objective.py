"""What local training makes smaller: the network's own loss of each image, smoothed, focused and weighted by class.

    l_i = (1 - eps) loss(y_i) + eps/J sum_k loss(k)     label smoothing, Szegedy et al. 2016, section 7
    f_i = (1 - p_i)^gamma                               focus on what is not yet told apart, Lin et al. 2017, eq. 4
    L   = sum_i w_i f_i l_i / sum_i w_i                 weights: a rare class counts as much as a common one

``p_i`` is the network's probability of the true class. With cross-entropy these are the papers' losses; the capsule
network's margin loss (eq. 16) takes the same two changes. The mean is over the batch.

``w_i`` is its class's weight times the image's own share. A share is 1, or with ``patients`` 1/sqrt(n) for each of a patient's
n images: frames of one clip tell little more than one of them, and those who were filmed longest must not decide alone.

Shapes: B batch, J classes, n images.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

if TYPE_CHECKING:
    from torch import Tensor

    from node.images.record import Dataset
    from node.learning.classifier import Classifier
    from node.learning.settings import TrainingSettings


@dataclass(frozen=True, slots=True, eq=False)
class Objective:
    """The loss of one hospital's training."""

    weights: Tensor
    """Of each class, ``[J]``."""
    smoothing: float
    """eps, 0 to 0.5."""
    gamma: float
    """Focal exponent, 0 to 10."""

    def __call__(self, model: Classifier, output: Tensor, labels: Tensor, own: Tensor | None = None) -> Tensor:
        """The scalar L of a batch's scores ``output`` against ``labels [B]``, in float32; ``own [B]``: the images' shares."""
        J = self.weights.shape[0]
        losses = model.losses(output, labels).float()  # l_i [B]
        if self.smoothing:
            every = torch.stack([model.losses(output, torch.full_like(labels, k)).float() for k in range(J)])
            losses = (1 - self.smoothing) * losses + self.smoothing * every.mean(dim=0)
        each = self.weights[labels] if own is None else self.weights[labels] * own  # w_i [B]
        if self.gamma:
            right = model.probabilities(output).float().gather(1, labels[:, None])[:, 0]  # p_i [B]
            losses = (1 - right).clamp(0, 1).pow(self.gamma) * losses
        return (losses * each).sum() / each.sum().clamp_min(torch.finfo(torch.float32).tiny)


def objective(labels: Tensor, settings: TrainingSettings, own: Tensor | None = None) -> Objective:
    """The loss that the settings ask for, with weights by how much each class is of ``labels [n]`` and their shares."""
    even = torch.ones(settings.classes, device=labels.device)
    weights = even if settings.class_weights == "none" else balanced(labels, settings.classes, own)
    return Objective(weights, settings.label_smoothing, settings.focal_gamma)


def shares(dataset: Dataset, settings: TrainingSettings) -> Tensor:
    """What each image counts beside its class, ``[n]``: 1, or with ``patients`` 1/sqrt(its patient's images)."""
    if settings.class_weights != "patients":
        return torch.ones(len(dataset))
    _, whose, counts = np.unique(dataset.patients, return_inverse=True, return_counts=True)
    return torch.from_numpy(counts[whose].astype(np.float32)).rsqrt()


def balanced(labels: Tensor, classes: int, own: Tensor | None = None) -> Tensor:
    """Inverse sums of the images' shares by class ``[J]``, 1 on average over the images ``[n]``; 0 for a class without any.

    Without ``own`` every share is 1, and the weights are inverse frequencies.
    """
    if own is None:
        sums = torch.bincount(labels, minlength=classes).to(torch.float32)
    else:  # not a weighted count: on a GPU its sums depend on the order of threads
        sums = torch.stack([own[labels == k].sum() for k in range(classes)])
    present = sums > 0
    weights = sums.sum() / (present.sum() * torch.where(present, sums, torch.ones_like(sums)))
    return torch.where(present, weights, torch.zeros_like(weights))
