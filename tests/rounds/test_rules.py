"""Single rules of the round's machine, where a random history would have to be long to meet them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dag.bodies import Kind
from dag.transaction import Unsigned, sign
from node.rounds import effects as do
from node.rounds import state as ev
from node.rounds.machine import LATE_SLOTS, REVEAL_GRACE_SLOTS, TURN_SECONDS, apply, due, turn_seconds
from tests.rounds import support as s

TURN = s.PLAN.slot_seconds / 4


def effects_of(state) -> set[type]:
    return {type(effect) for effect in due(state)}


def collected(me: int = s.ME, **changes):
    """All four updates confirmed, closed, revealed and found sound, the plan known."""
    state = s.fresh(me, plan=s.PLAN)
    masks = {s.update(k).id: 0b1111 for k in range(s.N)}
    for member in range(s.N):
        state, _ = apply(state, ev.Attached(s.update(member), masks))
        state, _ = apply(state, ev.Attached(s.close(member), masks))
        state, _ = apply(state, ev.Attached(s.reveal(member, sequence=3), masks))
        state, _ = apply(state, ev.Unlocked(s.update(member).id, ""))
    return replace(state, running=frozenset(), **changes)


def with_proposal(state, leader: int = 2, openers=(0, 1), sums=("sum",), attempt: int = 0, verified: bool = True):
    tx = s.proposal(leader, tuple(u.id for u in state.confirmed), tuple(map(s.blob, sums)), openers, attempt)
    for event in (ev.Attached(tx, state.approvals), ev.Anchored(s.anchor(tx))):
        state, _ = apply(state, event)
    verified_now = state.verified | ({tx.id} if verified else set())
    return replace(state, running=frozenset(), verified=verified_now), tx


def tell(state, *transactions):
    for tx in transactions:
        state, _ = apply(state, ev.Attached(tx, state.approvals))
    return replace(state, running=frozenset())


def test_a_statement_that_cannot_be_had_does_not_hide_the_others():
    """One member signs a statement whose bytes it never gives: the others' statements must still be looked at."""
    state, tx = with_proposal(collected())
    state = replace(state, scores=ev.Scores(tx.id, (), 5, (5,), (True,), 9))
    hidden, honest = s.checkpoint(3, tx, s.digest("hidden")), s.checkpoint(2, tx, s.digest("honest"))
    state = tell(state, hidden, honest)
    stuck = do.VerifyStatement(s.digest("hidden"), tx.id)
    state, _ = apply(state, ev.Failed(stuck, state.now + 15))
    state, started = apply(state, ev.Tick(state.now + 0.1))
    asked = {e.statement for e in (*state.running, *started) if isinstance(e, do.VerifyStatement)}
    assert s.digest("honest") in asked


def test_shares_that_do_not_open_leave_the_next_leaders_proposal_to_go_on():
    """All shares of the first proposal are there and one of them is garbage: opening fails for ever.

    The next leader asks other members; this one is asked too and must give its share.
    """
    state, first = with_proposal(collected(), openers=(0, 3))
    state = tell(state, s.share(0, first), s.share(3, first))
    opening = next(e for e in due(state) if isinstance(e, do.OpenAndScore))
    state, _ = apply(replace(state, running=frozenset({opening})), ev.Failed(opening, state.now + 15))
    state, second = with_proposal(state, leader=0, openers=(0, 1), attempt=2)
    assert do.ReleaseShare(second.id) in set(due(state))
    state = tell(state, s.share(0, second), s.share(1, second))
    assert [e.proposal for e in due(state) if isinstance(e, do.OpenAndScore) and e != opening] == [second.id]


def leading(*, revealed: int = s.N, **changes):
    """The first leader once all have closed and some have revealed."""
    state = s.fresh(2, plan=s.PLAN, **changes)
    for member in range(s.N):
        state = tell(state, s.update(member))
    state = tell(state, *(s.close(member) for member in range(s.N)))
    state = tell(state, *(s.reveal(member, sequence=3) for member in range(revealed)))
    for member in range(revealed):
        state, _ = apply(state, ev.Unlocked(s.update(member).id, ""))
    return replace(state, running=frozenset())


