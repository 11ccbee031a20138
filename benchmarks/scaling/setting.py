"""What a simulated round is made of: who takes part, over what network, at what cost each."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

SIMULTANEOUS: Final = 4
"""Effects that a daemon carries out at a time (`node.daemon.service.EFFECT_THREADS`), each on one core."""


@dataclass(frozen=True, slots=True)
class Network:
    """Links and machines, the same for every hospital: assumed, not measured."""

    bandwidth: float = 125e6
    """Bytes a second each way: 1 Gbit/s."""
    latency: float = 0.02
    """Seconds from one hospital to another."""
    block: float = 1.0
    """Seconds until a transaction of the chain is known to all."""
    commit: float = 0.005
    """Seconds that a member takes to sign a ledger transaction and have it durable."""
    score: float = 0.1
    """Seconds to measure one model on held-out images; not among the core-seconds."""
    training: float = 60.0
    """Seconds of training, the middle one of the hospitals."""
    spread: float = 0.2
    """The others' training differs by up to this share."""


@dataclass(frozen=True, slots=True)
class Setting:
    """One simulated round."""

    members: int
    """Who takes part and holds the key."""
    groups: int
    """Sums that are opened."""
    resting: int = 0
    """Hospitals of the consortium that only follow."""
    network: Network = Network()
    seed: int = 1

    @property
    def quorum(self) -> int:
        """Two thirds of those who take part, rounded up; as many open a sum."""
        return math.ceil(2 * self.members / 3)

    @property
    def min_group(self) -> int:
        """The plan's, that makes so many groups."""
        return self.members // self.groups
