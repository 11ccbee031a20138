"""Global models, sealed to the members of an epoch (CRY-9)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from crypto import envelope
from crypto.envelope import Binding

if TYPE_CHECKING:
    from crypto.keys import MemberKey


def seal_model(member: MemberKey, epoch: int, round_number: int, data: bytes) -> bytes:
    """A model's bytes sealed under the epoch's content key; the same at every member, so its CID is too.

    Args:
        member: This member's secrets; only the content key is used.
        epoch: Key epoch.
        round_number: Round that made the model; 0 for the genesis model.
        data: The model file.
    """
    return envelope.seal(member.content, Binding("model", epoch, round_number, b""), data)


def open_model(member: MemberKey, epoch: int, round_number: int, sealed: bytes) -> bytes:
    """The model file in a sealed model.

    Raises:
        CryptoError: Not sealed by a member of this epoch, or for another round.
    """
    return envelope.open(member.content, Binding("model", epoch, round_number, b""), sealed)
