"""A plan as the commented TOML that people edit."""

from __future__ import annotations

import textwrap
from decimal import Decimal
from typing import TYPE_CHECKING, Final

import tomli_w

from node.rounds.plan import Plan

if TYPE_CHECKING:
    from collections.abc import Iterator

WIDTH = 100

PARTS: Final[tuple[tuple[str, str, tuple[str, ...]], ...]] = (
    (
        "What is learnt",
        "Every hospital's images must have these classes, in this order.",
        ("name", "architecture", "classes", "image_size", "crop_lungs", "rounds", "seed"),
    ),
    (
        "How each hospital trains",
        "More epochs mean fewer rounds and more drift apart; the rates fall over `rounds`.",
        (
            *("epochs", "batch_size", "learning_rate", "schedule", "schedule_over", "last_rate", "weight_decay"),
            *("max_gradient", "proximal", "augment", "views", "class_weights", "label_smoothing", "focal_gamma"),
            *("patience", "precision"),
        ),
    ),
    (
        "What may be sent, and what is opened",
        "A group hides single updates from up to (its size - 2) members that collude.",
        (
            *("clip_norm", "value_range", "error_feedback", "parameter_set", "threshold", "min_group", "tolerance"),
            *("defence", "sections", "pow_bits"),
        ),
    ),
    (
        "How long a round may take",
        "Updates that come after `collect_seconds` do not count; after `round_seconds` the round is given up.",
        ("collect_seconds", "slot_seconds", "round_seconds"),
    ),
    (
        "When rounds are opened",
        "Nothing here: by `medweave round start`, or by a hospital's [rounds] target.",
        ("every_hours", "new_data_from", "open_between"),
    ),
)
"""Heading, a sentence, fields; a field that stands in none goes to the end."""


def plan_toml(plan: Plan) -> str:
    """The plan as TOML, every field with what it means and what it is by default; `Plan.from_toml` reads it back."""
    lines = ["# A training plan. `medweave plan check FILE` says what it costs and what it hides;", *_HEAD]
    for heading, sentence, names in _parts():
        lines += ["", f"# {heading}", f"# {'-' * len(heading)}", f"# {sentence}", ""]
        for name in names:
            lines += [*_comment(name), f"{name} = {_value(getattr(plan, name))}"]
    return "\n".join(lines) + "\n"


_HEAD = (
    "# `medweave plan propose FILE` puts it to the members' vote. Once a quorum has approved it, every",
    "# hospital's node uses it by itself. docs/plans.md explains how to choose.",
)


def _parts() -> Iterator[tuple[str, str, tuple[str, ...]]]:
    yield from PARTS
    named = {name for _, _, names in PARTS for name in names}
    rest = tuple(name for name in Plan.model_fields if name not in named)
    if rest:
        yield "More", "Settings of their own.", rest


def _comment(name: str) -> list[str]:
    field = Plan.model_fields[name]
    default = "" if field.is_required() else f" Default: {_value(field.default)}."
    return textwrap.wrap(f"{field.description}{default}", WIDTH, initial_indent="# ", subsequent_indent="#   ")


def _value(value: object) -> str:
    """One setting as TOML writes it; decimal settings as plain numbers."""
    if isinstance(value, Decimal):
        return format(value.normalize(), "f")
    if isinstance(value, tuple):
        return f"[{', '.join(map(_value, value))}]"
    return tomli_w.dumps({"x": value}).removeprefix("x = ").strip()
