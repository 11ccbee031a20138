"""What a hospital that is no member yet is answered."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from node.api.shapes import Loose, Name, Shape


class InvitationShape(Shape):
    """What a hospital must know to ask to be admitted; all of it is public."""

    deployment: Loose = Field(description="The consortium's contracts, as in consortium.json.")
    host: Name = Field(description="This member's name.")
    plan: Loose | None = Field(description="The plan in force; null where there is none yet.")
    version: str = Field(examples=["0.1.0"], description="Of this node's software.")


class RequestShape(Shape):
    """A request to be admitted was taken in; people decide about it."""

    fingerprint: Annotated[
        str,
        Field(
            examples=["DOBV-QYUV-56RC-GU2I-VPF5-WQK7"],
            description="Of the keys in the request: what the hospital reads to the members by telephone.",
        ),
    ]
