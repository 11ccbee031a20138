"""The plan in force as an answer: its settings, what it costs and hides, and when it opens the next round."""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import Field

from node.api.shapes import Bytes, Count, Digest, Line, Name, Seconds, Shape
from node.planning.words import Explanation


class PlanFactsShape(Shape):
    """A plan in numbers, for the present members if all of them post."""

    members: Count = Field(examples=[4], description="Hospitals.")
    openers: Count = Field(examples=[3], description="Members that open a sum together.")
    parameters: Count = Field(examples=[205984], description="Trained values of the model.")
    plain_bytes: Bytes
    upload_bytes: Bytes
    sections: Count = Field(examples=[1], description="Parts of the model that are summed in groups of their own.")
    groups: Count = Field(
        examples=[1], description="Sums opened of each of them each round; 0: the members are too few."
    )
    smallest_group: Count = Field(examples=[4], description="Updates in the smallest sum.")
    tolerated_colluders: Count = Field(
        examples=[2], description="Members of a group that may pool what they know without learning another's update."
    )
    differential_privacy: None = Field(description="Epsilon; null: none is applied.")
    collect_seconds: Count = Field(examples=[600], description="Updates are collected this long at most.")
    round_seconds: Count = Field(examples=[1200], description="A round is given up after this long.")
    most_seconds: Count = Field(examples=[12000], description="All planned rounds, each as long as it may take.")


class PlanPartShape(Shape):
    """What a plan means in one respect."""

    about: Name = Field(examples=["hides"], description="Of what.")
    sentences: tuple[Line, ...] = Field(description="For people.")


class NextRoundShape(Shape):
    """When this hospital opens the next round."""

    at: Seconds | None = Field(description="Null: not by itself, as things stand.")
    why: Line = Field(examples=["every 24 h"], description="Why then, or why not.")
    paused: bool = Field(examples=[False], description="Whether its operator paused it.")
    new_data: tuple[Name, ...] = Field(description="Hospitals that announced new data since the last finalised round.")


class PlanShape(Shape):
    """The plan this hospital goes by."""

    source: Literal["vote", "file", "round", "withdrawn", "none"] = Field(
        examples=["vote"],
        description="Admitted by vote, this hospital's own, the newest round's; or why there is none.",
    )
    digest: Digest | None = Field(description="sha2-256 of its bytes; null where there is none.")
    plan: dict[str, Any] | None = Field(
        examples=[{"name": "first-plan", "classes": ["covid", "other"]}],
        description="Its settings; null where there is none, or its bytes could not be fetched yet.",
    )
    facts: PlanFactsShape | None = Field(description="What it costs and hides, in numbers.")
    parts: tuple[PlanPartShape, ...] = Field(description="The same in words.")
    warnings: tuple[Line, ...] = Field(description="What has to be chosen knowingly, or mended.")
    next_round: NextRoundShape = Field(description="When the next round is opened.")

    @classmethod
    def of(
        cls,
        source: str,
        digest: bytes | None,
        fields: dict[str, Any] | None,
        said: Explanation | None,
        following: NextRoundShape,
    ) -> Self:
        """The answer.

        Args:
            source: Where the plan comes from.
            digest: Of its bytes.
            fields: Its settings.
            said: What it means.
            following: When the next round is opened.
        """
        return cls(
            source=source,  # type: ignore[arg-type]  # (checked by pydantic)
            digest=None if digest is None else digest.hex(),
            plan=fields,
            facts=None if said is None else PlanFactsShape(**said.facts.to_json()),
            parts=() if said is None else tuple(PlanPartShape(about=about, sentences=s) for about, s in said.parts),
            warnings=() if said is None else said.warnings,
            next_round=following,
        )
