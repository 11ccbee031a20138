"""Graphs as they look when members post at the same time, without signatures: for pictures and analysis."""

from __future__ import annotations

import random

from dag.bodies import Kind
from dag.tangle import Tangle
from tests.dag.support import name_id


def lockstep(members: int, steps: int, seed: int = 1, rounds: int = 2, quorum: int | None = None) -> Tangle:
    """A tangle in which, in each step, every member posts on two of the tips that it had seen one step ago."""
    rng = random.Random(seed)
    tangle = Tangle(quorum or -(-2 * members // 3))
    tangle.attach(name_id("G"), (), None, 0, Kind.GENESIS)
    kinds = [kind for kind in Kind if kind is not Kind.GENESIS]
    for step in range(steps):
        tips = tangle.tips()
        number = 1 + step * rounds // steps
        for member in range(members):
            if rng.random() < 0.8:
                parents = (rng.choice(tips), rng.choice(tips))
                kind = rng.choices(kinds, (2, 8, 1, 2, 2, 2))[0]
                tangle.attach(name_id(f"{member}.{step}"), parents, member, number, kind)
    return tangle
