"""Proposals and sums of a round whose plan cuts the model into sections, judged by one member (steps 6 and 7)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from crypto.errors import GroupTooSmall
from crypto.parameters import parameter_set
from node.errors import LyingPeer
from node.rounds.journal import Journal
from node.rounds.records import SumManifest, UpdateManifest
from node.rounds.state import ProposalVerified
from node.rounds.steps import aggregate
from node.rounds.steps.aggregate import check_proposal
from node.rounds.steps.judging import over_bound
from node.rounds.steps.opening import _tried
from node.rounds.steps.shape import layout_of, sections_of, steps_of
from tests.flow.simnet import SimNet
from tests.rounds import support as s

PAIRS = (((0, 1), (2, 3)), ((0, 2), (1, 3)), ((0, 3), (1, 2)))
"""All partitions of four updates into two groups."""


@pytest.fixture(scope="module")
def cut() -> SimNet:
    """A finalised round of four members, two sections of two groups each."""
    net = SimNet(4, 3, min_group=2, seed=5, defence="suspicion", sections=2)
    assert net.run(net.open_round()).finalised
    return net


@pytest.fixture
def node(cut):
    leader = cut.chain.rounds[1].ranking[0]
    return next(node for node in cut.nodes if node.index != leader)


@pytest.fixture
def ports(node):
    return replace(node.ports, journal=Journal(":memory:"), opened={}, sums={})


def chunks(ports, cid: str) -> tuple[str, ...]:
    return SumManifest.from_bytes(ports.blobs.obtain(cid)).chunks


def test_an_honest_proposal_is_verified(ports, state, proposal):
    assert len(proposal.groups) == 4
    assert check_proposal(ports, state, proposal) == (ProposalVerified(proposal.id),)


@pytest.mark.parametrize("section", [0, 1])
def test_another_partition_in_one_section_is_a_lie(ports, state, proposal, section):
    """Also with sums that are right for it: who is summed with whom in a section is the seed's to say."""
    parts = [proposal.groups[:2], proposal.groups[2:]]
    for other in PAIRS:
        if other == parts[section]:
            continue
        groups = (*other, *parts[1]) if section == 0 else (*parts[0], *other)
        sums = tuple(aggregate._sums(ports, state, state.plan, proposal.updates, groups))
        with pytest.raises(LyingPeer, match="not those of the round's seed"):
            check_proposal(ports, state, replace(proposal, groups=groups, sums=sums))


@pytest.mark.parametrize("count", [2, 6, 8])
def test_another_number_of_sections_is_a_lie(ports, state, proposal, count):
    groups = (proposal.groups * 2)[:count]
    with pytest.raises(LyingPeer, match="not those of the round's seed"):
        check_proposal(ports, state, replace(proposal, groups=groups, sums=(proposal.sums * 2)[:count]))


def test_sums_of_another_section_are_refused(ports, state, proposal):
    turned = (*proposal.sums[2:], *proposal.sums[:2])
    with pytest.raises(LyingPeer, match="sum of group 0"):
        check_proposal(ports, state, replace(proposal, sums=turned))


def test_the_differencing_rule_holds_in_each_section(ports, state, proposal, monkeypatch):
    """Were a section's groups drawn too small, nothing would be opened, though all sections together look fine."""
    split = (*proposal.groups[:2], (0, 1, 2), (3,))
    monkeypatch.setattr(aggregate, "draw_partitions", lambda *_, **__: split)
    with pytest.raises(GroupTooSmall, match="single out 1"):
        check_proposal(ports, state, replace(proposal, groups=split))


def test_the_same_members_have_another_sum_in_each_section(ports, state, proposal):
    groups = (*PAIRS[0], *PAIRS[0])
    sums = tuple(aggregate._sums(ports, state, state.plan, proposal.updates, groups))
    assert len(set(sums)) == 4
    whole = UpdateManifest.from_bytes(ports.blobs.obtain(state.updates[0].manifest)).chunks
    assert [len(chunks(ports, cid)) for cid in sums] == [len(whole) // 2] * 4
    assert tuple(aggregate._sums(ports, state, state.plan, proposal.updates, groups)) == sums, "from what is known"


def test_only_the_sections_chunks_are_unlocked(ports, state, proposal):
    asked = []

    class Noting(type(ports.blobs)):
        def obtain(self, cid, first=None):
            asked.append(cid)
            return super().obtain(cid, first)

    noting = Noting(ports.blobs.net, ports.blobs.index)
    noting.store = ports.blobs.store
    section = sections_of(state.plan, ports.keys.joint.params)[1]
    aggregate._sum(replace(ports, blobs=noting), state, proposal.updates, (0, 1), section)
    updates = {update.id: update for update in state.updates}
    for position, tx_id in enumerate(proposal.updates):
        own = UpdateManifest.from_bytes(ports.blobs.obtain(updates[tx_id].manifest)).chunks
        assert set(own) & set(asked) == (set(own[4:]) if position in (0, 1) else set())


def test_what_an_honest_leader_will_propose_is_added_while_it_is_on_its_way(ports, state, proposal, monkeypatch):
    aggregate.foresee(ports, replace(state, proposals={}))
    assert sorted(ports.sums.values()) == sorted(proposal.sums)
    monkeypatch.setattr(aggregate, "add_updates", lambda *_: pytest.fail("added again"))
    assert check_proposal(ports, state, proposal) == (ProposalVerified(proposal.id),)


def test_sections_are_no_more_than_ciphertexts():
    """The network of the tests fills three of the standard set's ciphertexts and eight of the minimal one's."""
    plan = s.plan(architecture="cnn", min_group=8, sections=8, defence="suspicion")
    standard, minimal = parameter_set("standard"), parameter_set("minimal", allow_minimal=True)
    assert (len(sections_of(plan, standard)), len(sections_of(plan, minimal))) == (3, 8)
    for params in (standard, minimal):
        covered = [range(layout_of(plan).size)[section.values] for section in sections_of(plan, params)]
        assert [at for part in covered for at in part] == list(range(layout_of(plan).size))


def test_each_section_has_its_share_of_the_bound(ports, state, proposal):
    """Two sections: a sum that is 0.72 as long as whole updates may make it is too long, one of 0.70 is not."""
    plan, params = state.plan, ports.keys.joint.params
    sections, steps = sections_of(plan, params), steps_of(plan, params, state.members.count)
    weights = {update.id: update.weight_ppm for update in state.updates}
    allowed = [
        float(plan.clip_norm) * sum(weights[proposal.updates[k]] for k in group) / 1e6 for group in proposal.groups
    ]
    for share, too_much in ((0.7, False), (0.72, True)):
        sums = []
        for number, length in enumerate(allowed):
            values = sections[number // 2].values
            total = np.zeros(values.stop - values.start, np.int64)
            total[0] = round(share * length / steps[values][0])
            sums.append(total)
        assert over_bound(ports, state, plan, proposal, tuple(sums)) == (too_much,) * 4


@pytest.mark.parametrize(
    ("number", "broken", "sections", "taken"),
    [
        (1, "....", 1, ".x.."),
        (1, "b...", 1, ".x.."),
        (1, "....", 2, ".xxx"),
        (2, "....", 2, "xxx."),
        (0, "..b.", 2, "x..x"),
        (4, ".b..b.", 3, "x.xxx."),
    ],
)
def test_a_sum_is_scored_alone_in_its_section(number, broken, sections, taken):
    found = _tried(number, tuple(mark == "b" for mark in broken), sections)
    assert found == tuple(mark == "x" for mark in taken)
