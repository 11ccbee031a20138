"""An update's length, bounded before it leaves the hospital."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from node.learning.modelfile import verify_vector

if TYPE_CHECKING:
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
