"""The chain's events folded into tables."""

from __future__ import annotations

import dataclasses
import hashlib

import pytest
from eth_account import Account
from hypothesis import given
from hypothesis import strategies as st

from chain import events as ev
from chain.errors import MalformedAnswer
from node.consortium.view import ConsortiumView, address_bytes, fold


def digest(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


ACCOUNTS = [Account.from_key(digest(f"member {k}")).address for k in range(4)]


def at(block: int, kind, **fields) -> ev.Event:
    return kind(block=block, log_index=0, tx=digest(f"tx {block}"), **fields)


def admitted(index: int, block: int = 1) -> ev.Event:
    box = digest(f"box {index}")
    return at(
        block,
        ev.HospitalAdmitted,
        index=index,
        account=ACCOUNTS[index],
        box_key=box,
        data_size=10 + index,
        name=f"H{index}",
        url=f"http://{index}",
    )


def opened(number: int, block: int, base: bytes) -> ev.Event:
    return at(
        block,
        ev.RoundOpened,
        round=number,
        epoch=1,
        plan=digest("plan"),
        base=base,
        seed=digest(f"seed {number}"),
        opener=ACCOUNTS[0],
        collect_by=100,
        finalise_by=200,
    )


def finalised(number: int, block: int, base: bytes, model: bytes) -> list[ev.Event]:
    end = at(
        block,
        ev.RoundFinalised,
        round=number,
        model=model,
        leader=ACCOUNTS[1],
        base=base,
        proposal=digest("proposal"),
        statement=digest(f"statement {number}"),
        signers=0b0111,
        seed=digest(f"seed {number + 1}"),
    )
    if model == base:
        return [end]
    record = {"model": model, "parent": base, "round": number, "statement": digest(f"statement {number}")}
    return [end, at(block, ev.ModelRecorded, **record)]


def history() -> list[ev.Event]:
    """Four members, an aborted ceremony, one that ends well, a lineage, a finalised, an aborted and an empty round."""
    rows = [admitted(k) for k in range(4)]
    ceremony = {"parameter_set": bytes(range(16)) + bytes(16), "threshold": 3, "deadline": 9, "opener": ACCOUNTS[0]}
    rows += [at(2, ev.EpochOpened, epoch=1, **ceremony), at(3, ev.EpochAborted, epoch=1, complained=0)]
    rows.append(at(4, ev.EpochOpened, epoch=2, **ceremony))
    for k, account in enumerate(ACCOUNTS):
        rows += [
            at(5, ev.Committed, epoch=2, member=account, commitment=digest(f"c{k}")),
            at(6, ev.Dealt, epoch=2, member=account, dealing=digest(f"d{k}")),
            at(7, ev.Tested, epoch=2, member=account, report=digest(f"r{k}")),
            at(8, ev.Confirmed, epoch=2, member=account, joint_key=digest("joint")),
        ]
    rows.append(at(8, ev.EpochActivated, epoch=2, joint_key=digest("joint")))
    none = {"parent": bytes(32), "round": 0, "statement": bytes(32)}
    rows.append(at(9, ev.ModelRecorded, model=digest("genesis"), **none))
    rows.append(opened(1, 10, digest("genesis")))
    roots = {"updates_root": digest("u"), "sums_root": digest("s")}
    rows.append(at(11, ev.Proposed, round=1, leader=ACCOUNTS[1], proposal=digest("proposal"), **roots))
    rows += finalised(1, 12, digest("genesis"), digest("model 1"))
    rows.append(opened(2, 13, digest("model 1")))
    rows.append(at(14, ev.RoundAborted, round=2, seed=digest("seed 3")))
    rows.append(opened(3, 15, digest("model 1")))
    rows += finalised(3, 16, digest("model 1"), digest("model 1"))
    rows.append(at(17, ev.UrlChanged, account=ACCOUNTS[2], url="http://moved"))
    return rows


def test_members_in_index_order_and_where_they_moved():
    view = fold(ConsortiumView(), history())
    assert [h.account for h in view.hospitals] == ACCOUNTS
    assert view.addresses == tuple(address_bytes(account) for account in ACCOUNTS)
    assert [h.url for h in view.hospitals] == ["http://0", "http://1", "http://moved", "http://3"]
    assert view.hospitals[3].data_size == 13


@pytest.mark.parametrize(("members", "quorum"), [(0, 0), (1, 1), (2, 2), (3, 2), (4, 3)])
def test_the_quorum_is_two_thirds_rounded_up(members, quorum):
    assert fold(ConsortiumView(), [admitted(k) for k in range(members)]).quorum == quorum


def test_ceremonies():
    view = fold(ConsortiumView(), history())
    assert view.active_epoch == 2
    aborted, active = view.epochs[1], view.epochs[2]
    assert (aborted.running, aborted.joint_key) == (False, None)
    assert (active.running, active.joint_key, active.threshold) == (False, digest("joint"), 3)
    assert active.parameter_set == bytes(range(16))
    for name, letter in (("commitments", "c"), ("dealings", "d"), ("reports", "r")):
        assert getattr(active, name) == {a: digest(f"{letter}{k}") for k, a in enumerate(view.addresses)}


def refreshed() -> list[ev.Event]:
    """After that history: a refresh that is aborted, a round's proposal, a refresh that takes effect, another proposal."""
    roots = {"updates_root": digest("u"), "sums_root": digest("s")}
    opening = {"epoch": 2, "deadline": 99, "opener": ACCOUNTS[0]}
    rows = [
        at(18, ev.RefreshOpened, refresh=1, generation=1, **opening),
        at(18, ev.Announced, epoch=2, member=ACCOUNTS[0], box_key=digest("spoilt")),
        at(18, ev.RefreshAborted, epoch=2, refresh=1, complained=0),
        dataclasses.replace(opened(4, 19, digest("model 1")), epoch=2),
        at(19, ev.Proposed, round=4, leader=ACCOUNTS[1], proposal=digest("before"), **roots),
        at(20, ev.RefreshOpened, refresh=2, generation=1, **opening),
    ]
    for k, account in enumerate(ACCOUNTS):
        rows += [
            at(21, ev.Announced, epoch=2, member=account, box_key=digest(f"box {k}")),
            at(21, ev.Committed, epoch=2, member=account, commitment=digest(f"c'{k}")),
            at(22, ev.Confirmed, epoch=2, member=account, joint_key=digest("joint")),
        ]
    rows.append(at(22, ev.Complained, epoch=2, member=ACCOUNTS[0], offender=ACCOUNTS[1], evidence=digest("e")))
    rows.append(at(22, ev.RefreshActivated, epoch=2, refresh=2, generation=1))
    rows.append(at(23, ev.Proposed, round=4, leader=ACCOUNTS[2], proposal=digest("after"), **roots))
    return rows


def test_what_happens_during_a_refresh_is_the_refreshs_own():
    before = fold(ConsortiumView(), history()).epochs[2]
    view = fold(ConsortiumView(), history() + refreshed())
    epoch = view.epochs[2]
    assert (epoch.generation, epoch.refreshing, view.ceremony, view.active_epoch) == (1, None, None, 2)
    assert dataclasses.replace(epoch, generation=0, refreshes=()) == before, "the ceremony's own record stays"
    aborted, active = epoch.refreshes
    assert (aborted.refresh, aborted.made, aborted.running, aborted.joint_key) == (1, 1, False, None)
    assert (active.refresh, active.made, active.running, active.joint_key) == (2, 1, False, digest("joint"))
    assert active.announcements == {a: digest(f"box {k}") for k, a in enumerate(view.addresses)}
    assert active.commitments == {a: digest(f"c'{k}") for k, a in enumerate(view.addresses)}
    assert [c.evidence for c in active.complaints] == [digest("e")]
    assert epoch.made == 0


def test_a_proposal_knows_the_generation_in_force_when_it_was_recorded():
    view = fold(ConsortiumView(), history() + refreshed())
    assert {p.proposal: p.generation for p in view.rounds[4].proposals} == {digest("before"): 0, digest("after"): 1}
    assert view.rounds[1].proposals[0].generation == 0


@pytest.mark.parametrize(("rows", "running"), [(1, (2, 1)), (2, (2, 1)), (3, None), (6, (2, 2)), (20, None)])
def test_the_view_knows_what_runs(rows, running):
    ceremony = fold(ConsortiumView(), history() + refreshed()[:rows]).ceremony
    assert (None if ceremony is None else (ceremony.epoch, ceremony.refresh)) == running


def test_rounds_and_lineage():
    view = fold(ConsortiumView(), history())
    assert [row.status for row in view.rounds.values()] == ["finalised", "aborted", "finalised"]
    assert [row.open for row in view.rounds.values()] == [False] * 3
    assert view.finalised == 2
    assert view.current is view.rounds[3]
    assert view.head == digest("model 1"), "a round that accepted nothing records no model"
    assert list(view.models) == [digest("genesis"), digest("model 1")]
    assert view.models[digest("model 1")].parent == digest("genesis")
    first = view.rounds[1]
    assert (first.opened_in, first.ended_in, first.signers) == (10, 12, 0b0111)
    assert [p.proposal for p in first.proposals] == [first.proposal]
    assert view.rounds[2].next_seed == digest("seed 3")
    assert view.rounds[2].model is None


def test_before_anything_was_said():
    view = ConsortiumView()
    assert (view.head, view.current, view.finalised, view.quorum, view.active_epoch) == (None, None, 0, 0, 0)


@given(st.lists(st.integers(1, 40), max_size=6))
def test_folding_in_pieces_is_folding_at_once(cuts):
    rows, view, start = history(), ConsortiumView(), 0
    for cut in sorted(cuts):
        view, start = fold(view, rows[start:cut]), max(start, cut)
    assert fold(view, rows[start:]) == fold(ConsortiumView(), rows)


def test_a_view_never_changes():
    rows = history()
    before = fold(ConsortiumView(), rows[:20])
    copy = dataclasses.replace(before)
    fold(before, rows[20:])
    assert before == copy
    with pytest.raises(TypeError):
        before.epochs[9] = None


def test_a_rounds_leaders_follow_from_how_members_stood_when_it_opened() -> None:
    def fault(index: int, block: int) -> ev.Event:
        told = {"round": 1, "index": index, "fault": 0, "evidence": digest("e"), "points": 100, "reputation": 0}
        return at(block, ev.FaultRecorded, **told)

    before = [admitted(index) for index in range(4)]
    first = opened(1, 3, digest("genesis")), *finalised(1, 4, digest("genesis"), digest("model"))
    clean = fold(ConsortiumView(), [*before, *first])
    charged = fold(ConsortiumView(), [*before, *first[:1], fault(clean.rounds[1].ranking[0], 3), *first[1:]])
    assert charged.rounds[1].ranking == clean.rounds[1].ranking, "a running round keeps its leaders"
    late = fold(charged, [opened(2, 5, digest("model"))])
    assert late.rounds[2].ranking[-1] == clean.rounds[1].ranking[0], "who has no reputation leads last"


# ---- members come, go and change -------------------------------------------------------------------------------------


NEW = Account.from_key(digest("another key")).address


def removed(index: int, block: int) -> ev.Event:
    return at(block, ev.HospitalRemoved, index=index, account=ACCOUNTS[index])


def rotated(index: int, block: int) -> ev.Event:
    return at(block, ev.KeysRotated, index=index, account=ACCOUNTS[index], new_account=NEW, box_key=digest("new box"))


def test_a_removal_leaves_a_gap_and_history_as_it_was():
    view = fold(ConsortiumView(), [*history(), removed(1, 18)])
    assert view.members == {0, 2, 3}
    assert [seat for seat, _ in view.present] == [0, 2, 3]
    assert (view.quorum, view.decisions) == (2, 1)
    assert len(view.hospitals) == 4, "seats are never given again"
    assert view.rounds[1].standing.members == {0, 1, 2, 3}
    assert view.rounds[1].quorum == 3
    later = fold(view, [opened(4, 19, digest("model 1"))])
    assert (later.rounds[4].standing.members, later.rounds[4].quorum) == ({0, 2, 3}, 2)
    assert 1 not in later.rounds[4].ranking


def test_who_was_admitted_later_is_in_later_rounds_only():
    joined = dataclasses.replace(admitted(3), account=NEW, index=4, tx=digest("vote"), block=18)
    view = fold(
        ConsortiumView(), [*history(), opened(4, 17, digest("model 1")), joined, opened(5, 19, digest("model 1"))]
    )
    assert (len(view.members), view.quorum, view.decisions) == (5, 4, 1)
    assert (4 in view.rounds[4].standing.members, 4 in view.rounds[5].standing.members) == (False, True)
    assert (len(view.rounds[4].sizes), len(view.rounds[5].sizes)) == (4, 5)


def test_a_rotation_gives_a_seat_another_account_and_keeps_the_old_ones_history():
    view = fold(ConsortiumView(), [*history(), opened(4, 17, digest("model 1")), rotated(2, 18)])
    assert view.hospitals[2].account == NEW
    assert view.hospitals[2].box_key == digest("new box")
    assert view.seats[address_bytes(NEW)] == view.seats[address_bytes(ACCOUNTS[2])] == 2
    assert view.rounds[4].standing.accounts[2] == ACCOUNTS[2], "a round's accounts are those at its opening"
    assert view.epochs[2].members[2] == address_bytes(ACCOUNTS[2]), "what has ended stays on record"
    moved = fold(view, [at(19, ev.UrlChanged, account=NEW, url="http://moved")])
    assert moved.hospitals[2].url == "http://moved"


def test_a_ceremony_goes_on_under_the_new_account():
    ceremony = {"parameter_set": bytes(32), "threshold": 3, "deadline": 9, "opener": ACCOUNTS[0]}
    rows = [*history(), at(18, ev.EpochOpened, epoch=3, **ceremony)]
    rows += [at(19, ev.Announced, epoch=3, member=ACCOUNTS[2], box_key=digest("announced"))]
    rows += [at(19, ev.Complained, epoch=3, member=ACCOUNTS[2], offender=ACCOUNTS[0], evidence=digest("e"))]
    view = fold(ConsortiumView(), [*rows, rotated(2, 20)])
    epoch, new = view.epochs[3], address_bytes(NEW)
    assert epoch.members[2] == new
    assert dict(epoch.announcements) == {new: digest("announced")}
    assert epoch.complaints[0].member == new


def test_a_resizing_counts_from_the_next_round_on():
    changed = at(18, ev.DataSizeChanged, index=1, account=ACCOUNTS[1], data_size=99)
    view = fold(
        ConsortiumView(), [*history(), opened(4, 17, digest("model 1")), changed, opened(5, 19, digest("model 1"))]
    )
    assert (view.rounds[4].sizes[1], view.rounds[5].sizes[1], view.decisions) == (11, 99, 1)


def test_an_epoch_is_held_by_who_was_a_member_and_fits_until_that_changes():
    ceremony = {"parameter_set": bytes(32), "threshold": 2, "deadline": 9, "opener": ACCOUNTS[0]}
    view = fold(ConsortiumView(), history())
    assert view.fitting
    view = fold(view, [removed(1, 18)])
    assert not view.fitting
    view = fold(view, [at(19, ev.EpochOpened, epoch=3, **ceremony)])
    assert view.epochs[3].seats == (0, 2, 3)
    assert view.epochs[3].members == tuple(address_bytes(ACCOUNTS[k]) for k in (0, 2, 3))
    view = fold(view, [at(20, ev.EpochActivated, epoch=3, joint_key=digest("joint 3"))])
    assert view.fitting
    assert view.epochs[2].seats == (0, 1, 2, 3), "old epochs stay auditable"


def test_faults_on_record():
    told = {"round": 1, "index": 2, "fault": 2, "evidence": digest("e"), "points": 50, "reputation": 50}
    view = fold(ConsortiumView(), [*history(), at(18, ev.FaultRecorded, **told)])
    assert view.faults == {(1, 2, 2)}
    taken_back = at(19, ev.FaultAnnulled, round=1, index=2, fault=2, points=50, reputation=100)
    assert fold(view, [taken_back]).faults == frozenset()


@pytest.mark.parametrize(
    "event",
    [
        removed(1, 1),
        at(1, ev.UrlChanged, account=ACCOUNTS[0], url="x"),
        at(1, ev.DataSizeChanged, index=0, account=ACCOUNTS[0], data_size=1),
        at(1, ev.EpochActivated, epoch=1, joint_key=digest("j")),
        at(1, ev.RoundAborted, round=7, seed=digest("s")),
        at(1, ev.RefreshOpened, epoch=1, refresh=1, generation=1, deadline=1, opener=ACCOUNTS[0]),
    ],
    ids=lambda event: type(event).__name__,
)
def test_an_endpoint_that_tells_nonsense_is_an_error_of_ours(event):
    with pytest.raises(MalformedAnswer):
        fold(ConsortiumView(), [rotated(0, 1)] if type(event) is ev.HospitalRemoved else [event])


def test_the_plan_in_force_is_the_last_admitted_and_not_withdrawn():
    def decided(view, plan, *, admitted):
        event = at(9, ev.PlanDecided, plan=bytes([plan]) * 32, admitted=admitted, signers=7)
        return fold(view, [event])

    view = decided(decided(ConsortiumView(), 1, admitted=True), 2, admitted=True)
    assert (view.plan, view.plan_decisions) == (bytes([2]) * 32, 2)
    assert decided(view, 1, admitted=True).plan == bytes([1]) * 32, "approving an older one again puts it in force"
    assert decided(view, 2, admitted=False).plan == bytes([1]) * 32
    gone = decided(decided(view, 2, admitted=False), 1, admitted=False)
    assert (gone.plan, gone.plans, gone.plan_decisions) == (None, (), 4)


# ---- data cards ------------------------------------------------------------------------------------------------------


def card(seat: int, text: str, block: int) -> ev.Event:
    return at(block, ev.CardRegistered, index=seat, account=ACCOUNTS[seat], digest=digest(text))


def test_a_seat_has_the_card_it_registered_last():
    view = fold(ConsortiumView(), history())
    assert (view.card_of(1), view.cards) == (None, {})
    view = fold(view, [card(1, "a", 17), card(1, "b", 18), card(2, "c", 19)])
    assert [view.card_of(seat) for seat in range(4)] == [None, digest("b"), digest("c"), None]


def test_a_round_knows_the_cards_at_its_opening_and_what_was_registered_until_it_ended():
    before = fold(ConsortiumView(), [*history(), card(1, "a", 16)])
    view = fold(before, [opened(4, 17, digest("model 1")), card(1, "b", 18), card(0, "c", 18)])
    assert view.rounds[4].cards == {0: (digest("c"),), 1: (digest("a"), digest("b"))}
    view = fold(view, [*finalised(4, 19, digest("model 1"), digest("model 4")), card(1, "d", 20)])
    assert view.rounds[4].cards[1] == (digest("a"), digest("b")), "what came later was not of this round"
    view = fold(view, [opened(5, 21, digest("model 4"))])
    assert view.rounds[5].cards == {0: (digest("c"),), 1: (digest("d"),)}
    assert all(not view.rounds[number].cards for number in (1, 2, 3))


def test_a_card_of_nobody_is_refused():
    with pytest.raises(MalformedAnswer):
        fold(ConsortiumView(), [*history(), at(17, ev.CardRegistered, index=9, account=ACCOUNTS[0], digest=bytes(32))])


# ---- cohorts ---------------------------------------------------------------------------------------------------------


def with_cohort() -> list[ev.Event]:
    """After that history: a key that seats 0, 2 and 3 hold, and a round of theirs."""
    ceremony = {"parameter_set": bytes(32), "threshold": 2, "deadline": 9, "opener": ACCOUNTS[1]}
    rows = [*history(), at(18, ev.EpochOpened, epoch=3, **ceremony)]
    rows.append(at(18, ev.CohortDrawn, epoch=3, seed=digest("seed 4"), holders=0b1101))
    rows.append(at(19, ev.EpochActivated, epoch=3, joint_key=digest("joint 3")))
    return [*rows, dataclasses.replace(opened(4, 20, digest("model 1")), epoch=3)]


def test_a_cohort_holds_the_key_and_its_rounds_are_its_members():
    view = fold(ConsortiumView(), with_cohort())
    epoch, row = view.epochs[3], view.rounds[4]
    assert (epoch.seats, epoch.members) == ((0, 2, 3), tuple(address_bytes(ACCOUNTS[k]) for k in (0, 2, 3)))
    assert epoch.drawn is not None
    assert (epoch.drawn.candidates, epoch.drawn.seed, epoch.drawn.left_behind) == (
        (0, 1, 2, 3),
        digest("seed 4"),
        digest("seed 4"),
    )
    assert (row.standing.members, row.resting, row.quorum) == ({0, 2, 3}, {1}, 2)
    assert sorted(row.ranking) == [0, 2, 3]
    assert (view.members, view.quorum, view.fitting) == ({0, 1, 2, 3}, 3, True), "the consortium is all of them"
    assert view.rounds[1].resting == frozenset()


def test_a_cohort_fits_until_one_of_it_leaves():
    joined = dataclasses.replace(admitted(3), account=NEW, index=4, tx=digest("vote"), block=21)
    assert fold(ConsortiumView(), [*with_cohort(), joined]).fitting
    assert fold(ConsortiumView(), [*with_cohort(), removed(1, 21)]).fitting
    assert not fold(ConsortiumView(), [*with_cohort(), removed(2, 21)]).fitting


def test_the_seed_of_a_draw_is_the_open_rounds_or_what_the_last_left_behind():
    assert fold(ConsortiumView(), []).rounds_seed is None
    assert fold(ConsortiumView(), history()).rounds_seed == digest("seed 4")
    view = fold(ConsortiumView(), [*history(), opened(4, 17, digest("model 1"))])
    assert view.rounds_seed == view.rounds[4].seed


@pytest.mark.parametrize("fields", [{"epoch": 9, "holders": 1}, {"epoch": 2, "holders": 1 << 9}])
def test_a_cohort_of_nobody_known_is_refused(fields):
    with pytest.raises(MalformedAnswer):
        fold(ConsortiumView(), [*history(), at(18, ev.CohortDrawn, seed=bytes(32), **fields)])
