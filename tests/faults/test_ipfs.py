"""The IPFS node of a fault: killed it is gone, started again it has what it had, at the same address."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from node.config import ChainSection, Hospital, NodeConfig
from node.demo.faults.ipfs import Ipfs, find_ipfs, find_node
from node.demo.faults.staging import Props
from node.demo.ports import choose_ports
from node.errors import BadEnvironment
from node.storage.errors import StorageUnusable
from node.storage.ipfs import IpfsStore


@pytest.mark.skipif(find_node() is None or find_ipfs() is None, reason="no js-ipfs here (make ipfs)")
def test_what_a_killed_ipfs_node_held_is_there_when_it_is_back(tmp_path: Path) -> None:
    port = choose_ports(1, 0)[0]
    with Ipfs(tmp_path / "repo", port) as ipfs:
        assert ipfs.port == port
        store = IpfsStore(ipfs.address)
        cids = [store.put(os.urandom(size)) for size in (10, 600_000)]
        assert ipfs.pid is not None
        os.kill(ipfs.pid, signal.SIGKILL)
        ipfs.stop()
        assert ipfs.pid is None
        with pytest.raises(StorageUnusable):
            store.get(cids[0])
        ipfs.start()
        assert ipfs.port == port
        assert [len(store.get(cid)) for cid in cids] == [10, 600_000]


def test_a_machine_without_js_ipfs_is_told_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("node.demo.faults.ipfs.find_ipfs", lambda: None)
    with pytest.raises(BadEnvironment, match="make ipfs"):
        Ipfs(tmp_path)


def test_every_other_hospital_keeps_its_blobs_there(tmp_path: Path) -> None:
    hospitals: list[Any] = []
    for seat in range(4):
        home = tmp_path / str(seat)
        home.mkdir()
        config = NodeConfig(
            hospital=Hospital(name="H", port=8000 + seat, url="http://h"), chain=ChainSection(rpc="http://c")
        )
        config.write(home / "node.toml")
        hospitals.append(SimpleNamespace(home=home))
    address: Any = SimpleNamespace(address="/ip4/127.0.0.1/tcp/5009")
    Props((), ipfs=address).furnish(hospitals)
    read = [NodeConfig.read(hospital.home / "node.toml", {}) for hospital in hospitals]
    assert [config.storage.backend for config in read] == ["ipfs", "files", "ipfs", "files"]
    assert read[2].storage.ipfs == "/ip4/127.0.0.1/tcp/5009"
    assert [config.hospital.port for config in read] == [8000, 8001, 8002, 8003]
