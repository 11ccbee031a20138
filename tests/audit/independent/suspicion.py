"""Who may be left out of a round's sums by what earlier rounds say, and which sums lag (docs/spec/suspicion.md)."""

from itertools import combinations
from math import comb, isqrt

from common import demand
from sections import count_of, part


def drawing(past, members, listed, least, defence):
    """(seats left out, whether a single group leaves out one more).

    `past`: of each round (seats of each group, which were accepted, {seat: counted verdict's body}, seats listed and in none).
    """
    if defence == "votes":
        return set(), False
    past = past[-64:]
    if not past:
        return set(), False
    blame, before = blame_of(past, members), past[-1][3]
    suspects = sorted((-blame[seat], seat) for seat in listed if blame[seat] >= (0 if seat in before else 2000))
    most = min((len(members) - 1) // 3, max(0, len(listed) - least))
    out = {seat for _, seat in suspects[:most]}
    refused = (
        set(group)
        for groups, accepted, _, _ in past[-16:]
        for group, kept in zip(groups, accepted, strict=True)
        if not kept
    )
    return out, any(not group & out for group in refused)


def blame_of(past, members):
    seats = sorted(set(members).union(*(group for groups, _, _, _ in past for group in groups)))
    own = _own(past)
    costs = {
        liars: _cost(past, liars)
        + sum(max(0, said) for seat, said in own.items() if seat in seats and seat not in liars)
        for liars in _explanations(seats)
    }
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
    for (groups, accepted, verdicts, _), tells in zip(past, _telling(past), strict=True):
        hit = [len(liars & set(group)) for group in groups]
        tests = _tests(groups, verdicts)
        for broken, whole in tests:
            total += sum(4000 for k in broken if not hit[k])
            total += sum(500 // len(tests) for k in whole if not hit[k] and not accepted[k] and len(whole) == 1)
        for channel in range(3) if tells else ():
            for pull in (1, 2):
                cost = sum(_misfit(channel, groups, verdicts, whole, hit, pull) for _, whole in tests)
                seen[channel, pull] = seen.get((channel, pull), 0) + 1000 * cost // isqrt(10**6 * len(tests))
    return total + sum(min(seen.get((channel, 1), 0), seen.get((channel, 2), 0)) for channel in range(3))


def _tests(groups, verdicts):
    """Of each section, the groups that are broken and those that are not."""
    bodies, found = list(verdicts.values()), []
    for own in part(range(len(groups)), count_of(groups)):
        broken = [k for k in own if 2 * sum(body["scores_ppm"][k] == 0 for body in bodies) > len(bodies)]
        found.append((broken, [k for k in own if k not in broken]))
    return found


def _telling(past):
    """Which rounds' levels count."""
    levels = []
    for groups, _, verdicts, _ in past:
        rows = [list(_told(verdicts, whole, "alignment_ppm").values()) for _, whole in _tests(groups, verdicts)]
        found = [max(0, *_levels(_believed(own))) for own in rows if own and len(own[0]) > 1]
        levels.append(sum(found) // len(found) if found else None)
    known = sorted((level for level in levels if level is not None), reverse=True)
    return [level is not None and 100 * level >= 15 * known[1 if known[1:] else 0] for level in levels]


def _told(verdicts, groups, name):
    return {seat: [2 * body[name][k] - 10**6 for k in groups] for seat, body in verdicts.items() if name in body}


def _both(verdicts, groups):
    aligned, falling = (_told(verdicts, groups, name) for name in ("alignment_ppm", "descent_ppm"))
    return {seat: [a + b for a, b in zip(row, falling[seat], strict=True)] for seat, row in aligned.items()}


def _believed(rows):
    reach = [max(row) - min(row) for row in rows]
    most = 3 * sorted(reach)[(len(reach) - 1) // 2]
    rows = [row for row, wide in zip(rows, reach, strict=True) if wide <= most]
    demand(rows, "no verdict is left")
    return rows


def _levels(rows):
    y = []
    for column in zip(*rows, strict=True):
        cut = (len(column) - 1) // 3
        kept = sorted(column)[cut : len(column) - cut]
        y.append(sum(kept) // len(kept) // 100)
    return y


CHANNELS = (("alignment_ppm", 50), ("descent_ppm", 200), ("gains", 50))


def _misfit(channel, groups, verdicts, whole, hit, pull):
    name, least = CHANNELS[channel]
    if name == "gains":
        rows = [[body["scores_ppm"][k] - body["base_ppm"] for k in whole] for body in verdicts.values()]
    else:
        rows = list(_told(verdicts, whole, name).values())
    if len(whole) < 2 or not rows:
        return 0
    rows = _believed(rows)
    y = _levels(rows)
    f = [(len(groups[k]) - pull * hit[k]) * 840 // len(groups[k]) for k in whole]
    along = max(0, sum(a * b for a, b in zip(f, y, strict=True)))
    rest = sum(a * a for a in y) - along * along // max(1, sum(a * a for a in f))
    variance = least**2 + _noise(rows) ** 2 + (max(0, *y) // 3) ** 2
    return min(8000, 1000 * rest // (2 * variance))


def _noise(rows):
    means, away = [sum(row) // len(row) for row in rows], []
    for column in zip(*rows, strict=True):
        contrasts = [value - mean for value, mean in zip(column, means, strict=True)]
        middle = sorted(contrasts)[len(contrasts) // 2]
        away += [abs(contrast - middle) for contrast in contrasts]
    return 1483 * sorted(away)[len(away) // 2] // 100_000 * 100 // isqrt(10_000 * len(rows))


def _own(past):
    """What each member's own verdicts say against it."""
    found = {}
    for (groups, _, verdicts, _), tells in zip(past, _telling(past), strict=True):
        if not tells:
            continue
        tests = _tests(groups, verdicts)
        said = dict.fromkeys(_told(verdicts, [], "alignment_ppm"), 0)
        for _, whole in tests:
            alone, both = _against(_told(verdicts, whole, "alignment_ppm")), _against(_both(verdicts, whole))
            said = {seat: before + max(alone[seat], both[seat]) for seat, before in said.items()}
        for seat, each in said.items():
            before = found.get(seat, 0)
            found[seat] = min(8000, max(-4000, before - before // 16 + each // len(tests)))
    return found


def _against(told):
    rows = list(told.values())
    y = _levels(_believed(rows)) if rows and len(rows[0]) > 1 else []
    length = isqrt(sum(a * a for a in y))
    if not length:
        return dict.fromkeys(told, 0)
    rows = [[value // 100 for value in row] for row in rows]
    t = [sum(a * b for a, b in zip(row, y, strict=True)) // length for row in rows]
    beside = sorted(
        abs(a - each * b // length) for row, each in zip(rows, t, strict=True) for a, b in zip(row, y, strict=True)
    )
    spread, usual = 50 + 13 * beside[len(beside) // 2] // 10, max(0, sorted(t)[len(t) // 2])
    found = [-1000 * usual * (2 * each + usual) // (2 * (spread**2 + usual**2 // 4)) for each in t]
    return {seat: max(-1000, min(3000, said)) for seat, said in zip(told, found, strict=True)}


def lagging(bodies, kept, quorum):
    """Of the sums that the votes accept, those that point less than half as far as the best, by both numbers together."""
    rows = list(_both(dict(enumerate(bodies)), kept).values())
    if len(kept) < 2 or len(rows) < quorum:
        return set()
    rows = _believed(rows)
    y = [sorted(column)[len(column) // 2] // 100 for column in zip(*rows, strict=True)]
    return {k for k, level in zip(kept, y, strict=True) if 2 * level < max(y) and max(y) - level > 100 + _noise(rows)}
