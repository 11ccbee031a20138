"""docs/spec/statement.md and the code name the same fields."""

from __future__ import annotations

import re
import typing
from pathlib import Path

from pydantic import BaseModel

from node.rounds.statement import Statement

PAGE = Path(__file__).parents[2] / "docs" / "spec" / "statement.md"


def fields(model: type[BaseModel], before: str = "") -> set[str]:
    """Every field by its path as the page writes it: `a.b[].c`."""
    found = set()
    for name, field in model.model_fields.items():
        path = before + (field.alias or name)
        inner = field.annotation
        if typing.get_origin(inner) is tuple:
            inner = typing.get_args(inner)[0]
            path += "[]"
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            found |= fields(inner, path + ".")
        else:
            found.add(path)
    return found


def named(page: str) -> list[str]:
    return re.findall(r"^\| `([^`]+)` \|", page.partition("## Envelope")[0], re.MULTILINE)


def test_the_page_names_every_field():
    page = named(PAGE.read_text())
    assert len(page) == len(set(page)) > 30
    assert set(page) == fields(Statement)


def test_the_comparison_can_fail():
    page = PAGE.read_text()
    without = page.replace("| `predicate.seed` |", "| predicate.seed |")
    assert set(named(without)) == fields(Statement) - {"predicate.seed"}
    assert "predicate.updates[].weight_ppm" in fields(Statement)


def test_the_length_of_the_payload_type_is_right():
    from node.rounds.dsse import PAYLOAD_TYPE

    assert f"DSSEv1 {len(PAYLOAD_TYPE)} {PAYLOAD_TYPE} " in PAGE.read_text()
