"""A ceremony that somebody spoils names the offender to everybody, ends, and is run again (CRY-2, CRY-5)."""

from __future__ import annotations

import logging
from dataclasses import replace

import numpy as np
import pytest

from chain import events as ev
from chain.records import Hospital
from crypto.ceremony import Dealer
from crypto.complaint import ShareComplaint, complain
from crypto.dealing import DealingHeader
from crypto.secrets import BoxKey
from dag.ids import sha256
from node.epochs import keeper as module
from node.epochs import start
from node.epochs.report import pack_report, unpack_report
from node.home import Home
from node.storage import raw_cid
from tests.epochs.support import MINIMAL, Killed, Member, Network, digest

LIAR = 1


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch):
    monkeypatch.setattr(module, "TURN_SECONDS", 0.0)


class BadShare(Dealer):
    """Member 3's share is off the polynomial; only member 3 can see it."""

    def _sealed(self, receiver, plaintext):
        changed = bytes(8) + plaintext[8:] if receiver == 3 else plaintext
        return super()._sealed(receiver, changed)


class BadPublicShare(Dealer):
    """b_i belongs to another secret than the one shared; no single receiver can see it."""

    def _public_share(self, secret):
        return super()._public_share(np.roll(secret, 1))


def deals_as(net: Network, kind: type[Dealer], epochs: tuple[int, ...] = (1,)) -> None:
    """Make the liar deal dishonestly in these epochs, and stay so across restarts."""
    member = net.members[LIAR]
    start = member.start

    def lying():
        start()
        honest = member.keeper._dealer

        def dealer(job):
            true = honest(job)
            return kind(true.terms, true.index, true.seed) if job.record.epoch in epochs else true

        member.keeper._dealer = dealer

    member.start = lying
    lying()


def accused(net: Network, epoch: int = 1) -> dict[int, set[int]]:
    """Whom each member complained about in an epoch, by index."""
    view = net.epochs.view
    found: dict[int, set[int]] = {}
    for complaint in view.epochs[epoch].complaints:
        who, whom = view.addresses.index(complaint.member), view.addresses.index(complaint.offender)
        found.setdefault(who, set()).add(whom)
    return found


def test_a_bad_share_that_one_member_sees_is_complained_about_by_a_quorum(tmp_path):
    net = Network(tmp_path, members=4, threshold=3)
    deals_as(net, BadShare)
    assert net.run() == 2, "the ceremony was not run again"
    assert net.opens(2)
    complaints = accused(net)
    assert complaints[3] == {LIAR}
    assert len(complaints) == 3, "a quorum of four"
    assert all(offenders == {LIAR} for offenders in complaints.values())
    first = net.epochs.view.epochs[1]
    assert not first.running
    assert first.joint_key is None
    assert len({c.evidence for c in first.complaints}) == 1, "one piece of evidence convinces everybody"


def test_nothing_of_a_spoilt_ceremony_stays_on_disk(tmp_path):
    net = Network(tmp_path, members=4, threshold=3)
    deals_as(net, BadShare)
    net.run()
    for member in net.members:
        net.look(member)
        assert [p.name for p in member.home.secrets.iterdir()] == ["epoch-2.member.sealed"]


def test_a_dealer_whose_key_does_not_match_its_shares_is_found_by_disclosure(tmp_path):
    """The self-test fails; everybody shows its seed; only the liar's seed does not give what it committed to."""
    net = Network(tmp_path, members=4, threshold=3)
    deals_as(net, BadPublicShare)
    assert net.run(40) == 2
    assert net.opens(2)
    complaints = accused(net)
    assert len(complaints) == 3
    assert set.union(*complaints.values()) == {LIAR}
    assert LIAR not in complaints


def test_disclosed_seeds_open_nothing_that_is_in_use(tmp_path):
    """What was shown is of the dead epoch; the next one has fresh seeds, and no member confirmed the bad key."""
    net = Network(tmp_path, members=4, threshold=3)
    deals_as(net, BadPublicShare)
    net.run(40)
    first, second = (net.epochs.view.epochs[k] for k in (1, 2))
    assert first.joint_key is None
    assert len(set(first.confirmations.values())) == len(first.confirmations) >= 3
    assert not set(first.commitments.values()) & set(second.commitments.values())


def lying_opener(net: Network, change) -> None:
    """Member 1 posts other openings of the self-test than it should; its report is in good form."""
    step = net.epochs.step
    member = net.members[LIAR]

    def testing(name, sender, epoch, value):
        if name == "test" and sender == member.hospital.account and epoch == 1:
            report = unpack_report(member.store.get(raw_cid(value)))
            bent = {k: member.store.put(change(member.store.get(cid))) for k, cid in report.openings.items()}
            false = pack_report(replace(report, openings=bent))
            member.store.put(false)
            value = sha256(false)
        step(name, sender, epoch, value)

    net.epochs.step = testing


def test_an_opening_in_bad_form_names_its_member(tmp_path):
    net = Network(tmp_path, members=4, threshold=3)
    lying_opener(net, lambda data: data[:-8])
    assert net.run() == 2
    assert set.union(*accused(net).values()) == {LIAR}
    assert net.epochs.view.epochs[1].confirmations == {}, "nobody has to show a seed for that"


