"""Locks on sealed updates: nobody reads a member's ciphertexts before it reveals (SECURITY.md, "Late posters").

A sealed chunk is stored enclosed under a key that follows from the secret the update has committed to. Everybody holds the
locked bytes, so the update is fixed and available; once the member reveals the secret, everybody unlocks the same
chunks. The key is bound to issuer and round and each chunk to its place, so that a copied blob opens to nothing elsewhere.
"""

from dataclasses import dataclass

from crypto import envelope
from crypto.envelope import OVERHEAD, Binding
from crypto.errors import MalformedBytes
from crypto.parameters import ParameterSet
from crypto.sealing import chunk_bytes
from crypto.secrets import ContentKey, Secret


@dataclass(frozen=True, repr=False, eq=False)
class UpdateLock(Secret):
    """What one member's update of one round is locked with; secret until the member reveals."""

    key: ContentKey
    """Follows from the reveal (:meth:`crypto.secrets.ContentKey.from_reveal`)."""
    issuer: bytes
    """20-byte address of the member."""
    epoch: int
    """Key epoch."""
    round: int
    """Round number."""

    @classmethod
    def from_reveal(cls, reveal: bytes, issuer: bytes, epoch: int, round_number: int) -> "UpdateLock":
        """The lock that this 32-byte secret opens.

        Raises:
            MalformedBytes: the reveal has another length.
        """
        return cls(ContentKey.from_reveal(reveal, issuer, round_number), issuer, epoch, round_number)

    def lock(self, index: int, chunk: bytes) -> bytes:
        """The chunk at a place of the update, enclosed: ``locked_bytes`` bytes for a chunk of ``chunk_bytes``."""
        return envelope.seal(self.key, self._binding(index), chunk)

    def unlock(self, index: int, locked: bytes) -> bytes:
        """The bytes that :meth:`lock` enclosed; whether they are a ciphertext, :mod:`crypto.sealing` says.

        Raises:
            MalformedBytes: no envelope at all.
            BadEnvelope: altered, or of another member, round or place.
        """
        return envelope.open(self.key, self._binding(index), locked)

    def _binding(self, index: int) -> Binding:
        return Binding(f"update/{index}", self.epoch, self.round, self.issuer)


def locked_bytes(params: ParameterSet) -> int:
    """Length of every locked chunk of this parameter set, bytes."""
    return chunk_bytes(params) + OVERHEAD


def verify_locked(data: bytes, params: ParameterSet) -> None:
    """Raise unless ``data`` has the form of a locked chunk: all that can be said before the reveal.

    Raises:
        MalformedBytes: not an envelope, or of another length.
    """
    envelope.verify_form(data)
    if len(data) != locked_bytes(params):
        raise MalformedBytes("locked.length", f"{len(data)} bytes, expected {locked_bytes(params)}")
