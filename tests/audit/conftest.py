"""A finished run and its chain, for every audit test. Read only: `copy_run` gives a copy to change."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch

from chain.anvil import Anvil
from chain.client import Chain
from chain.deployment import Deployment
from node.audit.bundle.export import export
from node.audit.bundle.verify import Trust
from node.audit.chainside import read_history
from node.audit.evidence import blob_directories, open_evidence
from node.audit.history import LiveHistory
from node.rounds.statement import Predicate, Statement
from node.storage import raw_cid
from tests.audit.network import write_run

if TYPE_CHECKING:
    from collections.abc import Iterator

    from node.audit.chainside import ChainFacts


@dataclass(frozen=True)
class Run:
    """A run directory, and its chain served again from a copy of its saved state."""

    root: Path
    chain: Chain
    facts: ChainFacts

    @property
    def model_file(self) -> bytes:
        return (self.root / "model.bin").read_bytes()

    def copies(self, cid: str) -> list[Path]:
        """Every copy of a blob."""
        places = (root / cid[-3:-1] / cid for root in blob_directories(self.root))
        return [path for path in places if path.exists()]

    def read(self, cid: str) -> bytes:
        return self.copies(cid)[0].read_bytes()

    def predicate(self, number: int) -> Predicate:
        return Statement.from_bytes(self.read(raw_cid(self.facts.finalised[number].row.statement))).predicate

    def copy(self, to: Path) -> Run:
        """The same run elsewhere; files are links, so change one only through `flip`."""
        shutil.copytree(self.root, to, copy_function=os.link)
        return Run(to, self.chain, self.facts)


def flip(path: Path, at: int = -1) -> None:
    """Change one bit of a file, in place of the file (its other links keep the old bytes)."""
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.unlink()
    path.write_bytes(data)


@pytest.fixture(scope="session")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run directory of two rounds, four hospitals, two groups."""
    torch.set_num_threads(1)
    root = tmp_path_factory.mktemp("simulated")
    write_run(root, rounds=2)
    return root


def serve(root: Path, elsewhere: Path) -> Iterator[Run]:
    state = elsewhere / "state.json"
    shutil.copy(root / "chain" / "state.json", state)
    deployment = Deployment.from_json((root / "consortium.json").read_text())
    with Anvil(None, state, deployment.chain_id) as anvil:
        chain = Chain(anvil.url, deployment)
        yield Run(root, chain, read_history(LiveHistory(chain)))


@pytest.fixture(scope="session")
def run(simulated: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    yield from serve(simulated, tmp_path_factory.mktemp("chain"))


@dataclass(frozen=True)
class Bundled:
    """The run as one file, and what an auditor knows of it from elsewhere."""

    path: Path
    trust: Trust


@pytest.fixture(scope="session")
def bundled(run: Run, tmp_path_factory: pytest.TempPathFactory) -> Bundled:
    path = tmp_path_factory.mktemp("bundle") / "run.bundle"
    made = export(run.chain, open_evidence([run.root]), None, path, model_file=run.model_file)
    return Bundled(path, Trust(made.manifest.head, run.chain.deployment))
