"""The ceremony goes on after a crash between any two steps, and ends with a key nobody holds (CRY-1, CRY-2, CRY-5)."""

from __future__ import annotations

import hashlib
import time
from contextlib import suppress
from dataclasses import replace

import pytest

from chain.errors import ChainUnreachable
from crypto.ceremony import DealingHeader
from crypto.errors import InsecureParameters
from node.epochs import keeper as module
from node.epochs.keeper import Keeper
from node.epochs.report import Report, pack_report
from node.epochs.start import CEREMONY_SECONDS
from node.rounds.worker import EXPECTED
from tests.epochs.support import STEPS, Killed, Network


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch):
    monkeypatch.setattr(module, "TURN_SECONDS", 0.0)


def points_of_a_ceremony() -> list[str]:
    """Where a member can die: before and after every call to chain, disk and blob store."""
    puts = [f"{when} blobs.put {k}" for k in range(7) for when in ("before", "after")]
    calls = (
        "open",
        "vault.keep_box",
        "announce",
        "vault.keep_dealer_seed",
        "commit",
        "deal",
        "vault.keep",
        "test",
        "confirm",
    )
    return [f"{when} {call} 0" for call in calls for when in ("before", "after")] + puts


@pytest.mark.parametrize("point", points_of_a_ceremony())
def test_a_member_that_dies_anywhere_resumes_from_its_disk(tmp_path, point):
    net = Network(tmp_path)
    seen: dict[str, int] = {}
    died = []

    def killer(member, where):
        if member.index != 0:
            return
        number = seen[where] = seen.get(where, -1) + 1
        if f"{where} {number}" == point and not died:
            died.append(point)
            raise Killed

    net.killer = killer
    assert net.run() == 1
    assert died == [point], "the point was never reached: the list above is out of date"
    assert net.opens()


def test_a_member_that_dies_at_every_single_step_still_gets_there(tmp_path):
    net = Network(tmp_path)
    died = set()

    def killer(member, where):
        if (member.index, where) not in died:
            died.add((member.index, where))
            raise Killed

    net.killer = killer
    assert net.run(60) == 1
    assert len(died) > 20
    assert net.opens()


def test_what_was_committed_to_is_what_is_dealt_after_a_crash(tmp_path):
    """The seed is durable before the commitment: a dealing from another seed would be a fault of this member."""
    net = Network(tmp_path)
    commitments = []
    for member in net.members:
        net.look(member)
        commitments.append(net.epochs.view.epochs[1].commitments)
    for member in net.members:
        member.start()
    assert net.run() == 1
    epoch = net.epochs.view.epochs[1]
    for member, address in zip(net.members, net.epochs.view.addresses, strict=True):
        header = DealingHeader.from_bytes(member.store.get(module.raw_cid(epoch.dealings[address])))
        assert header.commitment == epoch.commitments[address]


def test_a_step_that_somebody_else_sees_done_is_no_error(tmp_path):
    """The transaction went in, the answer was lost: sending again reverts with AlreadyDone, which is fine."""
    net = Network(tmp_path)
    lost = set()

    def killer(member, where):
        if where.startswith("after ") and where[6:] in STEPS and (member.index, where) not in lost:
            lost.add((member.index, where))
            raise Killed

    net.killer = killer
    stale = net.epochs.view
    assert net.run() == 1
    assert len(lost) >= 6
    assert stale.active_epoch == 0


def test_doing_a_step_again_on_an_old_view_changes_nothing(tmp_path):
    net = Network(tmp_path)
    views = [net.epochs.view]
    for _ in range(6):
        for member in net.members:
            net.look(member)
            views.append(net.epochs.view)
    before = len(net.epochs.events)
    for view in views:
        for member in net.members:
            with suppress(module.ContractReverted):
                member.keeper.step(view)
    assert len(net.epochs.events) == before
    assert net.opens()


def test_three_members_of_which_two_open(tmp_path):
    net = Network(tmp_path, members=3, threshold=2)
    assert net.run() == 1
    assert net.opens()


def test_one_member_opens_and_the_others_wait_their_turn(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "TURN_SECONDS", 3600.0)
    net = Network(tmp_path)
    net.look(net.members[1])
    assert net.epochs.latest == 0
    net.look(net.members[0])
    assert net.epochs.latest == 1


def test_two_members_that_open_at_once_make_one_ceremony(tmp_path):
    net = Network(tmp_path)
    before = net.epochs.view
    for member in net.members:
        member.keeper.open_if_due(before, "minimal", 2)
    assert net.epochs.latest == 1