@pytest.mark.parametrize("news", ["slot", "reveal"])
def test_a_leader_makes_one_proposal_at_a_time(news):
    """Adding takes longer than a slot, or one more member reveals meanwhile: no second proposal beside the first."""
    state = leading(revealed=3)
    state, started = apply(state, ev.Tick(state.now + s.PLAN.slot_seconds * REVEAL_GRACE_SLOTS))
    assert sum(isinstance(e, do.Propose) for e in started) == 1
    late = s.reveal(3, sequence=3)
    event = ev.Tick(state.now + 41) if news == "slot" else ev.Attached(late, state.approvals)
    _, more = apply(state, event)
    assert not any(isinstance(e, do.Propose) for e in more)


def test_a_leader_leaves_a_slot_to_a_proposal_it_has_not_judged():
    """Another partition beside it would split the openers; one that never shows up must not hold the round for ever."""
    state = replace(leading(), members=replace(leading().members, me=1))
    start = state.closed_at + s.PLAN.slot_seconds * (1 + REVEAL_GRACE_SLOTS)
    state = replace(state, now=start + 1)
    assert (state.rank, state.slot) == (1, 1)
    assert do.Propose in effects_of(state)
    unseen = ev.Anchor(2, s.digest("a proposal nobody showed"), bytes(32), bytes(32))
    standing = replace(state, anchors=(unseen,))
    assert do.Propose not in effects_of(standing)
    assert do.Propose in effects_of(replace(standing, refused={unseen.proposal: "a lie"}))
    following = start + s.PLAN.slot_seconds
    assert do.Propose not in effects_of(replace(standing, now=following)), "first comes whose slot that is"
    assert do.Propose in effects_of(replace(standing, now=following + LATE_SLOTS * s.PLAN.slot_seconds))
    early = replace(state, anchors=(replace(unseen, leader=3),))
    assert do.Propose in effects_of(early), "out of its turn it holds up nobody"


def test_of_two_leaders_of_the_same_sums_the_better_ranked_writes():
    state, _ = with_proposal(collected(0), leader=2, openers=(1, 3))
    state, second = with_proposal(state, leader=0, openers=(0, 3), attempt=2)
    state = replace(state, scores=ev.Scores(second.id, (), 5, (5,), (True,), 9))
    state = tell(state, *(s.verdict(k, second, (True,)) for k in range(s.N)))
    assert do.WriteStatement not in effects_of(state), "the first leader writes, although this member's shares opened"
    assert do.WriteStatement in effects_of(replace(state, now=state.now + 3 * TURN))


def test_nobody_reveals_before_a_quorum_has_closed():
    """Not at the deadline either, and not before it has closed itself."""
    state = s.fresh(plan=s.PLAN)
    for member in range(s.N):
        state = tell(state, s.update(member))
    assert do.Close in effects_of(state)
    late = replace(state, now=float(s.COLLECT_BY) + 100)
    state = tell(late, s.close(0), s.close(2))
    assert do.Reveal not in effects_of(state)
    assert do.Reveal not in effects_of(tell(state, s.close(3))), "a quorum without this member"
    assert do.Reveal in effects_of(tell(state, s.close(s.ME)))


def test_a_member_without_an_update_closes_and_reveals_nothing():
    state = replace(s.fresh(plan=s.PLAN), now=float(s.COLLECT_BY))
    state, _ = apply(state, ev.Tick(float(s.COLLECT_BY)))
    state = tell(replace(state, running=frozenset()), *(s.close(k) for k in range(s.N)))
    assert do.Reveal not in effects_of(state)
    assert state.closers == set(range(s.N))


