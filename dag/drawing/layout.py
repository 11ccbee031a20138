"""Where each transaction stands: one lane a hospital, the past on the left.

A transaction stands right of everything it approves and right of its issuer's earlier ones, so no two share a place and
every edge points left.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from dag.drawing.region import Region

RADIUS: Final = 8
"""Largest half extent of a dot, in pixels."""
GUTTER: Final = 176
"""Room for the lanes' names, in pixels."""
TOP: Final = 72
LEGEND_ROW: Final = 24
MARGIN: Final = 24
_MIN_WIDTH: Final = 760
_STEPS: Final = ((40, 46), (90, 34))  # columns up to …: pixels between columns
_SMALLEST_STEP: Final = 24
_LANE: Final = 46
_NARROW_LANE: Final = 30
_MANY_LANES: Final = 16


@dataclass(frozen=True)
class Layout:
    """Places of a region's dots, in pixels.

    Attributes:
        places: centre of each dot, by id.
        lanes: vertical centre of each lane, by issuer index.
        step: distance of two columns.
        width: of the picture.
        bottom: lower edge of the lanes; the legend starts here.
    """

    places: dict[bytes, tuple[int, int]]
    lanes: dict[int, int]
    step: int
    width: int
    bottom: int


def place(region: Region) -> Layout:
    """The layout of a region; the same for the same region."""
    height = _LANE if len(region.lanes) <= _MANY_LANES else _NARROW_LANE
    lanes = {lane: TOP + height // 2 + height * row for row, (lane, _) in enumerate(region.lanes)}
    columns = _columns(region)
    count = 1 + max(columns.values(), default=0)
    step = next((pixels for most, pixels in _STEPS if count <= most), _SMALLEST_STEP)
    places = {dot.id: (GUTTER + step // 2 + step * columns[dot.id], lanes[dot.lane]) for dot in region.dots}
    width = max(_MIN_WIDTH, GUTTER + step * count + MARGIN)
    return Layout(places, lanes, step, width, TOP + height * len(region.lanes))


def _columns(region: Region) -> dict[bytes, int]:
    columns: dict[bytes, int] = {}
    last: dict[int, int] = {}
    for dot in region.dots:
        above = max((columns[parent] for parent in dot.parents), default=-1)
        column = max(above, last.get(dot.lane, -1)) + 1
        columns[dot.id] = last[dot.lane] = column
    return columns
