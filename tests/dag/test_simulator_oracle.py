"""The oracle finds what is broken: each test breaks one thing in the ledger, the exchange or the disk, on purpose."""

from dataclasses import replace
from fractions import Fraction

import pytest

from dag.errors import MissingParent, NotAMember
from dag.simulator import oracle
from dag.simulator.errors import (
    ConfirmedLost,
    Diverged,
    InvalidAttached,
    PropertyBroken,
    Reordered,
    Unbounded,
    Unsettled,
)
from dag.simulator.memory_store import MemoryStore
from dag.simulator.scenario import Partition, Scenario
from dag.simulator.world import World
from tests.dag.rough_runs import PLAIN, attacked


@pytest.fixture(scope="module")
def finished() -> World:
    """A good run, whose end single tests look at."""
    world = World(PLAIN)
    world.run()
    return world


def test_a_ledger_without_rules_is_found(monkeypatch):
    def lax(transaction, context, view):
        if transaction.issuer not in context.members:
            raise NotAMember(transaction.id, "a stranger")
        missing = tuple(parent for parent in transaction.parents if parent not in view)
        if missing:
            raise MissingParent(transaction.id, missing)

    monkeypatch.setattr("dag.intake.verify_transaction", lax)
    with pytest.raises(InvalidAttached, match="forged"):
        attacked("forge").run()


def test_a_false_row_that_was_decoded_for_all_is_found(monkeypatch, finished):
    """What nodes share could hide a fault from all of them: bytes are decoded anew at the end."""
    verify = oracle.verify_standalone
    for_others = replace(finished.chain.context, consortium=b"x" * 32)
    monkeypatch.setattr("dag.simulator.oracle.verify_standalone", lambda tx, _: verify(tx, for_others))
    with pytest.raises(InvalidAttached, match="consortium"):
        oracle.verify_nothing_invalid(finished)


def test_silence_about_contradictions_is_found(monkeypatch):
    """Nodes that heard one half only never convict the member."""
    monkeypatch.setattr("dag.sync.spreading.Spreading.warn", lambda *_: [])
    few = replace(PLAIN, nodes=10, peers=3, byzantine=0.1, behaviours=("equivocate",), minutes=1.0, settle_minutes=0.2)
    with pytest.raises(Diverged, match="convicted"):
        run_some(few)


def test_a_partition_that_never_heals_is_found(monkeypatch):
    monkeypatch.setattr("dag.simulator.network.Network.heal", lambda _: None)
    with pytest.raises(Unsettled, match="not arrived"):
        World(replace(PLAIN, partitions=(Partition(Fraction(1, 3), 0.2, 1.0),), settle_minutes=1.0)).run()


def test_a_disk_that_forgets_is_found(monkeypatch):
    """A store that loses its newest rows when the power fails: durable was not durable."""
    honest = MemoryStore.crash
    monkeypatch.setattr(MemoryStore, "crash", lambda store: (forget_rows(store), honest(store)))
    with pytest.raises(PropertyBroken):
        run_some(replace(PLAIN, crashes=0.6, down_seconds=10.0, settle_minutes=0.5))


def run_some(scenario: Scenario) -> None:
    """Several seeds: a fault that depends on chance shows in one of them."""
    for seed in range(4):
        World(replace(scenario, seed=seed)).run()


def forget_rows(store: MemoryStore) -> None:
    for _ in range(min(12, store.last_arrival() - 1)):
        store._drop_last()


def test_order_by_arrival_is_found(monkeypatch):
    """Arrival differs from node to node; order must not."""

    def by_arrival(tangle, heads):
        done = {}
        for head in heads:
            fresh = [tx_id for tx_id in tangle.cone(head, stop=done) if tx_id not in done]
            for tx_id in sorted(fresh, key=tangle.position):
                done[tx_id] = None
                yield tx_id

    monkeypatch.setattr("dag.simulator.oracle.final_order", by_arrival)
    with pytest.raises(Reordered, match="another order"):
        World(PLAIN).run()


def test_a_rewritten_order_is_found(finished):
    node = finished.observers[0]
    finished.notes.finalised(node, 1)
    kept = finished.notes.orders[node.index][0]
    finished.notes.orders[node.index][0] = b"another"
    with pytest.raises(Reordered, match="not what it was"):
        finished.notes.finalised(node, 1)
    finished.notes.orders[node.index][0] = kept


def test_counting_a_member_no_more_on_one_node_is_found(finished):
    """Three of seven members count nowhere on one node: what was confirmed there is not any more."""
    oracle.verify_all(finished)
    tangle = finished.honest[2].ledger.tangle
    for member in (0, 1, 2):
        tangle.mark_faulty(member)
    with pytest.raises(Diverged, match="confirmed here"):
        oracle.verify_same_confirmed(finished)
    with pytest.raises(Diverged, match="convicted"):
        oracle.verify_same_convicted(finished)
    with pytest.raises(ConfirmedLost, match="once confirmed"):
        oracle.verify_nothing_lost(finished)


def test_a_buffer_beyond_its_limit_is_found(finished):
    oracle.verify_bounded(finished)
    assert finished.nodes[0].peaks["own"] >= 1
    finished.sync_config = replace(finished.sync_config, max_own=0)
    with pytest.raises(Unbounded, match="own grew"):
        oracle.verify_bounded(finished)
