"""Where training computes and with how many bits: the same code on a processor and on a GPU.

``mixed`` runs convolutions and matrix products in 16 bits and keeps parameters, sums and the optimiser in float32
(Micikevicius et al. 2018): bfloat16 where the device has it, else float16 with the loss scaled up so that small
gradients survive. ``auto`` is mixed on a GPU and float32 on a processor, where 16 bits are rarely faster.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, get_args

import torch

from node.learning.errors import BadSettings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

Device = Literal["auto", "cpu", "cuda"]
DEVICES: Final[tuple[str, ...]] = get_args(Device)


def choose_device(wanted: str = "auto") -> torch.device:
    """The device to compute on; ``auto`` is the first GPU that torch can use, else the processor.

    Raises:
        BadSettings: no such device, or ``cuda`` where torch sees no GPU.
    """
    if wanted not in DEVICES:
        raise BadSettings(f"device is {wanted!r}, expected one of {', '.join(DEVICES)}")
    usable = torch.cuda.is_available()
    if wanted == "cuda" and not usable:
        raise BadSettings("device is cuda, but torch finds no GPU here; choose auto or cpu, or install the driver")
    return torch.device("cuda" if usable and wanted != "cpu" else "cpu")


@dataclass(frozen=True, slots=True, eq=False)
class Arithmetic:
    """Bits and loss scaling of one training."""

    device: torch.device
    bits: torch.dtype | None
    """Type of products, None for float32 throughout."""
    scaler: torch.amp.GradScaler
    """Passes losses and gradients through unchanged unless ``bits`` is float16."""

    def products(self) -> AbstractContextManager[Any]:
        """Within it, convolutions and matrix products run in ``bits``."""
        return nullcontext() if self.bits is None else torch.autocast(self.device.type, dtype=self.bits)

    def descend(
        self, loss: Tensor, parameters: Sequence[Tensor], optimiser: torch.optim.Optimizer, max_gradient: float
    ) -> None:
        """One optimiser step along ``loss``'s gradient, cut to L2 norm ``max_gradient``.

        With float16, a step whose scaled gradient overflowed is left out and the next is scaled less.
        """
        optimiser.zero_grad(set_to_none=True)
        self.scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
        self.scaler.unscale_(optimiser)
        torch.nn.utils.clip_grad_norm_(parameters, max_gradient)
        self.scaler.step(optimiser)
        self.scaler.update()


def arithmetic(precision: str, device: torch.device, bits: torch.dtype | None = None) -> Arithmetic:
    """The arithmetic that a plan's ``precision`` (``auto``, ``float32``, ``mixed``) means on ``device``.

    ``bits`` is for ``mixed`` alone and replaces the choice between bfloat16 and float16.
    """
    mixed = precision == "mixed" or (precision == "auto" and device.type == "cuda")
    if mixed and bits is None:
        brain = device.type == "cpu" or torch.cuda.is_bf16_supported()
        bits = torch.bfloat16 if brain else torch.float16
    chosen = bits if mixed else None
    return Arithmetic(device, chosen, torch.amp.GradScaler(device.type, enabled=chosen == torch.float16))
