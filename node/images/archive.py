"""Data sets in ``.npz`` archives.

Three layouts are told apart by the arrays they hold:

    grouped    images, labels, patients, class_names, train_idx, test_idx       one fixed, patient-disjoint split
    MedMNIST   train_images, train_labels, test_images, test_labels [, val_*]   no patients: every image is its own
    saved      images, labels, patients, class_names, name, synthetic [, cropped]   a hospital's own share, see ``save``

An archive is somebody else's bytes: each array's header is read and bounded before numpy allocates for it, and
pickled objects are refused.
"""

from __future__ import annotations

import math
import re
import zipfile
import zlib
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.lib import format as npy

from node.images.errors import DataError, NoLabels, UnreadableData, WrongShape
from node.images.record import MAX_CLASSES, Dataset

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    Arrays = Mapping[str, NDArray[Any]]

MAX_BYTES = 4 * 2**30
"""Largest archive accepted, uncompressed: 4 GiB, about a million slices of 64x64."""

MAX_TEXT = 256
"""Characters in a class name, patient id or data set name."""

_GROUPED = ("images", "labels", "patients", "class_names")
_MEDMNIST = ("train_images", "train_labels", "test_images", "test_labels")
_DAMAGE = (OSError, ValueError, EOFError, RuntimeError, SyntaxError, MemoryError, zipfile.BadZipFile, zlib.error)
"""What zipfile, zlib and numpy raise on bytes that are no archive; NotImplementedError is a RuntimeError."""

_SHA256 = re.compile(r"[0-9a-f]{64}")

_LUMA = np.array([299, 587, 114], dtype=np.uint32)
"""ITU-R BT.601 weights in thousandths, the grey value Pillow's mode ``L`` uses."""


def read_archive(path: Path) -> Dataset | tuple[Dataset, Dataset]:
    """One set (saved layout), or a training and a test set (grouped and MedMNIST layouts).

    Raises:
        UnreadableData: no readable npz, too large, or of no known layout.
        WrongShape, NoLabels, TooFewImages: see :class:`~node.images.record.Dataset`.
    """
    names = array_names(path)
    if names.issuperset(_MEDMNIST):
        wanted = [name for name in (*_MEDMNIST, "val_images", "val_labels") if name in names]
        return _medmnist(path, read_arrays(path, wanted))
    if names.issuperset((*_GROUPED, "train_idx", "test_idx")):
        return _grouped(path, read_arrays(path, (*_GROUPED, "train_idx", "test_idx")))
    if names.issuperset(_GROUPED):
        extra = [name for name in ("name", "synthetic", "cropped") if name in names]
        return _saved(path, read_arrays(path, (*_GROUPED, *extra)))
    raise UnreadableData(
        f"{path}: arrays {sorted(names)[:12]} fit no known layout; expected {', '.join(_GROUPED)} "
        f"(with train_idx and test_idx), or {', '.join(_MEDMNIST)}"
    )


def save(dataset: Dataset, path: Path) -> None:
    """Write ``dataset`` as one compressed npz, replacing ``path`` whole or not at all.

    Raises:
        UnreadableData: the file cannot be written.
    """
    temporary = path.with_name(f".{path.name}.partial")
    prepared: dict[str, Any] = {"cropped": np.array(dataset.cropped)} if dataset.cropped else {}
    try:
        with temporary.open("wb") as file:
            np.savez_compressed(
                file,
                images=dataset.images,
                labels=dataset.labels,
                patients=dataset.patients,
                class_names=np.array(dataset.class_names),
                name=np.array(dataset.name),
                synthetic=np.array(dataset.synthetic),
                **prepared,
            )
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise UnreadableData(f"{path}: cannot be written ({error}); check the folder and free space") from error


def load_saved(path: Path) -> Dataset:
    """The data set that :func:`save` wrote.

    Raises:
        UnreadableData: missing, damaged, or not one saved set.
        WrongShape, NoLabels, TooFewImages: see :class:`~node.images.record.Dataset`.
    """
    found = read_archive(path)
    if isinstance(found, tuple):
        raise UnreadableData(f"{path}: holds a training and a test set, expected one saved share; load it as data")
    return found


def array_names(path: Path) -> frozenset[str]:
    """The names of an npz file's arrays; each has been found to claim no more bytes than the archive gives it.

    Raises:
        UnreadableData: missing, damaged, too large, or an array of pickled objects.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = [info for info in archive.infolist() if info.filename.endswith(".npy")]
            total = sum(info.file_size for info in members)
            if total > MAX_BYTES:
                raise UnreadableData(f"{path}: unpacks to {total} bytes, at most {MAX_BYTES} are read; split the file")
            for info in members:
                _verify_member(path, archive, info)
    except FileNotFoundError as error:
        raise UnreadableData(f"{path}: no such file; check the path given as data") from error
    except _DAMAGE as error:
        raise UnreadableData(f"{path}: not a readable npz archive ({error}); export it with numpy.savez") from error
    return frozenset(info.filename.removesuffix(".npy") for info in members)


def _verify_member(path: Path, archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> None:
    with archive.open(info) as stream:
        version = npy.read_magic(stream)
        read_header = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        shape, _, dtype = read_header(stream)
        payload = info.file_size - stream.tell()
    if dtype.hasobject:
        raise UnreadableData(f"{path}: array {info.filename} holds pickled objects; store plain numbers and text")
    if math.prod(shape) * dtype.itemsize != payload:
        raise UnreadableData(
            f"{path}: array {info.filename} claims {dtype} {list(shape)} but holds {payload} bytes; the file is damaged"
        )


def read_arrays(path: Path, names: Iterable[str]) -> Arrays:
    """These arrays of an npz file whose headers :func:`array_names` found good.

    Raises:
        UnreadableData: damaged.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            return {name: archive[name] for name in names}
    except _DAMAGE as error:
        raise UnreadableData(f"{path}: damaged npz archive ({error}); fetch the file again") from error


