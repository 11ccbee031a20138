"""Who is left out and which sums lag: the product and the independent verifier, which share no code, derive the same."""

from __future__ import annotations

import random
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from dag.bodies import POINTING, VerdictBody
from node.rounds.decision import accepted_groups
from node.rounds.groups import draw_partitions
from node.rounds.history import drawing, group_result
from node.rounds.sections import count_of, parts
from node.rounds.state import Verdict
from node.rounds.suspicion import RoundResult, suspicion

INDEPENDENT = Path(__file__).parent / "independent"


@pytest.fixture
def theirs(monkeypatch) -> ModuleType:
    """The verifier's module, imported as its program does and forgotten afterwards."""
    monkeypatch.syspath_prepend(str(INDEPENDENT))
    names = [path.stem for path in INDEPENDENT.glob("*.py")]
    for name in names:
        monkeypatch.delitem(sys.modules, name, raising=False)
    import suspicion

    yield suspicion
    for name in names:
        sys.modules.pop(name, None)


def told(chance: random.Random, members, groups, liars, sections) -> dict[int, VerdictBody]:
    """One round's verdicts by seat: noisy, some of lies, some without alignments, some of sums beyond the bound or that all refuse,
    some of sections that hardly tell anything.
    """
    found = {}
    reach = [far for part in parts(groups, sections) for far in [chance.choice((1, 0.4, 0, 0))] * len(part)]
    share = [
        far * sum(-1 if seat in liars else 1 for seat in group) / len(group)
        for far, group in zip(reach, groups, strict=True)
    ]
    poor = chance.randrange(2 * len(groups))
    long = len(groups) if chance.random() < 0.1 else int(chance.random() < 0.2)
    for seat in range(members):
        way = -1 if seat in liars else 1
        aligned = tuple(500_000 + 1000 * round(max(-450, min(450, way * 70 * s + chance.gauss(0, 15)))) for s in share)
        scores = [
            0 if k < long else chance.randrange(500_000, 700_000) - 200_000 * (k == poor) for k in range(len(groups))
        ]
        accept = tuple(score >= 520_000 for score in scores)
        falling = tuple(500_000 + 1000 * round(max(-450, min(450, 90 * s + chance.gauss(0, 60)))) for s in share)
        where = ((), ()) if chance.random() < 0.1 else (aligned, falling)
        found[seat] = VerdictBody(bytes(32), tuple(scores), 600_000, accept, 16, *where)
    return found


def as_read(body: VerdictBody) -> dict:
    content = {"scores_ppm": body.scores_ppm, "base_ppm": body.base_ppm, "accept": body.accept}
    return content | {name: getattr(body, name) for name in POINTING if getattr(body, name)}


@pytest.mark.parametrize(
    ("members", "liars", "sections", "seed"),
    [
        (6, {1}, (1,), 0),
        (7, {0, 4}, (1,), 1),
        (9, {2, 5}, (1,), 2),
        (7, set(), (1,), 3),
        (7, {3}, (2,), 4),
        (9, {2, 5}, (3,), 5),
        (8, {1, 6}, (1, 2, 3), 6),
        (5, {4}, (1, 3, 2), 7),
    ],
    ids=str,
)
def test_both_derive_the_same(theirs, members, liars, sections, seed):
    """Rounds of so many sections in turn; of five members one rests in each section now and then."""
    chance, everybody, quorum = random.Random(seed), frozenset(range(members)), -(-2 * members // 3)
    least = max(2, *sections)
    ours, read, seen = [], [], SimpleNamespace(lagged=0, out=0, rested=0)
    for number in range(10):
        many = sections[number % len(sections)]
        mine = drawing(ours, everybody, everybody, least, "suspicion")
        out, rest = theirs.drawing(read, set(everybody), set(everybody), least, "suspicion")
        assert (set(mine.left_out), mine.rest) == (out, rest)
        assert not ours or suspicion(ours, everybody) == theirs.blame_of(read, everybody)
        groups = draw_partitions(chance.randbytes(32), members, least, mine.left_out, rest=mine.rest, sections=many)
        assert count_of(groups) == many
        spared = sorted(everybody.difference(*groups))
        bodies = told(chance, members, groups, liars, many)
        votes = [
            Verdict(bytes([seat]), seat, b"", body.accept, body.alignment_ppm, body.descent_ppm)
            for seat, body in bodies.items()
        ]
        voted, accepted = (accepted_groups(votes, len(groups), by, many) for by in (None, quorum))
        read_bodies, behind = [as_read(body) for body in bodies.values()], set()
        for part in theirs.part(range(len(groups)), theirs.count_of(groups)):
            behind |= theirs.lagging(read_bodies, [k for k in part if voted[k]], quorum)
        assert behind == {k for k, yes in enumerate(voted) if yes and not accepted[k]}
        results = tuple(
            group_result(group, yes, k, list(bodies.values()))
            for k, (group, yes) in enumerate(zip(groups, accepted, strict=True))
        )
        stating = tuple(seat for seat, body in bodies.items() if body.alignment_ppm)
        ours.append(RoundResult(results, stating, tuple(spared), many))
        read.append((list(groups), list(accepted), {seat: as_read(body) for seat, body in bodies.items()}, spared))
        seen.lagged, seen.out, seen.rested = seen.lagged + len(behind), seen.out + len(out), seen.rested + rest
    compared = seen.lagged if members >= 2 * least else seen.rested
    assert not liars or (compared and seen.out), "nothing was compared"
