"""Networks by name. The name is part of a plan and of every model file, so one once used is never given away."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from node.learning.capsnet import inception_capsnet, light_capsnet
from node.learning.cnn import benchmark_cnn, small_cnn
from node.learning.errors import UnknownArchitecture
from node.learning.layouts import MIN_CLASSES
from node.learning.modelfile import MAX_CLASSES
from node.learning.monai_nets import densenet121, resnet50

if TYPE_CHECKING:
    from collections.abc import Callable

    from node.learning.classifier import Classifier

DEFAULT: Final = "capsnet"

_BUILDERS: Final[dict[str, Callable[[int], Classifier]]] = {
    "capsnet": light_capsnet,
    "capsnet-inception": inception_capsnet,
    "cnn": small_cnn,
    "cnn-529k": benchmark_cnn,
    "densenet121": densenet121,
    "resnet50": resnet50,
}


def names() -> tuple[str, ...]:
    """Every network that :func:`build` knows."""
    return tuple(_BUILDERS)


def build(name: str, classes: int) -> Classifier:
    """A network with freshly drawn parameters (torch's global generator; see ``parameters.initial`` for seeded ones).

    Raises:
        UnknownArchitecture: no such name, or a number of classes out of 2 to 64.
        MissingLibrary: densenet121 or resnet50 without MONAI.
    """
    if name not in _BUILDERS:
        raise UnknownArchitecture(f"architecture {name!r} is not known; choose one of {', '.join(_BUILDERS)}")
    if not MIN_CLASSES <= classes <= MAX_CLASSES:
        raise UnknownArchitecture(f"architecture {name}: {classes} classes, expected {MIN_CLASSES} to {MAX_CLASSES}")
    return _BUILDERS[name](classes)