def test_a_lying_opener_convicts_no_dealer(tmp_path, caplog):
    """All dealings prove in order: what remains is an opener of the failed subset, and the log says so."""
    net = Network(tmp_path, members=4, threshold=3)
    lying_opener(net, lambda data: data[:-80] + bytes(80))
    with caplog.at_level(logging.ERROR):
        assert net.run(12) == 0
    assert accused(net) == {}
    assert len(net.epochs.view.epochs[1].confirmations) == 4
    assert "an opener of the failed subset lied" in caplog.text
    assert caplog.text.count("all dealings are in order") == 4, "once a member"


def test_a_member_that_reports_another_key_is_named(tmp_path):
    """The report is its receipt: it says which key the shares it received make."""
    net = Network(tmp_path, members=4, threshold=3)
    member, step = net.members[LIAR], net.epochs.step

    def testing(name, sender, epoch, value):
        if name == "test" and sender == member.hospital.account and epoch == 1:
            false = pack_report(replace(unpack_report(member.store.get(raw_cid(value))), joint=bytes(32)))
            member.store.put(false)
            value = sha256(false)
        step(name, sender, epoch, value)

    net.epochs.step = testing
    assert net.run() == 2
    assert set.union(*accused(net).values()) == {LIAR}


# ---- false complaints -------------------------------------------------------------------------------------------------


def slander(net: Network, evidence: bytes | None, *, about: int = 0) -> None:
    """Member 1 accuses an honest member once all have dealt."""
    member = net.members[LIAR]
    if evidence is not None:
        member.store.put(evidence)
    while len(net.epochs.view.epochs[1].dealings if net.epochs.latest else ()) < 4:
        for each in net.members:
            net.look(each)
    victim = net.members[about].hospital.account
    net.epochs.complain(member.hospital.account, 1, victim, sha256(evidence or b"nowhere to be had"))


def true_but_harmless(net: Network) -> bytes:
    """A correct proof of what the victim sealed to the liar: a share that is in order."""
    view = net.epochs.view
    for _ in range(3):
        for each in net.members:
            net.look(each)
    view = net.epochs.view
    header = DealingHeader.from_bytes(
        net.obtain(net.members[0].store, raw_cid(view.epochs[1].dealings[view.addresses[0]]))
    )
    terms = net.members[0].keeper._job(view, view.epochs[1], MINIMAL).terms
    blob = net.obtain(net.members[0].store, raw_cid(header.shares[LIAR]))
    return complain(terms, 0, LIAR, blob, net.members[LIAR].box).to_bytes()


@pytest.mark.parametrize("what", ["garbage", "withheld", "no proof", "good share"])
def test_slander_moves_nobody(tmp_path, what, caplog):
    net = Network(tmp_path, members=4, threshold=3)
    evidence = {
        "garbage": lambda: b"he did it",
        "withheld": lambda: None,
        "no proof": lambda: ShareComplaint(bytes(32), LIAR, 0, b"").to_bytes(),
        "good share": lambda: true_but_harmless(net),
    }[what]()
    with caplog.at_level(logging.ERROR):
        slander(net, evidence)
        net.run(8)
    assert set(accused(net)) == {LIAR}
    assert all(member.index == LIAR or member.vault.keys(1) is not None for member in net.members)
    if what != "withheld":
        assert f"complaint of member {LIAR}" in caplog.text


# ---- crashes, patience, membership ------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [BadShare, BadPublicShare])
def test_complaining_and_disclosing_resume_after_a_crash_at_every_step(tmp_path, kind):
    net = Network(tmp_path, members=4, threshold=3)
    deals_as(net, kind)
    died = set()

    def killer(member, where):
        if member.index in {0, 3} and (member.index, where) not in died:
            died.add((member.index, where))
            raise Killed

    net.killer = killer
    assert net.run(120) == 2
    assert net.opens(2)
    assert set.union(*accused(net).values()) == {LIAR}
    assert any("complain" in where for _, where in died)


def test_patience_grows_with_every_failure_and_ends_with_success(tmp_path):
    net = Network(tmp_path)
    waits = []
    for _ in range(4):
        net.epochs.open(net.members[0].hospital.account, bytes(32), 2, 2**60)
        net.epochs.abort(net.members[0].hospital.account, net.epochs.latest)
        waits.append(start.patience(net.epochs.view))
    assert waits == [1, 3, 7, 15]
    for _ in range(20):
        net.epochs.open(net.members[0].hospital.account, bytes(32), 2, 2**60)
        net.epochs.abort(net.members[0].hospital.account, net.epochs.latest)
    assert start.patience(net.epochs.view) == start.LONGEST_PATIENCE_TURNS
    net.run()
    assert start.patience(net.epochs.view) == 0


def test_a_new_member_makes_a_new_epoch_and_the_old_keys_stay(tmp_path):
    net = Network(tmp_path)
    assert net.run() == 1
    account, box = "0x" + "7" * 40, BoxKey(digest("box 2"))
    newcomer = Hospital(account, box.public, 10, "Hospital 2", "")
    net.epochs.accounts.append(account)
    net.epochs.record(ev.HospitalAdmitted, 2, account, box.public, 10, "Hospital 2", "")
    net.members.append(Member(2, newcomer, box, Home(tmp_path / "h2"), net))
    net.members[2].start()
    for _ in range(12):
        for member in net.members:
            net.look(member)
    assert net.epochs.view.active_epoch == 2
    assert net.members[0].vault.keys(2).joint.members == 3
    assert net.members[2].vault.keys(2) is not None
    assert net.members[2].vault.keys(1) is None
    assert net.members[0].vault.keys(1).joint.members == 2, "sums of the old epoch can still be opened and audited"
    assert net.epochs.latest == 2, "one is enough"
