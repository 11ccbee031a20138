"""A key among a drawn cohort, with real keys: who is drawn makes it, who is not rests, others than the drawn make none."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest

from chain import events as ev
from chain.cohort import draw
from chain.errors import WrongCohort
from chain.records import bitmap_members
from node.epochs import keeper as module
from node.epochs.facts import epoch_facts
from node.epochs.policy import KeyPolicy
from node.epochs.verify import FALSE, VERIFIED, Examination
from node.errors import PolicyRefusal
from tests.epochs.support import MINIMAL, Network, digest
from tests.epochs.test_members_change import opens

MEMBERS, COHORT = 5, 3
SEED = digest("left behind")


@pytest.fixture
def net(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "TURN_SECONDS", 0.0)
    made = Network(tmp_path, members=MEMBERS, threshold=3)
    assert made.run() == 1
    account = made.members[0].hospital.account
    made.epochs.record(ev.RoundOpened, 1, 1, digest("p"), digest("b"), digest("first"), account, 1, 2)
    made.epochs.record(ev.RoundAborted, 1, SEED)
    return made


def drawn(net: Network) -> tuple[int, ...]:
    return tuple(sorted(draw(net.deployment.consortium, SEED, range(MEMBERS), COHORT)))


def open_among(net: Network, seats: tuple[int, ...]) -> int:
    """What the contract does, but with any seats at all."""
    net.epochs.open(net.members[0].hospital.account, MINIMAL.id + bytes(16), 2, 2**40)
    net.epochs.record(ev.CohortDrawn, net.epochs.latest, SEED, sum(1 << seat for seat in seats))
    return net.epochs.latest


def look(net: Network, times: int = 12) -> dict[int, Exception]:
    """Each looks so often; who refused, and why."""
    refused = {}
    for _ in range(times):
        for member in net.members:
            try:
                member.keeper.step(net.epochs.view)
            except (PolicyRefusal, WrongCohort) as error:
                refused[member.index] = error
    return refused


def test_the_drawn_make_a_key_and_the_others_rest(net):
    epoch = open_among(net, drawn(net))
    assert look(net, 1) == {}
    resting = set(range(MEMBERS)) - set(drawn(net))
    for seat in resting:
        assert net.members[seat].keeper.doing == f"resting: the cohort of epoch {epoch} was drawn without this hospital"
    assert look(net) == {}
    for member in net.members:
        assert member.keeper.doing.startswith("resting") == (member.index in resting)
    view = net.epochs.view
    assert (view.active_epoch, view.epochs[epoch].seats, view.fitting) == (epoch, drawn(net), True)
    assert {m.index for m in net.members if m.vault.keys(epoch) is not None} == set(drawn(net))
    assert opens(net, epoch, drawn(net)[:2])
    facts = epoch_facts(view, view.epochs[epoch])
    assert (facts.quorum, facts.drawn_from, len(facts.members)) == (2, MEMBERS, COHORT)
    assert epoch_facts(view, view.epochs[1]).drawn_from is None


def test_a_cohorts_ceremony_is_verified_from_outside_and_drawn_again(net):
    epoch = open_among(net, drawn(net))
    look(net)
    blobs = SimpleNamespace(obtain=lambda cid: net.obtain(net.members[0].store, cid))

    def cohort(record) -> tuple[str, str]:
        consortium = net.deployment.consortium
        report = Examination(net.epochs.view, record, consortium, blobs, allow_minimal=True).report()
        (finding,) = (f for f in report.findings if f.subject == "cohort")
        return finding.verdict, report.verdict

    record = net.epochs.view.epochs[epoch]
    assert cohort(record) == (VERIFIED, VERIFIED)
    assert cohort(replace(record, drawn=replace(record.drawn, left_behind=digest("other")))) == (FALSE, FALSE)


def test_nobody_makes_a_key_for_others_than_the_drawn(net):
    other = min(set(range(MEMBERS)) - set(drawn(net)))
    seats = tuple(sorted((*drawn(net)[1:], other)))
    epoch = open_among(net, seats)
    refused = look(net)
    assert set(refused) == set(seats)
    assert all(isinstance(error, WrongCohort) and error.expected == set(drawn(net)) for error in refused.values())
    assert net.epochs.view.epochs[epoch].announcements == {}
    assert net.epochs.view.active_epoch == 1


def test_one_hospital_that_asks_for_more_keeps_a_small_cohort_from_having_a_key(net):
    careful = net.members[drawn(net)[0]]
    careful.keeper._policy = KeyPolicy(min_cohort=COHORT + 1)
    epoch = open_among(net, drawn(net))
    refused = look(net)
    assert set(refused) == {careful.index}
    assert "min_cohort" in str(refused[careful.index])
    assert careful.keeper.doing == f"refusing epoch {epoch}"
    assert net.epochs.view.active_epoch == 1


def test_a_cohort_that_lost_a_member_is_followed_by_one_of_its_size(net):
    open_among(net, drawn(net))
    look(net)
    gone = drawn(net)[1]
    net.epochs.record(ev.HospitalRemoved, gone, net.members[gone].hospital.account)
    view = net.epochs.view
    assert not view.fitting
    opened = []
    opener = next(m for m in net.members if m.index in view.members)
    opener.chain.epochs.open_cohort = lambda *terms: opened.append(terms)
    opener.keeper.open_if_due(view, "minimal", 2, cohort=COHORT)
    ((parameters, threshold, _, size),) = opened
    assert (parameters[:16], threshold, size) == (MINIMAL.id, 2, COHORT)


def test_who_is_admitted_later_changes_nothing_for_a_cohort(net):
    epoch = open_among(net, drawn(net))
    look(net)
    view = net.epochs.view
    joined = replace(view.standing, members=view.members | {MEMBERS})
    assert replace(view, standing=joined).fitting
    assert not replace(view, standing=joined, active_epoch=1).fitting, "a key of all does not fit any more"
    assert bitmap_members(sum(1 << seat for seat in view.epochs[epoch].seats)) == set(drawn(net))
