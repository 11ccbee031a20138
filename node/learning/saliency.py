"""Where in an image a class was seen: Grad-CAM, and its probabilistic form over many views.

    w_k = mean over places of dy_c / dA_k          L_c = ReLU(sum_k w_k A_k)                       (eq. 17 of Kumar et al. 2021)
    S_c(x) = sum_v p_c(v) up(L_c(v)) at x / number of views that contain x                         (eq. 18)

A_k is channel k of the last feature map, y_c the class's score (a class capsule's length), v a random square view of the image and p_c(v)
the probability the network gives it. One Grad-CAM shows 8x8 places; views at many offsets resolve more, and a place
counts only where views that contain it are taken for the class.
Sources: Selvaraju et al., "Grad-CAM", ICCV 2017, arXiv:1610.02391, eq. 1 and 2; Oh, Park & Ye, "Deep learning COVID-19 features on
CXR using limited training data sets", IEEE TMI 2020, arXiv:2004.05758, eq. 4 to 6, whose patches these views are.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import torch
from torch.nn import functional

from node.learning.errors import BadSettings

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from node.learning.classifier import Classifier

VIEWS: Final = 64
"""Random views of one image."""

SHARE: Final = 0.75
"""A view's side as a share of the image's. On phantoms 0.75 found lesions best of 1, 0.75, 0.6 and 0.45."""

_BATCH: Final = 32


@dataclass(frozen=True, slots=True, eq=False)
class Saliency:
    """What a network saw of one class in one image."""

    map: NDArray[np.float32]
    """``[S, S]``, 0 (nothing) to 1 (the strongest place); all 0 where nothing speaks for the class."""
    target: int
    """The class."""
    probability: float
    """What the network gives that class on the whole image."""


def grad_cam(model: Classifier, images: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Grad-CAM of each image, and all probabilities.

    Args:
        model: the network, in evaluation mode; its parameters get no gradient.
        images: ``[B, 1, S, S]`` in [0, 1].
        targets: class asked about, ``[B]``.

    Returns:
        maps ``[B, 1, s, s]``, at least 0, of the last feature map's size; probabilities ``[B, J]``.
    """
    kept: list[Tensor] = []

    def keep(_module: object, _inputs: object, output: Tensor) -> Tensor:
        kept.append(output.detach().requires_grad_())
        return kept[0]

    hook = model.last_map().register_forward_hook(keep)
    try:
        with torch.enable_grad():
            output = model(images)
            chosen = model.score(output).gather(1, targets[:, None]).sum()
            (gradient,) = torch.autograd.grad(chosen, kept)
    finally:
        hook.remove()
    weights = gradient.mean(dim=(2, 3), keepdim=True)  # [B, C, 1, 1]
    maps = (weights * kept[0].detach()).sum(dim=1, keepdim=True).relu()
    return maps, model.probabilities(output).detach()


def saliency(
    model: Classifier,
    image: Tensor,
    target: int | None = None,
    *,
    views: int = VIEWS,
    share: float = SHARE,
    seed: int = 0,
) -> Saliency:
    """The probabilistic map of one image; the same for the same seed.

    Args:
        model: the network, in evaluation mode.
        image: ``[S, S]`` in [0, 1].
        target: class asked about; the likeliest one by default.
        views: random views, at least 1, at most 4096.
        share: a view's side as a share of S, 0.25 to 1; with 1 all views are the image and the map is plain Grad-CAM.
        seed: draws the views.

    Raises:
        BadSettings: an argument is out of its range.
    """
    if not (1 <= views <= 4096 and 0.25 <= share <= 1):
        raise BadSettings(f"saliency of {views} views of {share} of the side: expected 1 to 4096 views of 0.25 to 1")
    whole = image[None, None]
    S = image.shape[0]
    with torch.no_grad():
        probabilities = model.probabilities(model(whole))[0]
    found = int(probabilities.argmax()) if target is None else target
    if not 0 <= found < probabilities.numel():
        raise BadSettings(f"class {found}: this network tells {probabilities.numel()} classes apart, counted from 0")
    side = max(8, round(share * S))
    corners = torch.randint(0, S - side + 1, (views, 2), generator=torch.Generator().manual_seed(seed)).tolist()
    total, seen = torch.zeros(S, S), torch.zeros(S, S)
    for start in range(0, views, _BATCH):
        part = corners[start : start + _BATCH]
        crops = torch.stack([image[y : y + side, x : x + side] for y, x in part])[:, None]
        resized = functional.interpolate(crops, size=(S, S), mode="bilinear", align_corners=False)
        maps, chances = grad_cam(model, resized, torch.full((len(part),), found))
        spread = functional.interpolate(maps, size=(side, side), mode="bilinear", align_corners=False)[:, 0]
        for (y, x), view, chance in zip(part, spread, chances[:, found], strict=True):
            total[y : y + side, x : x + side] += chance * view
            seen[y : y + side, x : x + side] += 1
    mean = total / seen.clamp_min(1)
    highest = float(mean.max())
    shown = mean / highest if highest > 0 else mean
    return Saliency(shown.numpy(), found, float(probabilities[found]))
