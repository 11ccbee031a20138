"""Proofs that a member contradicted itself.

An honest member signs each sequence number once, one update and one close a round, and one share, verdict and checkpoint a
proposal.
Two signed transactions that break this are a proof that needs no context: whoever knows the issuer's address can check it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

from dag import codec
from dag.bodies import AcknowledgementBody, CheckpointBody, ShareBody, UpdateBody, VerdictBody
from dag.errors import MalformedTransaction
from dag.fields import as_map, check_keys
from dag.transaction import MAX_BYTES, Transaction, Unsigned

if TYPE_CHECKING:
    from collections.abc import Iterable

_LIMIT: Final = 2 * MAX_BYTES + 64
_KEYS: Final = frozenset(("first", "second"))
ROUND_BYTES: Final = 8
_ABOUT_A_PROPOSAL: Final = (ShareBody, VerdictBody, CheckpointBody)


def round_subject(round_: int) -> bytes:
    """What a member says once a round is filed under: the round's number in eight bytes."""
    return round_.to_bytes(ROUND_BYTES, "big")


def subject_of(transaction: Unsigned) -> bytes | None:
    """The question that a member answers at most once with this kind of transaction, or None for other kinds.

    Eight bytes of round number for an update and for an acknowledgement that closes; the proposal's id for a share, a verdict
    or a checkpoint.
    """
    body = transaction.body
    if isinstance(body, AcknowledgementBody):
        return round_subject(transaction.round) if body.close else None
    if isinstance(body, UpdateBody):
        return round_subject(transaction.round)
    return body.proposal if isinstance(body, _ABOUT_A_PROPOSAL) else None


def contradiction(one: Transaction, two: Transaction) -> str | None:
    """Why no honest member signs both transactions, or None if one may.

    Raises:
        BadSignature: a signature that nobody made.
    """
    if one.id == two.id or one.issuer != two.issuer or one.consortium != two.consortium or not one.parents:
        return None
    if one.sequence == two.sequence:
        return f"sequence {one.sequence} used twice"
    subject = subject_of(one)
    if one.kind is two.kind and subject is not None and subject == subject_of(two):
        what = "close" if isinstance(one.body, AcknowledgementBody) else one.kind
        return f"second {what} for the same {'round' if len(subject) == ROUND_BYTES else 'proposal'}"
    return None


@dataclass(frozen=True)
class EquivocationProof:
    """Two transactions by one issuer that contradict each other, in the order of their ids.

    Attributes:
        first: the transaction with the smaller id.
        second: the other one.
    """

    first: Transaction
    second: Transaction

    @classmethod
    def of(cls, one: Transaction, two: Transaction) -> Self:
        """The proof made of two contradicting transactions, in whichever order."""
        first, second = sorted((one, two), key=lambda transaction: transaction.id)
        return cls(first, second)

    @property
    def issuer(self) -> bytes:
        """Address (20 bytes) of the member that contradicted itself."""
        return self.first.issuer

    def verify(self) -> None:
        """Demands that the proof proves.

        Raises:
            BadSignature: one of the signatures is none.
            MalformedTransaction: the two transactions do not contradict each other.
        """
        if contradiction(self.first, self.second) is None or self.first.id >= self.second.id:
            raise MalformedTransaction(
                "proof", "one member may sign both transactions, or they stand in the wrong order"
            )

    def encode(self) -> bytes:
        """The proof's canonical bytes."""
        return codec.encode({"first": self.first.encode(), "second": self.second.encode()})

    @classmethod
    def decode(cls, raw: bytes) -> Self:
        """The verified proof in bytes from a hostile sender.

        Raises:
            BadSignature: one of the signatures is none.
            MalformedTransaction: no proof, or one that does not prove.
        """
        content = as_map("proof", codec.decode(raw, _LIMIT))
        check_keys("proof", content, _KEYS)
        halves = [content["first"], content["second"]]
        if not all(isinstance(half, bytes) for half in halves):
            raise MalformedTransaction("proof", "expected two byte strings")
        proof = cls(*(Transaction.decode(half) for half in halves if isinstance(half, bytes)))
        proof.verify()
        return proof


def find_contradiction(transaction: Transaction, others: Iterable[Transaction]) -> EquivocationProof | None:
    """The first proof that `transaction` and one of `others` give, if any."""
    for other in others:
        if contradiction(transaction, other):
            return EquivocationProof.of(transaction, other)
    return None