def test_a_leader_waits_for_reveals_and_for_what_is_inside():
    silent = leading(revealed=3)
    assert do.Propose not in effects_of(silent)
    waited = replace(silent, now=silent.now + s.PLAN.slot_seconds * REVEAL_GRACE_SLOTS)
    (effect,) = (e for e in due(waited) if isinstance(e, do.Propose))
    assert effect.updates == (), "whatever the cone allows by now"
    (effect,) = (e for e in due(leading()) if isinstance(e, do.Propose))
    assert effect.updates == tuple(sorted(s.update(k).id for k in range(s.N)))
    unseen = replace(leading(), unlocked={s.update(k).id: "" for k in range(3)}, locked=(s.update(3).id,))
    assert effects_of(unseen) >= {do.Unlock}
    assert do.Propose not in effects_of(unseen)
    garbage = replace(leading(), unlocked={s.update(k).id: "" if k else "no ciphertext" for k in range(s.N)})
    (effect,) = (e for e in due(garbage) if isinstance(e, do.Propose))
    assert s.update(0).id not in effect.updates
    assert len(effect.updates) == 3
    bad = replace(leading(), unlocked={s.update(k).id: "" if k == 3 else "no ciphertext" for k in range(s.N)})
    assert do.Propose not in effects_of(bad), "fewer than min_group are left"


@pytest.mark.parametrize(
    ("me", "leader", "wait"),
    [(2, 2, 0.0), (1, 2, 2 * TURN), (0, 2, 3 * TURN), (3, 2, 4 * TURN)],
)
def test_members_write_and_send_in_turn(me, leader, wait):
    """Whoever's proposal was opened goes at once when everybody has scored; the others by rank, so that it goes on."""
    state, tx = with_proposal(collected(me), leader=leader, openers=(0, 3))
    state = replace(state, scores=ev.Scores(tx.id, (), 5, (5,), (True,), 9))
    state = tell(state, *(s.verdict(k, tx, (True,)) for k in range(s.N)))
    scored_at = state.now
    for at, is_due in ((scored_at + wait - 0.01, False), (scored_at + wait, True)):
        assert (do.WriteStatement in effects_of(replace(state, now=at))) == is_due
    state = tell(replace(state, endorsed=s.digest("one")), *(s.checkpoint(k, tx, s.digest("one")) for k in range(s.N)))
    assert do.WriteStatement not in effects_of(replace(state, now=scored_at + 100))
    for at, is_due in ((scored_at + wait - 0.01, False), (scored_at + wait, True)):
        assert (do.Finalise in effects_of(replace(state, now=at))) == is_due


def test_a_turn_is_a_quarter_of_a_slot_and_two_seconds_at_least():
    assert turn_seconds(s.PLAN) == TURN == 10
    assert turn_seconds(s.PLAN.model_copy(update={"slot_seconds": 4})) == turn_seconds(None) == TURN_SECONDS == 2


def test_slower_members_get_a_grace_before_the_statement_is_written():
    state, tx = with_proposal(collected(2), openers=(0, 3))
    state = replace(state, scores=ev.Scores(tx.id, (), 5, (5,), (True,), 9))
    state = tell(state, *(s.verdict(k, tx, (True,)) for k in range(s.QUORUM)))
    assert do.WriteStatement not in effects_of(replace(state, now=state.now + TURN - 0.01))
    late = replace(state, now=state.now + TURN)
    (effect,) = (e for e in due(late) if isinstance(e, do.WriteStatement))
    assert effect.verdicts == tuple(sorted(v.id for v in state.verdicts))


def test_nobody_writes_beside_a_statement_that_may_prove_true():
    """It counts a verdict that has not come yet, for instance; two statements would split the signatures."""
    state, tx = with_proposal(collected(1), openers=(0, 3))
    state = replace(state, scores=ev.Scores(tx.id, (), 5, (5,), (True,), 9))
    state = tell(state, *(s.verdict(k, tx, (True,)) for k in range(s.N)))
    since, first = state.now, s.checkpoint(2, tx, s.digest("one"))
    turn = turn_seconds(s.PLAN) * 2
    assert do.WriteStatement in effects_of(replace(state, now=since + turn))
    offered = tell(state, first)
    assert do.WriteStatement not in effects_of(replace(offered, now=since + turn))
    assert do.WriteStatement in effects_of(replace(offered, refused={s.digest("one"): "a lie"}, now=since + turn))
    late = since + turn + s.PLAN.slot_seconds
    assert do.WriteStatement in effects_of(replace(offered, now=late)), (
        "what nobody can look at holds up nobody for ever"
    )


