from pathlib import Path

import pytest

from node.storage import BlobStore, FileStore, MemoryStore


@pytest.fixture
def files(tmp_path: Path) -> FileStore:
    return FileStore(tmp_path / "store")


@pytest.fixture(params=["files", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> BlobStore:
    """Every back end of the protocol in turn; a new one joins the conformance suite by a line here."""
    return FileStore(tmp_path / "store") if request.param == "files" else MemoryStore()
