"""A refresh that somebody spoils names the offender to everybody and ends; the shares in force are not touched (CRY-2)."""

from __future__ import annotations

import logging
from dataclasses import replace
from types import SimpleNamespace

import pytest

from crypto.keys import MemberKey
from crypto.opening import Opener
from crypto.refresh import Refresher, receive_zero
from crypto.selftest import self_test_ciphertext, self_test_subsets
from dag.ids import sha256
from node.epochs import keeper as module
from node.epochs.report import pack_report, unpack_report
from node.epochs.start import open_refresh
from node.epochs.verify import FALSE, UNCHECKED, VERIFIED, Examination
from node.storage import BlobUnavailable, raw_cid
from tests.crypto.test_refresh import BadZeroShare, SharesOne
from tests.epochs.support import Network
from tests.epochs.test_refreshing import look, opens, refresh, secrets_left

LIAR = 1
MEMBERS = 4


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch):
    monkeypatch.setattr(module, "TURN_SECONDS", 0.0)
    monkeypatch.setattr(module, "SETTLE_SECONDS", 0.0)


@pytest.fixture
def net(tmp_path) -> Network:
    made = Network(tmp_path, members=MEMBERS, threshold=3)
    assert made.run() == 1
    look(made, 2)
    return made


def deals_as(net: Network, kind, refreshes: tuple[int, ...] = (1,)) -> None:
    """Make the liar share something else than it should in these refreshes."""
    keeper = net.members[LIAR].keeper
    honest = keeper._dealer

    def dealer(job):
        true = honest(job)
        return kind(true.terms, true.index, true.seed) if job.record.refresh in refreshes else true

    keeper._dealer = dealer


def bent(member, report):
    """Openings in good form that open to nothing."""
    return {k: member.store.put(member.store.get(cid)[:-80] + bytes(80)) for k, cid in report.openings.items()}


def reports(net: Network, change, member=None) -> None:
    """Make the liar, or `member`, report the openings `change(member, report)` in the first refresh."""
    step, member = net.epochs.step, member or net.members[LIAR]

    def testing(name, sender, epoch, value):
        if name == "test" and sender == member.hospital.account and net.epochs.refreshing == 1:
            report = unpack_report(member.store.get(raw_cid(value)))
            false = pack_report(replace(report, openings=change(member, report)))
            member.store.put(false)
            value = sha256(false)
        step(name, sender, epoch, value)

    net.epochs.step = testing


def accused(net: Network) -> dict[int, set[int]]:
    """Whom each member complained about in the first refresh, by index."""
    record = net.epochs.view.epochs[1].refreshes[0]
    found: dict[int, set[int]] = {}
    for complaint in record.complaints:
        found.setdefault(record.members.index(complaint.member), set()).add(record.members.index(complaint.offender))
    return found


def examine(net: Network, number: int = 1, missing: str = ""):
    """What somebody finds who holds nothing but the chain and the members' blobs."""

    def obtain(cid: str) -> bytes:
        if cid == missing:
            raise BlobUnavailable(cid, ())
        return net.obtain(net.members[0].store, cid)

    view, source = net.epochs.view, SimpleNamespace(obtain=obtain)
    record = view.epochs[1].refreshes[number - 1]
    return Examination(view, record, net.deployment.consortium, source, allow_minimal=True).report()


def untouched(net: Network) -> bool:
    """Whether the shares in force are as before, and open."""
    look(net, 2)
    assert all(secrets_left(member) == {"epoch-1.member.sealed"} for member in net.members)
    assert net.epochs.view.epochs[1].generation == 0
    return opens(net, (0, 2, 3))


@pytest.mark.parametrize("kind", [SharesOne, BadZeroShare], ids=["not of zero", "bad share"])
def test_a_dishonest_dealing_ends_the_refresh_and_names_its_dealer(net, kind):
    deals_as(net, kind)
    assert refresh(net) == 0
    assert untouched(net)
    complaints = accused(net)
    assert len(complaints) >= 3
    assert set.union(*complaints.values()) == {LIAR}
    assert LIAR not in complaints
    report = examine(net)
    assert (report.verdict, report.offenders) == (FALSE, (LIAR,))
    assert refresh(net) == 1, "an honest one follows"
    assert opens(net, (1, 2, 3))
    assert examine(net, 2).verdict == VERIFIED


