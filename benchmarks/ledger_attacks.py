"""Attacks on the ledger's walks: how often honest walks end on one bad member's transactions, and what is left behind.

One of ten members attacks; the others post as nodes do (`dag.simulator.laboratory`). Each figure stands beside the paper's
rating (eq. 20 as printed) and, where a walk can be replayed on the same graph, beside counting transactions instead of
members.

    python -m benchmarks.ledger_attacks [--json F] [--repeats N]
"""

from __future__ import annotations

import math
import statistics
import sys
from typing import TYPE_CHECKING, Final

from benchmarks import harness
from benchmarks.errors import NotMeasured
from benchmarks.harness import Figure, Result, Row, Target
from dag.bodies import Kind
from dag.index.engine import compile_from
from dag.simulator.laboratory import Laboratory, Setting

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from dag.tangle import Tangle
    from dag.walks import Rating

MEMBERS: Final = 10
FLIGHTS: Final = (1, 5, 20, 50)
BEHIND: Final = (10, 20, 50, 100, 200)
"""How many honest transactions a hidden subtangle leaves out: how long it was kept secret."""
JUDGED_BEHIND: Final = {1: 20, 5: 50, 20: 100, 50: 200}
"""What the target is held against, by transactions in flight: ten delays, and two transactions a member at least."""
DOORS: Final = 100
"""Honest transactions that a ladder is hung under."""
WARM_UP: Final = 1300
WALKS: Final = 120
"""Of each of nine honest members."""
BUSHES: Final = 10
LEAVES: Final = 50
"""Of a bush: a member's transactions under one honest one."""
OUTSPENT: Final = 3
"""Attacking transactions for each honest one that came after the oldest that the attacker builds on."""
ATTACKER: Final = MEMBERS - 1
HONEST: Final = tuple(range(MEMBERS - 1))
RATINGS: Final[tuple[Rating, ...]] = ("approval", "paper")
_MOST_STEPS: Final = 40


def orphans(flight: int, rating: Rating, seed: int, *, rescue: bool = True) -> float:
    """Share of honest transactions that nobody but their issuer ever approves."""
    laboratory = Laboratory(Setting(MEMBERS, flight, seed, rating=rating, rescue=rescue))
    laboratory.grow(WARM_UP + 400 + 20 * flight, range(MEMBERS))
    laboratory.land_all()
    return laboratory.orphans(laboratory.order[100:WARM_UP])


def parasite(laboratory: Laboratory, behind: int, *, ladder: bool) -> list[bytes]:
    """Publishes a subtangle that leaves out the newest `behind` transactions; returns what the attacker spent on it.

    A chain hangs under one old transaction. A ladder hangs under a hundred of them, one rung each: a hundred doors into it.
    """
    order = laboratory.order
    roots = order[-(behind + DOORS) : -behind] if ladder else [order[-behind - 1]]
    hidden: list[bytes] = []
    for number in range(OUTSPENT * (behind + len(roots) - 1)):
        root = roots[min(number, len(roots) - 1)]
        hidden.append(laboratory.attack(ATTACKER, (root, hidden[-1] if hidden else root)))
    return hidden


def captured(ends: Iterable[bytes], bad: Iterable[bytes]) -> float:
    """Share of walks that end on the attacker's."""
    theirs = set(bad)
    return statistics.fmean(end in theirs for end in ends)


def parasites(
    flight: int, rating: Rating, seed: int, *, ladder: bool, naive: bool
) -> dict[int, tuple[float, int, float | None, float | None]]:
    """Parasites on one graph, the one that leaves out most first; each is taken off the walks' way before the next.

    Walks start where they started before the attack. Its many transactions would move the entry point, which lies a window
    of transactions back, beyond the parasite's roots, and no walk would meet it at all.

    Returns:
        For each of `BEHIND`: share of honest members' walks that it captures when it is published, what it cost, and if
        `naive` what walks by sums, and by members with all candidates, make of it.
    """
    laboratory = Laboratory(Setting(MEMBERS, flight, seed, rating=rating))
    laboratory.grow(WARM_UP, HONEST)
    view = laboratory.views[0]
    entry = view.entry or laboratory.genesis
    walks = WALKS if rating == "approval" else WALKS // 4  # walks by another rating are not compiled
    found: dict[int, tuple[float, int, float | None, float | None]] = {}
    for behind in sorted(BEHIND, reverse=True):
        hidden = parasite(laboratory, behind, ladder=ladder)
        share = captured([end for member in HONEST for end in laboratory.ends(walks, member, entry)], hidden)
        others = [
            captured(naive_walks(laboratory, weights.__getitem__, WALKS, entry), hidden)
            for weights in ((transactions_over(view), view.graph.table.weight) if naive else ())
        ]
        found[behind] = (share, len(hidden), *(others or (None, None)))
        for tx_id in hidden:
            for seen in laboratory.views:
                seen.refuse(tx_id)
    return found


