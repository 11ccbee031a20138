"""What local training makes smaller: the network's own loss of each image, smoothed, focused and weighted by class.

    l_i = (1 - eps) loss(y_i) + eps/J sum_k loss(k)     label smoothing, Szegedy et al. 2016, section 7
    f_i = (1 - p_i)^gamma                               focus on what is not yet told apart, Lin et al. 2017, eq. 4
    L   = sum_i w(y_i) f_i l_i / sum_i w(y_i)           class weights: a rare class counts as much as a common one

``p_i`` is the network's probability of the true class. With cross-entropy these are the papers' losses; the capsule
network's margin loss (eq. 16) takes the same two changes. The mean is over the batch.

Shapes: B batch, J classes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor

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

    def __call__(self, model: Classifier, output: Tensor, labels: Tensor) -> Tensor:
        """The scalar L of a batch's scores ``output`` against ``labels [B]``, in float32."""
        J = self.weights.shape[0]
        losses = model.losses(output, labels).float()  # l_i [B]
        if self.smoothing:
            every = torch.stack([model.losses(output, torch.full_like(labels, k)).float() for k in range(J)])
            losses = (1 - self.smoothing) * losses + self.smoothing * every.mean(dim=0)
        each = self.weights[labels]
        if self.gamma:
            own = model.probabilities(output).float().gather(1, labels[:, None])[:, 0]  # p_i [B]
            losses = (1 - own).clamp(0, 1).pow(self.gamma) * losses
        return (losses * each).sum() / each.sum().clamp_min(torch.finfo(torch.float32).tiny)


def objective(labels: Tensor, settings: TrainingSettings) -> Objective:
    """The loss that the settings ask for, with weights by how often each class stands in ``labels [n]``."""
    weights = balanced(labels, settings.classes) if settings.class_weights == "balanced" else None
    even = torch.ones(settings.classes, device=labels.device)
    return Objective(even if weights is None else weights, settings.label_smoothing, settings.focal_gamma)


def balanced(labels: Tensor, classes: int) -> Tensor:
    """Inverse frequencies ``[J]``, 1 on average over the images ``[n]``; 0 for a class without any."""
    counts = torch.bincount(labels, minlength=classes).to(torch.float32)
    present = counts > 0
    weights = len(labels) / (present.sum() * counts.clamp_min(1))
    return torch.where(present, weights, torch.zeros_like(weights))
