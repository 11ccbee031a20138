"""A ceremony checked from outside: verified when honest; otherwise what is false, and whose fault it is."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from crypto.complaint import ShareComplaint
from node.epochs import keeper as module
from node.epochs.facts import epoch_facts
from node.epochs.verify import FALSE, UNCHECKED, VERIFIED, Examination
from node.storage import BlobUnavailable, raw_cid
from tests.epochs.support import Network
from tests.epochs.test_blame import LIAR, BadPublicShare, BadShare, deals_as, lying_opener, slander


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch):
    monkeypatch.setattr(module, "TURN_SECONDS", 0.0)


def examine(net: Network, epoch: int = 1, missing: tuple[str, ...] = ()):
    """The report of somebody who holds nothing but the chain and the members' blobs."""

    def obtain(cid: str) -> bytes:
        if cid in missing:
            raise BlobUnavailable(cid, ())
        return net.obtain(net.members[0].store, cid)

    view = net.epochs.view
    source = SimpleNamespace(obtain=obtain)
    return Examination(view, view.epochs[epoch], net.deployment.consortium, source, allow_minimal=True).report()


@pytest.fixture(scope="module")
def honest(tmp_path_factory):
    net = Network(tmp_path_factory.mktemp("honest"), members=4, threshold=3)
    assert net.run() == 1
    return net


def test_an_honest_ceremony_verifies(honest):
    report = examine(honest)
    assert report.verdict == VERIFIED
    assert report.offenders == ()
    assert len(report.findings) == 4 + 2
    facts = epoch_facts(honest.epochs.view, honest.epochs.view.epochs[1])
    assert facts.status == "active"
    assert facts.progress.startswith("announced 4/4, committed 4/4, dealt 4/4, reported 4/4, confirmed")


def test_what_is_missing_is_not_called_false(honest):
    epoch = honest.epochs.view.epochs[1]
    report = examine(honest, missing=(raw_cid(next(iter(epoch.reports.values()))),))
    assert report.verdict == UNCHECKED
    assert [f.subject for f in report.findings if f.verdict == UNCHECKED] == ["self-test"]
    report = examine(honest, missing=(raw_cid(next(iter(epoch.dealings.values()))),))
    assert report.verdict == UNCHECKED


def test_a_key_on_chain_that_is_no_sum_is_false(honest):
    view = honest.epochs.view
    epoch = view.epochs[1]
    object.__setattr__(epoch, "joint_key", bytes(32))
    source = SimpleNamespace(obtain=lambda cid: honest.obtain(honest.members[0].store, cid))
    report = Examination(view, epoch, honest.deployment.consortium, source, allow_minimal=True).report()
    assert [f.subject for f in report.findings if f.verdict == FALSE] == ["joint key"]


@pytest.mark.parametrize(("kind", "subject"), [(BadShare, "complaint of"), (BadPublicShare, "disclosure of")])
def test_the_offender_is_named_from_outside_too(tmp_path, kind, subject):
    net = Network(tmp_path, members=4, threshold=3)
    deals_as(net, kind)
    assert net.run(40) == 2
    report = examine(net)
    assert report.verdict == FALSE
    assert report.offenders == (LIAR,)
    assert any(f.subject.startswith(subject) and f.offender == LIAR for f in report.findings)
    assert examine(net, 2).verdict == VERIFIED
    facts = epoch_facts(net.epochs.view, net.epochs.view.epochs[1])
    assert facts.status == "aborted"
    assert len(facts.members[LIAR].accused_by) == 3


def test_a_lying_opener_and_a_slanderer_are_told_from_dealers(tmp_path):
    net = Network(tmp_path / "opener", members=4, threshold=3)
    lying_opener(net, lambda data: data[:-8])
    net.run()
    assert examine(net).offenders == (LIAR,)
    net = Network(tmp_path / "slander", members=4, threshold=3)
    slander(net, ShareComplaint(bytes(32), LIAR, 0, b"").to_bytes())
    report = examine(net)
    assert report.offenders == (LIAR,)
    assert any(f.subject == "complaint of Hospital 1 about Hospital 0" for f in report.findings)
