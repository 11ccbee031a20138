"""Global models, sealed to the members of an epoch (CRY-9), or to this hospital alone where it rested in their round."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from crypto import envelope
from crypto.envelope import Binding
from crypto.secrets import ContentKey

if TYPE_CHECKING:
    from collections.abc import Callable

    from crypto.keys import MemberKey

OWN: Final = 0
"""Stands for a key epoch where a model lies sealed under this hospital's own key; epochs count from 1."""


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


def own_key(secret_for: Callable[[bytes], bytes]) -> ContentKey:
    """The key for models that members passed on to this hospital.

    Args:
        secret_for: A 32-byte secret of this hospital for a label (`Identity.derive`).
    """
    return ContentKey(secret_for(b"passed models"))


def seal_own(key: ContentKey, round_number: int, data: bytes) -> bytes:
    """A model's bytes sealed under this hospital's own key.

    Args:
        key: From `own_key`.
        round_number: Round that made the model.
        data: The model file.
    """
    return envelope.seal(key, Binding("model", OWN, round_number, b""), data)


def open_own(key: ContentKey, round_number: int, sealed: bytes) -> bytes:
    """The inverse of `seal_own`.

    Raises:
        CryptoError: Not sealed by this hospital, or for another round.
    """
    return envelope.open(key, Binding("model", OWN, round_number, b""), sealed)
