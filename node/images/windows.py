"""From what a scanner measured to grey values: Hounsfield units seen through a window.

    I_out = 255 * ((HU - (L - 1/2)) / (W - 1) + 1/2), cut to 0 … 255        (DICOM PS3.3, C.11.2.1.2.1)

Level L and width W differ between scanners and protocols (Kumar et al. 2021, Table 2): choosing the *same* window for all hospitals
makes their slices comparable, taking each file's own keeps what its radiologist saw.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from node.images.errors import BadWindow

if TYPE_CHECKING:
    from numpy.typing import NDArray

MAX_HU: Final = 100_000.0


@dataclass(frozen=True, slots=True)
class Window:
    """A grey-value window.

    Raises:
        BadWindow: level or width is out of its range.
    """

    level: float
    """L, the value shown as middle grey, in Hounsfield units, -100,000 to 100,000."""
    width: float
    """W, the range shown from black to white, in Hounsfield units, more than 1, at most 100,000."""

    def __post_init__(self) -> None:
        if not (-MAX_HU <= self.level <= MAX_HU and 1 < self.width <= MAX_HU):
            raise BadWindow(
                f"window level {self.level}, width {self.width}: expected a level within ±{MAX_HU:.0f} and a width above 1"
            )

    def __str__(self) -> str:
        return f"{self.level:g},{self.width:g}"


LUNG: Final = Window(-600, 1500)
MEDIASTINUM: Final = Window(40, 400)
PRESETS: Final = {"lung": LUNG, "mediastinum": MEDIASTINUM}
"""Windows by name, as radiology uses them."""


def parse_window(text: str) -> Window:
    """A preset's name, or ``LEVEL,WIDTH`` in Hounsfield units.

    Raises:
        BadWindow: neither.
    """
    if text in PRESETS:
        return PRESETS[text]
    level, comma, width = text.partition(",")
    try:
        found = (float(level), float(width)) if comma else None
    except ValueError:
        found = None
    if found is None:
        raise BadWindow(f"window {text!r}: expected {', '.join(PRESETS)} or LEVEL,WIDTH such as -600,1500")
    return Window(*found)


def through(window: Window, values: NDArray[Any]) -> NDArray[np.uint8]:
    """Hounsfield units of any shape as grey values; black below the window, white above."""
    scaled = (values.astype(np.float32) - np.float32(window.level - 0.5)) / np.float32(window.width - 1) + np.float32(
        0.5
    )
    grey: NDArray[np.uint8] = np.rint(np.clip(scaled, 0, 1) * 255).astype(np.uint8)
    return grey


def spread(values: NDArray[Any]) -> NDArray[np.uint8]:
    """Values without a known unit as grey values: the 0.5th percentile black, the 99.5th white; constant images black."""
    low, high = np.percentile(values, (0.5, 99.5))
    scaled = (values.astype(np.float32) - np.float32(low)) / np.float32(max(high - low, 1e-6))
    grey: NDArray[np.uint8] = np.rint(np.clip(scaled, 0, 1) * 255).astype(np.uint8)
    return grey
