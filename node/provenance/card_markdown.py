"""A card as Markdown (CommonMark with tables as GitHub has them). Every text is escaped: it can start no markup."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from node.provenance.card import Bullets, Code, Commands, Curve, Paragraph, Table, plain

if TYPE_CHECKING:
    from collections.abc import Iterator

    from node.provenance.card import Block, Card, Cell

_MARKUP: Final = re.compile(r"([\\`*_\[\]<>|~&#$@!{}]|:(?=//)|(?<=www)\.)", re.IGNORECASE)
"""What means something inside a line; link starts among it, which some readers make of plain addresses."""
_START: Final = re.compile(r"^(\d+(?=[.)](?:\s|$))|(?=[-+=]))(.)")
"""What means something at the start of a block: a list, a rule, an underlined heading."""


def to_markdown(card: Card) -> str:
    """The card, as UTF-8 text with a newline at its end."""
    return "\n".join(_lines(card)) + "\n"


def escaped(text: str) -> str:
    """A text that Markdown shows as it is."""
    return _START.sub(r"\1\\\2", _MARKUP.sub(r"\\\1", plain(text).strip()))


def _lines(card: Card) -> Iterator[str]:
    yield f"# {escaped(card.title)}\n"
    yield f"**{escaped(card.notice)}**"
    for section in card.sections:
        yield f"\n## {escaped(section.title)}"
        for block in section.blocks:
            yield from _block(block)


def _block(block: Block) -> Iterator[str]:
    match block:
        case Paragraph(text):
            yield f"\n{escaped(text)}"
        case Bullets(items):
            yield ""
            yield from (f"* {escaped(item)}" for item in items)
        case Commands(lines):
            yield "\n```sh"
            yield from map(plain, lines)
            yield "```"
        case Table():
            yield from _table(block)
        case Curve():
            return  # the table that follows says the same


def _table(table: Table) -> Iterator[str]:
    yield f"\n{escaped(table.caption)}:\n"
    yield "| " + " | ".join(map(escaped, table.headings)) + " |"
    yield "|" + "|".join("--:" if at in table.numbers else "---" for at in range(len(table.headings))) + "|"
    for row in table.rows:
        yield "| " + " | ".join(map(_cell, row)) + " |"


def _cell(cell: Cell) -> str:
    if isinstance(cell, Code):
        return "`" + plain(cell.text).replace("`", "\ufffd").replace("|", "\ufffd") + "`"
    return escaped(cell)
