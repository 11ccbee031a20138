from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch

from chain.anvil import Anvil
from node.audit.chainside import read_chain
from tests.audit.network import play

if TYPE_CHECKING:
    from collections.abc import Iterator

    from node.audit.chainside import ChainFacts
    from tests.audit.network import Run


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """Two rounds of four hospitals in two groups, on a real Anvil. Read only: copy `root` before changing anything."""
    torch.set_num_threads(1)
    root = tmp_path_factory.mktemp("run")
    with Anvil(None, root / "chain" / "state.json") as anvil:
        yield play(anvil, root, rounds=2)


@pytest.fixture(scope="session")
def facts(finished: Run) -> ChainFacts:
    return read_chain(finished.chain())
