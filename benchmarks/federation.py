"""Hospitals that learn alone, together and in one place, in this process: what `learning` and `paper` compare.

Every arm trains with the same settings from the same initial model and passes over its images equally often, unless its
caller asks for fewer epochs; who is alone trains as suits it, without the breaks that rounds are. Weights are those of eq. 19, which for equal slots are the sample counts of FedAvg. The sealed arm
quantises, packs, encrypts under a joint key of the `standard` parameters, adds, and opens with T of N members' shares,
by the product's own code; chain, ledger, gossip and processes are left out, and no update is ever refused. Two arms in
the clear stand beside it: `InSteps` adds the very integers that `Sealed` seals, `Clear` adds what was trained, unrounded.
"""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import TYPE_CHECKING, Final, Protocol

import numpy as np

from benchmarks.errors import NotMeasured
from benchmarks.streams import ceremony
from crypto.opening import Opener
from crypto.parameters import STANDARD
from crypto.streaming import SealingPool, add_stream, combine_stream, open_stream
from dag.weights import contribution_weight
from node.images.dataset import concatenate
from node.images.partition import partition
from node.learning.checkpoints import Checkpoint
from node.learning.metrics import predict
from node.learning.parameters import initial
from node.learning.settings import derive_seed
from node.learning.training import clip_l2, train
from node.rounds.decision import next_model
from node.sealing.quantising import QuantisedUpdate, plan_layout, step_sizes
from node.sealing.updates import sealer_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from node.images.record import Dataset
    from node.learning.settings import TrainingSettings

VALUE_RANGE: Final = Decimal("0.0625")
CLIP_NORM: Final = 8.0
"""The plan's defaults."""
NUDGE: Final = 0x6E7564
"""Keeps the nudge's draws apart from every other use of a seed."""


@dataclass(frozen=True, slots=True)
class Split:
    """One task: each hospital's training images, and test images that none of them has."""

    hospitals: tuple[Dataset, ...]
    test: Dataset
    held: Dataset | None = None
    """Validation images that nobody trains on: thresholds are chosen on them."""

    @property
    def whole(self) -> Dataset:
        """What a single place would train on."""
        return concatenate(self.hospitals, "all hospitals")


@dataclass(frozen=True, slots=True)
class Run:
    """One arm on one split."""

    answers: tuple[NDArray[np.float32], ...]
    """The model's probabilities on the test images after each round, ``[n, J]``."""
    vector: NDArray[np.float32]
    """The last model, ``[D]``."""
    marks: tuple[float, ...]
    """Seconds since the start after each round."""
    clipped: int = 0
    """Values of updates that lay outside the range, over all rounds; sealed arms only."""
    clipped_norms: int = 0
    """Updates whose L2 norm was cut."""
    loss: float = 0.0
    """Mean training loss of the last epoch, over hospitals by images."""
    digests: tuple[str, ...] = ()
    """SHA-256 of the model's float32 bytes after each round, hex; of hospitals that learn together only."""

    @property
    def seconds(self) -> float:
        """The whole run."""
        return self.marks[-1]


class Sum(Protocol):
    """How the next model is made of the updates."""

    clipped: int

    def __call__(
        self,
        base: NDArray[np.float32],
        updates: Sequence[NDArray[np.float32]],
        samples: Sequence[int],
        number: int,
    ) -> NDArray[np.float32]:
        """The base ``[D]`` of round ``number`` plus the weighted mean of the updates."""


def split_of(train_set: Dataset, test: Dataset, hospitals: int, how: str, seed: int) -> Split:
    """``train_set`` shared out as `node.images.partition` does."""
    return Split(tuple(partition(train_set, hospitals, how, seed)), test)


def weights_of(samples: Sequence[int]) -> list[int]:
    """Eq. 19 for hospitals that took every slot, parts per million."""
    most = max(samples)
    return [contribution_weight(count, count, most, 1, 1) for count in samples]


class Clear:
    """The weighted mean of updates that anyone could read, in float64."""

    clipped = 0

    def __call__(
        self,
        base: NDArray[np.float32],
        updates: Sequence[NDArray[np.float32]],
        samples: Sequence[int],
        number: int,
    ) -> NDArray[np.float32]:
        """As `Sum`."""
        del number  # nothing is drawn here
        weights = weights_of(samples)
        mean = np.zeros(base.shape)
        for update, weight in zip(updates, weights, strict=True):
            mean += update * (weight / sum(weights))
        return (base + mean).astype(np.float32)