def test_signatures_under_another_statement_do_not_count():
    state, tx = with_proposal(collected(2), openers=(0, 3))
    state = replace(state, scores=ev.Scores(tx.id, (), 5, (5,), (True,), 9), endorsed=s.digest("one"))
    rows = [s.checkpoint(k, tx, s.digest("one" if k < 2 else "two")) for k in range(s.N)]
    state = tell(state, *rows)
    assert state.sendable_at is None
    assert do.Finalise not in effects_of(replace(state, now=state.now + 100))


def test_nothing_is_due_twice_at_once():
    state, started = apply(s.fresh(), ev.Tick(s.OPENED_AT))
    assert started == (do.ReadPlan(),)
    _, again = apply(state, ev.Tick(s.OPENED_AT + 1))
    assert again == ()


def test_after_a_crash_exactly_the_same_is_started_again():
    """Nothing runs after a crash; what chain, ledger and journal tell calls for the same effects."""
    state, _ = with_proposal(collected())
    _, first = apply(state, ev.Tick(state.now))
    _, second = apply(replace(state, running=frozenset(), retry_at={}, failures={}), ev.Tick(state.now))
    assert first == second
    assert first


def test_a_failed_effect_waits_for_its_time():
    state, _ = apply(s.fresh(), ev.Tick(s.OPENED_AT))
    state, started = apply(state, ev.Failed(do.ReadPlan(), s.OPENED_AT + 5.0))
    assert started == ()
    assert state.failures == {do.ReadPlan(): 1}
    state, started = apply(state, ev.Tick(s.OPENED_AT + 4.9))
    assert started == ()
    _, started = apply(state, ev.Tick(s.OPENED_AT + 5.0))
    assert started == (do.ReadPlan(),)


def test_time_never_runs_backwards():
    state, _ = apply(s.fresh(), ev.Tick(s.OPENED_AT + 50))
    state, _ = apply(state, ev.Tick(s.OPENED_AT + 10))
    assert state.now == s.OPENED_AT + 50


@pytest.mark.parametrize(
    ("at", "aborts"), [(s.FINALISE_BY, False), (s.FINALISE_BY + 0.9, False), (s.FINALISE_BY + 1, True)]
)
def test_a_round_is_aborted_only_after_its_deadline(at, aborts):
    state = replace(collected(), now=float(at))
    assert (effects_of(state) == {do.Abort}) == aborts


def test_an_aborted_round_asks_for_nothing():
    state = replace(collected(), ending=ev.Ending(False, s.FACTS.base, bytes(32)))
    assert effects_of(state) == set()


def test_a_strangers_transaction_tells_nothing():
    stranger = sign(
        Unsigned(
            Kind.ACKNOWLEDGEMENT, s.CONSORTIUM, 1, 7, 0, (bytes(32), bytes(32)), None, s.AcknowledgementBody(None)
        ),
        s.digest("stranger"),
    )
    state = collected()
    told, _ = apply(state, ev.Attached(stranger, state.approvals))
    assert replace(told, running=frozenset()) == state


def test_a_share_is_its_members_own():
    """Member 3 cannot give a share in the name of member 0."""
    state, tx = with_proposal(collected())
    state = tell(state, s.post(3, s.ShareBody(tx.id, 0)))
    assert state.shares == ()


def test_verdicts_of_the_wrong_length_are_not_counted():
    state, tx = with_proposal(collected())
    state = tell(state, s.verdict(0, tx, (True, True)), s.verdict(3, tx, (False,)))
    assert [v.issuer for v in state.verdicts_for(tx.body.sums_root)] == [3]


def test_two_proposals_of_the_same_sums_share_their_verdicts():
    state, first = with_proposal(collected())
    state, second = with_proposal(state, leader=0, openers=(1, 3), attempt=2)
    state = tell(state, s.verdict(0, first, (True,)), s.verdict(3, second, (True,)), s.verdict(0, second, (False,)))
    found = state.verdicts_for(first.body.sums_root)
    assert {(v.issuer, v.accept) for v in found} == {(0, (True,)), (3, (True,))}
    assert [v.id for v in found] == sorted(v.id for v in found)
