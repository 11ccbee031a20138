"""A finalised round's checkpoint becomes a place where walks may enter the ledger."""

from dag.bodies import Kind
from node.rounds import effects as do
from node.rounds.steps import conclude


def marks(ports):
    return ports.ledger.read(lambda ledger: [ledger.tangle.id_at(mark.at) for mark in ledger.tangle._entry._anchored])


def test_adopting_anchors_the_earliest_checkpoint_of_the_statement(played, ports, state):
    ending = played.chain.endings[1]
    points = ports.ledger.read(lambda ledger: ledger.transactions(Kind.CHECKPOINT, 1))
    conclude.adopt(ports, state, do.Adopt(ending.model, ending.statement))
    assert marks(ports) == [points[0].id]
    ports.ledger.anchored(1, b"?" * 32)
    ports.ledger.anchored(2, ending.statement)
    assert marks(ports) == [points[0].id], "of another statement, or none: nothing to anchor"
