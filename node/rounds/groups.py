"""Who is summed with whom: everything a round draws from its seed.

Draws use integers expanded from SHAKE256 (FIPS 202) and rejection, so every member and auditor draws the same. The group
seed mixes the chain's round seed with what nobody could know while posting: the root of all included updates and the
members' revealed commitments. So no member chooses who is grouped with a victim (docs/threat-model.md).
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

SEED_BYTES = 32


def group_seed(round_seed: bytes, updates_root: bytes, reveals: Iterable[bytes]) -> bytes:
    """The 32-byte seed of the grouping.

    Args:
        round_seed: The seed the chain gave when the round was opened, 32 bytes.
        updates_root: Merkle root over the included update ids, in sorted order.
        reveals: The revealed 32-byte values, in any order: they count sorted, once each, so that neither revealing again
            nor the id of the transaction that reveals moves the seed.
    """
    state = hashlib.sha256(b"medweave/groups" + round_seed + updates_root)
    for reveal in sorted(set(reveals)):
        state.update(reveal)
    return state.digest()


def seed_material(reveals: Iterable[bytes], ledger_root: bytes) -> bytes:
    """What a finalised round adds to the next round's seed (CHN-2): its reveals and its ledger root."""
    state = hashlib.sha256(b"medweave/seed")
    for reveal in sorted(set(reveals)):
        state.update(reveal)
    state.update(ledger_root)
    return state.digest()


def draw_groups(
    seed: bytes, count: int, min_group: int, left_out: frozenset[int] = frozenset(), *, rest: bool = False
) -> tuple[tuple[int, ...], ...]:
    """Split `count` updates into disjoint groups of at least `min_group`.

    Args:
        seed: The group seed.
        count: How many updates are listed; they are numbered 0 … count-1 in sorted order of id.
        min_group: Fewest updates a group may hold.
        left_out: Numbers of updates that are in no group: those of members under suspicion.
        rest: Where only one group can be formed and it could spare an update, leave one out that the seed chooses: sums over
            other members each round tell them apart, and one round still opens one sum.

    Returns:
        As many groups as can be formed, whose sizes differ by at most one, each ascending, ordered by first member.

    Raises:
        ValueError: Fewer than `min_group` updates are left: such a sum must not be opened.
    """
    taking_part = [number for number in range(count) if number not in left_out]
    if min_group < 1 or len(taking_part) < min_group:
        raise ValueError(f"{len(taking_part)} updates cannot form a group of at least {min_group}")
    order = shuffled(seed, taking_part)
    groups = len(order) // min_group
    if rest and groups == 1 and len(order) > min_group:
        order = order[1:]
    return tuple(sorted(tuple(sorted(order[g::groups])) for g in range(groups)))


def draw_partitions(
    seed: bytes,
    count: int,
    min_group: int,
    left_out: frozenset[int] = frozenset(),
    *,
    rest: bool = False,
    sections: int = 1,
) -> tuple[tuple[int, ...], ...]:
    """The groups of all sections in one list, section by section: `draw_groups` with each section's own seed.

    Args:
        seed: The group seed.
        count: As `draw_groups`.
        min_group: As `draw_groups`.
        left_out: As `draw_groups`.
        rest: As `draw_groups`; each section's seed chooses another.
        sections: How many, 1 … 255; the first one's draw is that of a round without sections.

    Raises:
        ValueError: As `draw_groups`.
    """
    return tuple(
        group
        for section in range(sections)
        for group in draw_groups(section_seed(seed, section), count, min_group, left_out, rest=rest)
    )


def section_seed(seed: bytes, section: int) -> bytes:
    """The 32-byte seed of one section's partition; section 0 has the group seed itself."""
    return hashlib.sha256(b"medweave/section" + seed + bytes([section])).digest() if section else seed


def listed_seats(seats: Sequence[int], positions: Iterable[int]) -> tuple[int, ...]:
    """The seats behind positions in a list of updates, ascending."""
    return tuple(sorted(seats[position] for position in positions))


def tolerated_colluders(sizes: Iterable[int]) -> int:
    """How many members of the smallest group may collude without learning another's single update.

    Colluders subtract their own updates from the sum, so at least two others must be in it: size - 2 (docs/threat-model.md).
    """
    return max(0, min(sizes) - 2)


def shuffled(seed: bytes, items: Iterable[int]) -> list[int]:
    """A Fisher-Yates shuffle driven by SHAKE256(seed)."""
    order = list(items)
    draw = _Draws(seed)
    for i in range(len(order) - 1, 0, -1):
        j = draw.below(i + 1)
        order[i], order[j] = order[j], order[i]
    return order


def choose_openers(seed: bytes, ranks: Iterable[Iterable[int]], threshold: int) -> tuple[int, ...]:
    """The T members asked to open, in ascending order.

    Args:
        seed: Any public seed; which T members open has no bearing on secrecy, only on load.
        ranks: Disjoint sets of member indices, the most promising first; within one, the seed decides.
        threshold: T.
    """
    order = [member for rank in ranks for member in shuffled(seed, sorted(rank))]
    return tuple(sorted(order[:threshold]))


class _Draws:
    """Uniform integers below a bound (rejection over 64-bit words of an extendable output)."""

    def __init__(self, seed: bytes) -> None:
        self._seed, self._block, self._words = seed, 0, b""

    def below(self, bound: int) -> int:
        limit = (1 << 64) - (1 << 64) % bound
        while True:
            if not self._words:
                block = self._block.to_bytes(8, "big")
                self._words = hashlib.shake_256(b"medweave/draw" + self._seed + block).digest(512)
                self._block += 1
            word, self._words = int.from_bytes(self._words[:8], "big"), self._words[8:]
            if word < limit:
                return word % bound