def bushes(flight: int, back: int, seed: int) -> tuple[float, float]:
    """Fifty transactions under each of ten honest ones, of which the newest has `back` after it.

    Returns:
        Share of honest members' walks that end there; and of walks by members with all candidates.
    """
    laboratory = Laboratory(Setting(MEMBERS, flight, seed))
    laboratory.grow(WARM_UP, HONEST)
    view = laboratory.views[0]
    entry = view.entry or laboratory.genesis
    roots = laboratory.order[-back - BUSHES : -back]
    leaves = [laboratory.attack(ATTACKER, (root, root)) for root in roots for _ in range(LEAVES)]
    ends = [end for member in HONEST for end in laboratory.ends(WALKS, member, entry)]
    others = naive_walks(laboratory, view.graph.table.weight.__getitem__, WALKS, entry)
    return captured(ends, leaves), captured(others, leaves)


def naive_walks(
    laboratory: Laboratory, weight: Callable[[int], float], walks: int, entry: bytes | None = None
) -> list[bytes]:
    """Walks on the same graph without this ledger's two defences: every approver is a candidate, rated by `weight`."""
    tangle, rng = laboratory.views[0], laboratory.rng
    ends = []
    for _ in range(walks):
        at = entry or tangle.entry or laboratory.genesis
        while candidates := [tx_id for tx_id in tangle.approvers(at) if not tangle.is_refused(tx_id)]:
            rates = [weight(tangle.position(tx_id)) for tx_id in candidates]
            top = max(rates)
            at = rng.choices(candidates, [math.exp(laboratory.setting.alpha * (rate - top)) for rate in rates])[0]
        ends.append(at)
    return ends


def transactions_over(tangle: Tangle) -> list[int]:
    """For each place how many transactions approve it, directly or not, itself included: Popov's cumulative weight."""
    over = [1 << place for place in range(len(tangle))]
    for place in range(len(tangle) - 1, -1, -1):
        if tangle.is_refused(tangle.id_at(place)):
            continue  # an earlier parasite, taken off
        for parent in tangle.parents(tangle.id_at(place)):
            over[tangle.position(parent)] |= over[place]
    return [mask.bit_count() for mask in over]


