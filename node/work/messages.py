"""What a daemon and its worker process say to each other: frozen records, checked field by field on arrival.

daemon → process    Setup once; Train, Measure, Descend, Ask one at a time; Cancel at any time
process → daemon    Ready once; Told, Saved and Said on the way; Trained, Measured, Descended, Answered or Failed at the end
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import numpy as np
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from node.errors import WorkProblem
from node.learning.metrics import Metrics  # noqa: TC001 - pydantic reads it
from node.work.channel import Frame

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Vector = NDArray[np.float32]
    Octets = NDArray[np.uint8]
else:

    class _Carried:
        """Marks a field that travels as a segment."""

    def _float32(value: np.ndarray) -> np.ndarray:
        if value.dtype != np.float32 or value.ndim != 1:
            msg = "is not float32 [D]"
            raise ValueError(msg)
        return value

    def _uint8(value: np.ndarray) -> np.ndarray:
        if value.dtype != np.uint8 or value.ndim != 1:
            msg = "is not uint8 [n]"
            raise ValueError(msg)
        return value

    Vector = Annotated[np.ndarray, AfterValidator(_float32), _Carried()]
    Octets = Annotated[np.ndarray, AfterValidator(_uint8), _Carried()]

Part = Literal["validation", "test"]


class Message(BaseModel):
    """Base of all messages."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", arbitrary_types_allowed=True)

    def frame(self) -> Frame:
        """The message as it travels; arrays are not copied."""
        carried = _carried(type(self))
        fields = self.model_dump(mode="json", exclude=set(carried))
        return Frame(type(self).__name__, fields, tuple(getattr(self, name) for name in carried))


class Setup(Message):
    """Who the process works for; it reads the images itself."""

    train: str = ""
    """Path of the training images, absolute."""
    validation: str = ""
    test: str = ""
    """Empty where there are none."""
    lungs: str = ""
    """Path of the lung network's file, absolute; empty where there is none."""
    device: Literal["auto", "cpu", "cuda"] = "cpu"
    threads: int = Field(default=1, ge=1, le=256)
    nice: int = Field(default=0, ge=0, le=19)
    """How much the process steps back for others."""
    memory_mib: int = Field(default=0, ge=0)
    """Most memory the process may take; 0: the machine decides."""


class Ready(Message):
    """The process holds torch and the device it was asked for."""

    device: str


class Train(Message):
    """Train a round."""

    plan: str
    """Canonical JSON."""
    number: int
    """The round, from 1."""
    member: int
    """The hospital's index; gives it a shuffle of its own."""
    keep: bool
    """Whether to send checkpoints."""
    base: Vector
    checkpoint: Octets
    """The last one of a training under way; empty if there is none."""


class Told(Message):
    """How far a training is; the fields of `node.learning.results.Progress`."""

    step: int
    steps: int
    epoch: int
    epochs: int
    loss: float
    seconds: float


class Saved(Message):
    """A checkpoint: the hospital's own model, for the daemon to seal."""

    checkpoint: Octets


class Trained(Message):
    """What a training gave; the fields of `node.learning.results.TrainingResult`."""

    steps: int
    samples: int
    seconds: float
    losses: tuple[float, ...] = Field(strict=False)
    kept: int
    resumed: int
    vector: Vector


class Measure(Message):
    """Measure a model on the hospital's images."""

    plan: str
    part: Part
    vector: Vector


class Measured(Message):
    """What a measurement gave."""

    model_config = ConfigDict(strict=False)

    metrics: Metrics


class Descend(Message):
    """Ask where the loss of the hospital's images falls."""

    plan: str
    vector: Vector


class Descended(Message):
    """What `Descend` gave: one number a parameter."""

    vector: Vector


class Ask(Message):
    """Ask a model about one image file."""

    model: str
    """Hash of the model, hex."""
    architecture: str
    classes: tuple[str, ...] = Field(strict=False)
    image_size: int
    crop_lungs: str
    """Name of the lung network by which slices are cropped; empty: they are as they are."""
    window: str
    """As `node.images.windows.parse_window` reads it; empty: the file's kind decides."""
    target: int | None
    """Class whose saliency is drawn; None: the likeliest."""
    saliency: bool
    judged: bool
    """Whether thresholds and calibration on the hospital's validation images are wanted."""
    vector: Vector
    """Empty where the process holds the model already."""
    image: Octets


class Answered(Message):
    """What the model said."""

    model_config = ConfigDict(strict=False)

    slices: tuple[tuple[float, ...], ...]
    """Probabilities of each slice's classes."""
    cropped: tuple[bool, ...]
    """Whether each slice was cropped to the lungs."""
    targets: tuple[int, ...]
    """Class whose saliency was drawn, by slice."""
    thresholds: tuple[float, ...] | None
    calibration: float | None
    """Expected calibration error on the validation images."""
    judged_on: int
    """Validation images behind the two; 0: none."""
    sizes: tuple[int, ...]
    """Bytes of each picture."""
    pictures: Octets
    """PNG, one after the other: for each slice the image, then the image with its saliency."""


class Cancel(Message):
    """Give up what is under way."""


class Said(Message):
    """A log record of the process."""

    logger: str = Field(max_length=100, pattern=r"^medweave(\.[a-z]+)?$")
    level: int = Field(ge=0, le=50)
    template: str = Field(max_length=2000)
    values: tuple[str | int | float | None, ...] = Field(strict=False, max_length=16)


class Failed(Message):
    """What was asked could not be done."""

    error: str = Field(max_length=100)
    """Name of an error class; see `node.work.faults`."""
    message: str = Field(max_length=10_000)


KINDS: Final[dict[str, type[Message]]] = {kind.__name__: kind for kind in Message.__subclasses__()}


def parse(frame: Frame) -> Message:
    """The message in a frame.

    Raises:
        WorkProblem: No such message, or a field missing, too many or out of range; names it.
    """
    kind = KINDS.get(frame.kind)
    if kind is None:
        raise WorkProblem(f"worker: a message of kind {frame.kind!r:.60}, which is none")
    names = _carried(kind)
    if len(names) != len(frame.segments):
        raise WorkProblem(f"worker: {frame.kind} with {len(frame.segments)} segments, expected {len(names)}")
    arrays: dict[str, Any] = dict(zip(names, frame.segments, strict=True))
    try:
        return kind.model_validate(frame.fields | arrays)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        raise WorkProblem(f"worker: {frame.kind}: {'.'.join(map(str, first['loc']))}: {first['msg']}") from None


def _carried(kind: type[Message]) -> tuple[str, ...]:
    """The fields that travel as segments, in their order."""
    return tuple(
        name for name, field in kind.model_fields.items() if any(type(m).__name__ == "_Carried" for m in field.metadata)
    )
