"""Looking for transactions by what they are: the columns compared at once, some ten thousand rows at a time.

The graph's memory holds kind, round, issuer and weight of every row, so no index on disk is needed and a search costs a
millisecond for a million rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from dag.bodies import Kind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from dag.tangle import Tangle

_NUMBERS: Final = {kind: number for number, kind in enumerate(Kind)}
_PIECE: Final = 1 << 16


@dataclass(frozen=True)
class Wanted:
    """Which transactions are looked for; None asks for nothing.

    Attributes:
        kind: of this kind.
        round: of this round.
        issuer: by the member with this index.
        confirmed: approved by a quorum, or not yet.
    """

    kind: Kind | None = None
    round: int | None = None
    issuer: int | None = None
    confirmed: bool | None = None


def find_places(
    tangle: Tangle, wanted: Wanted, limit: int, *, after: int = -1, before: int | None = None, newest: bool = False
) -> list[int]:
    """Places, in the order of attachment, of the first transactions that fit.

    Args:
        tangle: the graph; nobody may write to it meanwhile.
        wanted: which ones.
        limit: at most so many, ≥ 1.
        after: only larger places.
        before: only smaller places; None for all there are.
        newest: begin at the end.
    """
    stop = len(tangle) if before is None else min(before, len(tangle))
    found: list[int] = []
    for low, high in _pieces(max(0, after + 1), stop, newest=newest):
        places = low + np.flatnonzero(_fits(tangle, wanted, low, high))
        found += (places[::-1] if newest else places)[: limit - len(found)].tolist()
        if len(found) == limit:
            break
    return found


def _fits(tangle: Tangle, wanted: Wanted, low: int, high: int) -> NDArray[np.bool_]:
    columns = tangle.graph.columns
    fits = np.ones(high - low, np.bool_)
    if wanted.kind is not None:
        fits &= columns.column("kind")[low:high] == _NUMBERS[wanted.kind]
    if wanted.round is not None:
        fits &= columns.column("round")[low:high] == wanted.round
    if wanted.issuer is not None:
        fits &= columns.column("issuer")[low:high] == wanted.issuer
    if wanted.confirmed is not None:
        fits &= (columns.column("weight")[low:high] >= tangle.quorum) == wanted.confirmed
    return fits


def _pieces(start: int, stop: int, *, newest: bool) -> Iterator[tuple[int, int]]:
    if newest:
        for high in range(stop, start, -_PIECE):
            yield max(start, high - _PIECE), high
    else:
        for low in range(start, stop, _PIECE):
            yield low, min(stop, low + _PIECE)
