"""What a simulated consortium's members see of each other's faults: all who saw one word it alike, honest rounds show none."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from chain.conduct import Fault
from chain.votes import Finding, vote_digest
from dag.bodies import AcknowledgementBody, Kind
from dag.transaction import Transaction
from node.consortium.records import ProposedView
from node.membership.findings import findings_of, seen_in
from node.membership.history import omission_history
from node.rounds import effects as do
from tests.flow.simnet import SimNet


def row_of(net: SimNet, number: int) -> SimpleNamespace:
    """A round as the view would show it."""
    outcome = net.chain.outcomes.get(number)
    recorded = tuple(
        ProposedView(net.addresses[a.leader], a.proposal, a.updates_root, a.sums_root, 0)
        for a in net.chain.anchors[number]
    )
    return SimpleNamespace(
        round=number,
        open=False,
        proposals=recorded,
        proposal=outcome[0].proposal if outcome else None,  # type: ignore[attr-defined]
    )


def found_by(net: SimNet, number: int) -> list[set[Finding]]:
    return [set(findings_of(n.runner.state, row_of(net, number), n.publisher)) for n in net.nodes]  # type: ignore[union-attr, arg-type]


@pytest.fixture(scope="module")
def honest() -> SimNet:
    net = SimNet(4, 3, min_group=2)
    assert net.run(net.open_round()).finalised  # type: ignore[union-attr]
    return net


def test_an_honest_round_shows_no_fault(honest: SimNet) -> None:
    assert found_by(honest, 1) == [set()] * 4
    seen = seen_in(
        {1: honest.nodes[0].runner}, SimpleNamespace(rounds={1: row_of(honest, 1)}), honest.nodes[0].publisher
    )  # type: ignore[dict-item, arg-type]
    assert (seen.findings, seen.refused, seen.unsound) == ((), frozenset(), frozenset())


def test_a_member_that_does_not_reveal_is_found_by_all_others_alike() -> None:
    net = SimNet(4, 3, min_group=2)
    number = net.open_round()
    net.stopped_effects = lambda node, effect: isinstance(effect, do.Reveal) and node.index == 3
    assert net.run(number).finalised  # type: ignore[union-attr]
    by_others = found_by(net, number)[:3]
    (finding,) = {f for f in by_others[0] if f.fault is Fault.UNREVEALED}
    assert finding.members == 1 << 3
    assert all(finding in found for found in by_others)
    assert vote_digest(finding, net.deployment) == vote_digest(Finding(**vars(finding)), net.deployment)


def test_a_leader_that_lets_its_slot_pass_is_found_by_all_others_alike() -> None:
    net = SimNet(4, 3, min_group=2)
    number = net.open_round()
    first = net.chain.rounds[number].ranking[0]
    net.stopped_effects = lambda node, effect: isinstance(effect, do.Propose) and node.index == first
    assert net.run(number).finalised  # type: ignore[union-attr]
    found = [{(f.fault, f.members) for f in some} for k, some in enumerate(found_by(net, number)) if k != first]
    assert found == [{(Fault.SILENT_LEADER, 1 << first)}] * 3


def test_the_history_of_an_omission_shows_what_the_contract_asks_for(honest: SimNet) -> None:
    """IConduct.proveOmission, rule by rule, on a proposal's real past."""
    ledger = honest.nodes[0].publisher.read(lambda held: held)
    (proposal,) = ledger.transactions(Kind.PROPOSAL, 1)
    for update in proposal.body.updates:  # type: ignore[union-attr]
        history = omission_history(ledger, proposal.id, update, frozenset(range(4)), 3)
        assert history is not None
        read = [Transaction.decode(raw) for raw in history]
        assert (read[0].id, read[-1].id) == (update, proposal.id)
        ids = [tx.id for tx in read]
        assert len(set(ids)) == len(ids)
        for place, tx in enumerate(read[:-1]):
            assert any(tx.id in later.parents for later in read[place + 1 :]), (
                "each but the last is a parent of a later one"
            )
        covers = {update}
        for tx in read[1:]:
            if tx.round == 1 and covers & set(tx.parents):
                covers.add(tx.id)
        closers = {tx.issuer for tx in read if tx.id in covers and getattr(tx.body, "close", False)}
        assert len(closers) >= 3
        reveals = [tx for tx in read if isinstance(tx.body, AcknowledgementBody) and tx.body.reveal is not None]
        assert read[0].issuer in {tx.issuer for tx in reveals}
        assert sum(map(len, history)) < 40_000
    assert omission_history(ledger, proposal.id, update, frozenset(range(2)), 3) is None, "two closes are no quorum"
