"""A question about an image, as the API asks it. No torch here."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Question:
    """What somebody wants to know; the image is never shown in a log."""

    model: bytes
    """Hash of the model, 32 bytes."""
    architecture: str
    """The registry's name of its network."""
    classes: tuple[str, ...]
    """Their names, in label order."""
    image_size: int
    """Pixels a side the model was trained on."""
    image: bytes = field(repr=False)
    """The file as it was sent."""
    vector: Callable[[], NDArray[np.float32]] = field(repr=False)
    """Opens the model's parameters ``[D]``; called only where the process does not hold them."""
    crop_lungs: str = ""
    """Name (sha2-256, hex) of the lung network by which the plan crops slices; empty: they are as they are."""
    window: str = ""
    """Grey-value window; empty: the file's kind decides."""
    target: int | None = None
    """Class whose saliency is drawn; None: the likeliest."""
    saliency: bool = True
    """Whether to draw where the model looked."""
