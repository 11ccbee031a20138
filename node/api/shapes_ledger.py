"""Transactions, cones, proofs and the log of rounds as answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from dag.bodies import Kind
from node.api.shapes import (
    Address,
    BlobCid,
    Bytes,
    Count,
    Cursor,
    Digest,
    Loose,
    Name,
    RoundNumber,
    Seat,
    Shape,
    TransactionCid,
)

if TYPE_CHECKING:
    from dag.proofs.roundlog import FinalisedRound


class TransactionShape(Shape):
    """One transaction of the ledger, and how it stands as far as this node has seen."""

    id: TransactionCid
    hex: Digest = Field(description="The same id in hex, as contracts and statements name it.")
    kind: Kind = Field(examples=["update"], description="What it is for.")
    round: RoundNumber
    epoch: Count = Field(examples=[1], description="Key epoch of its round.")
    sequence: Count = Field(description="The issuer's counter.")
    issuer: Address | None = Field(description="Account that signed it; null for the ledger's first transaction.")
    seat: Seat | None = Field(description="The issuer's seat; null where it never was a member.")
    hospital: Name | None
    parents: tuple[TransactionCid, ...] = Field(
        max_length=2, description="The two it approves; one may be named twice."
    )
    payload: BlobCid | None = Field(description="Its blob, for kinds that have one.")
    body: Loose = Field(description="What it says; digests in hex. By kind: docs/spec/ledger.md.")
    signature: str = Field(
        pattern=r"^([0-9a-f]{2})*$",
        examples=["00"],
        description="65 bytes r ‖ s ‖ v, hex; none for the first transaction.",
    )
    bytes: Bytes = Field(examples=[412], description="Length of its canonical form.")
    confirmed: bool = Field(examples=[True], description="Whether a quorum of members approves it.")
    weight: Count = Field(description="Members that approve it, its issuer included.")


class ConeRow(TransactionShape):
    """A transaction of a cone."""

    distance: int = Field(ge=0, examples=[1], description="Shortest way from where the cone starts.")


class TransactionsShape(Shape):
    """A page of transactions."""

    transactions: tuple[TransactionShape, ...]
    next: Cursor


class ConeShape(Shape):
    """What a transaction approves, or what approves it, nearest first."""

    transaction: TransactionCid
    direction: Literal["past", "future"] = Field(description="What it approves, or what approves it.")
    transactions: tuple[ConeRow, ...] = Field(description="Nearest first, itself included.")
    cut: bool = Field(examples=[False], description="Whether limit or depth left some out.")


class TipsShape(Shape):
    """Transactions that nobody approves yet, in the order they came; the first 500."""

    tips: tuple[TransactionCid, ...] = Field(max_length=500)
    count: Count = Field(examples=[2], description="How many there are.")


class LogRow(Shape):
    """One finalised round of the log."""

    round: RoundNumber
    transactions: Count = Field(examples=[21], description="Transactions under its root.")
    root: Digest
    proposal: TransactionCid
    model: Digest
    statement: Digest

    @classmethod
    def of(cls, one: FinalisedRound) -> LogRow:
        """A round of the log."""
        from dag.ids import cid_of

        record = one.record
        return cls(
            round=record.round,
            transactions=len(one.ids),
            root=record.root.hex(),
            proposal=cid_of(record.proposal),
            model=record.model.hex(),
            statement=record.statement.hex(),
        )


class LogShape(Shape):
    """The log of finalised rounds, whose heads members cosign."""

    consortium: Digest
    size: Count = Field(examples=[7], description="Rounds in it.")
    root: Digest | None = Field(description="Merkle root over them (RFC 6962); null while it is empty.")
    rounds: tuple[LogRow, ...]
    next: Cursor


class ConsistencyShape(Shape):
    """That the log's first rounds are still its first rounds (RFC 6962, section 2.1.2)."""

    consortium: Digest
    first: int = Field(ge=1, examples=[3], description="Rounds under the earlier head.")
    second: int = Field(ge=1, examples=[7], description="Rounds under the later one.")
    first_root: Digest
    second_root: Digest
    path: tuple[Digest, ...] = Field(max_length=128, description="Digests in the order of the RFC.")
