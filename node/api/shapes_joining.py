"""What a hospital that is no member yet is answered."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from node.api.shapes import Address, Count, Digest, Loose, Name, Seconds, Shape

if TYPE_CHECKING:
    from node.membership.request import Request


Fingerprint = Annotated[
    str,
    Field(
        examples=["DOBV-QYUV-56RC-GU2I-VPF5-WQK7"],
        description="Of the keys in the request: what the hospital reads to the members by telephone.",
    ),
]


class InvitationShape(Shape):
    """What a hospital must know to ask to be admitted; all of it is public."""

    deployment: Loose = Field(description="The consortium's contracts, as in consortium.json.")
    host: Name = Field(description="This member's name.")
    plan: Loose | None = Field(description="The plan in force; null where there is none yet.")
    version: str = Field(examples=["0.1.0"], description="Of this node's software.")


class TakenShape(Shape):
    """A request to be admitted was taken in; people decide about it."""

    fingerprint: Fingerprint


class RequestShape(Shape):
    """A hospital that asks to be admitted."""

    name: Name
    account: Address
    box_key: Digest = Field(description="Its X25519 key.")
    data_size: Count = Field(examples=[505], description="Training images it declares.")
    url: str = Field(examples=["https://node.example:8470"], description="Where its node is to be reached.")
    fingerprint: Fingerprint
    deadline: Seconds = Field(description="Until when its request stands.")

    @classmethod
    def of(cls, asked: Request) -> RequestShape:
        """A request as it was signed."""
        hospital = asked.hospital
        return cls(
            name=hospital.name,
            account=hospital.account,
            box_key=hospital.box_key.hex(),
            data_size=hospital.data_size,
            url=hospital.url,
            fingerprint=asked.fingerprint,
            deadline=asked.deadline,
        )


class RequestsShape(Shape):
    """Hospitals that ask to be admitted, as far as this node was told; the oldest first, 64 at most."""

    requests: tuple[RequestShape, ...]
