"""What a round asks of one hospital, by arithmetic: the protocol (docs/spec) counted with measured unit costs."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from crypto.locking import locked_bytes
from crypto.opening import partial_bytes
from crypto.parameters import STANDARD

TRANSACTIONS_A_MEMBER: Final = 8.5
TRANSACTION_BYTES: Final = 379
"""Both of a round of `medweave demo` with four hospitals: 34 transactions, 12,888 bytes."""


@dataclass(frozen=True, slots=True)
class Units:
    """What one of each costs, for one vector of the model's size on one core."""

    chunks: int
    """Chunks of a vector."""
    seal: float
    """Seconds: encrypt one update."""
    unlock: float
    """Seconds: decrypt the envelope of one update, whose key its sender revealed."""
    add: float
    """Seconds: parse, check and add one update."""
    digest: float
    """Seconds: SHA-256 over one byte of a blob that arrived."""
    partial: float
    """Seconds: one member's opening of one sum."""
    combine: float
    """Seconds: one opener's share in combining one sum."""
    verify: float
    """Seconds: parse one transaction and recover who signed it."""
    dealing_fixed: float
    """Bytes that a member receives of each dealer, whatever N."""
    dealing_member: float
    """Bytes more of each dealer for each member of the consortium."""

    @property
    def update_bytes(self) -> int:
        """One sealed update."""
        return self.chunks * locked_bytes(STANDARD)

    @property
    def share_bytes(self) -> int:
        """One member's opening of one sum."""
        return self.chunks * partial_bytes(STANDARD)

    def ceremony_bytes(self, members: int) -> float:
        """What a member receives in a key ceremony."""
        return (members - 1) * (self.dealing_fixed + members * self.dealing_member)


@dataclass(frozen=True, slots=True)
class Load:
    """What a round asks of one hospital, the mean over all; what all receive, somebody sends: as much leaves as arrives."""

    updates_bytes: float
    openings_bytes: float
    ledger_bytes: float
    seconds: float
    """Of one core."""
    ceremony_bytes: float
    """Once an epoch."""

    @property
    def bytes(self) -> float:
        """Everything that arrives in a round."""
        return self.updates_bytes + self.openings_bytes + self.ledger_bytes


def load_of(units: Units, members: int, groups: int) -> Load:
    """Count what the protocol asks.

    Args:
        units: Unit costs.
        members: N; T is two thirds of it, rounded up.
        groups: Sums that are opened.
    """
    openers = math.ceil(2 * members / 3)
    transactions = TRANSACTIONS_A_MEMBER * members
    seconds = (
        units.seal
        + members * (2 * units.unlock + units.add)  # unlocked to be looked at, and again to be added
        + (members - 1) * units.update_bytes * units.digest
        + groups * openers * units.share_bytes * units.digest
        + groups * units.partial * openers / members
        + groups * openers * units.combine
        + transactions * units.verify
    )
    return Load(
        updates_bytes=(members - 1) * units.update_bytes,
        openings_bytes=groups * openers * (1 - 1 / members) * units.share_bytes,
        ledger_bytes=transactions * TRANSACTION_BYTES * (1 - 1 / members),
        seconds=seconds,
        ceremony_bytes=units.ceremony_bytes(members),
    )
