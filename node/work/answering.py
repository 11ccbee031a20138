"""Answers questions about images, in the worker process: decodes the file, asks the model, draws where it looked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from node.errors import BadConfig
from node.images.errors import DataError
from node.images.upload import read_upload
from node.images.windows import parse_window
from node.learning.errors import LearningError
from node.learning.inference import Asked
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
    """

    def __init__(self, learning: Learning) -> None:
        self._learning = learning
        self._held: tuple[str, Asked] | None = None
        self._judged: dict[str, Judgement | None] = {}

    def answer(self, message: Ask) -> Answered | None:
        """What the model says; None where it has to be sent first.

        Raises:
            Unusable: The image cannot be read.
            BadWindow: There is no such window.
            LearningError: The model is not what it is said to be, or the class is none of its.
        """
        asked = self._model(message)
        if asked is None:
            return None
        slices = read_upload(message.image.tobytes(), parse_window(message.window) if message.window else None)
        probabilities = asked.probabilities(slices)
        wanted = slices[:MOST_PICTURES] if message.saliency else slices[:0]
        drawn = [asked.pictures(image, message.target) for image in wanted]
        files = [part for each in drawn for part in (each.image, each.overlay)]
        judged = self._judgement(message, asked)
        return Answered(
            slices=tuple(tuple(float(p) for p in row) for row in probabilities),
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

    def _judgement(self, message: Ask, asked: Asked) -> Judgement | None:
        """The hospital's own images' say, once a model; None where there are none that fit."""
        if not message.judged:
            return None
        if message.model not in self._judged:
            try:
                found = asked.judged(self._learning.images("validation", message.classes))
            except (BadConfig, DataError, LearningError):
                found = None
            self._judged = {message.model: found}
        return self._judged[message.model]