def test_a_ceremony_that_is_overdue_is_aborted_and_another_one_opened(tmp_path, monkeypatch):
    net = Network(tmp_path)
    for member in net.members:
        net.look(member)
    late = time.time() + CEREMONY_SECONDS + 10
    with monkeypatch.context() as clock:
        clock.setattr(module.time, "time", lambda: late)
        net.look(net.members[1])
    assert not net.epochs.view.epochs[1].running
    assert net.run() == 2
    assert net.opens(2)
    assert net.members[0].vault.keys(1) is None


def test_the_seed_of_a_dealing_is_forgotten_once_the_epoch_is_active(tmp_path):
    """It tells s_i: nobody needs it any more."""
    net = Network(tmp_path)
    net.run()
    for member in net.members:
        net.look(member)
        assert member.vault.dealer_seed(1) is None
        assert member.keeper.doing == ""
        assert member.keeper.keys(1) is not None


def test_seeds_of_aborted_ceremonies_are_forgotten_too(tmp_path, monkeypatch):
    net = Network(tmp_path)
    for member in net.members:
        net.look(member)
    net.epochs.abort(net.members[0].hospital.account, 1)
    assert net.run() == 2
    for member in net.members:
        net.look(member)
        assert member.vault.dealer_seed(1) is None, "the seed of a ceremony that never came to a key is kept for ever"


def test_the_insecure_parameters_are_refused_outside_tests(tmp_path):
    net = Network(tmp_path)
    member = net.members[0]
    strict = Keeper(0, member.keeper._chain, member.keeper._blobs, member.vault)
    with pytest.raises(InsecureParameters):
        strict.open_if_due(net.epochs.view, "minimal", 2)
    net.look(member)
    with pytest.raises(InsecureParameters):
        strict.step(net.epochs.view)


def test_a_chain_that_does_not_answer_is_the_callers_business(tmp_path):
    net = Network(tmp_path)

    def killer(member, where):
        raise ChainUnreachable("http://chain", 1, OSError())

    net.look(net.members[0])
    net.killer = killer
    with pytest.raises(ChainUnreachable):
        net.members[1].keeper.step(net.epochs.view)


# ---- dishonest members ------------------------------------------------------------------------------------------------


def until_dealt(net: Network, falsify) -> None:
    """Run until all have dealt; member 1's dealing on chain is `falsify(header bytes) -> bytes`, stored at its place."""
    step = net.epochs.step

    def dealing(name, sender, epoch, value):
        if name == "deal" and sender == net.members[1].hospital.account:
            false = falsify(net.members[1].store.get(module.raw_cid(value)))
            net.members[1].store.put(false)
            value = hashlib.sha256(false).digest()
        step(name, sender, epoch, value)

    net.epochs.step = dealing
    for _ in range(4):
        for member in net.members:
            try:
                net.look(member)
            except module.CeremonyFault:
                pytest.fail("a fault of another member ends the step of this one")


def header(data: bytes, **changes) -> bytes:
    return replace(DealingHeader.from_bytes(data), **changes).to_bytes()


@pytest.mark.parametrize(
    "falsify",
    [
        lambda data: header(data, dealer=0),
        lambda data: header(data, terms=bytes(32)),
        lambda data: header(data, content=bytes(32)),
        lambda data: header(data, shares=DealingHeader.from_bytes(data).shares[:1]),
        lambda data: b"no header",
        lambda data: b"",
    ],
    ids=["dealer", "terms", "content", "too few shares", "garbage", "empty"],
)
def test_a_false_dealing_is_complained_about_by_name(tmp_path, falsify):
    net = Network(tmp_path)
    until_dealt(net, falsify)
    honest, liar = (member.hospital.account for member in net.members)
    assert (honest, liar) in net.epochs.complaints
    assert len([c for c in net.epochs.complaints if c[0] == honest]) == 1, "once is enough"
    assert net.members[0].vault.keys(1) is None
    assert net.epochs.view.active_epoch == 0


@pytest.mark.parametrize("report", [b"no report", pack_report(Report(bytes(32), {})), b""])
def test_a_self_test_that_does_not_open_is_not_confirmed(tmp_path, report):
    """A member posts garbage for its part of the self-test: nobody confirms, the daemon's loop goes on."""
    net = Network(tmp_path)
    step = net.epochs.step

    def testing(name, sender, epoch, value):
        if name == "test" and sender == net.members[1].hospital.account:
            net.members[1].store.put(report)
            value = hashlib.sha256(report).digest()
        step(name, sender, epoch, value)

    net.epochs.step = testing
    for _ in range(8):
        for member in net.members:
            try:
                net.look(member)
            except EXPECTED:
                continue
    assert net.epochs.view.epochs[1].confirmations == {}
    assert net.epochs.view.active_epoch == 0
