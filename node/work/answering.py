"""Answers questions about images, in the worker process: decodes the file, asks the model, draws where it looked."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from node.errors import BadConfig
from node.images.errors import DataError
from node.images.record import cropping
from node.images.upload import read_upload
from node.images.windows import parse_window
from node.learning.errors import LearningError, WrongData
from node.learning.inference import Asked
from node.learning.segmentation.lungs import Lungs
from node.work.messages import Answered

if TYPE_CHECKING:
    from node.learning.inference import Judgement
    from node.work.learning import Learning
    from node.work.messages import Ask

MOST_PICTURES: Final = 8
"""Slices of one file whose saliency is drawn."""


class Answering:
    """Keeps the model asked last.

    Args:
        learning: Gives the hospital's validation images.
        lungs: Path of the file whose network crops slices; empty: there is none.
    """

    def __init__(self, learning: Learning, lungs: str) -> None:
        self._learning = learning
        self._file = lungs
        self._lungs: Lungs | None = None
        self._held: tuple[str, Asked] | None = None
        self._judged: dict[str, Judgement | None] = {}

    def answer(self, message: Ask) -> Answered | None:
        """What the model says; None where it has to be sent first.

        Raises:
            Unusable: The image cannot be read.
            BadWindow: There is no such window.
            LearningError: The model is not what it is said to be, the class is none of its, or the lung network by which the
                plan crops slices is not here.
        """
        asked = self._model(message)
        if asked is None:
            return None
        slices = read_upload(message.image.tobytes(), parse_window(message.window) if message.window else None)
        cut = np.zeros(len(slices), dtype=np.bool_)
        if message.crop_lungs:
            slices, cut = self._cropping(message.crop_lungs).cut(slices)
        probabilities = asked.probabilities(slices)
        wanted = slices[:MOST_PICTURES] if message.saliency else slices[:0]
        drawn = [asked.pictures(image, message.target) for image in wanted]
        files = [part for each in drawn for part in (each.image, each.overlay)]
        judged = self._judgement(message, asked)
        return Answered(
            slices=tuple(tuple(float(p) for p in row) for row in probabilities),
            cropped=tuple(cut.tolist()),
            targets=tuple(each.target for each in drawn),
            thresholds=None if judged is None else tuple(judged.thresholds.tolist()),
            calibration=None if judged is None else judged.calibration_error,
            judged_on=0 if judged is None else judged.images,
            sizes=tuple(map(len, files)),
            pictures=np.frombuffer(b"".join(files), np.uint8),
        )

    def _model(self, message: Ask) -> Asked | None:
        if message.vector.size:
            asked = Asked(message.vector, message.architecture, len(message.classes), message.image_size)
            self._held = (message.model, asked)
        return self._held[1] if self._held is not None and self._held[0] == message.model else None

    def _cropping(self, wanted: str) -> Lungs:
        """The lung network of this name; read again where another is asked for, as the file may have been replaced."""
        if self._lungs is None or self._lungs.digest != wanted:
            if not self._file:
                raise WrongData(
                    f"the plan's slices are {cropping(wanted)}, and [data] lungs names no file of that network"
                )
            self._lungs = Lungs.read(Path(self._file))
        if self._lungs.digest != wanted:
            raise WrongData(f"the plan's slices are {cropping(wanted)}, [data] lungs is {self._lungs.digest[:16]}…")
        return self._lungs

    def _judgement(self, message: Ask, asked: Asked) -> Judgement | None:
        """The hospital's own images' say, once a model; None where there are none that fit."""
        if not message.judged:
            return None
        if message.model not in self._judged:
            try:
                found = asked.judged(self._learning.images("validation", message))
            except (BadConfig, DataError, LearningError):
                found = None
            self._judged = {message.model: found}
        return self._judged[message.model]
