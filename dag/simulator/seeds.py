"""Chance by name: each part of a run draws from a generator of its own, so that changing one leaves the others as they were."""

from __future__ import annotations

import random
from hashlib import sha256


def stream(seed: int, name: str) -> random.Random:
    """The generator of one named part of a run; equal for equal seed and name, on every machine."""
    return random.Random(digest(seed, name))  # noqa: S311  (a simulation must repeat)


def digest(seed: int, name: str) -> bytes:
    """32 bytes that follow from seed and name: keys and secrets of simulated members."""
    return sha256(f"medweave simulation {seed} {name}".encode()).digest()
