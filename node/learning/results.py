"""What a training tells: how far it is, and what came of it. No torch here: who asks a worker to train reads it too."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


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
    """Spent training so far, before a crash too."""

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
    """Batches trained on."""
    samples: int
    """Images trained on (once an epoch): |d_i| of eq. 19."""
    seconds: float
    """Wall-clock time, what was spent before a crash included."""
    losses: tuple[float, ...]
    """Mean training loss of each epoch."""
    kept: int
    """The epoch (from 1) whose parameters these are: the last, or with early stopping the best."""
    resumed: int = 0
    """Epochs that a checkpoint had done already."""
