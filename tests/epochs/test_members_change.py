"""Ceremonies after members have left or exchanged their accounts: seats have gaps, the encryption's numbers have none."""

from __future__ import annotations

import numpy as np
import pytest
from eth_account import Account

from chain import events as ev
from crypto.opening import Opener, combine
from crypto.sealing import Sealer
from node.epochs import keeper as module
from node.epochs.facts import epoch_facts
from node.epochs.verify import VERIFIED, Examination
from tests.epochs.support import MINIMAL, Network, digest


@pytest.fixture
def net(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "TURN_SECONDS", 0.0)
    made = Network(tmp_path, members=4, threshold=3)
    assert made.run() == 1
    return made


def until(net: Network, epoch: int) -> None:
    for _ in range(40):
        for member in net.members:
            net.look(member)
        if net.epochs.view.active_epoch == epoch:
            return
    raise AssertionError(f"epoch {epoch} is not active: {[member.keeper.doing for member in net.members]}")


def opens(net: Network, epoch: int, seats: tuple[int, ...]) -> bool:
    """Whether the members in these seats open a sum, by their numbers in the encryption."""
    held = {seat: net.members[seat].vault.keys(epoch) for seat in seats}
    numbers = [net.epochs.view.epochs[epoch].seats.index(seat) for seat in seats]
    values = np.arange(-5, 6, dtype=np.int64)
    (chunk,) = Sealer(held[seats[0]].joint).seal(values)
    partials = {n: Opener(held[seat].member, numbers).partial(chunk) for n, seat in zip(numbers, seats, strict=True)}
    return bool((combine(chunk, partials, MINIMAL, held[seats[0]].joint.members)[: values.size] == values).all())


def test_who_stays_makes_a_key_of_their_own(net):
    net.epochs.record(ev.HospitalRemoved, 1, net.members[1].hospital.account)
    assert not net.epochs.view.fitting
    until(net, 2)
    view = net.epochs.view
    assert (view.epochs[2].seats, view.fitting) == ((0, 2, 3), True)
    assert [net.members[k].vault.keys(2) is None for k in range(4)] == [False, True, False, False]
    assert [net.members[k].vault.keys(2).member.index for k in (0, 2, 3)] == [0, 1, 2]
    assert opens(net, 2, (0, 2, 3))
    assert net.opens(1), "the old epoch stays what it was"
    assert net.members[1].keeper.doing in {"", "no member of the consortium any more"}


def test_a_ceremony_with_a_gap_is_verified_from_outside_by_the_right_names(net):
    net.epochs.record(ev.HospitalRemoved, 1, net.members[1].hospital.account)
    until(net, 2)
    view = net.epochs.view

    class Blobs:
        @staticmethod
        def obtain(cid):
            return net.obtain(net.members[0].store, cid)

    report = Examination(view, view.epochs[2], net.deployment.consortium, Blobs, allow_minimal=True).report()
    assert report.verdict == VERIFIED, report.findings
    facts = epoch_facts(view, view.epochs[2])
    assert [(m.index, m.name) for m in facts.members] == [(0, "Hospital 0"), (2, "Hospital 2"), (3, "Hospital 3")]
    assert any("Hospital 3" in finding.subject for finding in report.findings)
    assert not any("Hospital 1" in finding.subject for finding in report.findings)


def test_a_removed_hospital_opens_no_ceremony(net):
    net.epochs.record(ev.HospitalRemoved, 0, net.members[0].hospital.account)
    for _ in range(5):
        net.look(net.members[0])
    assert net.epochs.view.ceremony is None


def test_a_rotated_account_keeps_its_share_and_refreshes_it(net):
    member = net.members[2]
    account = Account.from_key(digest("the next account")).address
    net.epochs.record(ev.KeysRotated, 2, member.hospital.account, account, digest("box"))
    view = net.epochs.view
    assert view.fitting, "a share belongs to the seat"
    object.__setattr__(member.hospital, "account", account)
    net.epochs.refresh(account, 2**40)
    assert net.epochs.view.ceremony.members[2] == view.addresses[2]
    for _ in range(40):
        for one in net.members:
            net.look(one)
    assert net.epochs.view.epochs[1].generation == 1
    assert [one.vault.keys(1).member.generation for one in net.members] == [1] * 4


def test_no_ceremony_is_opened_whose_threshold_does_not_fit(net, caplog):
    """Three of four opened sums; when two leave, three openers are more than there are."""
    for seat in (1, 2):
        net.epochs.record(ev.HospitalRemoved, seat, net.members[seat].hospital.account)
    for _ in range(3):
        for member in net.members:
            net.look(member)
    assert net.epochs.view.ceremony is None
    assert "do not fit 2 members" in caplog.text


def test_a_key_that_no_longer_serves_is_replaced_by_one_that_does(net):
    for member in net.members:
        member.keeper.open_if_due(net.epochs.view, "minimal", 4)
    assert net.epochs.latest == 1, "the present key fits its members"
    for member in net.members:
        member.keeper.open_if_due(net.epochs.view, "minimal", 4, present_serves=False)
    until(net, 2)
    assert net.epochs.view.epochs[2].threshold == 4
    assert opens(net, 2, (0, 1, 2, 3))
