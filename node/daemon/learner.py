"""This hospital's images and what can be learnt from them: `Learner` of `node.rounds.ports`, computed by a worker process."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import numpy as np

from node.daemon.checkpoints import SealedCheckpoint
from node.errors import WorkProblem
from node.learning.results import Progress, TrainingResult
from node.work.host import Worker
from node.work.messages import Descend, Descended, Measure, Measured, Saved, Setup, Told, Train, Trained

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from crypto.secrets import ContentKey
    from node.config import NodeConfig
    from node.home import Home
    from node.learning.metrics import Metrics
    from node.rounds.plan import Plan
    from node.work.messages import Message, Part

log = logging.getLogger("medweave.learning")


def setup_of(home: Home, config: NodeConfig) -> Setup:
    """What a process that trains for a hospital is told.

    Args:
        home: The hospital's directory.
        config: Says where the images lie and how much of the machine may be used.
    """
    data, compute = config.data, config.compute
    train, validation, test, lungs = (
        str(home.file(name).resolve()) if name else "" for name in (data.train, data.validation, data.test, data.lungs)
    )
    return Setup(
        train=train,
        validation=validation,
        test=test,
        lungs=lungs,
        device=compute.device,
        threads=compute.threads,
        nice=compute.nice,
    )


class WorkerLearner:
    """Has a process train and measure; one job at a time.

    The process is given neither keys nor the hospital's directory: checkpoints come to this side, which seals them.

    Args:
        home: The hospital's directory.
        config: Its configuration.
        member: This hospital's index; gives it a shuffle of its own.
        checkpoint_key: Seals the checkpoints of a training under way; without it there are none.
    """

    def __init__(self, home: Home, config: NodeConfig, member: int, checkpoint_key: ContentKey | None = None) -> None:
        self._home, self._member, self._key = home, member, checkpoint_key
        self._has_test = bool(config.data.test)
        self.worker = Worker("training", setup_of(home, config))

    def train(
        self, plan: Plan, base: NDArray[np.float32], number: int, progress: Callable[[Progress], None]
    ) -> TrainingResult:
        """Train from `base` for round `number` (from 1), from the last checkpoint of the same training on.

        Raises:
            WorkerLost: The process was killed; the next call goes on from the last checkpoint.
            WorkProblem: It answered something else.
            BadConfig, LearningError, DataError: What the training met; see `node.work.learning`.
        """
        store = SealedCheckpoint(self._home.training, self._key, number) if self._key else None

        def told(message: Told | Saved) -> None:
            if isinstance(message, Told):
                step = Progress(**message.model_dump())
                _tell(number, step)
                progress(step)
            elif store is not None:
                store.save(message.checkpoint.tobytes())

        request = Train(
            plan=plan.to_bytes().decode(),
            number=number,
            member=self._member,
            keep=store is not None,
            base=base,
            checkpoint=np.frombuffer((store.load() if store else None) or b"", np.uint8),
        )
        answer = self.worker.ask(request, told)
        if not isinstance(answer, Trained) or answer.vector.shape != base.shape:
            raise WorkProblem(f"the training process answered with {type(answer).__name__} of another shape")
        return _result(answer)

    def score(self, plan: Plan, vector: NDArray[np.float32]) -> Metrics:
        """Measure on the held-out images.

        Raises:
            WorkerLost, WorkProblem, BadConfig, LearningError, DataError: As `train`.
        """
        return self._measure(plan, "validation", vector)

    def report(self, plan: Plan, vector: NDArray[np.float32]) -> Metrics | None:
        """Measure on the test images, where there are any.

        Raises:
            WorkerLost, WorkProblem, BadConfig, LearningError, DataError: As `train`.
        """
        return self._measure(plan, "test", vector) if self._has_test else None

    def descent(self, plan: Plan, vector: NDArray[np.float32]) -> NDArray[np.float32]:
        """Where the loss of the training and held-out images falls.

        Raises:
            WorkerLost, WorkProblem, BadConfig, LearningError, DataError: As `train`.
        """
        answer = self.worker.ask(Descend(plan=plan.to_bytes().decode(), vector=vector))
        if not isinstance(answer, Descended) or answer.vector.shape != vector.shape:
            raise WorkProblem(f"the training process answered with {type(answer).__name__} of another shape")
        return answer.vector

    def _measure(self, plan: Plan, part: Part, vector: NDArray[np.float32]) -> Metrics:
        answer: Message = self.worker.ask(Measure(plan=plan.to_bytes().decode(), part=part, vector=vector))
        if not isinstance(answer, Measured):
            raise WorkProblem(f"the training process answered a measurement with {type(answer).__name__}")
        return answer.metrics


def _result(answer: Trained) -> TrainingResult:
    fields = {name: getattr(answer, name) for name in TrainingResult.__dataclass_fields__}
    return TrainingResult(**fields)


def _tell(number: int, step: Progress) -> None:
    """Log the end of an epoch, with what is left at the pace so far."""
    if step.step * step.epochs == step.epoch * step.steps:
        log.info(
            "round %d: epoch %d of %d, loss %.4f, about %.0f s left",
            *(number, step.epoch, step.epochs, step.loss, step.remaining),
        )
