"""Data sets as folders of images: ``ROOT/CLASS/file``, one folder per class.

Pictures (png, jpg), DICOM files (``.dcm``; files without a suffix that begin as DICOM does) and NIfTI volumes (``.nii``,
``.nii.gz``) may stand side by side; a multi-frame file or a volume gives many slices. Which files belong to one patient is taken from
``ROOT/patients.csv`` (columns ``file``, the path below ROOT, and ``patient``) where it exists, else from the DICOM file itself, else from the
file name up to its first ``_``. Colours become grey (BT.601), 16-bit grey is scaled to 8 bits, and every slice is resized to 128x128
pixels without keeping its aspect, as in the npz sets.
"""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, UnidentifiedImageError

from node.images.errors import NoLabels, TooFewImages, UnreadableData, Unusable
from node.images.record import MAX_CLASSES, Dataset
from node.images.slices import SIDE, Refused, Slices, grey_square, verify_pixels

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from node.images.windows import Window

__all__ = ["SIDE", "read_file", "read_folder"]

MAX_SLICES = 200_000
"""Slices of one set: 3 GB."""

_PICTURES = frozenset({".png", ".jpg", ".jpeg"})
_DICOM_MARK = b"DICM"
_DICOM_PREAMBLE = 128


def read_folder(root: Path, *, window: Window | None = None, skip: Callable[[Refused], None] | None = None) -> Dataset:
    """Every image below ``root`` as one set; classes are the folders' names in alphabetical order.

    Args:
        root: the folder.
        window: grey-value window of DICOM and NIfTI files; by default the lung window in CT.
        skip: told of every file that cannot be used, which is then left out. Without it such files refuse the set.

    Raises:
        UnreadableData: files that cannot be used (all are named), or a bad ``patients.csv``.
        NoLabels: fewer than two class folders hold images.
        TooFewImages: a class folder holds no usable image, or there are too many for one machine's memory.
    """
    classes = sorted(each for each in root.iterdir() if each.is_dir() and not each.name.startswith("."))
    if not 2 <= len(classes) <= MAX_CLASSES:
        raise NoLabels(
            f"{root}: has {len(classes)} sub-folders, expected one folder of images for each of 2 to {MAX_CLASSES} classes"
        )
    files = [(index, file) for index, folder in enumerate(classes) for file in _files(folder)]
    read, refused = _read_all(root, files, window)
    if refused and skip is None:
        _refuse(root, refused)
    for each in refused:
        if skip is not None:
            skip(each)
    for index, folder in enumerate(classes):
        if not any(of == index for of, _, _ in read):
            raise TooFewImages(f"{folder}: no file of this class can be used; repair them or remove the folder")
    patients = _patients(root, [(file, slices.patient) for _, file, slices in read])
    counts = [len(slices.images) for _, _, slices in read]
    return Dataset(
        images=np.concatenate([slices.images for _, _, slices in read]),
        labels=np.repeat(np.array([index for index, _, _ in read], dtype=np.int64), counts),
        patients=np.repeat(np.array(patients), counts),
        class_names=tuple(folder.name for folder in classes),
        name=root.name or str(root),
        synthetic=False,
    )


def _files(folder: Path) -> list[Path]:
    found = sorted(file for file in folder.iterdir() if _kind(file) is not None)
    if not found:
        raise TooFewImages(
            f"{folder}: holds no png, jpg, DICOM or NIfTI file; put this class's images there or remove the folder"
        )
    return found


def _kind(file: Path) -> str | None:
    name = file.name.lower()
    if name.startswith(".") or not file.is_file():
        return None
    if file.suffix.lower() in _PICTURES:
        return "picture"
    if name.endswith((".nii", ".nii.gz")):
        return "nifti"
    return "dicom" if name.endswith(".dcm") or (not file.suffix and _begins_as_dicom(file)) else None


def _begins_as_dicom(file: Path) -> bool:
    try:
        with file.open("rb") as opened:
            return opened.read(_DICOM_PREAMBLE + len(_DICOM_MARK))[_DICOM_PREAMBLE:] == _DICOM_MARK
    except OSError:
        return False


def _read_all(
    root: Path, files: list[tuple[int, Path]], window: Window | None
) -> tuple[list[tuple[int, Path, Slices]], list[Refused]]:
    read: list[tuple[int, Path, Slices]] = []
    refused: list[Refused] = []
    total = 0
    for index, file in files:
        try:
            slices = read_file(file, window)
        except Unusable as error:
            refused.append(Refused(file, str(error)))
            continue
        total += len(slices.images)
        if total > MAX_SLICES:
            raise TooFewImages(f"{root}: more than {MAX_SLICES} slices, which one set cannot hold; split the folder")
        read.append((index, file, slices))
    return read, refused


def read_file(file: Path, window: Window | None = None) -> Slices:
    """The slices of one picture, DICOM file or NIfTI volume.

    Raises:
        Unusable: none of these, or damaged.
    """
    kind = _kind(file)
    if kind == "dicom":
        from node.images.dicom import read_dicom  # pydicom and nibabel stay out of nodes whose data are arrays

        return read_dicom(file, window)
    if kind == "nifti":
        from node.images.nifti import read_nifti

        return read_nifti(file, window)
    try:
        return Slices(_decode(file)[None], None)
    except (OSError, ValueError, UnidentifiedImageError, SyntaxError, Image.DecompressionBombError) as error:
        raise Unusable(str(error)) from None


def _refuse(root: Path, refused: list[Refused]) -> None:
    bad = [f"{each.file.relative_to(root)} ({each.reason})" for each in refused]
    more = f" and {len(bad) - 5} more" if len(bad) > 5 else ""
    raise UnreadableData(
        f"{root}: cannot use {'; '.join(bad[:5])}{more}; repair or remove them, or choose to leave bad files out"
    )


def _decode(file: Path) -> NDArray[np.uint8]:
    with Image.open(file) as picture:
        verify_pixels(*picture.size)
        return grey_square(picture)


def _patients(root: Path, files: list[tuple[Path, str | None]]) -> list[str]:
    """Whose each file is; the second of a pair is what the file itself says."""
    table = root / "patients.csv"
    if not table.is_file():
        return [named or file.name.split(".", 1)[0].split("_", 1)[0] or file.name for file, named in files]
    known = _patient_table(table)
    missing = [name for file, _ in files if (name := file.relative_to(root).as_posix()) not in known]
    if missing:
        raise UnreadableData(f"{table}: names no patient for {missing[0]} and {len(missing) - 1} more; add their rows")
    return [known[file.relative_to(root).as_posix()] for file, _ in files]


def _patient_table(table: Path) -> dict[str, str]:
    try:
        with table.open(newline="", encoding="utf-8-sig") as file:
            rows = csv.DictReader(file)
            if not {"file", "patient"}.issubset(rows.fieldnames or ()):
                raise UnreadableData(f"{table}: needs the columns file and patient, found {rows.fieldnames}")
            known = {row["file"].strip(): row["patient"].strip() for row in rows if row["file"] and row["patient"]}
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UnreadableData(f"{table}: not a readable CSV file ({error})") from error
    return known
