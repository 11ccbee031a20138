"""Global models, sealed to the members of an epoch (CRY-9)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from crypto import envelope

if TYPE_CHECKING:
    from crypto.keys import MemberKey


def _bound(consortium: bytes, epoch: int, round_number: int) -> bytes:
    return b"model" + consortium + epoch.to_bytes(8, "big") + round_number.to_bytes(8, "big")


def seal_model(member: MemberKey, consortium: bytes, epoch: int, round_number: int, data: bytes) -> bytes:
    """A model's bytes sealed under the epoch's content key; the same at every member, so its CID is too.

    Args:
        member: This member's secrets; only the content key is used.
        consortium: Id of the consortium, 32 bytes.
        epoch: Key epoch.
        round_number: Round that made the model; 0 for the genesis model.
        data: The model file.
    """
    return envelope.seal(member.content, _bound(consortium, epoch, round_number), data)


def open_model(member: MemberKey, consortium: bytes, epoch: int, round_number: int, sealed: bytes) -> bytes:
    """The model file in a sealed model.

    Raises:
        CryptoError: Not sealed by a member of this epoch, or for another round.
    """
    return envelope.open_(member.content, _bound(consortium, epoch, round_number), sealed)
