"""A consortium's first plan: the defaults of `Plan`, the classes of a hospital's images, and how those are prepared."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from node.images.archive import load_saved
from node.rounds.plan import Plan

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


@dataclass(frozen=True)
class Images:
    """What a plan has to fit of a hospital's images."""

    classes: tuple[str, ...]
    """Class names, in label order."""
    cropped: str = ""
    """Name (sha2-256, hex) of the lung network that they are cropped by; empty: they are as they were."""


def images_of(path: Path) -> Images:
    """What a plan has to fit of a hospital's images.

    Args:
        path: What `medweave data` wrote, `data/train.npz` by default.

    Raises:
        DataError: It cannot be read.
    """
    found = load_saved(path)
    return Images(found.class_names, found.cropped)


def first_plan(classes: Iterable[str], **changes: object) -> Plan:
    """A plan for a consortium's first rounds.

    Args:
        classes: Class names, in label order; those of every hospital's images.
        changes: Fields of `Plan` that are to differ from its defaults.

    Raises:
        BadPlan: A field is out of range.
    """
    return Plan.of({"classes": tuple(classes), **changes})
