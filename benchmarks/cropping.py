"""Whether cutting slices to the lungs helps a classifier: the same network trained with and without, on drawn slices.

    python -m benchmarks.cropping [--lungs FILE] [--epochs E] [--slices N] [--threads T] [--json F] [--repeats N]

It learns from slices of one machine and is asked about others of that machine, of two it never saw, and of one of these seen in a
larger field of view (the body takes 65 % of the side, air around it), where cropping should matter most. The network that
finds lungs is FILE's (`medweave lungs`), or one learnt from 96 phantoms first, which takes minutes; it knows none of the machines. SYNTHETIC:
no masks of real slices are at hand. A repeat is a seed.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
import torch
from PIL import Image

from benchmarks import harness
from benchmarks.harness import Result, Row
from node.images.organs import drawn_organs
from node.images.phantom import CLASS_NAMES, LUNG, generate
from node.learning.errors import LearningError
from node.learning.layouts import initial
from node.learning.metrics import evaluate
from node.learning.segmentation.file import digest_of
from node.learning.segmentation.lungs import Lungs, learn
from node.learning.segmentation.masks import MaskSettings
from node.learning.settings import TrainingSettings
from node.learning.training import train

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping, Sequence

    from node.images.record import Dataset

SIDE: Final = 128
"""Pixels of a stored slice; the network sees 64."""
SCANNER, UNSEEN, ANOTHER = 5, 9, 11
"""The machine that is learnt from and two others; a network that finds lungs learns from 0 to 3."""
ASKED: Final = 200
"""Slices of each test."""
SHARE: Final = 0.65
"""Of the side, what is left to the body in the larger field of view."""
WIDE: Final = f"scanner {UNSEEN}, a larger field of view"
TABLE: Final = "test AUC, mean over seeds (SYNTHETIC)"
ARCHITECTURE: Final = "capsnet"
NOTE: Final = "Drawn phantoms, SYNTHETIC: they say nothing of real slices. plain: as they are; left: slices whose lungs were not found."


def questions() -> dict[str, Dataset]:
    """What is asked, by name."""
    unseen = generate(ASKED, SIDE, 12, UNSEEN)
    return {
        f"scanner {SCANNER}, learnt from": generate(ASKED, SIDE, 12, SCANNER),
        f"scanner {UNSEEN}, never seen": unseen,
        f"scanner {ANOTHER}, never seen": generate(ASKED, SIDE, 12, ANOTHER),
        WIDE: widened(unseen, SHARE),
    }


def widened(dataset: Dataset, share: float) -> Dataset:
    """The slices in a larger field of view: the old one takes ``share`` of the side, with the upper rows' grey around it."""
    side = dataset.images.shape[1]
    inner = round(side * share)
    start = (side - inner) // 2
    images = np.empty_like(dataset.images)
    for number, image in enumerate(dataset.images):
        images[number] = np.median(image[:2])
        small = Image.fromarray(image).resize((inner, inner), Image.Resampling.BOX)
        images[number, start : start + inner, start : start + inner] = np.asarray(small)
    return replace(dataset, images=images)


def learnt() -> Lungs:
    """A network that finds lungs, from few phantoms."""
    settings = MaskSettings(epochs=12, batch_size=8, learning_rate=5e-3, augment=True)
    content = learn(drawn_organs(96, 64, 0), settings, (LUNG,), 64, 0.1).content
    return Lungs(content, digest_of(content.to_bytes()))


def areas(train_set: Dataset, asked: Mapping[str, Dataset], epochs: int, seed: int) -> dict[str, float | None]:
    """AUC of each test of a network trained on ``train_set``."""
    settings = TrainingSettings(architecture=ARCHITECTURE, epochs=epochs, seed=seed)
    vector = train(initial(ARCHITECTURE, len(CLASS_NAMES), seed), train_set, settings).vector
    return {name: evaluate(vector, test, settings).auc for name, test in asked.items()}


def result(
    plain: Sequence[Mapping[str, float | None]], cropped: Sequence[Mapping[str, float | None]], left: Mapping[str, int]
) -> Result:
    """Rows of the areas by test, one mapping a seed, and of how many slices were left as they were."""
    rows = []
    for name, count in left.items():
        pairs = {"plain": plain, "cropped": cropped}
        figures: dict[str, harness.Figure] = {}
        for arm, found in pairs.items():
            values = [value for each in found if (value := each[name]) is not None]
            figures[arm] = float(np.mean(values))
            figures |= {f"{arm} min": min(values), f"{arm} max": max(values)}
        rows.append(Row(TABLE, name, {**figures, "left": count}))
    return Result(tuple(rows), (), (NOTE,))


def measure(options: argparse.Namespace) -> Result:
    """Both arms, seed by seed."""
    torch.set_num_threads(options.threads)
    lungs = Lungs.read(options.lungs) if options.lungs else learnt()
    train_set, asked = generate(options.slices, SIDE, 11, SCANNER), questions()
    prepared = {name: lungs.prepare(test) for name, test in asked.items()}
    crops = {name: test for name, (test, _) in prepared.items()}
    crop_set, _ = lungs.prepare(train_set)
    plain, cropped = [], []
    for seed in range(options.repeats):
        plain.append(areas(train_set, asked, options.epochs, seed))
        cropped.append(areas(crop_set, crops, options.epochs, seed))
        print(f"seed {seed}: {plain[-1]} as they are, {cropped[-1]} cropped", file=sys.stderr, flush=True)
    return result(plain, cropped, {name: count for name, (_, count) in prepared.items()})


def main(arguments: list[str] | None = None) -> int:
    """Print the table; see the module's docstring."""
    parser = harness.parser(__doc__ or "", repeats=2)
    parser.add_argument("--lungs", type=Path, metavar="FILE", help="a network that finds lungs; default: learn one")
    parser.add_argument("--epochs", type=int, default=20, metavar="E", help="of the classifier, default 20")
    parser.add_argument("--slices", type=int, default=256, metavar="N", help="learnt from, default 256")
    parser.add_argument("--threads", type=int, default=1, metavar="T", help="default 1")
    options = parser.parse_args(arguments)
    try:
        return harness.run(partial(measure, options), options.json)
    except LearningError as error:
        print(f"error: {error}", file=sys.stderr)
        return harness.NOT_MEASURED


if __name__ == "__main__":
    sys.exit(main())
