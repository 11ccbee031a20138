"""A card as one HTML page: nothing loaded from elsewhere, no script, light and dark, readable by screen readers and in print."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Final

from node.provenance.card import Bullets, Code, Commands, Curve, Paragraph, Table, plain
from node.provenance.chart import to_svg

if TYPE_CHECKING:
    from collections.abc import Iterator

    from node.provenance.card import Block, Card, Cell

_STYLE: Final = """
:root { color-scheme: light dark; --ink: #1b1f24; --paper: #ffffff; --line: #c9d1d9; --curve: #0a5ab5; --warn: #8a1c2b; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6edf3; --paper: #0d1117; --line: #3d444d; --curve: #79b8ff; --warn: #ff9aa2; }
}
body { font: 1rem/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.6rem; overflow-wrap: anywhere; } h2 { font-size: 1.2rem; margin-top: 2rem; }
.notice { border: 2px solid var(--warn); border-radius: .4rem; padding: .6rem 1rem; font-weight: 600; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; margin: .5rem 0; } caption { text-align: left; font-weight: 600; padding: .4rem 0; }
th, td { text-align: left; vertical-align: top; padding: .35rem .6rem; border-bottom: 1px solid var(--line); overflow-wrap: anywhere; min-width: 4rem; }
thead th { overflow-wrap: normal; }
th.number, td.number { text-align: right; font-variant-numeric: tabular-nums; }
tbody th { font-weight: 400; }
code, pre { font-family: ui-monospace, monospace; font-size: .9em; }
pre { overflow-x: auto; border: 1px solid var(--line); border-radius: .4rem; padding: .6rem; }
figure { margin: 1rem 0; } svg { width: 100%; height: auto; min-width: 32rem; max-width: 45rem; }
svg text { font: 13px system-ui, sans-serif; fill: var(--ink); }
.grid { stroke: var(--line); } .axis-line { stroke: var(--ink); }
.line { fill: none; stroke: var(--curve); stroke-width: 2.5; } .dot { fill: var(--curve); }
.bar { stroke: var(--curve); stroke-width: 7; stroke-opacity: .3; stroke-linecap: round; }
"""


def to_html(card: Card) -> str:
    """The page, as UTF-8 text."""
    return "\n".join(_lines(card)) + "\n"


def _lines(card: Card) -> Iterator[str]:
    yield '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">'
    yield '<meta name="viewport" content="width=device-width, initial-scale=1">'
    yield "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">"
    yield f"<title>{_text(card.title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n<main>"
    yield f'<h1>{_text(card.title)}</h1>\n<p class="notice" role="note">{_text(card.notice)}</p>'
    for number, section in enumerate(card.sections):
        yield f'<section aria-labelledby="s{number}">\n<h2 id="s{number}">{_text(section.title)}</h2>'
        for block in section.blocks:
            yield from _block(block)
        yield "</section>"
    yield "</main>\n</body>\n</html>"


def _block(block: Block) -> Iterator[str]:
    match block:
        case Paragraph(text):
            yield f"<p>{_text(text)}</p>"
        case Bullets(items):
            yield "<ul>"
            yield from (f"<li>{_text(item)}</li>" for item in items)
            yield "</ul>"
        case Commands(lines):
            yield '<pre tabindex="0">' + "\n".join(map(_text, lines)) + "</pre>"
        case Table():
            yield from _table(block)
        case Curve(points):
            yield '<figure><div class="wide" tabindex="0" role="region" aria-label="Accuracy by round, drawn">'
            yield to_svg(points)
            yield (
                "</div><figcaption>Line: accuracy over all members' images. Bars: from the lowest to the highest member. "
                "Round 0 is the initial model.</figcaption>\n</figure>"
            )


def _table(table: Table) -> Iterator[str]:
    yield f'<div class="wide" tabindex="0" role="region" aria-label="{_text(table.caption)}">'
    yield f"<table><caption>{_text(table.caption)}</caption>\n<thead><tr>"
    yield "".join(f'<th scope="col"{_kind(table, at)}>{_text(head)}</th>' for at, head in enumerate(table.headings))
    yield "</tr></thead>\n<tbody>"
    for first, *rest in table.rows:
        cells = "".join(f"<td{_kind(table, at)}>{_cell(cell)}</td>" for at, cell in enumerate(rest, 1))
        yield f'<tr><th scope="row"{_kind(table, 0)}>{_cell(first)}</th>{cells}</tr>'
    yield "</tbody></table></div>"


def _kind(table: Table, column: int) -> str:
    return ' class="number"' if column in table.numbers else ""


def _cell(cell: Cell) -> str:
    return f"<code>{_text(cell.text)}</code>" if isinstance(cell, Code) else _text(cell)


def _text(text: str) -> str:
    return escape(plain(text))
