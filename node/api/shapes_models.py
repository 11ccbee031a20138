"""Models and where they came from, as answers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from node.api.shapes import BlobCid, Count, Cursor, Digest, Loose, RoundNumber, Shape

if TYPE_CHECKING:
    from collections.abc import Container

    from node.consortium.records import ModelView
    from node.consortium.view import ConsortiumView


class ModelShape(Shape):
    """A model of the lineage, as the chain records it."""

    model: Digest
    parent: Digest | None = Field(description="The model it was trained from; null for the first one.")
    round: RoundNumber = Field(description="The round that made it; 0 for the first one.")
    statement: Digest | None
    block: Count = Field(examples=[155], description="That recorded it.")
    newest: bool = Field(examples=[True], description="Whether the next round trains from it.")
    held: bool = Field(examples=[True], description="Whether this hospital has it.")

    @classmethod
    def of(cls, model: ModelView, view: ConsortiumView, held: Container[bytes]) -> ModelShape:
        """A model of the chain's view.

        Args:
            model: The model.
            view: What the chain said.
            held: Hashes of the models this hospital has.
        """
        return cls(
            model=model.model.hex(),
            parent=model.parent.hex() if any(model.parent) else None,
            round=model.round,
            statement=model.statement.hex() if any(model.statement) else None,
            block=model.block,
            newest=view.head == model.model,
            held=model.model in held,
        )


class ModelDetailShape(ModelShape):
    """A model with those trained from it."""

    children: tuple[Digest, ...] = Field(description="Models trained from it.")


class ModelsShape(Shape):
    """A page of the lineage."""

    models: tuple[ModelShape, ...] = Field(description="In the order asked for.")
    next: Cursor


class StepShape(ModelShape):
    """A model on the way back to the first one."""

    statement_text: Loose | None = Field(
        description="Its statement; null for the first model, or where it is not here."
    )


class ProvenanceShape(Shape):
    """Where a model came from, newest first."""

    model: Digest
    lineage: tuple[StepShape, ...] = Field(description="The model, then each one's parent.")
    next: Cursor


class SealedShape(Shape):
    """Where a model lies sealed to the members of a key epoch."""

    epoch: Count = Field(examples=[1], description="The key epoch.")
    round: RoundNumber
    cid: BlobCid
