"""What capsules are trained by: the margin loss on the class capsules' lengths.

Sabour, Frosst & Hinton: "Dynamic routing between capsules", NIPS 2017, arXiv:1710.09829
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from torch.nn.functional import one_hot

if TYPE_CHECKING:
    from torch import Tensor

MARGIN_PRESENT: Final = 0.9
MARGIN_ABSENT: Final = 0.1
ABSENT_WEIGHT: Final = 0.5


def margin_loss(lengths: Tensor, labels: Tensor) -> Tensor:
    """Sabour eq. 4 for each image, ``[B]``: present classes longer than 0.9, absent ones shorter than 0.1.

    Args:
        lengths: of the class capsules, ``[B, J]``.
        labels: the present class of each image, ``[B]``.
    """
    present = one_hot(labels, lengths.shape[1]).to(lengths.dtype)  # T_k [B, J]
    missing = present * (MARGIN_PRESENT - lengths).clamp_min(0).square()
    extra = ABSENT_WEIGHT * (1 - present) * (lengths - MARGIN_ABSENT).clamp_min(0).square()
    return (missing + extra).sum(dim=1)
