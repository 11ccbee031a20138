"""Who may be left out of a round's sums by what earlier rounds say (docs/spec/suspicion.md)."""

from itertools import combinations
from math import comb, isqrt

from common import demand


def drawing(past, members, listed, least, defence):
    """(seats left out, whether a single group leaves out one more); `past`: (seats, accepted, verdict bodies) a round."""
    if defence == "votes":
        return set(), False
    past = past[-64:]
    if not past:
        return set(), False
    blame = _blame(past, members)
    suspects = sorted((-blame[seat], seat) for seat in listed if blame[seat] >= 2000)
    most = min((len(members) - 1) // 3, max(0, len(listed) - least))
    out = {seat for _, seat in suspects[:most]}
    refused = (
        set(group)
        for groups, accepted, _ in past[-16:]
        for group, kept in zip(groups, accepted, strict=True)
        if not kept
    )
    return out, any(not group & out for group in refused)


def _blame(past, members):
    seats = sorted(set(members).union(*(group for groups, _, _ in past for group in groups)))
    costs = {liars: _cost(past, liars) for liars in _explanations(seats)}
    with_, without = {}, {}
    for liars, cost in costs.items():
        for seat in seats:
            side = with_ if seat in liars else without
            side[seat] = min(cost, side.get(seat, cost))
    return {seat: without[seat] - with_[seat] if seat in with_ else 0 for seat in members}


def _explanations(seats):
    n, most, total = len(seats), 0, 1
    while most < (n - 1) // 3 and (total + comb(n, most + 1) <= 65536 or most < 2):
        most, total = most + 1, total + comb(n, most + 1)
    return [frozenset(liars) for size in range(most + 1) for liars in combinations(seats, size)]


def _cost(past, liars):
    total, seen = 2000 * len(liars), {}
    for age, (groups, accepted, bodies) in enumerate(reversed(past)):
        weight = 1024 >> age // 16
        hit = [len(liars & set(group)) for group in groups]
        total += weight * sum(_price(bodies, accepted, k) for k, count in enumerate(hit) if count == 0) // 1024
        whole = [k for k in range(len(groups)) if _price(bodies, accepted, k) < 4000]
        told = [
            [2 * a - 10**6 for a in map(body["alignment_ppm"].__getitem__, whole)]
            for body in bodies
            if "alignment_ppm" in body
        ]
        gained = [[body["scores_ppm"][k] - body["base_ppm"] for k in whole] for body in bodies]
        for channel, rows in (("told", told), ("gained", gained)):
            for pull in (1, 2):
                cost = weight * _misfit(rows, [groups[k] for k in whole], [hit[k] for k in whole], pull) // 1024
                seen[channel, pull] = seen.get((channel, pull), 0) + cost
    return total + sum(min(seen[channel, 1], seen[channel, 2]) for channel in ("told", "gained"))


def _price(bodies, accepted, number):
    if 2 * sum(body["scores_ppm"][number] == 0 for body in bodies) > len(bodies):
        return 4000
    return 0 if accepted[number] else 500


def _misfit(rows, groups, hit, pull):
    if len(groups) < 2 or not rows:
        return 0
    reach = [max(row) - min(row) for row in rows]
    most = 3 * sorted(reach)[(len(reach) - 1) // 2]
    rows = [row for row, wide in zip(rows, reach, strict=True) if wide <= most]
    demand(rows, "no verdict is left")
    y = []
    for column in zip(*rows, strict=True):
        cut = (len(column) - 1) // 3
        kept = sorted(column)[cut : len(column) - cut]
        y.append(sum(kept) // len(kept) // 100)
    f = [(len(group) - pull * count) * 840 // len(group) for group, count in zip(groups, hit, strict=True)]
    along = max(0, sum(a * b for a, b in zip(f, y, strict=True)))
    rest = sum(a * a for a in y) - along * along // max(1, sum(a * a for a in f))
    return min(8000, 1000 * rest // (2 * _spread(rows) ** 2))


def _spread(rows):
    means, away = [sum(row) // len(row) for row in rows], []
    for column in zip(*rows, strict=True):
        contrasts = [value - mean for value, mean in zip(column, means, strict=True)]
        middle = sorted(contrasts)[len(contrasts) // 2]
        away += [abs(contrast - middle) for contrast in contrasts]
    return 100 + 1483 * sorted(away)[len(away) // 2] // 100_000 * 100 // isqrt(10_000 * len(rows))
