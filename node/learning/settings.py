"""What a plan says about local training. No torch here: daemons and auditors read plans too."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass, replace

from node.learning.errors import BadSettings

ROUND_FLOOR = 0.2
"""Share of the peak learning rate that the last round still uses."""


@dataclass(frozen=True, slots=True)
class TrainingSettings:
    """Local training of one round, or of many rounds before ``for_round``.

    The defaults were chosen on patient-disjoint validation splits of ``covid_ct_128``'s training images.

    Raises:
        BadSettings: a value is out of its range.
    """

    architecture: str = "capsnet"
    """The registry's name of the network."""
    classes: int = 2
    """How many classes, 2 to 64."""
    image_size: int = 64
    """Pixels a side that images are resized to, 16 to 512, a multiple of 8."""
    epochs: int = 6
    """Passes over the local training images a round, 1 to 1000."""
    batch_size: int = 16
    """Images a step, 1 to 4096."""
    learning_rate: float = 2e-3
    """Peak of the one-cycle schedule, more than 0, at most 1."""
    weight_decay: float = 1e-2
    """AdamW's decoupled decay of matrices and kernels, 0 to 1."""
    proximal_mu: float = 0.0
    """FedProx's pull towards the base model (Li et al. 2020, eq. 2), 0 (plain FedAvg) to 100."""
    seed: int = 0
    """Decides batch order and augmentation, 0 to 2^63 - 1; give each hospital and round its own, see ``for_round``."""
    augment: bool = True
    """Whether training images are flipped, moved, turned, scaled and re-windowed at random."""

    def __post_init__(self) -> None:
        _verify("classes", self.classes, 2, 64)
        _verify("image_size", self.image_size, 16, 512)
        if self.image_size % 8:
            raise BadSettings(f"training setting image_size is {self.image_size}, expected a multiple of 8")
        _verify("epochs", self.epochs, 1, 1000)
        _verify("batch_size", self.batch_size, 1, 4096)
        _verify("learning_rate", self.learning_rate, 1e-9, 1)
        _verify("weight_decay", self.weight_decay, 0, 1)
        _verify("proximal_mu", self.proximal_mu, 0, 100)
        _verify("seed", self.seed, 0, 2**63 - 1)

    def for_round(self, number: int, rounds: int, member: int) -> TrainingSettings:
        """These settings in round ``number`` (0-based) of ``rounds`` at the hospital with index ``member``.

        The seed becomes one of its own, and the peak learning rate falls along half a cosine from round to round, to
        a fifth in the last; a round beyond the planned ones keeps the lowest rate.
        """
        progress = min(1.0, number / max(1, rounds - 1))
        factor = ROUND_FLOOR + (1 - ROUND_FLOOR) * (1 + math.cos(math.pi * progress)) / 2
        seed = derive_seed(self.seed, number, member)
        return replace(self, learning_rate=self.learning_rate * factor, seed=seed)


def derive_seed(*parts: int) -> int:
    """A seed of 63 bits from whole numbers: sha2-256 of their decimal forms joined by ``/``."""
    digest = hashlib.sha256("/".join(map(str, parts)).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def _verify(field: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise BadSettings(f"training setting {field} is {value}, expected {low} to {high}")
