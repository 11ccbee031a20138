"""A network that finds lungs in phantoms, learnt once for all tests and workers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from filelock import FileLock

from node.images.organs import drawn_organs
from node.images.phantom import LUNG
from node.learning.segmentation.file import write_lungs
from node.learning.segmentation.lungs import learn
from node.learning.segmentation.masks import MaskSettings

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def lungs_file(tmp_path_factory: pytest.TempPathFactory, worker: str) -> Path:
    """The network's file; ``worker`` is what the fixture `worker_id` says."""
    base = tmp_path_factory.getbasetemp()
    path = (base if worker == "master" else base.parent) / "lungs.bin"
    with FileLock(f"{path}.lock"):
        if not path.exists():
            torch.set_num_threads(1)
            settings = MaskSettings(epochs=5, learning_rate=5e-3)
            write_lungs(learn(drawn_organs(24, 32, 1), settings, (LUNG,), 32, 0.1).content, path)
    return path
