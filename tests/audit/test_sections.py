"""Rounds summed in sections, audited from outside by both verifiers: honest ones hold, and what a whole quorum made up does not.

The members of the simulation are one process: what is replaced in it they all do, so that every digest, signature and root agrees.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest
import torch

from node.attacks.acts import Liar
from node.attacks.spec import parse_attack
from node.audit.bundle.export import export
from node.audit.bundle.verify import Trust
from node.audit.checks import past
from node.audit.evidence import open_evidence
from node.audit.run import Scope, audit
from node.rounds.groups import draw_partitions
from node.rounds.records import SumManifest
from node.rounds.sections import Section, cut, parts
from node.rounds.steps import aggregate, conclude, opening, shape
from tests.audit.conftest import serve
from tests.audit.network import write_run
from tests.audit.test_independent import ask
from tests.audit.test_suspects import summed

if TYPE_CHECKING:
    from pathlib import Path

    from tests.audit.conftest import Run

CHUNKS = 8
"""Ciphertexts of an update of the small network under `minimal`."""
LIAR = 1
PATCHED = pytest.MonkeyPatch()


def found_by_both(run: Run, tmp_path: Path) -> tuple[list, list]:
    """What is not ok, by the product's audit and by the verifier that shares no code with it: (link, round, what is said)."""
    report = audit(run.chain, open_evidence([run.root]), None, model_file=run.model_file)
    path = tmp_path / "run.bundle"
    made = export(run.chain, open_evidence([run.root]), None, path, model_file=run.model_file)
    _, other = ask(path, tmp_path, Trust(made.manifest.head, run.chain.deployment))
    ours = [(f.link, f.round, f.status, f"{f.subject}: {f.detail}") for f in report.findings if f.status != "ok"]
    theirs = [
        tuple(f[k] for k in ("link", "round", "state", "detail")) for f in other["findings"] if f["state"] != "ok"
    ]
    return ours, theirs


def written(tmp_path_factory, name: str, **options):
    torch.set_num_threads(1)
    root: Path = tmp_path_factory.mktemp(name)
    net = write_run(root, defence="suspicion", **options)
    yield from ((net, run) for run in serve(root, tmp_path_factory.mktemp("chain")))


# ---- honest rounds --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def attacked(tmp_path_factory):
    """Six hospitals, three sections of two groups; one sends updates far beyond the plan's bound."""
    liar = Liar(parse_attack(f"scaled:100000@{LIAR + 1}", 6))

    def lie(net, _number):
        net.acts[LIAR] = liar.carry_out

    settings = {"members": 6, "min_group": 3, "sections": 3, "clip_norm": "1", "tolerance": "0.2"}
    yield from written(tmp_path_factory, "attacked", rounds=4, before=lie, **settings)


def test_rounds_in_sections_are_verified_by_both(attacked, tmp_path):
    _, run = attacked
    assert found_by_both(run, tmp_path) == ([], [])
    (told,) = [
        f for f in audit(run.chain, open_evidence([run.root]), None, scope=Scope(only=1)).findings if f.link == "groups"
    ]
    assert told.detail == "6 groups in 3 sections, drawn by 6 reveals"


def test_the_list_of_suspects_follows_from_sectioned_rounds(attacked):
    """The one member that is in a broken sum of every section: sooner told apart than by one group a round."""
    net, run = attacked
    rounds = [summed(run, net, number) for number in range(1, 5)]
    assert all(LIAR in set.union(*groups) for groups in parts(rounds[0], 3))
    assert not any(LIAR in group for group in rounds[-1])
    assert set.union(*rounds[-1]) == {0, 2, 3, 4, 5}, "nobody else is left out"


def test_each_sum_holds_its_sections_chunks_and_every_update_is_in_one_a_section(attacked):
    _, run = attacked
    predicate = run.predicate(1)
    held = [len(SumManifest.from_bytes(run.read(group.sum)).chunks) for group in predicate.groups]
    assert held == [2, 2, 3, 3, 3, 3]
    for part in parts(predicate.groups, 3):
        assert sorted(position for group in part for position in group.updates) == list(range(6))


def test_an_earlier_round_whose_groups_are_of_no_sections_is_named(attacked, monkeypatch):
    """What follows from it for later rounds cannot be told: a finding, and no error of the audit's own."""
    told = past.result_of
    monkeypatch.setattr(past, "result_of", lambda *read: replace(told(*read), sections=4))
    report = audit(attacked[1].chain, open_evidence([attacked[1].root]), None, scope=Scope(only=2))
    broken = report.first_broken
    assert (report.verdict, broken.link, broken.round) == ("falsified", "groups", 2)
    assert broken.detail == "its 6 groups are not as many in each of 4 sections"


