"""What a plan says about local training. No torch here: daemons and auditors read plans too."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass, replace
from typing import Final

import cbor2

from node.learning.errors import BadSettings
from node.learning.schedule import SCHEDULES, across_rounds

SPANS: Final = ("round", "plan")
CLASS_WEIGHTS: Final = ("balanced", "patients", "none")
VIEWS: Final = ("slices", "ultrasound")
PRECISIONS: Final = ("auto", "float32", "mixed")


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
    """Peak of the schedule, more than 0, at most 1."""
    weight_decay: float = 1e-2
    """AdamW's decoupled decay of matrices and kernels, 0 to 1."""
    proximal_mu: float = 0.0
    """FedProx's pull towards the base model (Li et al. 2020, eq. 2), 0 (plain FedAvg) to 100."""
    seed: int = 0
    """Decides batch order and augmentation, 0 to 2^63 - 1; give each hospital and round its own, see ``for_round``."""
    augment: bool = True
    """Whether training images are flipped, moved, turned, scaled and re-windowed at random."""
    views: str = "slices"
    """What they are views of: ``slices`` of CT and X-rays, or ``ultrasound``, whose gain and speckle change too."""
    schedule: str = "one-cycle"
    """How the learning rate moves: ``one-cycle``, ``cosine`` or ``constant``."""
    schedule_over: str = "round"
    """What the schedule spans: every ``round`` anew, the peaks falling, or the whole ``plan`` once."""
    last_rate: float = 0.2
    """Share of the peak that the last round still uses where the schedule spans a round, more than 0, at most 1."""
    span: tuple[float, float] = (0.0, 1.0)
    """The part of the schedule that this training covers; ``for_round`` sets it."""
    max_gradient: float = 5.0
    """L2 norm to which a step's gradient is cut, 0.001 to 1e6: a single odd batch cannot throw the model away."""
    class_weights: str = "balanced"
    """``balanced``: a rare class counts as much as a common one; ``none``: every image counts the same; ``patients``:
    balanced, and a patient's n images count as much as the square root of n."""
    label_smoothing: float = 0.0
    """Share of each image's loss that is spread over all classes (Szegedy et al. 2016), 0 to 0.5."""
    focal_gamma: float = 0.0
    """Exponent of the focal loss (Lin et al. 2017, eq. 4), 0 (off) to 10."""
    patience: int = 0
    """Early stopping: epochs without a better loss on the validation images before training ends, 0 (off) to 1000."""
    precision: str = "auto"
    """``float32``, ``mixed`` (16-bit products), or ``auto``: mixed on a GPU only."""

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
        _verify_choice("schedule", self.schedule, SCHEDULES)
        _verify_choice("schedule_over", self.schedule_over, SPANS)
        _verify("last_rate", self.last_rate, 1e-9, 1)
        _verify("span", self.span[0], 0, self.span[1])
        _verify("span", self.span[1], self.span[0], 1)
        _verify("max_gradient", self.max_gradient, 1e-3, 1e6)
        _verify_choice("views", self.views, VIEWS)
        _verify_choice("class_weights", self.class_weights, CLASS_WEIGHTS)
        _verify("label_smoothing", self.label_smoothing, 0, 0.5)
        _verify("focal_gamma", self.focal_gamma, 0, 10)
        _verify("patience", self.patience, 0, 1000)
        _verify_choice("precision", self.precision, PRECISIONS)

    @property
    def digest(self) -> bytes:
        """sha2-256 (32 bytes) over the canonical CBOR (RFC 8949, 4.2.1) of all fields."""
        return hashlib.sha256(cbor2.dumps(asdict(self), canonical=True)).digest()

    def for_round(self, number: int, rounds: int, member: int) -> TrainingSettings:
        """These settings in round ``number`` (0-based) of ``rounds`` at the hospital with index ``member``.

        The seed becomes one of its own. Where the schedule spans a round, the peak learning rate falls along half a
        cosine from round to round, to ``last_rate`` of it in the last; a round beyond the planned ones keeps the
        lowest. Where it spans the plan, a round covers its share of it; one beyond the planned ones repeats the last.
        """
        seed = derive_seed(self.seed, number, member)
        if self.schedule_over == "plan":
            share = min(number, rounds - 1)
            return replace(self, seed=seed, span=(share / rounds, (share + 1) / rounds))
        factor = across_rounds(number, rounds, self.last_rate)
        return replace(self, learning_rate=self.learning_rate * factor, seed=seed)


def derive_seed(*parts: int) -> int:
    """A seed of 63 bits from whole numbers: sha2-256 of their decimal forms joined by ``/``."""
    digest = hashlib.sha256("/".join(map(str, parts)).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def _verify(field: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise BadSettings(f"training setting {field} is {value}, expected {low} to {high}")


def _verify_choice(field: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise BadSettings(f"training setting {field} is {value!r}, expected one of {', '.join(choices)}")
