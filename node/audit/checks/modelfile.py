"""The model file: its hash is the model the chain records, and it is a model of the plan's network."""

from __future__ import annotations

from typing import TYPE_CHECKING

from node.learning.errors import LearningError
from node.learning.modelfile import model_hash, parse_model

if TYPE_CHECKING:
    from node.audit.notes import Link
    from node.rounds.plan import Plan


def check(model: bytes, data: bytes, plan: Plan | None, link: Link) -> None:
    """Hash and parse a model file.

    Args:
        model: The model that is audited.
        data: The file's bytes.
        plan: The plan of the round that made it, where it could be read.
        link: Takes the notes.
    """
    link.equal("model file", "its sha2-256", model_hash(data), model)
    try:
        parsed = parse_model(data)
    except LearningError as error:
        link.falsified("model file", str(error))
        return
    if plan is not None:
        link.equal("model file", "architecture", parsed.architecture, plan.architecture)
        link.equal("model file", "classes", parsed.classes, len(plan.classes))
