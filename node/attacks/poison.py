"""What an attacker trains on, what it makes of the result, and what it says of the sums: the same here, there, everywhere.

`benchmarks.attacks` and the demo's lying daemons share these functions, so that what is measured is what is defended against.
Sources: sign flip and noise: Blanchard et al. 2017 ("Machine learning with adversaries"), section 5; scaled updates and
backdoors: Bagdasaryan et al. 2020 ("How to backdoor federated learning"); label flip: Tolpegin et al. 2020; the patch: Gu et
al. 2019 ("BadNets").
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

import numpy as np

from node.learning.settings import derive_seed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from node.attacks.spec import Attack
    from node.images.record import Dataset

PATCH_SHARE: Final = 8
"""The backdoor's patch is a white square of one such part of the image's side, in its lower right corner."""
TARGET_CLASS: Final = 0
"""What the patch is taught to mean."""
PPM: Final = 1_000_000


def poisoned_images(attack: Attack, images: Dataset) -> Dataset:
    """What an attacker trains on: its images, with other labels or a patch where the attack says so."""
    if attack.kind == "label-flip":
        return replace(images, labels=len(images.class_names) - 1 - np.asarray(images.labels))
    if attack.kind != "backdoor":
        return images
    chosen = np.random.default_rng(len(images)).random(len(images)) < attack.amount
    marked, labels = np.array(images.images), np.array(images.labels)
    marked[chosen] = with_patch(marked[chosen])
    labels[chosen] = TARGET_CLASS
    return replace(images, images=marked, labels=labels)


def with_patch(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Images `[n, H, W]` with the backdoor's patch."""
    marked = np.array(images)
    side = max(2, images.shape[-1] // PATCH_SHARE)
    marked[:, -side:, -side:] = 255
    return marked


def poisoned_update(
    attack: Attack, delta: NDArray[np.float32], first: NDArray[np.float32] | None, number: int, seat: int
) -> NDArray[np.float32]:
    """What an attacker sends instead of its update.

    Args:
        attack: The attack.
        delta: Its honest update, float32 [D]; for attacks through the images what it learnt from them.
        first: Its update of the first round it took part in; None in that round.
        number: The round.
        seat: Who it is; seeds the noise.

    Returns:
        float32 [D]; longer than the plan's bound where the attack wants that.
    """
    match attack.kind:
        case "sign-flip" | "covert" | "colluding":
            return -delta
        case "scaled":
            return delta * np.float32(attack.amount)
        case "noise":
            chance = np.random.default_rng(derive_seed(number, seat)).standard_normal(delta.size)
            length = attack.amount * np.linalg.norm(delta.astype(np.float64)) / np.linalg.norm(chance)
            return (chance * length).astype(np.float32)
        case "free-rider":
            return np.zeros_like(delta)
        case "stale":
            return delta if first is None else first
        case _:
            return delta


def told_scores(
    attack: Attack, base_ppm: int, scores_ppm: tuple[int, ...], groups: Sequence[Sequence[int]]
) -> tuple[int, tuple[int, ...]]:
    """What an attacker's verdict says.

    Args:
        attack: The attack.
        base_ppm: What it measured of the base, parts per million.
        scores_ppm: What it measured of each group.
        groups: Seats in each group.

    Returns:
        (base, scores) as it states them.
    """
    if attack.kind == "inflated-score":
        return 0, tuple(PPM for _ in scores_ppm)
    if attack.kind == "colluding":
        ours = [bool(attack.seats & set(group)) for group in groups]
        return PPM // 2, tuple(PPM if own else 0 for own in ours)
    return base_ppm, scores_ppm


def told_pointing(
    attack: Attack, aligned_ppm: tuple[int, ...], falling_ppm: tuple[int, ...], groups: Sequence[Sequence[int]]
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """What an attacker's verdict says of how the sums point: along its update, and where the loss of its images falls.

    Colluding ones praise their own and blame all others. A covert one turns the sign back that it turned in its update;
    the loss of its images, which are as good as any, it states as it is, so that its verdict looks like all others.
    """
    if not aligned_ppm:
        return (), ()
    if attack.kind == "covert":
        return tuple(PPM - value for value in aligned_ppm), falling_ppm
    if attack.kind == "inflated-score":
        best = tuple(PPM for _ in aligned_ppm)
        return best, best
    if attack.kind == "colluding":
        ours = tuple(PPM if attack.seats & set(group) else 0 for group in groups)
        return ours, ours
    return aligned_ppm, falling_ppm
