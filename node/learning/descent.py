"""Where the loss of a hospital's images falls: the gradient of its mean, turned round.

    d = - sum_i w_i grad l_i / sum_i w_i

l_i is the network's own loss of image i (cross-entropy, or eq. 16's margin loss of Kumar et al. 2021), w_i its weight in training
(`node.learning.objective`). Along a sum S of updates the loss falls by about <d, S>, to the third order if d is taken halfway (the midpoint rule). An update
made by Adam is nearly the sign of its gradients, so that two hospitals' updates lie nearly at right angles where both still
lower the other's loss; d says so from all of a hospital's images at once.

Shapes: B batch, n images, D parameters.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from node.learning.objective import objective, shares
from node.learning.training import BATCH, prepared, tensors

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from node.images.record import Dataset
    from node.learning.settings import TrainingSettings


def descent(
    vector: NDArray[np.float32], dataset: Dataset, settings: TrainingSettings, device: torch.device | None = None
) -> NDArray[np.float32]:
    """The way in which the mean loss over all of ``dataset`` falls fastest from the parameters ``vector [D]``, ``[D]``.

    Images are as they are, batch statistics those of the vector; what no gradient moves has 0.

    Raises:
        WrongData: the data set has not the settings' number of classes.
        WrongVector: the vector is not the architecture's.
    """
    images, labels = tensors(dataset, settings)
    where = device or torch.device("cpu")
    model = prepared(vector, settings).to(where).eval()
    own = shares(dataset, settings)
    weights = (objective(labels, settings, own).weights[labels] * own).to(where)  # w_i [n]
    total = weights.sum()
    for batch, truth, each in zip(*(torch.split(part, BATCH) for part in (images, labels, weights)), strict=True):
        named = truth.to(where)
        output = model(batch.to(where, memory_format=torch.channels_last))
        ((model.losses(output, named).float() * each).sum() / total).backward()
    parts = [torch.zeros_like(each) if each.grad is None else -each.grad for each in model.parameters()]
    return np.concatenate([part.detach().cpu().numpy().reshape(-1) for part in parts]).astype(np.float32, copy=False)
