"""A region as an SVG picture: self-contained text without scripts, fonts or links, the same bytes for the same region.

Kinds differ in shape and colour, confirmed and unconfirmed in outline and fill, so nothing is said by colour alone. Colours
follow the viewer's light or dark setting. Pointing at a transaction shows what it is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from dag.bodies import Kind
from dag.drawing.layout import LEGEND_ROW, MARGIN, RADIUS, TOP, Layout, place
from dag.drawing.thinning import MAX_DOTS, thin
from dag.ids import cid_of

if TYPE_CHECKING:
    from dag.drawing.region import Dot, Region

_STYLE: Final = """
svg { font: 13px system-ui, sans-serif; background: #fff; }
text { fill: #1d2733; } .soft { fill: #55616e; }
.ground { fill: #fff; } .lane { fill: #f2f5f8; }
.edge { fill: none; stroke: #8793a0; stroke-width: 1.2; } .far { stroke-dasharray: 5 3; } .out { stroke-dasharray: 2 3; }
.dot { stroke: #1d2733; stroke-width: 1.4; } .open { fill-opacity: .2; stroke-dasharray: 3 2; } .plain, .under { fill: #fff; }
.c0 { fill: #5b6773; } .c1 { fill: #1f6fb2; } .c2 { fill: #a9b4bf; } .c3 { fill: #d1591e; }
.c4 { fill: #7a4fb0; } .c5 { fill: #b8860b; } .c6 { fill: #1f8a56; } .c7 { fill: #b03060; }
@media (prefers-color-scheme: dark) {
svg { background: #12181f; } text { fill: #e4eaf0; } .soft { fill: #a3b0bd; }
.ground { fill: #12181f; } .lane { fill: #1a222b; } .edge { stroke: #72808e; } .dot { stroke: #e4eaf0; }
.plain, .under { fill: #12181f; }
.c0 { fill: #93a0ad; } .c1 { fill: #4aa3e8; } .c2 { fill: #5d6a77; } .c3 { fill: #f08a4b; }
.c4 { fill: #b08ae6; } .c5 { fill: #e0b340; } .c6 { fill: #45c486; } .c7 { fill: #e8709c; }
}
"""
_ROUND_COLOURS: Final = ("c1", "c3", "c6", "c4", "c5", "c7")
_KINDS: Final = tuple(Kind)
_NAME_CHARACTERS: Final = 20
_CHARACTER: Final = 7.6  # pixels a character of the legend takes at most
_GAP: Final = 46

COLOURINGS: Final = ("kind", "round")


def draw(region: Region, *, colour: str = "kind", most: int = MAX_DOTS) -> str:
    """The picture.

    Args:
        region: what to draw.
        colour: what fills tell apart: `kind` or `round`.
        most: larger regions are thinned to so many transactions, and the picture says so.

    Raises:
        ValueError: an unknown `colour`.
    """
    if colour not in COLOURINGS:
        raise ValueError(f"colour {colour!r} is none of {', '.join(COLOURINGS)}")
    shown = thin(region, most)
    layout = place(shown)
    rows = _legend(shown, layout, colour)
    height = layout.bottom + MARGIN + LEGEND_ROW * len(rows) + MARGIN
    size = f'viewBox="0 0 {layout.width} {height}" width="{layout.width}" height="{height}"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" aria-labelledby="title desc">',
        f'<title id="title">{_text(shown.title)}</title>',
        f'<desc id="desc">{_text(describe(shown, len(region.dots)))}</desc>',
        f"<style>{_STYLE}</style>",
        f'<rect class="ground" width="{layout.width}" height="{height}"/>',
        f'<text x="{MARGIN}" y="30" font-size="17" font-weight="600">{_text(shown.title)}</text>',
        f'<text class="soft" x="{MARGIN}" y="52">{_text(_subtitle(shown, len(region.dots)))}</text>',
        *_lanes(shown, layout),
        '<g aria-hidden="true">',
        *(edge for dot in shown.dots for edge in _edges(dot, layout)),
        "</g>",
        *(_dot(dot, shown, layout, colour) for dot in shown.dots),
        *(item for row in rows for item in row),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def describe(region: Region, whole: int) -> str:
    """The picture in words, for those who cannot see it.

    Args:
        region: what is drawn.
        whole: transactions before thinning.
    """
    kinds = ", ".join(f"{count} {kind}" for kind in Kind if (count := sum(dot.kind is kind for dot in region.dots)))
    confirmed = sum(dot.confirmed for dot in region.dots)
    lanes = ", ".join(name for _, name in region.lanes)
    return (
        f"{_subtitle(region, whole)} One lane each for {lanes}; the past is on the left and lines lead from a transaction to "
        f"the two it approves. Drawn: {kinds or 'nothing'}; {confirmed} of {len(region.dots)} confirmed by {region.quorum} "
        "members or more."
    )


def _subtitle(region: Region, whole: int) -> str:
    if not region.left_out:
        return f"{whole} transactions, quorum {region.quorum}."
    gone = ", ".join(f"{count} {kind}" for kind, count in region.left_out)
    return f"{len(region.dots)} of {whole} transactions, quorum {region.quorum}. Thinned out: {gone}."


def _lanes(region: Region, layout: Layout) -> list[str]:
    """Every second lane's ground, and all names."""
    drawn = []
    for row, (lane, name) in enumerate(region.lanes):
        y = layout.lanes[lane]
        half = (layout.bottom - TOP) // max(1, len(region.lanes)) // 2
        if row % 2 == 0:
            drawn.append(f'<rect class="lane" x="0" y="{y - half}" width="{layout.width}" height="{2 * half}"/>')
        short = name if len(name) <= _NAME_CHARACTERS else name[: _NAME_CHARACTERS - 1] + "…"
        drawn.append(f'<text x="{MARGIN}" y="{y + 4}"><title>{_text(name)}</title>{_text(short)}</text>')
    return drawn


def _edges(dot: Dot, layout: Layout) -> list[str]:
    x, y = layout.places[dot.id]
    drawn = []
    far = " far" if dot.skipped else ""
    for parent in dot.parents:
        px, py = layout.places[parent]
        bend = max(10, (x - px) // 2)
        if py != y:
            path = f"M{x} {y}C{x - bend} {y} {px + bend} {py} {px} {py}"
        elif x - px > layout.step:  # over what stands between them in the lane
            path = f"M{x} {y}C{x - bend // 2} {y - 20} {px + bend // 2} {py - 20} {px} {py}"
        else:
            path = f"M{x} {y}H{px}"
        drawn.append(f'<path class="edge{far}" d="{path}"/>')
    if dot.outside:
        drawn.append(f'<path class="edge out" d="M{x} {y}h-{layout.step // 2 + 2}"/>')
    return drawn


def _dot(dot: Dot, region: Region, layout: Layout, colour: str) -> str:
    x, y = layout.places[dot.id]
    shape = _shape(dot.kind, x, y, _fill(dot, colour), confirmed=dot.confirmed)
    return f"<g>{_text_element('title', _tooltip(dot, region))}{shape}</g>"


def _fill(dot: Dot, colour: str) -> str:
    return f"c{_KINDS.index(dot.kind)}" if colour == "kind" else _round_colour(dot.round)


def _round_colour(number: int) -> str:
    return _ROUND_COLOURS[number % len(_ROUND_COLOURS)]


def _tooltip(dot: Dot, region: Region) -> str:
    name = dict(region.lanes)[dot.lane]
    state = "confirmed" if dot.confirmed else "not confirmed"
    parents = "".join(f"\napproves {cid_of(parent)}" for parent in dot.parents)
    skipped = f"\n{dot.skipped} transactions between them are not drawn" if dot.skipped else ""
    outside = f"\nand {dot.outside} outside of this picture" if dot.outside else ""
    by = "" if dot.kind is Kind.GENESIS else f"\nby {name}, approved by {dot.weight} members"
    return f"{dot.kind} of round {dot.round}: {state}{by}\n{dot.cid}{parents}{outside}{skipped}"


def _shape(kind: Kind, x: int, y: int, fill: str, *, confirmed: bool) -> str:
    """A dot; a hollow one gets a ground of its own, so that no line shows through."""
    if confirmed:
        return _outline(kind, x, y, f'class="dot {fill}"')
    return _outline(kind, x, y, 'class="under"') + _outline(kind, x, y, f'class="dot {fill} open"')


def _outline(kind: Kind, x: int, y: int, look: str) -> str:
    r = RADIUS
    match kind:
        case Kind.UPDATE:
            return f'<circle {look} cx="{x}" cy="{y}" r="{r}"/>'
        case Kind.ACKNOWLEDGEMENT:
            return f'<circle {look} cx="{x}" cy="{y}" r="{r - 3}"/>'
        case Kind.PROPOSAL:
            return f'<path {look} d="M{x} {y - r}L{x + r} {y}L{x} {y + r}L{x - r} {y}Z"/>'
        case Kind.SHARE:
            return f'<rect {look} x="{x - 6}" y="{y - 6}" width="12" height="12"/>'
        case Kind.VERDICT:
            return f'<path {look} d="M{x} {y - r}L{x + r} {y + 6}H{x - r}Z"/>'
        case Kind.CHECKPOINT:
            return f'<path {look} d="M{x - 4} {y - 7}h8l4 7l-4 7h-8l-4 -7Z"/>'
        case Kind.GENESIS:
            return f'<rect {look} x="{x - r}" y="{y - r}" width="{2 * r}" height="{2 * r}" rx="4"/>'


def _legend(region: Region, layout: Layout, colour: str) -> list[list[str]]:
    """Rows of legend items, each item a sample and its words."""
    kinds = [kind for kind in Kind if any(dot.kind is kind for dot in region.dots)]
    items = [(kind, f"c{_KINDS.index(kind)}" if colour == "kind" else "plain", True, str(kind)) for kind in kinds]
    items.append((Kind.UPDATE, "c1", False, f"hollow: fewer than {region.quorum} members approve it yet"))
    if colour == "round":
        items += [(Kind.UPDATE, _round_colour(number), True, f"round {number}") for number in region.rounds]
    rows: list[list[str]] = [[]]
    x = float(MARGIN)
    for kind, fill, confirmed, words in items:
        width = _GAP + _CHARACTER * len(words)
        if x + width > layout.width - MARGIN and rows[-1]:
            rows.append([])
            x = float(MARGIN)
        y = layout.bottom + MARGIN + LEGEND_ROW * (len(rows) - 1) + LEGEND_ROW // 2
        sample = _shape(kind, int(x) + RADIUS, y, fill, confirmed=confirmed)
        rows[-1].append(f'<g>{sample}<text x="{int(x) + 2 * RADIUS + 8}" y="{y + 4}">{_text(words)}</text></g>')
        x += width
    return rows


def _text_element(tag: str, words: str) -> str:
    return f"<{tag}>{_text(words)}</{tag}>"


def _text(words: str) -> str:
    """Escaped, with characters that XML cannot hold replaced: names come from whoever registered them."""
    clean = "".join(
        mark if mark in "\n\t" or (mark >= " " and not 0xD7FF < ord(mark) < 0xE000) else "\ufffd" for mark in words
    )
    clean = clean.replace("\ufffe", "\ufffd").replace("\uffff", "\ufffd")
    return clean.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace('"', "&quot;")