class Nudged:
    """`Clear`, its model moved once, after the first round, by up to half a step of the rounding: what training makes of it.

    Args:
        settings: Name the network.
        members: N, which decides the steps.
        seed: Of the nudge.
    """

    clipped = 0

    def __init__(self, settings: TrainingSettings, members: int, seed: int) -> None:
        self._rounding = Rounding(settings, members, seed)
        self._rng = np.random.default_rng((NUDGE, seed))
        self._add = Clear()

    def __call__(
        self,
        base: NDArray[np.float32],
        updates: Sequence[NDArray[np.float32]],
        samples: Sequence[int],
        number: int,
    ) -> NDArray[np.float32]:
        """As `Sum`."""
        model = self._add(base, updates, samples, number)
        if number:
            return model
        return (model + self._rng.uniform(-0.5, 0.5, model.size) * self._rounding.steps).astype(np.float32)


class Rounding:
    """How updates become whole steps, sealed or not; the same update, round and member give the same integers.

    Args:
        settings: Name the network.
        members: N: the fewer, the finer the steps.
        seed: Of the stochastic rounding.
    """

    def __init__(self, settings: TrainingSettings, members: int, seed: int) -> None:
        self._layout = plan_layout(settings.architecture, settings.classes, VALUE_RANGE)
        self._limit, self._seed = STANDARD.value_limit(members), seed
        self.steps = step_sizes(self._layout, STANDARD, members)
        """Size of a step, float64 [D]."""

    def of(self, update: NDArray[np.float32], weight: int, number: int, member: int) -> QuantisedUpdate:
        """The update ``[D]`` of a member in round ``number``, weighted by ``weight`` ppm, in whole steps."""
        dice = derive_seed(self._seed, number, member).to_bytes(32, "big")
        return QuantisedUpdate(update, weight, self._layout, self._limit, dice)


class InSteps:
    """The sums that `Sealed` opens, without sealing: the same integers of the same updates, added where anyone could read them.

    Args:
        settings: Name the network.
        members: N.
        seed: Of the stochastic rounding.
    """

    def __init__(self, settings: TrainingSettings, members: int, seed: int) -> None:
        self._rounding = Rounding(settings, members, seed)
        self.clipped = 0

    def __call__(
        self,
        base: NDArray[np.float32],
        updates: Sequence[NDArray[np.float32]],
        samples: Sequence[int],
        number: int,
    ) -> NDArray[np.float32]:
        """As `Sum`."""
        weights = weights_of(samples)
        total = np.zeros(base.shape, np.int64)
        for member, (update, weight) in enumerate(zip(updates, weights, strict=True)):
            values = self._rounding.of(update, weight, number, member)
            total += np.concatenate(list(values))
            self.clipped += values.clipped
        return next_model(base, [total], [sum(weights)], self._rounding.steps)


