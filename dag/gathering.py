"""Parents whose past cone holds given transactions: for what has to prove something by its own ancestors."""

from __future__ import annotations

from itertools import combinations_with_replacement
from typing import TYPE_CHECKING, Final

from dag.errors import NoParents

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dag.tangle import Tangle

_NEWEST: Final = 64
"""Tips looked at, newest first: what matters to a running round hangs below one of them."""
_PAIRED: Final = 16
"""Tips of which pairs are formed, 136 at most."""


def parents_over(tangle: Tangle, wanted: Sequence[bytes]) -> tuple[bytes, bytes]:
    """The pair of tips whose joint past cone holds most of the wanted transactions; the newest among equals.

    Args:
        tangle: the graph.
        wanted: ids of attached transactions.

    Raises:
        NoParents: the graph is empty.
        UnknownTransaction: a wanted id is not attached.
    """
    tips = tuple(reversed(tangle.tips()))[:_NEWEST]
    if not tips:
        raise NoParents("the ledger is empty: attach genesis first")
    held = {tip: sum(1 << place for place, tx_id in enumerate(wanted) if tangle.in_cone(tx_id, (tip,))) for tip in tips}
    best = sorted(tips, key=lambda tip: -held[tip].bit_count())[:_PAIRED]
    return max(combinations_with_replacement(best, 2), key=lambda pair: (held[pair[0]] | held[pair[1]]).bit_count())


def tip_over(tangle: Tangle, tx_id: bytes) -> bytes:
    """The newest tip that approves a transaction; the transaction itself where none of the newest does.

    Raises:
        UnknownTransaction: it is not attached.
    """
    newest = tuple(reversed(tangle.tips()))[:_NEWEST]
    return next((tip for tip in newest if tangle.in_cone(tx_id, (tip,))), tx_id)
