"""Local training at one hospital: from the round's base model to its own update.

    w_i  = argmin of the local loss, reached from the base by mini-batch descent    (eq. 1-3 of Kumar et al. 2021)
    d_i  = w_i - w_base, clipped to the plan's L2 bound                             what leaves the hospital, sealed

Optimiser: AdamW (Loshchilov & Hutter 2019) under the settings' schedule. The optimiser's moments start anew in every
round, so that nothing but the base model links two rounds. With ``proximal_mu`` > 0 the local loss gains FedProx's term
mu/2 |w - w_base|^2 (Li et al. 2020, eq. 2).

Early stopping (``patience``) looks at the loss on the hospital's validation images after every epoch and keeps the best
epoch's parameters. Those images then have a say in the model, so figures on them flatter it a little; the schedule is
laid out for all epochs, so a training that ends early has not seen its low rates: ``constant`` suits it best.

Deterministic given base, data, settings, torch build, device and thread count (sums of floats depend on how threads
split them). A training that goes on from a checkpoint of the same ends with the same bits.
"""

from __future__ import annotations

import logging
import math
import time
from typing import TYPE_CHECKING

import numpy as np
import torch

from node.images.dataset import resize
from node.learning.augmentation import view_of
from node.learning.checkpoints import Best, Checkpoint, run_digest
from node.learning.clipping import clip_l2
from node.learning.errors import MalformedCheckpoint, TrainingDiverged, WrongData
from node.learning.normalisation import settle
from node.learning.objective import objective, shares
from node.learning.parameters import flatten, load
from node.learning.precision import arithmetic, choose_device
from node.learning.registry import build
from node.learning.results import Progress, TrainingResult
from node.learning.schedule import rate_share
from node.learning.settings import TrainingSettings, derive_seed

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray
    from torch import Tensor

    from node.images.record import Dataset
    from node.learning.checkpoints import CheckpointStore
    from node.learning.classifier import Classifier

__all__ = ["Progress", "TrainingResult", "TrainingSettings", "clip_l2", "configure_threads", "derive_seed", "train"]

BATCH = 64
"""Validation images looked at at once; bounds memory, changes nothing else."""

log = logging.getLogger("medweave.learning")


def configure_threads(count: int) -> None:
    """Let torch use ``count`` threads in this process from now on; a count below 1 means 1."""
    torch.set_num_threads(max(1, count))


def train(
    base: NDArray[np.float32],
    dataset: Dataset,
    settings: TrainingSettings,
    progress: Callable[[Progress], None] | None = None,
    *,
    validation: Dataset | None = None,
    checkpoints: CheckpointStore | None = None,
    device: torch.device | None = None,
) -> TrainingResult:
    """The base model ``[D]`` after ``settings.epochs`` passes over ``dataset``, or fewer with early stopping.

    Args:
        base: where to start, ``[D]``.
        dataset: the hospital's training images.
        settings: of this round.
        progress: called after every step; what it raises ends the training and reaches the caller.
        validation: images that early stopping looks at; not looked at without it.
        checkpoints: keeps a checkpoint of every epoch and gives the one to go on from.
        device: where to compute, by default the first GPU or else the processor.

    Raises:
        WrongData: a data set has not the settings' number of classes, or early stopping has no validation images.
        UnknownArchitecture, WrongVector: as :func:`prepared`.
        TrainingDiverged: loss or parameters are no finite numbers any more.
    """
    if settings.patience and validation is None:
        raise WrongData(
            f"{dataset.name}: the plan stops early (patience {settings.patience}), which needs validation images; "
            "hold some out or set patience to 0"
        )
    device = device or choose_device()
    held = validation if settings.patience else None
    run = run_digest(base, dataset, settings, held) if checkpoints else bytes(32)
    on_gpu = [device] if device.type == "cuda" else []
    exact = torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False)
    with torch.random.fork_rng(devices=on_gpu), exact:
        training = _Training(base, dataset, held, settings, device)
        training.resume(run, checkpoints)
        result = training.finish(run, checkpoints, progress)
    if not np.isfinite(result.vector).all():
        raise TrainingDiverged(f"{dataset.name}: parameters are not finite after training; lower learning_rate")
    return result


def prepared(vector: NDArray[np.float32], settings: TrainingSettings) -> Classifier:
    """The settings' network holding ``vector [D]``; torch's global generator is left as it was.

    Raises:
        UnknownArchitecture: the registry has no such network.
        WrongVector: the vector is not that network's.
    """
    with torch.device("meta"):  # nothing is drawn: another thread's training may be drawing from the same generator
        model = build(settings.architecture, settings.classes)
    model.to_empty(device="cpu")
    load(model, vector)
    # Channels last: convolutions on a processor take half the time; what parameters mean is the same.
    return model.to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


