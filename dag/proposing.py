"""Which parents a proposal should take, so that its own past cone proves its updates confirmed."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations_with_replacement
from typing import TYPE_CHECKING, Final

from dag.errors import NoParents

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dag.tangle import Tangle

_MAX_TIPS: Final = 16  # bounds the pairs looked at to 136


@dataclass(frozen=True)
class ProposalBasis:
    """Two parents, and what a proposal on them may list.

    Attributes:
        parents: ids for `Ledger.create(parents=…)`.
        updates: ids of the updates confirmed inside the parents' past cone, ascending.
        reveals: ids of acknowledgements there that reveal the secrets of these updates' issuers, ascending.
    """

    parents: tuple[bytes, bytes]
    updates: tuple[bytes, ...]
    reveals: tuple[bytes, ...]


def confirmed_on(tangle: Tangle, updates: Sequence[bytes], heads: Sequence[bytes], member: int) -> tuple[bytes, ...]:
    """The updates that a proposal by `member` on these heads may list: a quorum approves, the proposer included."""

    def enough(update: bytes) -> bool:
        approving = tangle.confirmed_within(update, heads)
        own = {member} - tangle.void_within(heads, tangle.round(update))
        return bool(approving) and len(approving | own) >= tangle.quorum

    return tuple(sorted(update for update in updates if enough(update)))


def best_parents(tangle: Tangle, round_: int, member: int) -> tuple[bytes, bytes]:
    """The pair of tips whose joint past cone confirms most of a round's updates; the newest among equals.

    Looks at the tips that approve most updates. Members that approve an update inside either tip's cone approve it inside
    the joint one, so each tip is looked at once.

    Raises:
        NoParents: the graph is empty.
    """
    newest_first = reversed(tangle.tips())
    tips = sorted(newest_first, key=lambda tip: -tangle.cover(tip, round_).bit_count())[:_MAX_TIPS]
    if not tips:
        raise NoParents("the ledger is empty: attach genesis first")
    approvals = {tip: tangle.cover_approvals(tip) if tangle.cover(tip, round_) else {} for tip in tips}

    def confirmed(pair: tuple[bytes, bytes]) -> int:
        one, two = approvals[pair[0]], approvals[pair[1]]
        masks = (one.get(update, 0) | two.get(update, 0) | 1 << member for update in {*one, *two})
        return sum(mask.bit_count() >= tangle.quorum for mask in masks)

    return max(combinations_with_replacement(tips, 2), key=confirmed)