def test_an_earlier_round_whose_groups_hold_what_is_not_listed_is_named(attacked, monkeypatch):
    honest = attacked[1].predicate(1)
    group = honest.groups[0].model_copy(update={"updates": (0, 6)})
    strange = SimpleNamespace(predicate=honest.model_copy(update={"groups": (group, *honest.groups[1:])}))
    monkeypatch.setattr(past, "Statement", SimpleNamespace(from_bytes=lambda _: strange))
    report = audit(attacked[1].chain, open_evidence([attacked[1].root]), None, scope=Scope(only=2))
    broken = report.first_broken
    assert (report.verdict, broken.link, broken.round) == ("falsified", "groups", 2)
    assert broken.detail == "its groups hold an update that is not one of its 6"


# ---- what a quorum makes up ------------------------------------------------------------------------------------------

HONEST, DRAWN, CUT, KEPT, SWAPPED = range(1, 6)
"""What the members do in which round."""


def said(*_arguments) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """What all state of six sums: the first section's point half as far as the second's but one, whose last lags."""
    told = (540_000, 540_000, 540_000, 600_000, 600_000, 490_000)
    return told, told


def elsewhere(seed, count, min_group, left_out=frozenset(), *, rest=False, sections=1):
    """The draw, with two members of the second section in each other's place."""
    groups = [list(group) for group in draw_partitions(seed, count, min_group, left_out, rest=rest, sections=sections)]
    each = len(groups) // sections
    groups[each][0], groups[each + 1][0] = groups[each + 1][0], groups[each][0]
    return (*map(tuple, groups[:each]), *sorted(tuple(sorted(group)) for group in groups[each:]))


def cut_later(size: int, values_per_chunk: int, wanted: int) -> tuple[Section, ...]:
    """The first section takes the second one's first chunk."""
    ends = [(0, 0)]
    for section in cut(size, values_per_chunk, wanted):
        last = section.chunks.stop + (section.chunks.start == 0)
        ends.append((last, min(size, last * values_per_chunk)))
    return tuple(Section(slice(a, c), slice(b, d)) for (a, b), (c, d) in pairwise(ends))


def swapped(size: int, values_per_chunk: int, wanted: int) -> tuple[Section, ...]:
    """Each of two sections, of as many chunks, is summed over the other one's groups."""
    return tuple(reversed(cut(size, values_per_chunk, wanted)))


def by_votes_alone(verdicts, groups, *_compared_by):
    return conclude_decides(verdicts, groups)


conclude_decides = conclude.accepted_groups


@pytest.fixture(scope="module")
def lied(tmp_path_factory):
    """Six hospitals, two sections of three groups."""

    def before(_net, number):
        PATCHED.undo()
        if number in {HONEST, KEPT}:
            PATCHED.setattr(opening, "pointing", said)
        if number == DRAWN:
            PATCHED.setattr(aggregate, "draw_partitions", elsewhere)
        if number == CUT:
            PATCHED.setattr(shape, "cut", cut_later)
        if number == SWAPPED:
            PATCHED.setattr(shape, "cut", swapped)
        if number == KEPT:
            PATCHED.setattr(conclude, "accepted_groups", by_votes_alone)

    settings = {"members": 6, "min_group": 2, "sections": 2}
    try:
        yield from written(tmp_path_factory, "lied", rounds=5, before=before, **settings)
    finally:
        PATCHED.undo()


def test_sums_lag_behind_those_of_their_own_section(lied):
    assert [group.accepted for group in lied[1].predicate(HONEST).groups] == [True] * 5 + [False]
    assert [group.accepted for group in lied[1].predicate(KEPT).groups] == [True] * 6


def test_both_find_what_a_quorum_made_up_in_one_section(lied, tmp_path):
    _, run = lied
    ours, theirs = found_by_both(run, tmp_path)
    expected = [("groups", DRAWN), ("sums", CUT), ("verdicts", KEPT), ("sums", SWAPPED)]
    expected = [(*where, "falsified") for where in expected]
    assert list(dict.fromkeys(finding[:3] for finding in ours)) == expected
    assert [finding[:3] for finding in theirs if finding[2] == "falsified"] == expected
    evidence = {round_number: text for _, round_number, _, text in reversed(ours)}
    assert evidence[DRAWN].startswith("groups of section 1: the partition proposed is ")
    assert evidence[CUT] == f"sum of group 0: it has {CHUNKS // 2 + 1} chunks, its updates have [4, 4] in its section"
    assert evidence[SWAPPED].startswith("chunk 0 of sum of group 0: its CID on record is b")
    assert evidence[KEPT].endswith(f"is {(True,) * 6}, expected {(True,) * 5 + (False,)}")
