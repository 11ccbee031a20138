"""What the route answers that asks a model about an image."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

import numpy as np
from pydantic import BaseModel, Field

if TYPE_CHECKING:
    from node.work.messages import Answered
    from node.work.questions import Question

NOTICE = "A research model: not a medical device, and no diagnosis."
UNJUDGED = (
    "This hospital has no validation images of these classes: nothing is known of how far the probabilities can be believed "
    "here."
)
JUDGED = (
    "On {images} validation images of this hospital, probabilities and shares differ by {error:.2f} on average. Images from "
    "other scanners, protocols or patients may be judged worse; a probability is no certainty."
)


class Chance(BaseModel):
    """A class and its probability."""

    name: str = Field(alias="class", description="Name of the class.", examples=["covid"])
    probability: float = Field(ge=0, le=1, description="Mean over the slices.")


class Looked(BaseModel):
    """Where the model looked; both pictures lie exactly on each other."""

    target: int = Field(alias="class", description="Index of the class asked about.")
    image: str = Field(description="The slice, PNG of 512x512 pixels, base64.")
    overlay: str = Field(description="The same with the saliency over it, PNG of 512x512 pixels, base64.")


class SliceAnswer(BaseModel):
    """One slice of the file."""

    probabilities: tuple[float, ...] = Field(description="By class, in the order of `classes`.")
    likeliest: int = Field(alias="class", description="Index of the likeliest class.")
    label: str = Field(description="Its name.")
    cropped: bool = Field(description="Whether it was cropped to the lungs, as the plan says; false: none were found.")
    above: tuple[bool, ...] | None = Field(description="Whether each class reaches its threshold, where there are any.")
    saliency: Looked | None = Field(description="Where the model looked; the first 8 slices, if asked for.")


class Calibration(BaseModel):
    """How far the model's probabilities can be believed at this hospital."""

    error: float = Field(ge=0, le=1, description="Expected calibration error over 15 bins.")
    images: int = Field(ge=1, description="Validation images it was measured on.")


class PredictionShape(BaseModel):
    """What a model says about an image."""

    model: str = Field(description="Hash of the model, hex.")
    round: int = Field(description="The round that made it.")
    classes: tuple[str, ...] = Field(description="Class names, in label order.")
    likeliest: int = Field(alias="class", description="Index of the likeliest class over all slices.")
    label: str = Field(description="Its name.")
    probabilities: tuple[Chance, ...]
    slices: tuple[SliceAnswer, ...]
    thresholds: tuple[float, ...] | None = Field(
        description="Probability from which a class is called: Youden's, on this hospital's validation images."
    )
    calibration: Calibration | None
    caveat: str = Field(description="How far to believe it, in words.")
    notice: str = Field(description="What the model is not.")
    seconds: float = Field(ge=0, description="Time the answer took.")

    @classmethod
    def of(cls, question: Question, answer: Answered, round_number: int, seconds: float) -> PredictionShape:
        """The answer to a question."""
        mean = np.mean(answer.slices, axis=0)
        best = int(mean.argmax())
        judged = answer.judged_on > 0 and answer.calibration is not None
        calibration = {"error": answer.calibration, "images": answer.judged_on} if judged else None
        return cls.model_validate(
            {
                "model": question.model.hex(),
                "round": round_number,
                "classes": question.classes,
                "class": best,
                "label": question.classes[best],
                "probabilities": [
                    {"class": name, "probability": float(p)} for name, p in zip(question.classes, mean, strict=True)
                ],
                "slices": _slices(question, answer),
                "thresholds": answer.thresholds,
                "calibration": calibration,
                "caveat": JUDGED.format(**calibration) if calibration else UNJUDGED,
                "notice": NOTICE,
                "seconds": seconds,
            }
        )


def _slices(question: Question, answer: Answered) -> list[dict[str, object]]:
    pictures = _pictures(answer)
    found: list[dict[str, object]] = []
    for number, row in enumerate(answer.slices):
        best = max(range(len(row)), key=row.__getitem__)
        above = None if answer.thresholds is None else [p >= t for p, t in zip(row, answer.thresholds, strict=True)]
        looked = None
        if number < len(answer.targets):
            image, overlay = pictures[2 * number : 2 * number + 2]
            looked = {"class": answer.targets[number], "image": image, "overlay": overlay}
        found.append(
            {
                "probabilities": row,
                "class": best,
                "label": question.classes[best],
                "cropped": answer.cropped[number],
                "above": above,
                "saliency": looked,
            }
        )
    return found


def _pictures(answer: Answered) -> list[str]:
    """Each picture's base64."""
    data, found, at = answer.pictures.tobytes(), [], 0
    for size in answer.sizes:
        found.append(base64.b64encode(data[at : at + size]).decode())
        at += size
    return found
