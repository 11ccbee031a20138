"""The accuracy curve as inline SVG: a line through the means, a bar from the lowest to the highest member at each round."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

    from node.provenance.story import Score

WIDTH: Final = 720
HEIGHT: Final = 340
LEFT, RIGHT, TOP, BOTTOM = 64, 16, 16, 56
MAX_TICKS: Final = 12
"""Rounds named below the axis; of more, every so manieth."""


def to_svg(points: tuple[tuple[int, Score], ...]) -> str:
    """The drawing; its colours are the page's, by the classes `axis`, `grid`, `bar`, `line`, `dot`.

    Args:
        points: (round, score of the model as it stood after it), ascending, at least one.
    """
    return "\n".join(_lines(points))


def _lines(points: tuple[tuple[int, Score], ...]) -> Iterator[str]:
    first, last = points[0], points[-1]
    yield f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-labelledby="curve-title curve-text">'
    yield '<title id="curve-title">Accuracy by round</title>'
    yield (
        f'<desc id="curve-text">From {first[1].mean:.3f} after round {first[0]} to {last[1].mean:.3f} after round {last[0]}; '
        "the table below has every figure.</desc>"
    )
    yield from _scale()
    yield from _rounds(points)
    for number, score in points:
        x = _x(points, number)
        yield f'<line class="bar" x1="{x:.1f}" y1="{_y(score.low):.1f}" x2="{x:.1f}" y2="{_y(score.high):.1f}"/>'
    path = " ".join(f"{_x(points, number):.1f},{_y(score.mean):.1f}" for number, score in points)
    yield f'<polyline class="line" points="{path}"/>'
    for number, score in points:
        yield f'<circle class="dot" cx="{_x(points, number):.1f}" cy="{_y(score.mean):.1f}" r="4"/>'
    yield "</svg>"


def _scale() -> Iterator[str]:
    """The whole range of a share, so that no curve looks steeper than it is."""
    for fifth in range(6):
        y = _y(fifth / 5)
        yield f'<line class="grid" x1="{LEFT}" y1="{y:.1f}" x2="{WIDTH - RIGHT}" y2="{y:.1f}"/>'
        yield f'<text class="axis" x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{fifth / 5:.1f}</text>'
    middle = (TOP + HEIGHT - BOTTOM) / 2
    yield f'<text class="axis" transform="translate(18 {middle:.0f}) rotate(-90)" text-anchor="middle">accuracy</text>'


def _rounds(points: tuple[tuple[int, Score], ...]) -> Iterator[str]:
    every = -(-len(points) // MAX_TICKS)
    base = HEIGHT - BOTTOM
    yield f'<line class="axis-line" x1="{LEFT}" y1="{base}" x2="{WIDTH - RIGHT}" y2="{base}"/>'
    for number, _ in points[::every]:
        x = _x(points, number)
        yield f'<line class="axis-line" x1="{x:.1f}" y1="{base}" x2="{x:.1f}" y2="{base + 5}"/>'
        yield f'<text class="axis" x="{x:.1f}" y="{base + 20}" text-anchor="middle">{number}</text>'
    yield f'<text class="axis" x="{(LEFT + WIDTH - RIGHT) / 2:.0f}" y="{HEIGHT - 10}" text-anchor="middle">after round</text>'


def _x(points: tuple[tuple[int, Score], ...], number: int) -> float:
    """Where a round stands; a single point stands in the middle."""
    first, last, inner = points[0][0], points[-1][0], 16
    width = WIDTH - LEFT - RIGHT - 2 * inner
    share = (number - first) / (last - first) if last > first else 0.5
    return LEFT + inner + width * share


def _y(share: float) -> float:
    return HEIGHT - BOTTOM - share * (HEIGHT - BOTTOM - TOP)
