from pathlib import Path

import pytest

from node.storage import BlobStore, FileStore, MemoryStore
from node.storage.ipfs import IpfsStore
from node.storage.limited import LimitedStore
from tests.ipfs_node import running


@pytest.fixture
def files(tmp_path: Path) -> FileStore:
    return FileStore(tmp_path / "store")


@pytest.fixture(scope="session")
def ipfs_address(tmp_path_factory) -> str:
    with running(tmp_path_factory.mktemp("ipfs") / "repo") as port:
        yield f"/ip4/127.0.0.1/tcp/{port}"


@pytest.fixture
def ipfs(ipfs_address: str) -> IpfsStore:
    """An IPFS node that holds no blob."""
    store = IpfsStore(ipfs_address)
    for cid in list(store.iterate()):
        store.delete(cid)
    store.collect()
    return store


@pytest.fixture(params=["files", "memory", "limited", "ipfs"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> BlobStore:
    """Every back end of the protocol in turn; a new one joins the conformance suite by a line here."""
    match request.param:
        case "files":
            return FileStore(tmp_path / "store")
        case "memory":
            return MemoryStore()
        case "limited":
            return LimitedStore(FileStore(tmp_path / "store"), 1 << 30)
        case _:
            return request.getfixturevalue("ipfs")
