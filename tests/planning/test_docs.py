"""docs/plans.md has every field of a plan, with the default that the code has."""

from __future__ import annotations

import re
from decimal import Decimal
from pathlib import Path

from node.rounds.plan import Plan

PAGE = Path(__file__).parents[2] / "docs" / "plans.md"


def shown(value: object) -> str:
    match value:
        case Decimal():
            return f"`{value.normalize():f}`"
        case bool():
            return f"`{str(value).lower()}`"
        case "":
            return "empty"
        case _:
            return f"`{value}`"


def test_every_field_stands_in_the_page_with_its_default():
    rows = dict(re.findall(r"^\| `(\w+)` \| ([^|]+) \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE))
    expected = {
        name: "none" if field.is_required() else shown(field.default) for name, field in Plan.model_fields.items()
    }
    assert {name: default.strip() for name, default in rows.items()} == expected
