"""A large region made small enough to look at.

Acknowledgements go first: they are most of a ledger and say least. If that is not enough, shares and verdicts follow, and
then all but the deepest transactions. What is left out is counted, and edges that led through it lead to the nearest drawn
ancestors instead.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from dag.bodies import Kind

if TYPE_CHECKING:
    from dag.drawing.region import Dot, Region

MAX_DOTS: Final = 400
"""More than this nobody follows by eye, and a picture of them is wider than any screen."""

_STAGES: Final = (
    frozenset((Kind.ACKNOWLEDGEMENT,)),
    frozenset((Kind.ACKNOWLEDGEMENT, Kind.SHARE, Kind.VERDICT)),
)
_EDGES: Final = 2  # as many as a transaction has parents


def thin(region: Region, most: int = MAX_DOTS) -> Region:
    """The region with at most `most` transactions.

    Args:
        region: what is to be drawn.
        most: how many transactions may remain, ≥ 1.
    """
    if len(region.dots) <= most:
        return region
    kept = region.dots
    for dropped in _STAGES:
        kept = tuple(dot for dot in region.dots if dot.kind not in dropped)
        if len(kept) <= most:
            break
    kept = kept[-most:]
    gone = Counter(dot.kind for dot in region.dots) - Counter(dot.kind for dot in kept)
    left_out = tuple((kind, gone[kind]) for kind in Kind if gone[kind])
    return replace(region, dots=_rejoined(region, {dot.id for dot in kept}), left_out=left_out)


def _rejoined(region: Region, kept: set[bytes]) -> tuple[Dot, ...]:
    """The kept dots, each with its nearest kept ancestors as parents."""
    depths = {dot.id: dot.depth for dot in region.dots}
    nearest: dict[bytes, tuple[bytes, ...]] = {}
    behind: dict[bytes, int] = {}
    dots = []
    for dot in region.dots:  # parents come before children
        above: dict[bytes, None] = {}
        skipped = 0
        for parent in dot.parents:
            if parent in kept:
                above[parent] = None
            else:
                above.update(dict.fromkeys(nearest[parent]))
                skipped += 1 + behind[parent]
        found = tuple(sorted(above, key=lambda tx_id: (-depths[tx_id], tx_id))[:_EDGES])
        if dot.id in kept:
            dots.append(replace(dot, parents=tuple(sorted(found)), skipped=skipped))
        else:
            nearest[dot.id], behind[dot.id] = found, skipped
    return tuple(dots)
