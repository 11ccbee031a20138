"""Which updates of a round count: those that a quorum of members had taken in before anybody could read another's.

A member *closes* once a round, with an acknowledgement: it counts the updates below its close and no further one. It reveals
the key of its own update only when it holds the closes of a quorum, for its own sake; and a proposal may list an update
only if the closes of a quorum, inside the proposal's past cone, cover it. Two quorums share an honest member, which closed
once: so whatever is listed was fixed before any honest member's update could be read (crypto/SECURITY.md, "Late posters").
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from dag.tangle import Tangle


def closed_by(tangle: Tangle, closes: Iterable[bytes], heads: Iterable[bytes], round_: int) -> dict[int, int]:
    """What the members' closes inside the heads' past cone cover (the heads included).

    A close covers an update that it reaches through transactions of the round alone. A member that contradicts itself in the
    cone closes nothing.

    Args:
        tangle: the graph.
        closes: ids of attached closes of the round, at least those in the cone.
        heads: ids whose past cone is looked at.
        round_: the round.

    Returns:
        By the index of the member that closed, the bit mask of the members whose update its close covers; 0 if none.

    Raises:
        UnknownTransaction: an id is not attached.
    """
    heads = tuple(heads)
    void = tangle.void_within(heads, round_)
    covered: dict[int, int] = {}
    for close in closes:
        member = tangle.issuer(close)
        if member not in void and tangle.in_cone(close, heads):
            covered[member] = covered.get(member, 0) | tangle.cover(close, round_)
    return covered


def closers_of(issuer: int, closed: Mapping[int, int]) -> int:
    """How many members' closes cover the update of this member index.

    Args:
        issuer: index of the update's issuer.
        closed: as `closed_by` gives it.
    """
    return sum(mask >> issuer & 1 for mask in closed.values())
