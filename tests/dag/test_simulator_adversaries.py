"""What each way to misbehave does, and that it changes nothing that the oracle demands."""

import pytest

from dag.simulator.world import World
from tests.dag.rough_runs import attacked


def bad(world: World) -> int:
    """Index of the first node that misbehaves."""
    return next(node.index for node in world.nodes if not world.is_honest(node.index))


def blamed(world: World) -> set[str]:
    return set(world.metrics.faults)


def test_an_equivocator_is_convicted_by_all():
    world = attacked("equivocate")
    world.run()
    assert all(node.ledger.tangle.is_faulty(bad(world)) for node in world.honest)
    assert all(proof.issuer == world.nodes[bad(world)].address for proof in world.honest[0].ledger.evidence())


def test_forgeries_are_refused_by_name():
    world = attacked("forge")
    world.run()
    assert {"BadSignature", "NotAMember", "WrongWeight", "WrongEpoch", "WrongConsortium"} <= blamed(world)
    assert len(world.deeds.invalid) > 20


def test_oversized_messages_cost_their_sender_its_standing():
    world = attacked("oversize")
    world.run()
    assert "MalformedMessage" in blamed(world)
    assert world.metrics.figures.blamed_honest < world.metrics.figures.refused / 4


def test_withheld_transactions_arrive_through_others():
    world = attacked("withhold")
    world.run()
    odd = next(node for node in world.honest if node.index % 2)
    assert sum(tx_id in odd.ledger for tx_id in world.deeds.byzantine) >= len(world.deeds.byzantine) // 2 > 3


def test_spam_neither_stops_rounds_nor_fills_memory():
    world = attacked("spam")
    world.run()
    assert len(world.deeds.byzantine) > 100
    assert world.metrics.figures.anchored == world.metrics.figures.rounds
    assert max(node.peaks["queued_bytes"] for node in world.honest) < 4 * 1024 * 1024


def test_replays_change_nothing():
    world = attacked("replay")
    world.run()
    sent = world.network.traffic.messages
    assert sent[bad(world)] > 2 * max(sent[node.index] for node in world.honest) / 3
    assert not {"BadSignature", "WrongConsortium"} & blamed(world)


@pytest.mark.parametrize("behaviour", ["lazy", "parasite"])
def test_hiding_and_laziness_capture_less_than_their_share(behaviour):
    world = attacked(behaviour)
    world.run()
    figures = world.metrics.figures
    assert len(world.deeds.byzantine) >= 10
    assert figures.capture_ratio < figures.byzantine_ratio
