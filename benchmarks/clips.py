"""Answers by clip: a clip is called by the mean of its frames' answers, as a reader who watches it would.

Born et al. 2021 ("Accelerating detection of lung pathologies with explainable ultrasound image analysis", Applied Sciences 11, 672)
report both. Which clip a frame is of stands in the archive's array ``videos``; no network sees it.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.errors import NotMeasured
from node.images.archive import array_names, read_arrays

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from node.images.record import Dataset


def clips_in(path: Path) -> Mapping[str, str]:
    """The clip of every frame of an archive, by the SHA-256 of the frame's pixels.

    Raises:
        NotMeasured: the archive does not say, or one picture is in two clips.
        UnreadableData: it cannot be read.
    """
    if "videos" not in array_names(path):
        raise NotMeasured(
            f"{path}: has no array videos, so frames cannot be put together to clips; leave --by-clip out"
        )
    arrays = read_arrays(path, ("images", "videos"))
    found: dict[str, str] = {}
    for image, clip in zip(arrays["images"], arrays["videos"], strict=True):
        if found.setdefault(_name(image), str(clip)) != str(clip):
            raise NotMeasured(
                f"{path}: clips {found[_name(image)]} and {clip} share a frame; remove it from one of them"
            )
    return found


def clips_of(dataset: Dataset, clips: Mapping[str, str]) -> NDArray[np.str_]:
    """The clip of each of a data set's images, ``[n]``."""
    return np.array([clips[_name(image)] for image in dataset.images])


def by_clip(
    answers: NDArray[np.float32], labels: NDArray[np.int64], patients: NDArray[np.str_], clips: NDArray[np.str_]
) -> tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.str_]]:
    """Answers, labels and patients of the clips: of answers the mean over a clip's frames, ``[clips, J]``.

    A clip has one label and one patient: those of its first frame.
    """
    _, first, whose = np.unique(clips, return_index=True, return_inverse=True)
    sums = np.zeros((first.size, answers.shape[1]))
    np.add.at(sums, whose, answers)
    means = sums / np.bincount(whose)[:, None]
    return means.astype(np.float32), labels[first], patients[first]


def _name(image: NDArray[np.uint8]) -> str:
    return hashlib.sha256(np.ascontiguousarray(image).tobytes()).hexdigest()
