import pytest
import torch

from node.images.phantom import generate


@pytest.fixture(autouse=True, scope="session")
def _one_thread():
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def phantoms():
    return generate(32, size=32, seed=1)
