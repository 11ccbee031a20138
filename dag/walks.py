"""Choosing two parents: weighted random walks from an entry point towards the tips (eq. 21-22 of the paper).

A walker standing on x moves to one of the transactions y that approve x with P(y) ∝ exp(alpha · (rating(y) - max rating))
and stops where nothing approves. Two defences are not in the paper. Ratings count distinct approving members, not
transactions. And each member offers one candidate a step, its best rated: without that, a member that hangs many
transactions under x fills the draw with its own.
Source: Kumar et al. 2021, eq. 22; Popov, "The Tangle", section 4.1, for walks and alpha.
"""

from __future__ import annotations

import math
from itertools import combinations_with_replacement
from typing import TYPE_CHECKING, Final, Literal

from dag.errors import NoParents

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Mapping

    from dag.tangle import Tangle

Rating = Literal["approval", "paper"]
_TRIES: Final = 16  # walks spent on finding two distinct tips; with two equally likely tips 2^-15 of calls find one


def choose_parents(
    tangle: Tangle,
    rng: random.Random,
    alpha: float = 2.0,
    rating: Rating = "approval",
    entry: bytes | None = None,
    *,
    through: bytes | None = None,
    member: int | None = None,
    round_: int = 0,
    accept: Callable[[bytes], bool] | None = None,
    credibility: Mapping[bytes, float] | None = None,
) -> tuple[bytes, bytes]:
    """Two parents for a new transaction: two distinct tips wherever the walks find two.

    Args:
        tangle: the graph, at least genesis.
        rng: source of chance; seed it to repeat a choice.
        alpha: greed, ≥ 0: 0 walks uniformly over members, larger follows the better approved side.
        rating: `approval` counts distinct approving members; `paper` rates by `credibility`, eq. 20.
        entry: where walks start; `tangle.entry` if None.
        through: an id that must end up in the past cone: the first walk starts there.
        member: index of the issuing member. Of the tips that the walks found it takes the pair that approves most
            updates of `round_` it has not approved yet, then most tips it has not: approval spreads by doubling.
        round_: the new transaction's round; read only with `member`.
        accept: says of an id whether it may be approved at all; a walk goes around and stops before others.
        credibility: score of each id for the `paper` rating; 0 where absent.

    Raises:
        NoParents: the graph is empty.
        UnknownTransaction: `entry` or `through` is not attached.
    """
    start = entry if entry is not None else tangle.entry
    if start is None:
        raise NoParents("the ledger is empty: attach genesis first")
    rate = _approval(tangle) if rating == "approval" else _paper(credibility or {})

    def walk(origin: bytes) -> bytes:
        return _walk(tangle, rng, alpha, rate, origin, accept)

    first = None if through is None else walk(through)
    found = {} if first is None else {first: None}
    tips = len(tangle.tips())
    for _ in range(_TRIES):
        found[walk(start)] = None
        if len(found) == tips or (member is None and len(found) > 1):
            break

    def gain(pair: tuple[bytes, bytes]) -> tuple[int, bool, int]:
        if member is None:
            return 0, pair[0] != pair[1], 0
        fresh = sum(not tangle.approved_by(tip, member) for tip in set(pair))
        return tangle.news(pair, member, round_), pair[0] != pair[1], fresh

    pairs = [(first, tip) for tip in found] if first is not None else combinations_with_replacement(found, 2)
    return max(pairs, key=gain)


def step_probabilities(
    ratings: list[float],
    alpha: float,
) -> list[float]:
    """Eq. 22: exp(alpha · (rating - max)) for each candidate, normalised to sum 1."""
    top = max(ratings)
    weights = [math.exp(alpha * (value - top)) for value in ratings]
    total = sum(weights)
    return [weight / total for weight in weights]


def _walk(
    tangle: Tangle,
    rng: random.Random,
    alpha: float,
    rate: Callable[[bytes], float],
    start: bytes,
    accept: Callable[[bytes], bool] | None,
) -> bytes:
    at = start
    while candidates := _candidates(tangle, rng, rate, at, accept):
        ids, ratings = zip(*candidates, strict=True)
        at = rng.choices(ids, step_probabilities(list(ratings), alpha))[0]
    return at


def _candidates(
    tangle: Tangle,
    rng: random.Random,
    rate: Callable[[bytes], float],
    at: bytes,
    accept: Callable[[bytes], bool] | None,
) -> list[tuple[bytes, float]]:
    """One approver of `at` a member, its best rated; equally rated ones by lot, so that none is shut out."""
    best: dict[int, tuple[float, list[bytes]]] = {}
    for child in tangle.approvers(at):
        # Weight 0: only proven equivocators stand behind it. Where an honest member built on it, the walk goes on.
        if tangle.approval_weight(child) == 0 or (accept is not None and not accept(child)):
            continue
        rating, issuer = rate(child), tangle.issuer(child)
        top, ties = best.get(issuer, (-math.inf, []))
        if rating > top:
            best[issuer] = (rating, [child])
        elif rating == top:
            ties.append(child)
    return [(rng.choice(ties), rating) for rating, ties in best.values()]


def _approval(tangle: Tangle) -> Callable[[bytes], float]:
    return tangle.approval_weight


def _paper(credibility: Mapping[bytes, float]) -> Callable[[bytes], float]:
    def rate(tx_id: bytes) -> float:
        return credibility.get(tx_id, 0.0)

    return rate
