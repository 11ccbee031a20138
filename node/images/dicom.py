"""DICOM files: CT, X-ray and ultrasound, single and multi-frame.

Stored values become what the scanner measured by the file's modality transform (Hounsfield units in CT, PS3.3 C.11.1), then
grey by a window: the caller's, else the lung window in CT, else the file's own, else by percentiles. Values of padding
become the darkest. Only the patient's identifier is read, and only its digest leaves this module.
"""

from __future__ import annotations

import hashlib
import warnings
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final

import numpy as np
import pydicom
from pydicom.filereader import read_dataset, read_preamble
from pydicom.pixels.processing import apply_modality_lut, apply_voi_lut
from pydicom.uid import DeflatedExplicitVRLittleEndian

from node.images.errors import Unusable
from node.images.slices import MAX_PIXELS, Slices, square, verify_pixels
from node.images.windows import LUNG, Window, spread, through

if TYPE_CHECKING:
    from numpy.typing import NDArray

MAX_FILE_BYTES: Final = 2**30
_CT: Final = "CT"
_NO_VALUE: Final = (None, "")


def read_dicom(file: Path, window: Window | None = None) -> Slices:
    """The frames of one DICOM file, each as one slice.

    Raises:
        Unusable: no DICOM, no picture in it, a compression that this machine cannot decode, or too many pixels.
    """
    try:
        _verify_size(file)
        return frames_of(file, window, MAX_PIXELS)
    except Unusable:
        raise
    except Exception as error:  # noqa: BLE001  (pydicom raises nearly anything on hostile bytes)
        raise Unusable(f"no readable DICOM image: {type(error).__name__}: {error}") from None


def frames_of(source: Path | BinaryIO, window: Window | None, most: int) -> Slices:
    """The frames of a DICOM file or stream, each as one slice.

    Args:
        source: where its bytes are.
        window: grey-value window; see `node.images.windows`.
        most: pixels, over all frames, that are decoded.

    Raises:
        Unusable: no picture in it, too many pixels, or its header is compressed, which may hide any size.
        Exception: nearly anything pydicom raises on hostile bytes; the message may quote the file.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydicom warns about values that break the standard; we check those we use
        with source.open("rb") if isinstance(source, Path) else nullcontext(source) as opened:
            _verify_plain(opened)
            header = pydicom.dcmread(opened)
        values = _measured(header, most)
        return Slices(np.stack([square(f) for f in _grey(header, values, window)]), _pseudonym(header))


def _verify_size(file: Path) -> None:
    size = file.stat().st_size
    if size > MAX_FILE_BYTES:
        raise Unusable(f"{size} bytes, at most {MAX_FILE_BYTES}")


def _verify_plain(opened: BinaryIO) -> None:
    """Demand a header that is not compressed: it is inflated whole when it is read, to any size. Leaves the stream at its start."""
    read_preamble(opened, force=False)
    meta = read_dataset(
        opened, is_implicit_VR=False, is_little_endian=True, stop_when=lambda tag, _vr, _n: tag.group != 2
    )
    if meta.get("TransferSyntaxUID") == DeflatedExplicitVRLittleEndian:
        raise Unusable("a DICOM file whose header is compressed; export it uncompressed")
    opened.seek(0)


def _measured(header: pydicom.Dataset, most: int) -> NDArray[Any]:
    """``[frames, H, W]`` after the modality transform; colours as luma."""
    if "PixelData" not in header:
        raise Unusable("holds no picture (no PixelData): a report or a structure set?")
    frames, height, width = (int(header.get(name) or 1) for name in ("NumberOfFrames", "Rows", "Columns"))
    verify_pixels(width, height, frames, most)
    stored = header.pixel_array
    if header.get("SamplesPerPixel", 1) == 3:
        colours = stored.reshape(frames, height, width, 3).astype(np.float32)
        return colours @ np.array([0.299, 0.587, 0.114], dtype=np.float32)  # ITU-R BT.601
    stored = stored.reshape(frames, height, width)
    measured: NDArray[Any] = np.asarray(apply_modality_lut(stored, header), dtype=np.float32)
    padding = header.get("PixelPaddingValue")
    if padding not in _NO_VALUE and (kept := stored != int(padding)).any():
        measured = np.where(kept, measured, measured[kept].min())
    return measured


def _grey(header: pydicom.Dataset, values: NDArray[Any], window: Window | None) -> NDArray[np.uint8]:
    ct = header.get("Modality") == _CT
    if header.get("SamplesPerPixel", 1) == 3:
        luma: NDArray[np.uint8] = np.rint(np.clip(values, 0, 255)).astype(np.uint8)
        return luma
    if ct or window is not None:
        grey = through(window or LUNG, values)
    elif header.get("WindowCenter") not in _NO_VALUE and header.get("WindowWidth") not in _NO_VALUE:
        grey = spread(apply_voi_lut(values, header))
    else:
        grey = spread(values)
    return 255 - grey if header.get("PhotometricInterpretation") == "MONOCHROME1" else grey


def _pseudonym(header: pydicom.Dataset) -> str | None:
    """A name for splitting by patient that does not show the identifier; not a protection against guessing."""
    for tag in ("PatientID", "StudyInstanceUID"):
        value = str(header.get(tag) or "").strip()
        if value:
            issuer = str(header.get("IssuerOfPatientID") or "")
            return "dicom-" + hashlib.sha256(f"{tag}\0{issuer}\0{value}".encode()).hexdigest()[:16]
    return None