class Sealed:
    """The product's path: nobody sees an update, T of N members open the sum.

    Every opened sum is held against that of the same integers in the clear; a single bit off ends the run.

    Args:
        settings: Name the network.
        members: N; T is two thirds of them, rounded up.
        seed: Of the stochastic rounding.
    """

    def __init__(self, settings: TrainingSettings, members: int, seed: int) -> None:
        threshold = -(-2 * members // 3)
        self._joint, keys = ceremony(members, threshold)
        self._openers = [Opener(member, range(threshold)) for member in keys[:threshold]]
        self._members = members
        self._rounding = Rounding(settings, members, seed)
        self.clipped = 0
        self.upload_bytes = 0

    def __call__(
        self,
        base: NDArray[np.float32],
        updates: Sequence[NDArray[np.float32]],
        samples: Sequence[int],
        number: int,
    ) -> NDArray[np.float32]:
        """As `Sum`.

        Raises:
            NotMeasured: The opened sum is not that of the integers that were sealed.
        """
        params, weights = self._joint.params, weights_of(samples)
        plain = np.zeros(base.shape, np.int64)
        sealed = []
        for member, (update, weight) in enumerate(zip(updates, weights, strict=True)):
            values = self._rounding.of(update, weight, number, member)
            whole = np.concatenate(list(values))
            self.clipped += values.clipped
            plain += whole
            sealed.append(self._seal(whole))
        self.upload_bytes = max(sum(map(len, chunks)) for chunks in sealed)
        total = list(add_stream(sealed, params))
        parts = {k: list(open_stream(opener, total)) for k, opener in enumerate(self._openers)}
        opened = np.concatenate(list(combine_stream(total, parts, params, self._members)))
        if wrong := int(np.count_nonzero(opened != plain)):
            raise NotMeasured(
                f"round {number + 1}: {wrong} of {plain.size} opened values are not the sum of what was sealed"
            )
        return next_model(base, [opened], [sum(weights)], self._rounding.steps)

    def _seal(self, values: NDArray[np.int64]) -> list[bytes]:
        with SealingPool(self._joint, 1, sealer_of(self._joint)) as pool:
            return list(pool.seal([values]))


def federated(
    split: Split,
    settings: TrainingSettings,
    rounds: int,
    add: Sum,
) -> Run:
    """Rounds of local training and one sum each, from the model that ``settings.seed`` draws."""
    started = time.monotonic()
    model = initial(settings.architecture, settings.classes, settings.seed)
    answers, marks, digests, cut, loss = [], [], [], 0, 0.0
    samples = [len(data) for data in split.hospitals]
    for number in range(rounds):
        updates, losses = [], []
        for member, data in enumerate(split.hospitals):
            result = train(model, data, settings.for_round(number, rounds, member))
            delta, norm = clip_l2(result.vector - model, CLIP_NORM)
            cut += norm > CLIP_NORM
            updates.append(delta)
            losses.append(result.losses[-1])
        loss = float(np.average(losses, weights=samples))
        model = add(model, updates, samples, number)
        digests.append(hashlib.sha256(model.tobytes()).hexdigest())
        answers.append(predict(model, split.test, settings))
        marks.append(time.monotonic() - started)
    return Run(tuple(answers), model, tuple(marks), add.clipped, cut, loss, tuple(digests))


def alone(
    data: Dataset,
    test: Dataset,
    settings: TrainingSettings,
    rounds: int,
    member: int,
) -> Run:
    """One place that trains on ``data`` by itself, as many epochs as the rounds have.

    It does what suits it: one training under one schedule, its optimiser never started anew.
    """
    base = initial(settings.architecture, settings.classes, settings.seed)
    watcher = _Watcher(base.size, test, settings, settings.epochs)
    own = replace(settings, epochs=settings.epochs * rounds, seed=derive_seed(settings.seed, 0, member))
    result = train(base, data, own, checkpoints=watcher)
    answers = (*watcher.answers[:-1], predict(result.vector, test, settings))  # batch statistics are settled at the end
    return Run(answers, result.vector, tuple(watcher.marks), loss=result.losses[-1])


class _Watcher:
    """A `CheckpointStore` that keeps nothing but asks the model about the test images after every so many epochs."""

    def __init__(self, size: int, test: Dataset, settings: TrainingSettings, every: int) -> None:
        self._size, self._test, self._settings, self._every = size, test, settings, every
        self.answers: list[NDArray[np.float32]] = []
        self.marks: list[float] = []
        self._started = time.monotonic()

    def load(self) -> None:
        """Nothing to go on from."""

    def save(self, data: bytes) -> None:
        """Look at a checkpoint's model where a round would end."""
        found = Checkpoint.from_bytes(data, self._size)
        if found.epochs % self._every == 0:
            self.answers.append(predict(found.parameters, self._test, self._settings))
            self.marks.append(time.monotonic() - self._started)


def shared_out(dataset: Dataset, shares: Sequence[float], seed: int) -> list[Dataset]:
    """``dataset`` in parts of about these ``shares``, by patient, each class in proportion; no image twice, none left out."""
    rng = np.random.default_rng(seed)
    names, whose = np.unique(dataset.patients, return_inverse=True)
    counts = np.zeros((names.size, len(dataset.class_names)))
    np.add.at(counts, (whose, dataset.labels), 1)
    wanted = np.asarray(shares, dtype=np.float64) / sum(shares)
    owner = np.empty(names.size, dtype=np.int64)
    for kind in range(counts.shape[1]):
        people = rng.permutation(np.flatnonzero(counts.argmax(axis=1) == kind))
        people = people[np.argsort(-counts[people].sum(axis=1), kind="stable")]
        have = np.zeros(wanted.size)
        for person in people:
            place = int((have / wanted).argmin())
            owner[person] = place
            have[place] += counts[person].sum()
    return [
        dataset.take(np.flatnonzero(owner[whose] == place), f"{dataset.name}, hospital {place + 1}")
        for place in range(wanted.size)
    ]


def folds_of(dataset: Dataset, folds: int, seed: int) -> list[tuple[Dataset, Dataset]]:
    """Training and test sets of a cross-validation grouped by patient and stratified by class."""
    parts = shared_out(dataset, [1.0] * folds, seed)
    return [
        (
            concatenate([part for other, part in enumerate(parts) if other != held], f"fold {held + 1} train"),
            parts[held],
        )
        for held in range(folds)
    ]
