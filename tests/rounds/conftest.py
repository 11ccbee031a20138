"""One round played by four members with real keys, ledgers and training, for all tests that look at its remains."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from node.rounds.journal import Journal
from tests.flow.simnet import SimNet

torch.set_num_threads(1)


@pytest.fixture(scope="session")
def played() -> SimNet:
    """Round 1 is finalised. Tests must leave it as it is: `ports` gives them a journal of their own."""
    net = SimNet(4, 3, min_group=2, seed=5)
    net.play(1)
    return net


@pytest.fixture
def node(played):
    """A member that did not lead."""
    leader = played.chain.rounds[1].ranking[0]
    return next(node for node in played.nodes if node.index != leader)


@pytest.fixture
def ports(node):
    """What that member brings, with an empty journal and nothing opened yet; its models are known."""
    journal = Journal(":memory:")
    for model, epoch, number, sealed in node.journal.models():
        journal.keep_model(model, epoch, number, sealed)
    return replace(node.ports, journal=journal, opened={}, sums={})


@pytest.fixture
def state(node):
    """What that member knew when the proposal had come in and nobody had judged it yet."""
    return replace(node.runner.state, verified=frozenset(), scores=None, endorsed=None, ending=None, adopted=False)


@pytest.fixture
def proposal(state):
    (found,) = state.proposals.values()
    return found
