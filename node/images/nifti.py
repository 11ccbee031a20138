"""NIfTI volumes (``.nii``, ``.nii.gz``): axial slices in Hounsfield units, evenly spaced over the middle of the volume.

The volume is turned to the canonical axes (right, anterior, superior) by its affine; a slice is shown as in radiology, anterior up and
the patient's right on the left. The outermost tenth at either end rarely holds lung and is left out.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Any, Final

import nibabel
import numpy as np
from nibabel.filebasedimages import ImageFileError
from nibabel.orientations import OrientationError
from nibabel.spatialimages import HeaderDataError

from node.images.errors import Unusable
from node.images.slices import Slices, square, verify_pixels
from node.images.windows import LUNG, Window, through

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

MAX_SLICES: Final = 32
"""Slices taken from one volume: neighbours differ too little to be worth more."""

MARGIN: Final = 0.1
"""Share of the volume's height left out at either end."""

_AXES: Final = 3
_DAMAGE: Final = (OSError, ValueError, EOFError, TypeError, KeyError, MemoryError, OverflowError, zlib.error)


def read_nifti(file: Path, window: Window | None = None) -> Slices:
    """At most ``MAX_SLICES`` axial slices of one volume.

    Raises:
        Unusable: no NIfTI, not one volume of three axes, or too many pixels.
    """
    try:
        values = _axial(nibabel.load(file))
    except Unusable:
        raise
    except (*_DAMAGE, ImageFileError, HeaderDataError, OrientationError) as error:
        raise Unusable(f"no readable NIfTI volume: {type(error).__name__}: {error}") from None
    grey = through(window or LUNG, values)
    # Canonical axes are x to the right, y to the front: transposed and turned upside down, the front is on top.
    return Slices(np.stack([square(np.ascontiguousarray(grey[::-1, ::-1, k].T)) for k in range(grey.shape[2])]), None)


def _axial(volume: Any) -> NDArray[Any]:
    """The chosen slices ``[x, y, k]`` along the canonical axes."""
    shape = tuple(int(side) for side in volume.shape)
    if len(shape) == _AXES + 1 and shape[-1] == 1:
        shape = shape[:-1]
    if len(shape) != _AXES:
        raise Unusable(f"has axes {shape}, expected one volume of three")
    verify_pixels(*shape)
    turned: Any = nibabel.as_closest_canonical(volume)  # type: ignore[no-untyped-call]
    values: NDArray[Any] = np.asarray(turned.dataobj).reshape(turned.shape[:_AXES])[:, :, _positions(turned.shape[2])]
    if values.dtype.kind not in "iuf" or not np.isfinite(values).all():
        raise Unusable(f"holds {values.dtype} values, or some that are no finite numbers")
    return values


def _positions(height: int) -> list[int]:
    first, last = round(MARGIN * height), max(round((1 - MARGIN) * height) - 1, round(MARGIN * height))
    count = min(MAX_SLICES, last - first + 1)
    return sorted({round(position) for position in np.linspace(first, last, count)})
