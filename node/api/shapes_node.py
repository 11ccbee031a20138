"""A node's own state as answers: health, readiness, what it is doing, its storage."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from node.api.shapes import Address, Bytes, Count, Digest, Line, Name, RoundNumber, Seat, Seconds, Shape, Share


class HealthShape(Shape):
    """That the node answers."""

    status: Literal["ok"] = Field(description="Always so.")
    seconds: float = Field(ge=0, examples=[86400.5], description="Since it was started.")
    version: str = Field(examples=["0.1.0"], description="Of this software.")


class CheckShape(Shape):
    """One thing a node needs."""

    name: Literal["chain", "disk", "ledger", "member", "epoch"] = Field(description="What is needed.")
    ok: bool = Field(examples=[True], description="Whether it is there.")
    detail: Line = Field(examples=["block 1204"], description="What was found; where it is not well, what to do.")


class ReadyShape(Shape):
    """Whether the node can take part in rounds."""

    ready: bool = Field(examples=[True], description="Whether every check is well.")
    checks: tuple[CheckShape, ...] = Field(description="One each.")


class HospitalShape(Shape):
    """This node's hospital."""

    index: Seat
    name: Name
    account: Address
    url: str = Field(examples=["https://node.example.org"], description="Where it answers.")


class PeerShape(Shape):
    """Another member's node."""

    index: Seat
    name: Name
    url: str = Field(examples=["https://other.example.org"], description="Where it answers.")
    silent: bool = Field(examples=[False], description="Whether nothing was heard of it for ten seconds.")


class EpochStateShape(Shape):
    """The key epoch in use, and what goes on about keys."""

    active: int | None = Field(ge=1, examples=[1], description="Null before the first.")
    doing: str = Field(
        examples=[""],
        description="What a running ceremony or refresh waits for, or that this hospital rests this epoch; else empty.",
    )


class RoundStateShape(Shape):
    """The round that this hospital takes part in, or did last."""

    round: RoundNumber
    phase: str = Field(examples=["train"], description="`plan` to `adopt`, then `done`, or `aborted`.")
    doing: Line
    progress: Share = Field(description="Of the long work under way.")
    leader: bool = Field(examples=[False], description="Whether this hospital leads it.")
    refused: dict[str, str] = Field(examples=[{}], description="What it found false, by id in hex, and why.")


class WarningShape(Shape):
    """A line of the log that asks for attention."""

    time: Seconds
    logger: str = Field(examples=["medweave.rounds"], description="Part of the node that said it.")
    text: Line = Field(examples=["round 7: taking no part: this hospital holds no keys of epoch 2"])


class StatusShape(Shape):
    """What this hospital is doing now."""

    hospital: HospitalShape = Field(description="This one.")
    consortium: Digest
    version: str = Field(examples=["0.1.0"], description="Of this software.")
    seconds: float = Field(ge=0, examples=[86400.5], description="Since the node was started.")
    epoch: EpochStateShape = Field(description="Keys.")
    round: RoundStateShape | None = Field(description="Null before the first.")
    finalised: Count = Field(examples=[7], description="Rounds that were finalised.")
    target: Count = Field(examples=[0], description="Rounds this hospital opens rounds for; 0: it opens none.")
    model: Digest | None = Field(description="The newest model.")
    transactions: Count = Field(examples=[182], description="In this node's ledger.")
    tips: Count = Field(examples=[2], description="Transactions that nobody approves yet.")
    outbox: Count = Field(examples=[0], description="Own transactions that peers have still to hear of.")
    missing: Count = Field(examples=[0], description="Transactions this node lacks and asks for.")
    peers: tuple[PeerShape, ...] = Field(description="The other members.")
    warnings: tuple[WarningShape, ...] = Field(
        max_length=20, description="The last ones since it was started; for this hospital's own people."
    )


class StorageShape(Shape):
    """What this hospital keeps."""

    store: Literal["files", "ipfs"] = Field(description="Where they lie.")
    blobs: Count = Field(examples=[412], description="How many.")
    bytes: Bytes
    quota_bytes: Bytes | None = Field(description="Null: only the disk limits it.")
    free_bytes: Bytes | None = Field(description="On its disk; null where an IPFS node keeps the blobs.")
    unfinished: int | None = Field(ge=0, examples=[0], description="Transfers under way, or cut off within a day.")
    counted: Seconds = Field(description="When blobs were counted last; at most a minute ago.")