def test_an_opening_with_the_older_share_names_its_member(net):
    """It would open together with other old shares: the self-test has to be one of the new generation."""

    def older(member, report):
        keys = member.vault.keys(1)
        vector, subsets = self_test_ciphertext(keys.joint), self_test_subsets(MEMBERS, 3)
        return {k: member.store.put(Opener(keys.member, subsets[k]).partial(vector)) for k in report.openings}

    reports(net, older)
    assert refresh(net) == 0
    assert untouched(net)
    assert set.union(*accused(net).values()) == {LIAR}
    assert not net.epochs.view.epochs[1].refreshes[0].confirmations
    assert examine(net).offenders == (LIAR,)


def test_a_lying_opener_convicts_no_dealer_and_changes_nothing(net, caplog):
    """The self-test fails, all disclose, all dealings of zero are in order: what remains is an opener."""
    reports(net, bent)
    with caplog.at_level(logging.ERROR):
        assert refresh(net, 12) == 0
    assert accused(net) == {}
    record = net.epochs.view.epochs[1].refreshes[0]
    joint = net.epochs.view.epochs[1].joint_key
    assert len(record.confirmations) == 4
    assert joint not in record.confirmations.values()
    assert caplog.text.count("an opener of the failed subset lied") == 4
    net.epochs.abort(net.members[0].hospital.account, 1)
    assert untouched(net)
    found = examine(net)
    assert (found.verdict, found.offenders) == (FALSE, ())


def test_a_dealer_with_a_silent_accomplice_is_convicted_by_its_own_seed(net):
    """Its bad share went to a member that keeps quiet and spoils the self-test instead; then all have to disclose."""
    quiet = net.members[2]
    deals_as(net, BadZeroShare)
    reports(net, bent, quiet)
    receive = quiet.keeper._receive

    def receiving(view, job, dealer):
        if dealer != LIAR or job.record.refresh != 1:
            return receive(view, job, dealer)
        honest = Refresher.resume(job.terms, LIAR, net.members[LIAR].vault.dealer_seed(1, 1))
        header, share = honest.dealing().header, honest.dealing().shares[2]
        given = {"terms": job.terms, "commitment": honest.commitment, "dealer": LIAR, "receiver": 2}
        return receive_zero(header, share, job.box, **given)

    quiet.keeper._receive = receiving
    assert refresh(net, 20) == 0
    assert len(net.epochs.view.epochs[1].refreshes[0].confirmations) == MEMBERS
    assert set.union(*accused(net).values()) == {LIAR}
    assert examine(net).offenders == (LIAR,)
    assert untouched(net)


def test_an_unusable_key_names_who_announced_it(net):
    step = net.epochs.step

    def announcing(name, sender, epoch, value):
        low = name == "announce" and sender == net.members[LIAR].hospital.account
        step(name, sender, epoch, bytes(32) if low else value)

    net.epochs.step = announcing
    assert refresh(net) == 0
    assert untouched(net)
    assert set.union(*accused(net).values()) == {LIAR}
    assert examine(net).offenders == (LIAR,)


def test_a_key_that_somebody_else_announced_first_is_replaced(net):
    """Seen on its way and copied: the copy is no use to the thief, and the owner draws another."""
    step, stolen = net.epochs.step, []

    def announcing(name, sender, epoch, value):
        if name == "announce" and sender == net.members[0].hospital.account and not stolen:
            stolen.append(value)
            step(name, net.members[LIAR].hospital.account, epoch, value)
        step(name, sender, epoch, value)

    net.epochs.step = announcing
    open_refresh(net.members[2].chain)
    look(net, 3)
    record = net.epochs.view.epochs[1].refreshes[0]
    assert len(record.announcements) == MEMBERS
    assert record.announcements[record.members[LIAR]] == stolen[0]
    assert record.announcements[record.members[0]] != stolen[0]


def test_what_is_missing_is_not_called_false(net):
    assert refresh(net) == 1
    record = net.epochs.view.epochs[1].refreshes[0]
    assert examine(net).verdict == VERIFIED
    assert [f.subject for f in examine(net).findings] == [*(f"dealing of Hospital {k}" for k in range(4)), "self-test"]
    for digest in (next(iter(record.reports.values())), net.epochs.view.epochs[1].joint_key):
        assert examine(net, missing=raw_cid(digest)).verdict == UNCHECKED


def test_a_share_of_the_next_generation_is_of_no_use_before_the_switch(net):
    """What a member holds beside its share in force does not replace it: rounds go on with the old one."""
    open_refresh(net.members[0].chain)
    while not net.epochs.view.epochs[1].refreshes[0].reports:
        look(net, 1)
    for member in net.members:
        waiting = member.vault.next_share(1, 1)
        assert isinstance(waiting, MemberKey)
        assert waiting.generation == 1
        assert member.vault.keys(1).member.generation == 0
    assert opens(net, (0, 1, 2))
