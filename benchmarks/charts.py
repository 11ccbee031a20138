"""Small charts as SVG text: lines with bands, and bars with whiskers. No library: a page of markup is all they are."""

from __future__ import annotations

import math
import textwrap
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

WIDTH, HEIGHT = 640, 400
LEFT, RIGHT, TOP, BOTTOM = 60, 170, 36, 48
COLOURS: Final = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#555555")
"""Told apart by people who do not see all colours (Okabe & Ito 2008)."""
DASHES: Final = ("", "6 3", "2 3", "8 3 2 3", "", "6 3", "2 3")
TICKS: Final = 5
LEGEND_LETTERS: Final = 20
"""What fits beside the axes in one line of the legend."""
DOTS: Final = 12
"""A curve of at most so many points shows each of them."""


@dataclass(frozen=True, slots=True)
class Line:
    """One curve."""

    name: str
    x: Sequence[float]
    y: Sequence[float]
    low: Sequence[float] = ()
    """Lower edge of its band; empty for none."""
    high: Sequence[float] = ()


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar of a group."""

    group: str
    name: str
    value: float
    low: float | None = None
    high: float | None = None


def ticks(low: float, high: float, count: int = TICKS) -> list[float]:
    """Round numbers that span ``low`` to ``high``, about ``count`` of them."""
    if not high > low:
        low, high = low - 0.5, high + 0.5
    raw = (high - low) / count
    power = 10 ** math.floor(math.log10(raw))
    step = power * next(factor for factor in (1, 2, 2.5, 5, 10) if factor * power >= raw * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [number * step for number in range(first, last + 1)]


class _Frame:
    """Axes, and where numbers lie between them."""

    def __init__(self, title: str, x_name: str, y_name: str, ys: Sequence[float]) -> None:
        self.y_ticks = ticks(min(ys), max(ys))
        self._legend_y = TOP + 10
        self.parts = [
            (
                f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
                f'font-family="sans-serif" font-size="12"><title>{escape(title)}</title>'
            ),
            f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
            _text(LEFT, 20, title, size=14),
            _text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 10, x_name, anchor="middle"),
            f'<text x="14" y="{HEIGHT / 2}" text-anchor="middle" transform="rotate(-90 14 {HEIGHT / 2})">{escape(y_name)}</text>',
        ]
        for tick in self.y_ticks:
            y = self.y(tick)
            self.parts.append(f'<path d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}" stroke="#ddd"/>')
            self.parts.append(_text(LEFT - 6, y + 4, f"{tick:.4g}", anchor="end"))

    def y(self, value: float) -> float:
        low, high = self.y_ticks[0], self.y_ticks[-1]
        return HEIGHT - BOTTOM - (value - low) / (high - low) * (HEIGHT - TOP - BOTTOM)

    def legend(self, number: int, name: str, *, filled: bool = False) -> None:
        """One more name; a line as it is drawn, or a square in the bars' colour."""
        x, y = WIDTH - RIGHT + 12, self._legend_y
        square = f'<rect x="{x + 5}" y="{y - 6}" width="12" height="12" fill="{_colour(number)}"/>'
        self.parts.append(square if filled else f'<path d="M{x} {y}h22" {_style(number)}/>')
        for words in textwrap.wrap(name, LEGEND_LETTERS):
            self.parts.append(_text(x + 28, self._legend_y + 4, words))
            self._legend_y += 14
        self._legend_y += 4

    def done(self) -> str:
        return "\n".join([*self.parts, "</svg>"]) + "\n"


def lines(title: str, x_name: str, y_name: str, curves: Sequence[Line]) -> str:
    """Curves over one axis, each with a colour, a dash and an entry in the legend."""
    ys = [y for curve in curves for y in (*curve.y, *curve.low, *curve.high)]
    frame = _Frame(title, x_name, y_name, ys)
    x_ticks = ticks(min(min(c.x) for c in curves), max(max(c.x) for c in curves))

    def x(value: float) -> float:
        return LEFT + (value - x_ticks[0]) / (x_ticks[-1] - x_ticks[0]) * (WIDTH - LEFT - RIGHT)

    def path(xs: Sequence[float], values: Sequence[float]) -> str:
        return "L".join(f"{x(a):.1f} {frame.y(b):.1f}" for a, b in zip(xs, values, strict=True))

    for tick in x_ticks:
        frame.parts.append(_text(x(tick), HEIGHT - BOTTOM + 16, f"{tick:.4g}", anchor="middle"))
    for number, curve in enumerate(curves):
        if curve.low:
            back = path(list(reversed(curve.x)), list(reversed(curve.low)))
            frame.parts.append(
                f'<path d="M{path(curve.x, curve.high)}L{back}Z" fill="{_colour(number)}" fill-opacity="0.15"/>'
            )
        frame.parts.append(f'<path d="M{path(curve.x, curve.y)}" {_style(number)}/>')
        if len(curve.x) <= DOTS:
            frame.parts += [
                f'<circle cx="{x(a):.1f}" cy="{frame.y(b):.1f}" r="3" fill="{_colour(number)}"/>'
                for a, b in zip(curve.x, curve.y, strict=True)
            ]
        frame.legend(number, curve.name)
    return frame.done()


def bars(title: str, y_name: str, found: Sequence[Bar]) -> str:
    """Bars in groups, one colour a name, whiskers where a bar has them; the axis begins at 0."""
    ys = [value for bar in found for value in (0.0, bar.value, bar.high or 0.0)]
    frame = _Frame(title, "", y_name, ys)
    groups, names = list(dict.fromkeys(b.group for b in found)), list(dict.fromkeys(b.name for b in found))
    room = (WIDTH - LEFT - RIGHT) / len(groups)
    wide = room * 0.8 / len(names)
    for bar in found:
        number = names.index(bar.name)
        x = LEFT + room * groups.index(bar.group) + room * 0.1 + wide * number
        top = frame.y(bar.value)
        frame.parts.append(
            f'<rect x="{x:.1f}" y="{top:.1f}" width="{wide * 0.9:.1f}" height="{frame.y(0) - top:.1f}" '
            f'fill="{_colour(number)}"><title>{escape(bar.name)}: {bar.value:.3f}</title></rect>'
        )
        if bar.low is not None and bar.high is not None:
            frame.parts.append(
                f'<path d="M{x + wide * 0.45:.1f} {frame.y(bar.low):.1f}V{frame.y(bar.high):.1f}" stroke="black"/>'
            )
    for number, group in enumerate(groups):
        frame.parts.append(_text(LEFT + room * (number + 0.5), HEIGHT - BOTTOM + 16, group, anchor="middle"))
    for number, name in enumerate(names):
        frame.legend(number, name, filled=True)
    return frame.done()


def _colour(number: int) -> str:
    return COLOURS[number % len(COLOURS)]


def _style(number: int) -> str:
    dash = DASHES[number % len(DASHES)]
    return f'fill="none" stroke="{_colour(number)}" stroke-width="2"' + (f' stroke-dasharray="{dash}"' if dash else "")


def _text(x: float, y: float, words: str, anchor: str = "start", size: int = 12) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}">{escape(words)}</text>'
