"""Sections of the parameters: each is summed over a partition of the members of its own.

Sums of overlapping groups tell members apart far sooner than disjoint ones do, but their differences show fewer than
`min_group` updates. So the parameters are cut into sections, whole ciphertexts each, and every section's members are drawn into
disjoint groups anew: a member is in other company in each section, and yet no coordinate of its update is ever in two opened
sums. What is opened is as much as with one section.

A round's groups stand in one list, section by section, as many in each.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

T = TypeVar("T")


@dataclass(frozen=True)
class Section:
    """One section: which of an update's ciphertext chunks, and which of its values."""

    chunks: slice
    values: slice


def cut(size: int, values_per_chunk: int, wanted: int) -> tuple[Section, ...]:
    """The sections of an update: consecutive chunks, as many in each as can be, fewer sections than wanted where chunks are fewer.

    Args:
        size: Number of an update's values D, at least 1.
        values_per_chunk: The parameter set's.
        wanted: The plan's number of sections K, at least 1.

    Returns:
        min(K, chunks) sections; number s holds the chunks from ⌊s·chunks/K⌋ on, before ⌊(s+1)·chunks/K⌋.
    """
    chunks = -(-size // values_per_chunk)
    count = min(wanted, chunks)
    ends = [number * chunks // count for number in range(count + 1)]
    return tuple(
        Section(slice(first, last), slice(first * values_per_chunk, min(size, last * values_per_chunk)))
        for first, last in pairwise(ends)
    )


def parts(items: Sequence[T], count: int) -> tuple[tuple[T, ...], ...]:
    """What is told of a round's groups, by section: ``count`` tuples of equal length.

    Raises:
        ValueError: That many do not fit into the number of items.
    """
    each, rest = divmod(len(items), count)
    if rest:
        raise ValueError(f"{len(items)} groups are not as many in each of {count} sections")
    return tuple(tuple(items[number * each : (number + 1) * each]) for number in range(count))


def count_of(groups: Iterable[Iterable[int]]) -> int:
    """How many sections groups are of: in each, a member is at most once, and at least one member is in all of them."""
    return max(Counter(position for group in groups for position in group).values(), default=1)
