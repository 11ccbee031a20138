"""Error feedback: what quantisation takes from one update is added to the next (CRY-6, optional).

After Seide et al. 2014 ("1-bit stochastic gradient descent", section 3) and Karimireddy et al. 2019 ("Error feedback
fixes SignSGD", algorithm 2). With stochastic rounding the error has mean zero already; feedback brings back what was
*clipped*, and halves what rounding adds over several rounds. What is carried over says something about the member's
data: keep it as secret as the update itself.
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from crypto.errors import ValueOutOfRange
from crypto.modular import Signed
from crypto.packing import Floats


@dataclass(frozen=True, eq=False)
class Feedback:
    """What the member's updates so far have lost; replace it by :meth:`after` once an update has counted."""

    lost: NDArray[np.float32] = field(repr=False)
    """float32 [D], in the units of the update."""

    @classmethod
    def none(cls, size: int) -> "Feedback":
        """Before the first update of ``size`` values."""
        return cls(np.zeros(size, np.float32))

    def correct(self, values: Floats) -> NDArray[np.float64]:
        """The update to quantise: ``values`` plus what was lost, float64 [D].

        Raises:
            ValueOutOfRange: the update has another number of values.
        """
        if values.shape != self.lost.shape:
            raise ValueOutOfRange(f"an update of {values.size} values, but feedback of {self.lost.size}: start afresh")
        return values.astype(np.float64) + self.lost

    def after(self, corrected: Floats, ints: Signed, steps: Floats, limit: int) -> "Feedback":
        """What remains to be made up for once ``ints`` have been sealed for ``corrected``.

        Args:
            corrected: what :meth:`correct` gave, [D].
            ints: what quantising made of it, int64 [D].
            steps: quantisation step of each value, [D].
            limit: the largest absolute integer; no value carries over more than ``limit`` steps, because a value that
                is clipped round after round would otherwise never stop growing.
        """
        bound = steps * limit
        return Feedback(np.clip(corrected - ints * steps, -bound, bound).astype(np.float32))
