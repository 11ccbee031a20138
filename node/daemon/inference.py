"""Models asked about images: a process of its own, started when somebody asks, ended when nobody does.

Training may take hours and holds its own process all the while; an image is answered in seconds beside it. What waits is
few and waits shortly: who comes when the line is full is told to come again.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Final

import numpy as np

from node.daemon.learner import setup_of
from node.errors import WorkerBusy, WorkProblem
from node.work import faults
from node.work.host import Worker
from node.work.messages import Answered, Ask, Failed

if TYPE_CHECKING:
    from node.config import NodeConfig
    from node.home import Home
    from node.work.questions import Question

MEMORY_MIB: Final = 4096
"""Most the process may take: a file that decodes to more ends it, not the node."""


class Inference:
    """Answers one question after the other.

    Args:
        home: The hospital's directory.
        config: Says how many may wait, how long an answer may take, and when the process ends.
    """

    def __init__(self, home: Home, config: NodeConfig) -> None:
        setup = setup_of(home, config).model_copy(update={"nice": 0, "memory_mib": MEMORY_MIB, "device": "cpu"})
        self._limits = config.predict
        self._worker = Worker("inference", setup)
        self._line = threading.BoundedSemaphore(config.predict.queue)
        self._turn = threading.Lock()

    @property
    def pid(self) -> int | None:
        """The process's id while it runs."""
        return self._worker.pid

    def ask(self, question: Question) -> Answered:
        """What a model says about an image; waits for those before.

        Raises:
            WorkerBusy: The line is full, or did not move in time.
            WorkTooSlow: This image took too long.
            WorkerLost: The process was killed, or this image took more memory than it may.
            Unusable, BadWindow, LearningError: The image or what is asked of it cannot be used.
        """
        if not self._line.acquire(blocking=False):
            raise WorkerBusy(f"{self._limits.queue} questions wait already: ask again in a moment")
        try:
            if not self._turn.acquire(timeout=self._limits.timeout_seconds):
                raise WorkerBusy("the questions before this one took too long: ask again in a moment")
            try:
                return self._ask(question)
            finally:
                self._turn.release()
        finally:
            self._line.release()

    def rest(self) -> None:
        """End the process if nobody has asked for a while."""
        if self._worker.pid is None or time.monotonic() - self._worker.used < self._limits.idle_seconds:
            return
        if self._turn.acquire(blocking=False):
            try:
                self._worker.end()
            finally:
                self._turn.release()

    def stop(self) -> None:
        """End the process for good."""
        self._worker.stop()

    def _ask(self, question: Question) -> Answered:
        seconds = self._limits.timeout_seconds
        self._worker.start()
        self._worker.check()  # loading torch is no part of the image's time
        request = Ask(
            model=question.model.hex(),
            architecture=question.architecture,
            classes=question.classes,
            image_size=question.image_size,
            crop_lungs=question.crop_lungs,
            window=question.window,
            target=question.target,
            saliency=question.saliency,
            judged=True,
            vector=np.empty(0, np.float32),
            image=np.frombuffer(question.image, np.uint8),
        )
        answer = self._worker.ask(request, seconds=seconds)
        if isinstance(answer, Failed) and answer.error == faults.NO_MODEL:
            answer = self._worker.ask(request.model_copy(update={"vector": question.vector()}), seconds=seconds)
        if not isinstance(answer, Answered):
            raise WorkProblem(f"the inference process answered with {type(answer).__name__}")
        return answer
