"""Many rows at once, column by column, checked before anything changes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from dag.errors import MalformedTransaction
from dag.index.columns import MAX_ISSUER, NONE, Rows

if TYPE_CHECKING:
    from collections.abc import Sequence


def rows_by_places(
    start: int,
    firsts: Sequence[int],
    seconds: Sequence[int],
    issuers: Sequence[int],
    rounds: Sequence[int],
    kinds: Sequence[int],
) -> Rows:
    """Rows for `dag.index.graph.Graph.extend`, each one's parents distinct and ascending.

    Args:
        start: place of the first row.
        firsts: place of each one's first parent; -1 for none.
        seconds: of its second.
        issuers: member indices; -1 for genesis.
        rounds: rounds.
        kinds: numbers of kinds.

    Raises:
        MalformedTransaction: a parent's place is not before its child's, or an issuer's index is out of range; says of which
            row.
    """
    one, two, issuer = (np.asarray(column, np.int64) for column in (firsts, seconds, issuers))
    own = np.arange(start, start + issuer.size)
    low, high = np.minimum(one, two), np.maximum(one, two)
    wrong = (low < NONE) | (high >= own) | (issuer < NONE) | (issuer > MAX_ISSUER)
    if wrong.any():
        row = int(wrong.argmax())
        reason = f"parents at {one[row]} and {two[row]}, issuer {issuer[row]}; expected parents before {own[row]}"
        raise MalformedTransaction(f"rows[{row}]", f"{reason} and an issuer of -1…{MAX_ISSUER}")
    first = np.where(low == NONE, high, low)
    second = np.where(high == first, NONE, high)
    return Rows(first, second, issuer, np.asarray(rounds, np.int64), np.asarray(kinds, np.int64))
