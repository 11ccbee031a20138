"""One image file as bytes that somebody sent: PNG, JPEG, DICOM or npy, told apart by how they begin.

Decoders are where hostile bytes do harm, so this runs in a process that holds no key (`node.work`). Sizes are read and
bounded before anything is decoded; kinds that can hide any size behind a few bytes (zipped headers, pickles) are refused.
What a file says of its patient is neither kept nor quoted: an error names the kind and what is wrong in our own words.
"""

from __future__ import annotations

import io
import math
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.lib import format as npy
from PIL import Image

from node.images.errors import Unusable
from node.images.slices import grey_square, square, verify_pixels
from node.images.windows import spread, through

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from node.images.windows import Window

MAX_PIXELS: Final = 16_000_000
"""Over all frames of one file."""
MAX_SLICES: Final = 64
"""Frames of one file."""

_PNG: Final = b"\x89PNG\r\n\x1a\n"
_JPEG: Final = b"\xff\xd8\xff"
_NPY: Final = b"\x93NUMPY"
_DICOM: Final = slice(128, 132)


def kind_of(data: bytes) -> str | None:
    """`png`, `jpeg`, `npy`, `dicom`, or None: by the first bytes alone."""
    for kind, mark in (("png", _PNG), ("jpeg", _JPEG), ("npy", _NPY)):
        if data.startswith(mark):
            return kind
    return "dicom" if data[_DICOM] == b"DICM" else None


def read_upload(data: bytes, window: Window | None = None) -> NDArray[np.uint8]:
    """The grey slices ``[k, SIDE, SIDE]`` of one file, 1 to 64 of them.

    Args:
        data: the file's bytes.
        window: grey-value window of DICOM and npy files in Hounsfield units; by default the lung window in CT.

    Raises:
        Unusable: none of these kinds, damaged, or too large.
    """
    kind = kind_of(data)
    if kind is None:
        raise Unusable("neither PNG, JPEG, DICOM nor npy")
    try:
        if kind == "dicom":
            found = _dicom(data, window)
        elif kind == "npy":
            found = _array(data, window)
        else:
            found = _picture(data, kind)
    except Unusable:
        raise
    except Exception as error:  # noqa: BLE001 - decoders raise nearly anything on hostile bytes, and quote them
        raise Unusable(f"no readable {kind} image ({type(error).__name__})") from None
    if len(found) > MAX_SLICES:
        raise Unusable(f"{len(found)} frames, at most {MAX_SLICES}")
    return found


def _picture(data: bytes, kind: str) -> NDArray[np.uint8]:
    with Image.open(io.BytesIO(data), formats=(kind.upper(),)) as picture:
        verify_pixels(*picture.size, most=MAX_PIXELS)
        return grey_square(picture)[None]


def _dicom(data: bytes, window: Window | None) -> NDArray[np.uint8]:
    from node.images.dicom import frames_of  # pydicom stays out of processes that never see such a file

    return frames_of(io.BytesIO(data), window, MAX_PIXELS).images


def _array(data: bytes, window: Window | None) -> NDArray[np.uint8]:
    """Grey values 0 to 255 as they are; other numbers by the window, or spread between their extremes."""
    stream = io.BytesIO(data)
    version = npy.read_magic(stream)
    if version not in {(1, 0), (2, 0)}:
        raise Unusable("an npy file of a newer version; save it again with numpy.save")
    read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    shape, fortran, dtype = read(stream)
    if dtype.kind not in "uif" or dtype.itemsize > 8 or len(shape) not in {2, 3}:
        raise Unusable("an npy file that is no image: expected numbers of the shape [H, W] or [k, H, W]")
    frames, height, width = (1, *shape) if len(shape) == 2 else shape
    verify_pixels(width, height, frames, MAX_PIXELS)
    body = data[stream.tell() :]
    if len(body) != math.prod(shape) * dtype.itemsize:
        raise Unusable(
            f"an npy file of {len(body)} bytes of values, its shape needs {math.prod(shape) * dtype.itemsize}"
        )
    values = np.frombuffer(body, dtype).reshape(shape, order="F" if fortran else "C").reshape(frames, height, width)
    if dtype.kind == "f" and not np.isfinite(values).all():
        raise Unusable("an npy file with values that are no finite numbers")
    if dtype != np.uint8:
        values = through(window, values) if window is not None else spread(values)
    return np.stack([square(np.ascontiguousarray(frame)) for frame in values])
