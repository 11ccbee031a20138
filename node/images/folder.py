"""Data sets as folders of pictures: ``ROOT/CLASS/picture.png``, png or jpg, one folder per class.

Which pictures belong to one patient is taken from ``ROOT/patients.csv`` (columns ``file``, the path below ROOT, and
``patient``) where it exists, else from the file name up to its first ``_``. Colours become grey (BT.601), 16-bit grey
is scaled to 8 bits, and every picture is resized to 128x128 pixels without keeping its aspect, as in the npz sets.
"""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, UnidentifiedImageError

from node.images.errors import NoLabels, TooFewImages, UnreadableData
from node.images.record import MAX_CLASSES, Dataset

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

SIDE = 128
"""Pixels of the stored square; training resizes to the plan's size."""

MAX_PIXELS = 64_000_000
"""A picture with more is refused before it is decoded."""

MAX_PICTURES = 200_000

_SUFFIXES = frozenset({".png", ".jpg", ".jpeg"})
_SIXTEEN_BIT = frozenset({"I", "I;16", "I;16B", "I;16L"})


def read_folder(root: Path) -> Dataset:
    """Every picture below ``root`` as one set; classes are the folders' names in alphabetical order.

    Raises:
        UnreadableData: pictures that cannot be decoded (all are named), or a bad ``patients.csv``.
        NoLabels: fewer than two class folders hold pictures.
        TooFewImages: a class folder is empty, or there are too many pictures for one machine's memory.
    """
    classes = sorted(each for each in root.iterdir() if each.is_dir() and not each.name.startswith("."))
    if not 2 <= len(classes) <= MAX_CLASSES:
        raise NoLabels(
            f"{root}: has {len(classes)} sub-folders, expected one folder of pictures for each of 2 to {MAX_CLASSES} classes"
        )
    files = [(index, file) for index, folder in enumerate(classes) for file in _pictures(folder)]
    if len(files) > MAX_PICTURES:
        raise TooFewImages(f"{root}: {len(files)} pictures, at most {MAX_PICTURES} fit one set; split the folder")
    images = _decode_all(root, [file for _, file in files])
    patients = _patients(root, [file for _, file in files])
    return Dataset(
        images=images,
        labels=np.array([index for index, _ in files], dtype=np.int64),
        patients=np.array(patients),
        class_names=tuple(folder.name for folder in classes),
        name=root.name or str(root),
        synthetic=False,
    )


def _pictures(folder: Path) -> list[Path]:
    found = sorted(file for file in folder.iterdir() if file.suffix.lower() in _SUFFIXES)
    if not found:
        raise TooFewImages(f"{folder}: holds no png or jpg picture; put this class's pictures there or remove it")
    return found


def _decode_all(root: Path, files: list[Path]) -> NDArray[np.uint8]:
    images = np.empty((len(files), SIDE, SIDE), dtype=np.uint8)
    bad: list[str] = []
    for index, file in enumerate(files):
        try:
            images[index] = _decode(file)
        except (OSError, ValueError, UnidentifiedImageError, SyntaxError, Image.DecompressionBombError) as error:
            bad.append(f"{file.relative_to(root)} ({error})")
    if bad:
        more = f" and {len(bad) - 5} more" if len(bad) > 5 else ""
        raise UnreadableData(f"{root}: cannot decode {'; '.join(bad[:5])}{more}; repair or remove them")
    return images


def _decode(file: Path) -> NDArray[np.uint8]:
    with Image.open(file) as picture:
        width, height = picture.size
        if width * height > MAX_PIXELS:
            raise ValueError(f"{width}x{height} pixels, at most {MAX_PIXELS}")
        grey = _eight_bit(picture) if picture.mode in _SIXTEEN_BIT else picture.convert("L")
        return np.asarray(grey.resize((SIDE, SIDE), Image.Resampling.BOX), dtype=np.uint8)


def _eight_bit(picture: Image.Image) -> Image.Image:
    values = np.asarray(picture, dtype=np.int64)
    return Image.fromarray(np.clip(values >> 8, 0, 255).astype(np.uint8))


def _patients(root: Path, files: list[Path]) -> list[str]:
    table = root / "patients.csv"
    if not table.is_file():
        return [file.stem.split("_", 1)[0] or file.stem for file in files]
    known = _patient_table(table)
    missing = [name for file in files if (name := file.relative_to(root).as_posix()) not in known]
    if missing:
        raise UnreadableData(f"{table}: names no patient for {missing[0]} and {len(missing) - 1} more; add their rows")
    return [known[file.relative_to(root).as_posix()] for file in files]


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
