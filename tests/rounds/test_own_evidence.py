"""What members' own verdicts say against them: a few rounds find who is honest in its verdict alone, and credit is small."""

from __future__ import annotations

from dataclasses import replace

from node.rounds.readings import cosines, opposing
from node.rounds.suspicion import CREDIT, FLOOR, own_evidence, suspicion
from tests.rounds.histories import MEMBERS, bent, played, simple, turned


def test_who_says_that_its_update_points_the_other_way_is_found_in_a_few_rounds():
    liars, early = {1, 4, 7}, []
    for seed in range(6):
        history = [turned(result, liars) for result in played(liars, 7, seed, pull=1)]
        suspects = {seat for seat, value in suspicion(history, MEMBERS).items() if value >= FLOOR}
        assert suspects <= liars
        early.append(len(suspects))
    assert sum(early) >= 0.7 * 6 * 3


def test_who_says_that_its_loss_falls_the_other_way_is_found_as_well():
    """Whose labels are turned round: its update is a little along with the others', its loss is not at all."""
    rounds = played(set(), 8, 2, pull=0, honest=0.02, falls=0.15)
    turned_losses = []
    for result in rounds:
        sign = [-1 if seat == 2 else 1 for seat in result.issuers]
        groups = tuple(replace(g, descents_ppm=bent(g.descents_ppm, sign)) for g in result.groups)
        turned_losses.append(replace(result, groups=groups))
    assert own_evidence(rounds)[2] < 0
    assert own_evidence(turned_losses)[2] > FLOOR
    assert all(said < FLOOR for seat, said in own_evidence(turned_losses).items() if seat != 2)


def test_a_verdict_speaks_against_its_own_member_alone():
    """Whatever some state, the others' own evidence stays within what their own rows can give them."""
    rounds = played(set(), 6, 3, pull=0)
    against = own_evidence([turned(result, {2}) for result in rounds])
    assert against[2] > 0
    assert all(said < 0 for seat, said in against.items() if seat != 2)
    assert all(said < 0 for said in own_evidence(rounds).values())


def test_data_that_are_merely_odd_are_no_evidence():
    """A row at right angles to every sum: it does not point along with the others, and not against them."""
    stated = [cosines((540_000,) * 7 + (500_000,)), cosines((545_000,) * 7 + (500_000,))]
    odd, others = opposing(stated)[-1], opposing(stated)[:-1]
    assert odd < 0
    assert all(value <= odd for value in others)
    assert opposing(stated[:1]) == (0,) * 8, "one sum cannot be told from chance"
    assert opposing([]) == ()


def test_own_evidence_is_forgotten_and_credit_is_small():
    honest, lying = played({1}, 40, 5, pull=1), [turned(result, {1}) for result in played({1}, 16, 6, pull=1)]
    credit = own_evidence(honest)[1]
    assert -CREDIT <= credit < 0
    found = [own_evidence([*honest, *lying[:n]])[1] for n in range(17)]
    assert found[-1] > FLOOR, "who begins to lie late is found all the same"
    assert own_evidence(lying[:4])[1] > found[4], "and who always did, sooner"
    silent = simple([g.members for g in lying[0].groups])
    assert own_evidence([*lying, silent])[1] == own_evidence(lying)[1], "who states nothing stays where it was"
    reformed = [own_evidence([*lying, *honest[:n]])[1] for n in range(41)]
    assert reformed[0] > 0 > reformed[-1]


def test_credit_does_not_weigh_against_what_sums_say(monkeypatch):
    """Three push the other way and say in their verdicts that they do not: the same as if nobody spoke of itself."""
    history = played({1, 4, 7}, 12, 3, pull=1)
    assert all(said < 0 for said in own_evidence(history).values())
    found = suspicion(history, MEMBERS)
    monkeypatch.setattr("node.rounds.suspicion.own_evidence", lambda _history: {})
    assert suspicion(history, MEMBERS) == found
