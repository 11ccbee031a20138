"""An update's length, bounded before it leaves the hospital."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from node.learning.modelfile import verify_vector

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


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


def clip_parts(delta: NDArray[np.float32], bound: float, parts: Sequence[slice]) -> tuple[NDArray[np.float32], float]:
    """The update, each of its K parts shortened to ``bound`` / √K if it is longer, and the norm that the whole had.

    So the whole is no longer than ``bound``, and nobody who sees a part alone need allow it more than its share. With one part
    as `clip_l2`.

    Args:
        delta: float32 ``[D]``.
        bound: L2 bound on the whole, more than 0.
        parts: Consecutive slices that hold every value once.

    Raises:
        WrongVector: the update is not finite float32 ``[D]``.
    """
    share = bound / math.sqrt(len(parts))
    clipped = [clip_l2(delta[part], share)[0] for part in parts]
    return np.concatenate(clipped), float(np.linalg.norm(delta.astype(np.float64)))
