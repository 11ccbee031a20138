"""What a finalised round's statement and segment say of its sums, read once and checked."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from dag.bodies import VerdictBody
from node.errors import LyingPeer
from node.rounds.history import Drawing, PastRound, drawing, result_of, results_of
from node.rounds.segment import unpack_segment
from node.rounds.statement import Statement
from node.rounds.steps.judging import over_bound, pointing
from node.rounds.steps.models import load_model
from node.rounds.steps.opening import derive_vector, open_sums
from node.rounds.suspicion import WINDOW, GroupResult, RoundResult
from node.storage import raw_cid
from tests.rounds.support import plan


@pytest.fixture
def past(played) -> PastRound:
    return played._past()[0]


def predicate_of(played, past):
    return Statement.from_bytes(played.nodes[0].blobs.obtain(raw_cid(past.statement))).predicate


def bodies_of(played, predicate):
    return {tx.id: tx.body for tx in unpack_segment(played.nodes[0].blobs.obtain(predicate.segment))}


def test_every_member_reads_the_same_and_reads_it_once(played, past):
    found = {node.index: results_of([past], node.blobs.obtain, {}) for node in played.nodes}
    assert len(set(found.values())) == 1
    (result,) = found[0]
    assert sorted(seat for group in result.groups for seat in group.members) == [0, 1, 2, 3]
    assert all(group.accepted and not group.broken for group in result.groups)
    assert all(len(group.gains_ppm) >= played.quorum and not group.alignments_ppm for group in result.groups)
    known = {past.statement: result}
    assert results_of([past], None, known) == (result,), "nothing is fetched again"


def test_only_the_newest_rounds_are_read(past):
    empty = RoundResult(())
    rows = [replace(past, round=number, statement=bytes([number]) * 32) for number in range(1, WINDOW + 10)]
    known = {row.statement: empty for row in rows[-WINDOW:]}
    assert results_of(rows, None, known) == (empty,) * WINDOW


def test_what_the_verdicts_say_is_what_counts(played, past):
    predicate, bodies = predicate_of(played, past), bodies_of(played, predicate_of(played, past))
    told = {
        tx_id: replace(
            body, scores_ppm=(0, 700_000), base_ppm=600_000, alignment_ppm=(400_000, 510_000), descent_ppm=(1, 2)
        )
        if isinstance(body, VerdictBody)
        else body
        for tx_id, body in bodies.items()
    }
    first, second = result_of(predicate, told, past.seats).groups
    assert (first.broken, second.broken) == (True, False)
    assert set(first.gains_ppm) == {-600_000}
    assert set(second.gains_ppm) == {100_000}
    assert set(first.alignments_ppm) == {400_000}
    assert set(second.descents_ppm) == {2}


def test_who_was_listed_and_not_summed_is_remembered(played, past):
    predicate = predicate_of(played, past)
    bodies = bodies_of(played, predicate)
    assert result_of(predicate, bodies, past.seats).spared == ()
    groups = (replace_group(predicate.groups[0]), *predicate.groups[1:])
    left = predicate.updates[predicate.groups[0].updates[0]].issuer
    found = result_of(predicate.model_copy(update={"groups": groups}), bodies, past.seats)
    assert found.spared == (past.seats[bytes.fromhex(left[2:])],)


def replace_group(group):
    return group.model_copy(update={"updates": group.updates[1:]})


def test_a_verdict_that_is_not_in_the_segment_is_missed(played, past):
    predicate = predicate_of(played, past)
    bodies = bodies_of(played, predicate)
    del bodies[bytes.fromhex(predicate.verdicts[0].id)]
    with pytest.raises(LyingPeer, match="lacks verdict"):
        result_of(predicate, bodies, past.seats)


def test_an_update_of_a_stranger_is_missed(played, past):
    predicate = predicate_of(played, past)
    seats = dict(list(past.seats.items())[:-1])
    with pytest.raises(LyingPeer, match="no member"):
        result_of(predicate, bodies_of(played, predicate), seats)


def test_without_the_defence_nobody_is_left_out():
    broken = RoundResult((GroupResult((0, 1), accepted=False, broken=True, gains_ppm=(), alignments_ppm=()),))
    other = RoundResult((GroupResult((1, 2), accepted=False, broken=True, gains_ppm=(), alignments_ppm=()),))
    members = frozenset(range(4))
    assert drawing([broken, other], members, members, 2, "votes") == Drawing()
    assert drawing([broken, other], members, members, 2, "suspicion") == Drawing(frozenset({1}), rest=False)
    assert drawing([broken], members, members, 2, "suspicion") == Drawing(frozenset(), rest=True)


def test_plans_of_before_keep_their_bytes():
    assert b"defence" not in plan().to_bytes()
    assert b'"defence":"suspicion"' in plan(defence="suspicion").to_bytes()


def test_what_a_member_sees_in_sums(ports, state, proposal, node):
    """A plan that asks for it: each sum is within the bound, one grown beyond it is not; and where each points."""
    sums = open_sums(ports, state, proposal, state.shares_for(proposal))
    asked = state.plan.model_copy(update={"defence": "suspicion"})
    assert over_bound(ports, state, asked, proposal, sums) == (False, False)
    grown = (sums[0], sums[1] * 100_000)
    assert over_bound(ports, state, asked, proposal, grown) == (False, True)
    assert over_bound(ports, state, state.plan, proposal, grown) == (False, False), "other plans do not ask"
    assert over_bound(ports, state, state.plan, proposal, sums) == (False, False)
    base, own = load_model(ports, state.facts.base), node.ports.own[state.facts.round]

    def told(asked, own, broken=(False, False)):
        kept = {} if own is None else {state.facts.round: own}
        return pointing(replace(ports, own=kept), state, asked, proposal, sums, base, broken)

    assert told(state.plan, own) == ((), ())
    aligned, falling = told(asked, own)
    assert len(aligned) == len(falling) == 2
    assert all(0 <= value <= 10**6 and value % 1000 == 0 for value in aligned + falling)
    turned, again = told(asked, -own)
    mine = next(k for k, g in enumerate(proposal.groups) if state.members.me not in members_of(state, proposal, g))
    assert aligned[mine] + turned[mine] == 10**6, "of a sum that its own update is not in"
    assert again[mine] == falling[mine] > 500_000, "its images' loss falls along the others' sum, whatever it sent"
    assert told(asked, None) == ((), ()), "forgotten after a restart"


def test_where_the_loss_falls_is_looked_at_halfway_to_what_sound_sums_make(ports, state, proposal, node):
    sums, seen = open_sums(ports, state, proposal, state.shares_for(proposal)), []

    class Looking:
        def descent(self, _plan, vector):
            seen.append(vector)
            return vector

    base = load_model(ports, state.facts.base)
    asked = state.plan.model_copy(update={"defence": "suspicion"})
    looking = replace(ports, learner=Looking(), own=dict(node.ports.own))
    for broken in ((False, False), (False, True), (True, True)):
        pointing(looking, state, asked, proposal, sums, base, broken)
        kept = tuple(not long for long in broken)
        whole = derive_vector(ports, state, proposal, sums, kept, base)
        np.testing.assert_allclose(seen[-1], (base + whole) / 2, atol=1e-7)


def members_of(state, proposal, group):
    issuers = {update.id: update.issuer for update in state.updates}
    return {issuers[proposal.updates[position]] for position in group}
