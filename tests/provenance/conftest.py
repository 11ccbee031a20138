"""One finalised round of the simulation, and what the chain would have said of it."""

from __future__ import annotations

import pytest
import torch

from node.consortium.view import ConsortiumView, fold
from tests.api.conftest import events
from tests.flow.simnet import SimNet

torch.set_num_threads(1)


@pytest.fixture(scope="session")
def net() -> SimNet:
    network = SimNet(4, 3, min_group=2, seed=6)
    network.play(1)
    return network


@pytest.fixture(scope="session")
def view(net) -> ConsortiumView:
    return fold(ConsortiumView(), events(net))
