"""A hospital that lies is left out of the sums, and an auditor with nothing but chain and blobs reaches the same list."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from node.attacks.acts import Liar
from node.attacks.spec import parse_attack
from node.audit.bundle.export import export
from node.audit.bundle.verify import Trust
from node.audit.evidence import open_evidence
from node.audit.run import audit
from node.rounds.suspicion import suspicion
from tests.audit.conftest import Run, serve
from tests.audit.network import write_run
from tests.audit.test_independent import ask

LIAR = 1
"""The seat that sends updates far beyond the plan's bound."""
ROUNDS = 9
"""In all but one of two thousand draws the liar has had two different partners by then."""


@pytest.fixture(scope="module")
def attacked(tmp_path_factory):
    torch.set_num_threads(1)
    root: Path = tmp_path_factory.mktemp("attacked")
    liar = Liar(parse_attack(f"scaled:100000@{LIAR + 1}", 4))

    def lie(net, _number):
        net.acts[LIAR] = liar.carry_out

    net = write_run(root, ROUNDS, before=lie, defence="suspicion", clip_norm="1", tolerance="0.2")
    yield from ((net, run) for run in serve(root, tmp_path_factory.mktemp("chain")))


def summed(run: Run, net, number: int) -> list[set[int]]:
    predicate = run.predicate(number)
    seats = [net.addresses.index(bytes.fromhex(update.issuer[2:])) for update in predicate.updates]
    return [{seats[position] for position in group.updates} for group in predicate.groups]


def test_the_liar_is_listed_and_no_longer_summed(attacked):
    net, run = attacked
    first, last = summed(run, net, 1), summed(run, net, ROUNDS)
    assert any(LIAR in group for group in first)
    assert not any(LIAR in group for group in last)
    assert set.union(*last) == {0, 2, 3}, "nobody else is left out"
    assert len(run.predicate(ROUNDS).updates) == 4, "its update is listed all the same"
    assert all(len(group) >= 2 for number in range(1, ROUNDS + 1) for group in summed(run, net, number))


def test_the_audit_reaches_the_same_list_from_outside(attacked):
    _, run = attacked
    report = audit(run.chain, open_evidence([run.root]), None, model_file=run.model_file)
    assert report.verdict == "verified", report.to_text()


def test_a_stranger_reaches_it_too(attacked, tmp_path):
    _, run = attacked
    path = tmp_path / "run.bundle"
    made = export(run.chain, open_evidence([run.root]), None, path, model_file=run.model_file)
    code, report = ask(path, tmp_path, Trust(made.manifest.head, run.chain.deployment))
    broken = [finding for finding in report["findings"] if finding["state"] != "ok"]
    assert (code, report["verdict"], broken) == (0, "verified", [])


def test_an_audit_of_the_last_round_alone_reads_what_it_follows_from(attacked, tmp_path):
    from node.audit.run import Scope

    _, run = attacked
    report = audit(run.chain, open_evidence([run.root]), None, scope=Scope(only=ROUNDS))
    assert report.verdict == "verified", report.to_text()
    copy = run.copy(tmp_path / "copy")
    for path in copy.copies(run.predicate(1).segment):
        path.unlink()
    report = audit(run.chain, open_evidence([copy.root]), None, scope=Scope(only=ROUNDS))
    assert report.verdict == "could-not-check"
    assert report.first_broken.link == "groups"


def test_a_partition_that_spares_the_liar_is_found(attacked, monkeypatch):
    """Broken on purpose: with nobody under suspicion the same evidence draws other groups."""
    _, run = attacked
    monkeypatch.setattr("node.rounds.history.excluded", lambda *_: frozenset())
    report = audit(run.chain, open_evidence([run.root]), None, scope=None)
    assert report.verdict == "falsified"
    assert report.first_broken.link == "groups"
    assert suspicion((), frozenset(range(4))) == dict.fromkeys(range(4), -2000)
