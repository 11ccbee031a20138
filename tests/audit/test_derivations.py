"""Who is left out and which sums lag: the product and the independent verifier, which share no code, derive the same."""

from __future__ import annotations

import random
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from dag.bodies import POINTING, VerdictBody
from node.rounds.decision import accepted_groups
from node.rounds.groups import draw_groups
from node.rounds.history import drawing, group_result
from node.rounds.state import Verdict
from node.rounds.suspicion import RoundResult

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


def told(chance: random.Random, members, groups, liars) -> dict[int, VerdictBody]:
    """One round's verdicts by seat: noisy, some of lies, some without alignments, some of sums beyond the bound."""
    found = {}
    share = [sum(-1 if seat in liars else 1 for seat in group) / len(group) for group in groups]
    long = len(groups) if chance.random() < 0.1 else int(chance.random() < 0.2)
    for seat in range(members):
        way = -1 if seat in liars else 1
        aligned = tuple(500_000 + 1000 * round(max(-450, min(450, way * 70 * s + chance.gauss(0, 30)))) for s in share)
        scores = tuple(0 if k < long else chance.randrange(500_000, 700_000) for k in range(len(groups)))
        accept = tuple(score >= 520_000 for score in scores)
        falling = tuple(500_000 + 1000 * round(max(-450, min(450, 90 * s + chance.gauss(0, 60)))) for s in share)
        where = ((), ()) if chance.random() < 0.1 else (aligned, falling)
        found[seat] = VerdictBody(bytes(32), scores, 600_000, accept, 16, *where)
    return found


def as_read(body: VerdictBody) -> dict:
    content = {"scores_ppm": body.scores_ppm, "base_ppm": body.base_ppm, "accept": body.accept}
    return content | {name: getattr(body, name) for name in POINTING if getattr(body, name)}


@pytest.mark.parametrize(("members", "liars", "seed"), [(6, {1}, 0), (7, {0, 4}, 1), (9, {2, 5}, 2), (7, set(), 3)])
def test_both_derive_the_same(theirs, members, liars, seed):
    chance, everybody, quorum = random.Random(seed), frozenset(range(members)), -(-2 * members // 3)
    ours, read, seen = [], [], SimpleNamespace(lagged=0, out=0)
    for _ in range(10):
        mine = drawing(ours, everybody, everybody, 2, "suspicion")
        out, rest = theirs.drawing(read, set(everybody), set(everybody), 2, "suspicion")
        assert (set(mine.left_out), mine.rest) == (out, rest)
        groups = draw_groups(chance.randbytes(32), members, 2, mine.left_out, rest=mine.rest)
        spared = sorted(everybody.difference(*groups))
        bodies = told(chance, members, groups, liars)
        votes = [
            Verdict(bytes([seat]), seat, b"", body.accept, body.alignment_ppm, body.descent_ppm)
            for seat, body in bodies.items()
        ]
        voted, accepted = (accepted_groups(votes, len(groups), by) for by in (None, quorum))
        kept = [k for k, yes in enumerate(voted) if yes]
        behind = theirs.lagging([as_read(body) for body in bodies.values()], kept, quorum)
        assert behind == {k for k in kept if not accepted[k]}
        results = tuple(
            group_result(group, yes, k, list(bodies.values()))
            for k, (group, yes) in enumerate(zip(groups, accepted, strict=True))
        )
        stating = tuple(seat for seat, body in bodies.items() if body.alignment_ppm)
        ours.append(RoundResult(results, stating, tuple(spared)))
        read.append((list(groups), list(accepted), {seat: as_read(body) for seat, body in bodies.items()}, spared))
        seen.lagged, seen.out = seen.lagged + len(behind), seen.out + len(out)
    assert not liars or (seen.lagged and seen.out), "nothing was compared"