def _grouped(path: Path, arrays: Arrays) -> tuple[Dataset, Dataset]:
    whole = _dataset(path, arrays, path.stem)
    train = _indices(path, "train_idx", arrays, len(whole))
    test = _indices(path, "test_idx", arrays, len(whole))
    shared = np.intersect1d(whole.patients[train], whole.patients[test])
    if shared.size:
        raise WrongShape(f"{path}: patient {shared[0]!s} is in both train_idx and test_idx; split by patient")
    return whole.take(train, f"{path.stem} train"), whole.take(test, f"{path.stem} test")


def _saved(path: Path, arrays: Arrays) -> Dataset:
    name = _word(path, "name", arrays["name"]) if "name" in arrays else path.stem
    synthetic = "synthetic" in arrays and bool(arrays["synthetic"].any())
    cropped = _word(path, "cropped", arrays["cropped"]) if "cropped" in arrays else ""
    if cropped and not _SHA256.fullmatch(cropped):
        raise WrongShape(
            f"{path}: cropped must be the 64 hex digits of a lung network's sha2-256, got {cropped[:80]!r}"
        )
    return _dataset(path, arrays, name, synthetic=synthetic, cropped=cropped)


def _medmnist(path: Path, arrays: Arrays) -> tuple[Dataset, Dataset]:
    train = [_medmnist_part(path, arrays, part) for part in ("train", "val") if f"{part}_images" in arrays]
    test_images, test_labels = _medmnist_part(path, arrays, "test")
    images = np.concatenate([part[0] for part in train]) if len({p[0].shape[1:] for p in train}) == 1 else None
    if images is None or images.shape[1:] != test_images.shape[1:]:
        raise WrongShape(f"{path}: train, val and test images differ in size; all must be equal")
    labels = np.concatenate([part[1] for part in train])
    if not labels.size or labels.min() < 0 or labels.max() >= MAX_CLASSES:
        raise NoLabels(f"{path}: labels must be 0 to {MAX_CLASSES - 1}, one per image")
    class_names = tuple(f"class {index}" for index in range(int(labels.max()) + 1))
    return (
        _unique_patients(images, labels, class_names, f"{path.stem} train"),
        _unique_patients(test_images, test_labels, class_names, f"{path.stem} test"),
    )


def _medmnist_part(path: Path, arrays: Arrays, part: str) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    images, labels = arrays[f"{part}_images"], arrays.get(f"{part}_labels")
    if images.dtype != np.uint8 or images.ndim not in {3, 4} or (images.ndim == 4 and images.shape[3] != 3):
        raise WrongShape(
            f"{path}: {part}_images must be uint8 [n, H, W] or [n, H, W, 3], got {images.dtype} {list(images.shape)}"
        )
    if labels is None or labels.dtype.kind not in "iu" or labels.size != images.shape[0]:
        raise NoLabels(f"{path}: {part}_labels must hold one whole number per image (several labels are not supported)")
    grey = images if images.ndim == 3 else ((images.astype(np.uint32) @ _LUMA + 500) // 1000).astype(np.uint8)
    return grey, labels.reshape(-1).astype(np.int64)


def _unique_patients(
    images: NDArray[np.uint8], labels: NDArray[np.int64], class_names: tuple[str, ...], name: str
) -> Dataset:
    """MedMNIST tells no patients apart, so each image counts as its own: two of one person may be split."""
    patients = np.array([f"{name} {index}" for index in range(len(labels))])
    return Dataset(images, labels, patients, class_names, name, synthetic=False)


def _dataset(path: Path, arrays: Arrays, name: str, *, synthetic: bool = False, cropped: str = "") -> Dataset:
    labels, patients = arrays["labels"], arrays["patients"]
    if labels.dtype.kind not in "iu":
        raise NoLabels(f"{path}: labels must be whole numbers, got {labels.dtype}")
    try:
        return Dataset(
            images=cast("NDArray[np.uint8]", arrays["images"]),
            labels=labels.astype(np.int64),
            patients=cast("NDArray[np.str_]", patients),
            class_names=text_of(path, "class_names", arrays["class_names"]),
            name=name,
            synthetic=synthetic,
            cropped=cropped,
        )
    except DataError as error:
        raise type(error)(f"{path}: {error}") from error


def _indices(path: Path, field: str, arrays: Arrays, n: int) -> NDArray[np.int64]:
    found = arrays[field]
    if found.ndim != 1 or found.dtype.kind not in "iu" or not found.size:
        raise WrongShape(f"{path}: {field} must be a list of image numbers, got {found.dtype} {list(found.shape)}")
    if int(found.min()) < 0 or int(found.max()) >= n or np.unique(found).size != found.size:
        raise WrongShape(f"{path}: {field} must name distinct images from 0 to {n - 1}")
    return found.astype(np.int64)


def _word(path: Path, field: str, array: NDArray[Any]) -> str:
    values = text_of(path, field, array)
    if len(values) != 1:
        raise WrongShape(f"{path}: {field} must be one text, got {len(values)}")
    return values[0]


def text_of(path: Path, field: str, array: NDArray[Any]) -> tuple[str, ...]:
    """An array's texts, of 1 to 256 characters each; of more than 65 the first 65.

    Raises:
        WrongShape: it holds no text, or one out of those bounds.
    """
    values = tuple(str(value) for value in array.reshape(-1)[: MAX_CLASSES + 1])
    if array.dtype.kind != "U" or any(not 1 <= len(value) <= MAX_TEXT for value in values):
        raise WrongShape(f"{path}: {field} must be text of 1 to {MAX_TEXT} characters, got {array.dtype}")
    return values
