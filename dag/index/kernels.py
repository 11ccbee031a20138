"""The loops that decide how fast the ledger is, over arrays of integers.

They keep to what Python and numba read alike: integers that fit 63 bits, floats, indexing, while and for. So one text runs
both ways with equal results: over memoryviews as it stands, over numpy arrays when `dag.index.engine` compiles it.

Marks go to a node when it is put on a stack, never when it is taken off: then no node is put twice, and a scratch array as
long as the graph is always enough.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from dag.index.columns import Cells, Floats, Lots, Table

WORD_SHIFT: Final = 5
WORD_BITS: Final = 32
"""Members in one word of a mask. Words are unsigned and computed with in 64 bits: numba has no integer that holds both
64-bit kinds."""

# Multiply with carry (Marsaglia 2003): 698,769,069 · 2^32 - 1 and half of it less one are prime, so the period is 2^60.
MULTIPLIER: Final = 698_769_069
MODULUS: Final = MULTIPLIER * 2**32 - 1
"""Seeds are 1 … MODULUS - 1; each state is one of them, evenly often."""
_UNIT: Final = 1.0 / MODULUS
_LOW: Final = 0xFFFFFFFF


def attach_row(t: Table, at: int, words: int, counts: Cells, quorum: int, scratch: Cells) -> int:
    """Links the newest transaction to its parents and sets its issuer's bit on it and all ancestors.

    Ancestors of a marked transaction are marked, so the search stops there and every bit is set once.

    Args:
        t: the columns; first, second and issuer of row `at` are filled in.
        at: the row.
        words: words of an approval mask.
        counts: 1 for a member whose approval counts, 0 for a proven equivocator.
        quorum: weight that confirms.
        scratch: as long as the columns.

    Returns:
        How many transactions reached the quorum by this; they stand at the end of `scratch`, last first.
    """
    first, second, depth, mask, weight = t.first, t.second, t.depth, t.mask, t.weight
    deepest = -1
    for side in range(2):
        parent = first[at] if side == 0 else second[at]
        if parent >= 0:
            edge = 2 * at + side
            t.following[edge] = t.head[parent]
            t.head[parent] = edge
            deepest = max(deepest, depth[parent])
    depth[at] = deepest + 1
    t.head[at] = -1
    who = t.issuer[at]
    if who < 0:
        return 0
    word, bit, worth = who >> WORD_SHIFT, 1 << (who & (WORD_BITS - 1)), counts[who]
    mask[at * words + word] = bit
    weight[at] = worth
    scratch[0] = at
    top, crossed, last = 1, 0, len(scratch) - 1
    while top > 0:
        top -= 1
        child = scratch[top]
        if worth == 1 and weight[child] == quorum:
            scratch[last - crossed] = child
            crossed += 1
        for side in range(2):
            parent = first[child] if side == 0 else second[child]
            if parent < 0 or mask[parent * words + word] & bit != 0:
                continue
            mask[parent * words + word] |= bit
            weight[parent] += worth
            scratch[top] = parent
            top += 1
    return crossed


def attach_rows(t: Table, start: int, stop: int, words: int, counts: Cells, quorum: int, scratch: Cells) -> None:
    """`attach_row` for rows `start` … `stop` - 1, in order."""
    for at in range(start, stop):
        attach_row(t, at, words, counts, quorum, scratch)


def reaches(t: Table, scratch: Cells, heads: int, target: int, stamp: int) -> bool:
    """Whether `target` is one of the heads or an ancestor of one.

    Looks at nothing attached before the target or at its depth: neither can descend from it.

    Args:
        t: the columns.
        scratch: as long as the columns; begins with the heads.
        heads: how many there are.
        target: the place asked for.
        stamp: a value that `t.seen` does not hold yet.
    """
    first, second, depth, seen = t.first, t.second, t.depth, t.seen
    floor, top = depth[target], 0
    for place in range(heads):
        at = scratch[place]
        if at == target:
            return True
        if at > target and depth[at] > floor and seen[at] != stamp:
            seen[at] = stamp
            scratch[top] = at
            top += 1
    while top > 0:
        top -= 1
        at = scratch[top]
        for side in range(2):
            parent = first[at] if side == 0 else second[at]
            if parent == target:
                return True
            if parent > target and depth[parent] > floor and seen[parent] != stamp:
                seen[parent] = stamp
                scratch[top] = parent
                top += 1
    return False


def approving(t: Table, scratch: Cells, heads: int, target: int, stamp: int, voted: Cells) -> bool:
    """Marks the members that issued `target` or a descendant of it inside the heads' past cone.

    Args:
        t: the columns.
        scratch: as long as the columns; begins with the heads.
        heads: how many there are.
        target: the transaction approved.
        stamp: neither this value nor the next is in `t.seen` yet: the first marks the cone, the second what approves.
        voted: by member, all 0; becomes 1 where the member approves.

    Returns:
        Whether the target is in the cone at all.
    """
    first, second, depth, seen, issuer = t.first, t.second, t.depth, t.seen, t.issuer
    floor, top, newest = depth[target], 0, target
    for place in range(heads):
        at = scratch[place]
        if at >= target and seen[at] != stamp:
            seen[at] = stamp
            newest = max(newest, at)
            scratch[top] = at
            top += 1
    while top > 0:
        top -= 1
        at = scratch[top]
        for side in range(2):
            parent = first[at] if side == 0 else second[at]
            if parent >= target and depth[parent] >= floor and seen[parent] != stamp:
                seen[parent] = stamp
                scratch[top] = parent
                top += 1
    if seen[target] != stamp:
        return False
    yes = stamp + 1
    for at in range(target, newest + 1):
        if seen[at] != stamp:
            continue
        one, two = first[at], second[at]
        if at == target or (one >= 0 and seen[one] == yes) or (two >= 0 and seen[two] == yes):
            seen[at] = yes
            if issuer[at] >= 0:
                voted[issuer[at]] = 1
    return True


def region(t: Table, scratch: Cells, head: int, later: bool, stamp: int) -> int:
    """The head and what it reaches through transactions of its round (or also of later ones), written to `scratch`.

    Args:
        t: the columns.
        scratch: as long as the columns.
        head: where to begin.
        later: go through transactions of later rounds too.
        stamp: a value that `t.seen` does not hold yet.

    Returns:
        How many places were written.
    """
    first, second, rounds, seen = t.first, t.second, t.round, t.seen
    own = rounds[head]
    seen[head] = stamp
    scratch[0] = head
    looked, found = 0, 1
    while looked < found:
        at = scratch[looked]
        looked += 1
        for side in range(2):
            parent = first[at] if side == 0 else second[at]
            if parent < 0 or seen[parent] == stamp:
                continue
            if rounds[parent] == own or (later and rounds[parent] > own):
                seen[parent] = stamp
                scratch[found] = parent
                found += 1
    return found


def find_tips(
    t: Table, start: int, tries: int, enough: int, rating: Cells, barred: Cells, powers: Floats, seed: int, lots: Lots
) -> int:
    """Walks from `start` up to where nothing more may be approved, until enough different ends are found.

    At each step every member offers one candidate: its best rated approver of the place, among equals one by lot. The walk
    goes to candidate y with P(y) proportional to powers[best rating - rating of y]: eq. 22.

    Args:
        t: the columns.
        start: where each walk begins.
        tries: walks at most.
        enough: stop once so many different ends are known.
        rating: of each place.
        barred: by place, 1 where a walk may not go.
        powers: exp(-alpha · difference) by difference of ratings.
        seed: 1 … MODULUS - 1.
        lots: working arrays, and the ends: `lots.known[0]` of them are known already, and it is counted on.

    Returns:
        The seed to go on with.
    """
    count, state = lots.known[0], seed
    for _ in range(tries):
        if count >= enough:
            break
        at, state = walk(t, start, rating, barred, powers, state, lots)
        known = False
        for place in range(count):
            if lots.ends[place] == at:
                known = True
        if not known:
            lots.ends[count] = at
            count += 1
    lots.known[0] = count
    return state


def walk(t: Table, start: int, rating: Cells, barred: Cells, powers: Floats, seed: int, lots: Lots) -> tuple[int, int]:
    """One walk of `find_tips`: where it ends, and the seed to go on with."""
    at, state = start, seed
    while True:
        found, state = gather(t, at, rating, barred, state, lots)
        if found == 0:
            return at, state
        best = lots.ratings[0]
        for place in range(1, found):
            best = max(best, lots.ratings[place])
        total = 0.0
        for place in range(found):
            share = powers[best - lots.ratings[place]]
            lots.shares[place] = share
            total += share
        chosen = 0
        if found > 1:
            state = MULTIPLIER * (state & _LOW) + (state >> 32)
            left = state * _UNIT * total
            while chosen < found - 1 and left >= lots.shares[chosen]:
                left -= lots.shares[chosen]
                chosen += 1
        at = lots.picks[chosen]


def gather(t: Table, at: int, rating: Cells, barred: Cells, seed: int, lots: Lots) -> tuple[int, int]:
    """The candidates for a step, one a member, into `lots`: how many, and the seed to go on with."""
    slots, picks, ratings, ties = lots.slots, lots.picks, lots.ratings, lots.ties
    state, found = seed, 0
    edge = t.head[at]
    while edge >= 0:
        child = edge >> 1
        edge = t.following[edge]
        # Weight 0: only proven equivocators stand behind it. Where an honest member built on it, the walk goes on.
        if t.weight[child] == 0 or barred[child] != 0:
            continue
        who, value = t.issuer[child], rating[child]
        place = slots[who]
        if place < 0:
            slots[who] = found
            picks[found], ratings[found], ties[found] = child, value, 1
            found += 1
        elif value > ratings[place]:
            picks[place], ratings[place], ties[place] = child, value, 1
        elif value == ratings[place]:
            ties[place] += 1
            state = MULTIPLIER * (state & _LOW) + (state >> 32)
            if state * _UNIT * ties[place] < 1.0:
                picks[place] = child
    for place in range(found):
        slots[t.issuer[picks[place]]] = -1
    return found, state
