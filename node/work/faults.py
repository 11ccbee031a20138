"""Errors across the process boundary: those of ours arrive as what they were, everything else as a `WorkProblem`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from node import errors
from node.errors import MedweaveError, WorkerLost, WorkProblem
from node.images.errors import DataError
from node.learning.errors import LearningError

if TYPE_CHECKING:
    from collections.abc import Iterator

CANCELLED: Final = "cancelled"
MEMORY: Final = "memory"
NO_MODEL: Final = "no model"
"""The process holds another model than it is asked; send it."""

_NO_MEMORY: Final = ("out of memory", "can't allocate memory", "not enough memory")
"""What torch says where Python would raise MemoryError."""


def described(error: BaseException) -> tuple[str, str]:
    """Name and message of an error, as they travel."""
    words = str(error)
    if isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and any(w in words for w in _NO_MEMORY)):
        return MEMORY, words[:500]
    name = type(error).__name__
    return name, (words if name in _CARRIED else f"{name}: {words}")[:10_000]


def is_ours(name: str) -> bool:
    """Whether an error that travels under this name is an expected one."""
    return name in _CARRIED or name == MEMORY


def raised(name: str, message: str) -> Exception:
    """The error to raise for one that arrived."""
    if name == MEMORY:
        return WorkerLost(f"the worker process ran out of memory ({message}): smaller batches or images need less")
    kind = _CARRIED.get(name)
    return kind(message) if kind else WorkProblem(f"the worker process failed: {message}")


def _ours(root: type[Exception]) -> Iterator[type[Exception]]:
    yield root
    for each in root.__subclasses__():
        yield from _ours(each)


_CARRIED: Final[dict[str, type[Exception]]] = {
    kind.__name__: kind
    for root in (MedweaveError, LearningError, DataError)
    for kind in _ours(root)
    if kind.__module__ in {errors.__name__, DataError.__module__, LearningError.__module__}
}
