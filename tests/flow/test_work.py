"""A round whose plan asks for proof of work (DAG-12): every node demands it, every transaction carries it."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from types import SimpleNamespace

import pytest

from dag.bodies import AcknowledgementBody, Kind
from dag.errors import WrongWork
from dag.transaction import Transaction, Unsigned, sign
from dag.work import work_bits, work_seed
from node.audit.checks import segment
from tests.flow.simnet import SimNet

BITS = 6


class WorkingNet(SimNet):
    """Whose ledgers are told what the plan asks for, as `node.daemon.plans` tells them."""

    def _context(self):
        context = super()._context()
        rounds = {number: replace(terms, pow_bits=self.plan.pow_bits) for number, terms in context.rounds.items()}
        return replace(context, rounds=rounds)


@pytest.fixture(scope="module")
def worked() -> tuple[WorkingNet, int]:
    net = WorkingNet(4, 3, pow_bits=BITS)
    number = net.open_round()
    assert net.run(number).finalised
    return net, number


def said_in(net: SimNet, number: int) -> tuple[Transaction, ...]:
    return net.nodes[0].publisher.read(lambda ledger: ledger.transactions(round=number, limit=1000))


def without_work(net: SimNet, number: int, parents: tuple[bytes, bytes]) -> Transaction:
    """What member 0 would post if nobody asked for work; its sequence number is far beyond those used."""
    quiet = AcknowledgementBody(reveal=None)
    unsigned = Unsigned(Kind.ACKNOWLEDGEMENT, net.deployment.consortium, 1, number, 900, parents, None, quiet)
    return sign(unsigned, hashlib.sha256(b"member" + bytes([0, 0])).digest())


def test_a_round_finalises_under_work_and_every_transaction_carries_it(worked):
    net, number = worked
    said = said_in(net, number)
    assert {tx.kind for tx in said} >= {Kind.UPDATE, Kind.PROPOSAL, Kind.SHARE, Kind.VERDICT, Kind.CHECKPOINT}
    assert all(work_bits(work_seed(tx, tx.issuer), tx.nonce) >= BITS for tx in said)


def test_what_carries_no_work_is_refused_by_every_node_and_only_there(worked):
    net, number = worked
    newest = said_in(net, number)[-1].id
    for node in net.nodes:
        refused = node.publisher.receive_many([without_work(net, number, (newest, newest)).raw]).refused
        assert [type(error) for _, error in refused] == [WrongWork]
    idle = SimNet(4, 3)
    number = idle.open_round()
    start = idle.nodes[0].publisher.read(lambda ledger: ledger.genesis_id)
    free = without_work(idle, number, (start, start))
    assert idle.nodes[1].publisher.receive_many([free.raw]).attached == (free,)


def test_the_audit_asks_for_the_plans_work(worked):
    net, number = worked
    dossier = SimpleNamespace(plan=net.plan, here=SimpleNamespace(number=number))
    said = said_in(net, number)
    assert {segment._work_problem(dossier, tx) for tx in said} == {""}
    assert "6 bits are asked" in segment._work_problem(dossier, without_work(net, number, (said[-1].id,) * 2))
