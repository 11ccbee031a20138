"""Choosing two parents: weighted random walks from an entry point towards the tips (eq. 21-22 of the paper).

A walker standing on x moves to one of the transactions y that approve x with P(y) ∝ exp(alpha · (rating(y) - max rating))
and stops where nothing approves. Two defences are not in the paper. Ratings count distinct approving members, not
transactions. And each member offers one candidate a step, its best rated (among equals one by lot, so that none is shut
out): without that, a member that hangs many transactions under x fills the draw with its own.
Source: Kumar et al. 2021, eq. 22; Popov, "The Tangle", section 4.1, for walks and alpha.

The walks themselves are `dag.index.kernels.find_tips`.
"""

from __future__ import annotations

import math
from itertools import combinations_with_replacement
from typing import TYPE_CHECKING, Any, Final, Literal

from dag.errors import NoParents
from dag.index.graph import Views

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Mapping

    from dag.tangle import Tangle

Rating = Literal["approval", "paper"]
_TRIES: Final = 16  # walks spent on finding two distinct tips; with two equally likely tips 2^-15 of calls find one
# Times the quorum: a tip that so many newer transactions passed by is hardly found by chance. Measured with as many
# transactions under way as members (10, 20, 50): orphans fall from a third to none, and so they do for 1 … 8 times.
_PATIENCE: Final = 3


def choose_parents(
    tangle: Tangle,
    rng: random.Random,
    alpha: float = 2.0,
    rating: Rating = "approval",
    entry: bytes | None = None,
    *,
    through: bytes | None = None,
    rescue: bytes | None = None,
    member: int | None = None,
    round_: int = 0,
    accept: Callable[[bytes], bool] | None = None,
    credibility: Mapping[bytes, float] | None = None,
) -> tuple[bytes, bytes]:
    """Two parents for a new transaction: two distinct tips wherever the walks find two.

    Walks avoid what `Tangle.refuse` was said of.

    Args:
        tangle: the graph, at least genesis.
        rng: source of chance; seed it to repeat a choice.
        alpha: greed, ≥ 0: 0 walks uniformly over members, larger follows the better approved side.
        rating: `approval` counts distinct approving members; `paper` rates by `credibility`, eq. 20.
        entry: where walks start; `tangle.entry` if None.
        through: an id that must end up in the past cone: the first walk starts there.
        rescue: an id that becomes the second parent as it is (`orphan_of`).
        member: index of the issuing member. Of the tips that the walks found it takes the pair that approves most
            updates of `round_` it has not approved yet, then most tips it has not: approval spreads by doubling.
        round_: the new transaction's round; read only with `member`.
        accept: says of an id whether it may be approved at all; a walk goes around and stops before others. It is asked
            at every step, in plain Python: prefer `Tangle.refuse` in a large ledger.
        credibility: score of each id for the `paper` rating; 0 where absent.

    Raises:
        NoParents: the graph is empty.
        UnknownTransaction: `entry`, `through` or `rescue` is not attached.
    """
    start = entry if entry is not None else tangle.entry
    if start is None:
        raise NoParents("the ledger is empty: attach genesis first")
    forced = None if rescue is None else tangle.position(rescue)
    starts = [tangle.position(origin) for origin in (through, start) if origin is not None]
    by = _by(tangle, alpha, rating, accept, credibility or {})
    tips = tangle.tip_count
    found = tangle.graph.find_tips(starts, alpha, rng, tips if member is not None else min(2, tips), _TRIES, by)
    pairs = _pairs(found, through is not None, forced)
    best = pairs[0] if len(pairs) == 1 else max(pairs, key=_gain(tangle, {*found, *pairs[0]}, member, round_))
    return tangle.id_at(best[0]), tangle.id_at(best[1])


def orphan_of(tangle: Tangle, member: int | None) -> bytes | None:
    """The member's oldest transaction that nobody approves although many came later; None if there is none.

    Walks rarely come back to a tip that was passed by, however honest: its own member's next acknowledgement approves it
    (`rescue` of `choose_parents`), and as a fresh tip that one is found. "Many" is three for each member of the quorum.

    Args:
        tangle: the graph.
        member: index of the member; None for one that is no member.
    """
    if member is None or tangle.is_faulty(member):
        return None
    newest_old = len(tangle) - 1 - _PATIENCE * tangle.quorum
    for tip in tangle.tip_places():
        if tip > newest_old:
            return None
        if tangle.graph.table.issuer[tip] == member and not tangle.graph.table.refused[tip]:
            return tangle.id_at(tip)
    return None


def _pairs(found: list[int], first_is_set: bool, forced: int | None) -> list[tuple[int, int]]:
    """The pairs of ends to choose from."""
    firsts = found[:1] if first_is_set else found
    if forced is not None:
        return [(tip, forced) for tip in firsts]
    if first_is_set:
        return [(found[0], tip) for tip in found]
    return list(combinations_with_replacement(found, 2))


def _gain(
    tangle: Tangle, places: set[int], member: int | None, round_: int
) -> Callable[[tuple[int, int]], tuple[int, bool, int]]:
    """What a pair brings: updates not approved yet, whether it is two, tips not approved yet."""
    if member is None:
        return lambda pair: (0, pair[0] != pair[1], 0)
    news = {at: tangle.news(tangle.id_at(at), member, round_) for at in places}
    fresh = {at: not tangle.graph.approved_by(at, member) for at in places}

    def gain(pair: tuple[int, int]) -> tuple[int, bool, int]:
        one, two = pair
        distinct = one != two
        return (news[one] | news[two]).bit_count(), distinct, fresh[one] + (distinct and fresh[two])

    return gain


def _by(
    tangle: Tangle,
    alpha: float,
    rating: Rating,
    accept: Callable[[bytes], bool] | None,
    credibility: Mapping[bytes, float],
) -> Views | None:
    """What walks go by where that is not approval weight and refusals alone."""
    if rating == "approval" and accept is None:
        return None
    table = tangle.graph.table
    rates = table.weight if rating == "approval" else _Column(lambda at: credibility.get(tangle.id_at(at), 0.0))
    barred = _Column(lambda at: table.refused[at] or (accept is not None and not accept(tangle.id_at(at))))
    return Views(rates, barred, _Column(lambda difference: math.exp(-alpha * difference)))


class _Column:
    """A function that is read like a column."""

    def __init__(self, read: Callable[[int], Any]) -> None:
        self._read = read

    def __getitem__(self, at: int) -> Any:
        return self._read(at)
