"""Searches down the graph by descending place: children before parents, however the graph is shaped."""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from dag.index.graph import Graph


def descending(graph: Graph, starts: Iterable[int], halt: Collection[int]) -> Iterator[int]:
    """The starts and their ancestors, newest first, without `halt` and what only `halt` leads to."""
    heap = [-at for at in starts if at not in halt]
    seen = set(heap)
    heapq.heapify(heap)
    while heap:
        at = -heapq.heappop(heap)
        yield at
        for parent in graph.above(at):
            if -parent not in seen and parent not in halt:
                seen.add(-parent)
                heapq.heappush(heap, -parent)


def beyond(graph: Graph, tips: Collection[int], known: Collection[int]) -> list[int]:
    """Everything that is no ancestor of `known` and not in it, ascending; costs that and the region around the border.

    Args:
        graph: the graph.
        tips: all places that nobody approves.
        known: places.
    """
    theirs = set(known)
    heap = [-at for at in theirs | set(tips)]
    heapq.heapify(heap)
    queued = {-at for at in heap}
    ours_left = sum(at not in theirs for at in queued)
    found: list[int] = []
    while heap and ours_left:
        at = -heapq.heappop(heap)
        shared = at in theirs
        if not shared:
            ours_left -= 1
            found.append(at)
        for parent in graph.above(at):
            if shared and parent not in theirs:
                theirs.add(parent)
                ours_left -= parent in queued
            if parent not in queued:
                queued.add(parent)
                heapq.heappush(heap, -parent)
                ours_left += parent not in theirs
    return found[::-1]
