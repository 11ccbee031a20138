"""The forms in which a card is given out."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final, Literal

from node.provenance.card import card
from node.provenance.card_html import to_html
from node.provenance.card_markdown import to_markdown

if TYPE_CHECKING:
    from node.provenance.story import Story

Form = Literal["html", "md", "json"]

MEDIA_TYPES: Final[dict[Form, str]] = {
    "html": "text/html; charset=utf-8",
    "md": "text/markdown; charset=utf-8",
    "json": "application/json",
}


def rendered(story: Story, form: Form) -> str:
    """A model's card; in JSON all that it is made of."""
    if form == "json":
        return json.dumps(story.to_json(), indent=2) + "\n"
    made = card(story)
    return to_html(made) if form == "html" else to_markdown(made)
