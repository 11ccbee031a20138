"""A consortium's first plan: the defaults of `Plan`, and the classes of a hospital's images."""

from __future__ import annotations

from typing import TYPE_CHECKING

from node.images.archive import load_saved
from node.rounds.plan import Plan

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


def classes_of(path: Path) -> tuple[str, ...]:
    """The class names of a hospital's images, in label order.

    Args:
        path: What `medweave data` wrote, `data/train.npz` by default.

    Raises:
        DataError: It cannot be read.
    """
    return load_saved(path).class_names


def first_plan(classes: Iterable[str], **changes: object) -> Plan:
    """A plan for a consortium's first rounds.

    Args:
        classes: Class names, in label order; those of every hospital's images.
        changes: Fields of `Plan` that are to differ from its defaults.

    Raises:
        BadPlan: A field is out of range.
    """
    return Plan.of({"classes": tuple(classes), **changes})