def lazy(flight: int, rating: Rating, seed: int, count: int = WARM_UP) -> tuple[float, float]:
    """Share of a lazy member's transactions that an honest one approves; share of honest parents that are its."""
    laboratory = Laboratory(Setting(MEMBERS, flight, seed, rating=rating))
    laboratory.grow(count // 2, HONEST)
    old = (laboratory.order[count // 4], laboratory.order[count // 4 + 1])
    bad: list[bytes] = []
    parents: list[bytes] = []
    for _ in range(count // MEMBERS):
        bad.append(laboratory.attack(ATTACKER, old))
        parents += [parent for tx_id in laboratory.grow(MEMBERS - 1, HONEST) for parent in laboratory.parents[tx_id]]
    laboratory.land_all()
    judged = bad[: -len(bad) // 10]  # the newest had little time
    approved = sum(laboratory.views[0].approval_weight(tx_id) > 1 for tx_id in judged)
    return approved / len(judged), captured(parents, bad)


def lag(members: int, rating: Rating, seed: int) -> int:
    """Transactions a member, its update included, until all updates are confirmed, everybody always posting at once."""
    laboratory = Laboratory(Setting(members, members, seed, rating=rating))
    updates: list[bytes] = []
    for step in range(_MOST_STEPS):
        kind = Kind.ACKNOWLEDGEMENT if step else Kind.UPDATE
        posted = [laboratory.post(member, kind) for member in range(members)]
        laboratory.land_all()
        updates = updates or posted
        if all(laboratory.views[0].is_confirmed(tx_id) for tx_id in updates):
            return step + 1
    raise NotMeasured(
        f"{members} members, rating {rating}: updates are not confirmed after {_MOST_STEPS} transactions each"
    )


def _spread(name: str, values: Sequence[float]) -> dict[str, Figure]:
    return {name: statistics.median(values), f"{name} worst": max(values)}


def _orphan_rows(seeds: range) -> tuple[list[Row], list[Target]]:
    rows, targets = [], []
    for flight in FLIGHTS:
        found = [orphans(flight, "approval", seed) for seed in seeds]
        plain = [orphans(flight, "approval", seed, rescue=False) for seed in seeds]
        paper = [orphans(flight, "paper", seed, rescue=False) for seed in seeds]
        figures: dict[str, Figure] = _spread("orphans", found) | {
            "without rescue": statistics.median(plain),
            "paper's rating": statistics.median(paper),
        }
        rows.append(Row("orphans: share of transactions that no other member approves", f"{flight} in flight", figures))
        targets.append(Target(f"orphans, {flight} in flight", 100 * statistics.median(found), "%", "<=", 1.0))
    return rows, targets


def _parasite_rows(seeds: range) -> tuple[list[Row], list[Target]]:
    rows, targets = [], []
    for ladder in (False, True):
        shape = "ladder" if ladder else "chain"
        title = f"parasite {shape}: share of walks that end in it, by what it leaves out"
        for flight in FLIGHTS:
            found = [parasites(flight, "approval", seed, ladder=ladder, naive=seed == seeds[0]) for seed in seeds]
            paper = parasites(flight, "paper", seeds[0], ladder=ladder, naive=False)
            for behind in BEHIND:
                share = [one[behind][0] for one in found]
                _, spent, by_sums, by_members = found[0][behind]
                figures = _spread("captured", share) | {
                    "spent": spent,
                    "paper's rating": paper[behind][0],
                    "by sums": by_sums,
                    "by members, all candidates": by_members,
                }
                rows.append(Row(title, f"{flight} in flight, {behind} left out", figures))
                if JUDGED_BEHIND[flight] == behind:
                    name = f"captured by a {shape} leaving out {behind}, {flight} in flight"
                    targets.append(Target(name, 100 * statistics.median(share), "%", "<=", 2.0))
    return rows, targets


def _bush_rows(seeds: range) -> list[Row]:
    title = f"{BUSHES} bushes of {LEAVES}: share of walks that end on a leaf, by what came after their roots"
    rows = []
    for flight in FLIGHTS:
        for back in (5, 10, 20):
            found = [bushes(flight, back, seed) for seed in seeds]
            figures = _spread("captured", [one[0] for one in found]) | {
                "spent": BUSHES * LEAVES,
                "by members, all candidates": statistics.median(one[1] for one in found),
            }
            rows.append(Row(title, f"{flight} in flight, {back} after", figures))
    return rows


def _lazy_rows(seeds: range) -> tuple[list[Row], list[Target]]:
    rows, targets = [], []
    for flight in FLIGHTS:
        found = [lazy(flight, "approval", seed) for seed in seeds]
        paper = [lazy(flight, "paper", seed) for seed in seeds]
        figures = _spread("lazy approved", [one[0] for one in found]) | {
            "of honest parents": statistics.median(one[1] for one in found),
            "paper's rating": statistics.median(one[0] for one in paper),
        }
        rows.append(Row("lazy tips: share that an honest member approves", f"{flight} in flight", figures))
        value = 100 * statistics.median(one[0] for one in found)
        targets.append(Target(f"lazy tips approved, {flight} in flight", value, "%", "<=", 2.0))
    return rows, targets


def _lag_rows(seeds: range) -> list[Row]:
    title = "all post at once: transactions of each until all updates are confirmed"
    return [
        Row(
            title,
            f"{members} members",
            _spread("transactions", [lag(members, "approval", seed) for seed in seeds])
            | {"paper's rating": statistics.median(lag(members, "paper", seed) for seed in seeds)},
        )
        for members in (4, 10, 20, 50)
    ]


def benchmark(repeats: int) -> Result:
    """Everything, with so many seeds each."""
    compile_from(0)
    seeds = range(repeats)
    orphan_rows, orphan_targets = _orphan_rows(seeds)
    parasite_rows, parasite_targets = _parasite_rows(seeds)
    lazy_rows, lazy_targets = _lazy_rows(seeds)
    return Result(
        rows=(*orphan_rows, *parasite_rows, *_bush_rows(seeds), *lazy_rows, *_lag_rows(seeds)),
        targets=(*orphan_targets, *parasite_targets, *lazy_targets),
        notes=(
            f"{MEMBERS} members, one attacks; alpha {Setting().alpha}; medians over {repeats} seeds, the worst beside them.",
            "Parasites are held against other walks with the first seed.",
            "A parasite that leaves out little is a member that is a little late: it is approved as any other, and harms nobody.",
            "By sums: the same walk rated by approving transactions.",
            "By members, all candidates: rated by approving members, but without one candidate a member and step.",
        ),
    )


def main(arguments: list[str] | None = None) -> int:
    """Measure."""
    options = harness.parser(__doc__ or "").parse_args(arguments)
    return harness.run(lambda: benchmark(options.repeats), options.json)


if __name__ == "__main__":
    sys.exit(main())
