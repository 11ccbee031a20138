"""A run as one SVG picture: curves over virtual time, partitions shaded, the last news dashed. Self-contained, no scripts, no library."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dag.simulator.metrics import Sample
    from dag.simulator.scenario import Scenario

_WIDTH, _HEIGHT, _LEFT, _TOP, _GAP = 860, 150, 70, 70, 52
_MARKS: Final = 4
_STYLE: Final = """
svg { font: 13px system-ui, sans-serif; background: #fff; } text { fill: #1d2733; } .soft { fill: #55616e; }
.frame { fill: none; stroke: #c3ccd5; } .end { stroke: #8794a0; stroke-dasharray: 4 4; } .cut { fill: #f4e3d7; } .curve { fill: none; stroke: #1f6fb2; stroke-width: 1.6; }
@media (prefers-color-scheme: dark) { svg { background: #12181f; } text { fill: #e4eaf0; } .soft { fill: #a3b0bd; }
.frame { stroke: #3a4652; } .cut { fill: #3a2a1e; } .curve { stroke: #4aa3e8; } }
"""


class _Curve(NamedTuple):
    title: str
    field: str


_CURVES: Final = (
    _Curve("tips: transactions that nobody approves yet", "tips"),
    _Curve("transactions attached", "attached"),
    _Curve("share of them confirmed", "confirmed"),
    _Curve("largest difference between two nodes, in transactions", "spread"),
    _Curve("honest nodes that are down", "down"),
)


def draw(scenario: Scenario, samples: Sequence[Sample], title: str) -> str:
    """The picture: five curves above each other.

    Args:
        scenario: for its partitions and length.
        samples: at least one.
        title: what stands above it.
    """
    height = _TOP + len(_CURVES) * (_HEIGHT + _GAP)
    width = _LEFT + _WIDTH + 44
    last = max(scenario.minutes, samples[-1].minute)
    size = f'viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" aria-labelledby="title">',
        f'<title id="title">{escape(title)}</title>',
        f"<style>{_STYLE}</style>",
        f'<text x="{_LEFT}" y="28" font-size="17" font-weight="600">{escape(title)}</text>',
    ]
    for number, curve in enumerate(_CURVES):
        top = _TOP + number * (_HEIGHT + _GAP)
        parts += _panel(scenario, samples, curve, top, last)
    return "\n".join([*parts, "</svg>"]) + "\n"


def _panel(scenario: Scenario, samples: Sequence[Sample], curve: _Curve, top: int, last: float) -> list[str]:
    values = [float(getattr(sample, curve.field)) for sample in samples]
    highest = max(values) or 1.0

    def across(minute: float) -> float:
        return round(_LEFT + _WIDTH * minute / last, 2)

    def down(value: float) -> float:
        return round(top + _HEIGHT * (1 - value / highest), 2)

    points = " ".join(f"{across(sample.minute)},{down(value)}" for sample, value in zip(samples, values, strict=True))
    cuts = [
        f'<rect class="cut" x="{across(cut.start)}" y="{top}" width="{round(across(cut.end) - across(cut.start), 2)}" '
        f'height="{_HEIGHT}"><title>partition of {cut.share}</title></rect>'
        for cut in scenario.partitions
    ]
    marks = [last * mark / _MARKS for mark in range(_MARKS + 1)]
    return [
        f'<text x="{_LEFT}" y="{top - 8}">{escape(curve.title)}</text>',
        *cuts,
        f'<rect class="frame" x="{_LEFT}" y="{top}" width="{_WIDTH}" height="{_HEIGHT}"/>',
        f'<path class="end" d="M{across(scenario.minutes)} {top}v{_HEIGHT}"><title>the last news</title></path>',
        f'<polyline class="curve" points="{points}"/>',
        f'<text class="soft" x="{_LEFT - 6}" y="{top + 10}" text-anchor="end">{highest:.4g}</text>',
        f'<text class="soft" x="{_LEFT - 6}" y="{top + _HEIGHT}" text-anchor="end">0</text>',
        *(
            f'<text class="soft" x="{across(mark)}" y="{top + _HEIGHT + 16}" text-anchor="middle">{mark:.4g} min</text>'
            for mark in marks
        ),
    ]