def tensors(dataset: Dataset, settings: TrainingSettings) -> tuple[Tensor, Tensor]:
    """The whole set as images ``[n, 1, S, S]`` in [0, 1] and labels ``[n]``.

    Raises:
        WrongData: the data set has not the settings' number of classes.
    """
    if len(dataset.class_names) != settings.classes:
        raise WrongData(
            f"{dataset.name}: has {len(dataset.class_names)} classes ({', '.join(dataset.class_names)}), "
            f"the plan {settings.classes}; choose data of the plan's task"
        )
    images = resize(dataset, settings.image_size).images
    scaled = torch.from_numpy(images.astype(np.float32) / np.float32(255)).unsqueeze(1)
    return scaled, torch.from_numpy(np.array(dataset.labels))


class _Training:
    """A training under way. What changes from epoch to epoch is what a checkpoint holds."""

    def __init__(
        self,
        base: NDArray[np.float32],
        dataset: Dataset,
        validation: Dataset | None,
        settings: TrainingSettings,
        device: torch.device,
    ) -> None:
        self._settings, self._device = settings, device
        self._images, self._labels = (each.to(device) for each in tensors(dataset, settings))
        self._shares = shares(dataset, settings).to(device)
        self._view = view_of(settings.views)
        self._held = None
        if validation is not None:
            seen = (*tensors(validation, settings), shares(validation, settings))
            self._held = [each.to(device) for each in seen]
        self._model = prepared(base, settings).to(device)
        self._parameters = list(self._model.parameters())
        self._base = [tensor.detach().clone() for tensor in self._parameters] if settings.proximal_mu else []
        self._optimiser = torch.optim.AdamW(_groups(self._model, settings), lr=settings.learning_rate)
        self._arithmetic = arithmetic(settings.precision, device)
        self._objective = objective(self._labels, settings, self._shares)
        self._order = torch.Generator().manual_seed(settings.seed)
        torch.manual_seed(derive_seed(settings.seed, 1))
        self._per_epoch = math.ceil(len(dataset) / settings.batch_size)
        self._losses: list[float] = []
        self._best: Best | None = None
        self._before, self._started, self._resumed = 0.0, time.monotonic(), 0

    def resume(self, run: bytes, checkpoints: CheckpointStore | None) -> None:
        """Go on from the store's checkpoint if it is one of this run."""
        data = checkpoints.load() if checkpoints else None
        if data is None:
            return
        try:
            found = Checkpoint.from_bytes(data, sum(tensor.numel() for tensor in self._parameters))
        except MalformedCheckpoint as error:
            log.warning("training starts anew: %s", error)
            return
        if found.run == run and found.epochs <= self._settings.epochs:
            self._restore(found)

    def finish(
        self, run: bytes, checkpoints: CheckpointStore | None, progress: Callable[[Progress], None] | None
    ) -> TrainingResult:
        """Train the epochs that are left."""
        while len(self._losses) < self._settings.epochs and not self._stalled():
            self._losses.append(self._epoch(progress))
            self._compare()
            if checkpoints:
                checkpoints.save(self._checkpoint(run).to_bytes())
        done = len(self._losses)
        kept = done if self._best is None else self._best.epoch
        vector = self._settled() if self._best is None else self._best.parameters
        losses = tuple(self._losses)
        return TrainingResult(
            vector, done * self._per_epoch, len(self._labels), self._spent(), losses, kept, self._resumed
        )

    def _epoch(self, progress: Callable[[Progress], None] | None) -> float:
        """One pass over the images in a new order; the mean loss."""
        settings, done, total = self._settings, len(self._losses), 0.0
        self._model.train()
        order = torch.randperm(len(self._labels), generator=self._order).tensor_split(self._per_epoch)
        for number, chosen in enumerate(order):
            step, steps = done * self._per_epoch + number, settings.epochs * self._per_epoch
            self._set_rate(step / steps)
            value = self._step(chosen)
            total += value * len(chosen)
            if progress:
                progress(Progress(step + 1, steps, done + 1, settings.epochs, value, self._spent()))
        return total / len(self._labels)

    def _step(self, chosen: Tensor) -> float:
        """One optimiser step on the images numbered ``chosen [B]``; their mean loss."""
        batch, labels = self._images[chosen], self._labels[chosen]
        if self._settings.augment:
            batch = self._view(batch.cpu(), self._order).to(self._device)
        batch = batch.contiguous(memory_format=torch.channels_last)
        with self._arithmetic.products():
            output = self._model(batch)
        loss = self._objective(self._model, output.float(), labels, self._shares[chosen])
        if self._base:
            loss = loss + self._proximal()
        value = float(loss.detach())
        if not math.isfinite(value):
            raise TrainingDiverged(f"training loss became {value}; lower learning_rate")
        self._arithmetic.descend(loss, self._parameters, self._optimiser, self._settings.max_gradient)
        return value

    def _proximal(self) -> Tensor:
        """FedProx, Li et al. 2020, eq. 2: mu/2 |w - w_base|^2."""
        pairs = zip(self._parameters, self._base, strict=True)
        return self._settings.proximal_mu / 2 * torch.stack([(w - origin).square().sum() for w, origin in pairs]).sum()

    def _set_rate(self, done: float) -> None:
        """The learning rate when ``done`` in [0, 1] of this training's span of the schedule is over."""
        begin, end = self._settings.span
        share = rate_share(self._settings.schedule, begin + (end - begin) * done)
        for group in self._optimiser.param_groups:
            group["lr"] = self._settings.learning_rate * share

    def _compare(self) -> None:
        """Keep this epoch's parameters if none before did as well on the validation images."""
        if self._held is None:
            return
        loss = self._held_loss(*self._held)
        if self._best is None or loss < self._best.loss:
            self._best = Best(len(self._losses), loss, self._settled())

    @torch.inference_mode()
    def _held_loss(self, images: Tensor, labels: Tensor, own: Tensor) -> float:
        self._model.eval()
        parts = []
        for batch in torch.split(images, BATCH):
            with self._arithmetic.products():
                parts.append(self._model(batch))
        return float(self._objective(self._model, torch.cat(parts).float(), labels, own))

    def _settled(self) -> NDArray[np.float32]:
        """The parameters ``[D]``, batch statistics being those of the images as they are."""
        settle(self._model, self._images)
        return flatten(self._model)

    def _stalled(self) -> bool:
        best = self._best
        return best is not None and len(self._losses) - best.epoch >= self._settings.patience

    def _spent(self) -> float:
        return self._before + time.monotonic() - self._started

    def _checkpoint(self, run: bytes) -> Checkpoint:
        learnt = self._optimiser.state  # holds nothing of parameters that no gradient moves
        steps = [int(learnt[tensor]["step"]) for tensor in self._parameters if tensor in learnt]
        scaler = self._arithmetic.scaler.state_dict()
        return Checkpoint(
            run=run,
            epochs=len(self._losses),
            parameters=flatten(self._model),
            mean=_joined([learnt[t]["exp_avg"] if t in learnt else torch.zeros_like(t) for t in self._parameters]),
            square=_joined([learnt[t]["exp_avg_sq"] if t in learnt else torch.zeros_like(t) for t in self._parameters]),
            steps=max(steps, default=0),
            losses=tuple(self._losses),
            order=self._order.get_state().numpy().tobytes(),
            noise=torch.get_rng_state().numpy().tobytes(),
            device_noise=self._device_noise(),
            scale=float(scaler.get("scale", 1.0)),
            growth=int(scaler.get("_growth_tracker", 0)),
            best=self._best,
            seconds=self._spent(),
        )

    def _device_noise(self) -> bytes:
        return torch.cuda.get_rng_state(self._device).numpy().tobytes() if self._device.type == "cuda" else b""

    def _restore(self, found: Checkpoint) -> None:
        load(self._model, found.parameters)
        means, squares = self._parted(found.mean), self._parted(found.square)
        for tensor, mean, square in zip(self._parameters, means, squares, strict=True):
            if tensor.requires_grad and found.steps:
                step = torch.tensor(float(found.steps))
                self._optimiser.state[tensor] = {"step": step, "exp_avg": mean, "exp_avg_sq": square}
        self._order.set_state(_state(found.order))
        torch.set_rng_state(_state(found.noise))
        if found.device_noise and self._device.type == "cuda":
            torch.cuda.set_rng_state(_state(found.device_noise), self._device)
        scaler = self._arithmetic.scaler
        if scaler.is_enabled():
            scaler.load_state_dict(scaler.state_dict() | {"scale": found.scale, "_growth_tracker": found.growth})
        self._losses, self._best = list(found.losses), found.best
        self._before, self._resumed = found.seconds, found.epochs

    @torch.no_grad()
    def _parted(self, vector: NDArray[np.float32]) -> list[Tensor]:
        """``vector [D]`` as one tensor for each of the network's."""
        cuts = np.cumsum([tensor.numel() for tensor in self._parameters])[:-1]
        parts = zip(np.split(vector, cuts), self._parameters, strict=True)
        return [torch.empty_like(t).copy_(torch.from_numpy(part.copy()).view(t.shape)) for part, t in parts]


def _groups(model: Classifier, settings: TrainingSettings) -> list[dict[str, object]]:
    """Decay matrices and kernels, leave gains and biases alone."""
    matrices = [tensor for tensor in model.parameters() if tensor.ndim >= 2]
    others = [tensor for tensor in model.parameters() if tensor.ndim < 2]
    return [
        {"params": matrices, "weight_decay": settings.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]


def _joined(tensors: list[Tensor]) -> NDArray[np.float32]:
    return np.concatenate([tensor.detach().cpu().numpy().reshape(-1) for tensor in tensors])


def _state(data: bytes) -> Tensor:
    return torch.frombuffer(bytearray(data), dtype=torch.uint8)
