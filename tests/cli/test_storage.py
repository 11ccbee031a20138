"""`medweave storage` over a hospital's directory."""

import json

import pytest

from node.cli.main import main
from node.config import ChainSection, Hospital, NodeConfig
from node.config import Storage as StorageSection
from node.home import Home, create_identity
from node.storage import FileStore, StorageFull
from node.storage.opening import open_store


@pytest.fixture
def home(tmp_path):
    NodeConfig(
        hospital=Hospital(name="A", port=8470, url="http://127.0.0.1:8470"),
        chain=ChainSection(rpc="http://127.0.0.1:1"),
        storage=StorageSection(quota_gib=0.001),
    ).write(tmp_path / "node.toml")
    return tmp_path


@pytest.fixture
def run(capsys):
    def call(*arguments):
        with pytest.raises(SystemExit) as ended:
            main(["storage", *map(str, arguments)])
        out, err = capsys.readouterr()
        return ended.value.code, out, err

    return call


def test_stat_counts(home, run):
    store = FileStore(Home(home).blobs)
    store.put(bytes(1000))
    store.put(bytes(2000))
    code, out, _ = run("stat", "--home", home, "--json")
    assert code == 0
    content = json.loads(out)
    assert (content["blobs"], content["bytes"], content["unfinished"]) == (2, 3000, 0)
    assert content["quota_bytes"] == int(0.001 * 2**30)
    assert content["free_bytes"] > 0
    with store.incoming() as blob:
        blob.write(b"half")
        code, out, _ = run("stat", "--home", home)
    assert "2 blobs, 3,000 bytes" in out
    assert "cut off within the last day: 1" in out


def test_verify_names_what_is_damaged(home, run):
    store = FileStore(Home(home).blobs)
    store.put(b"intact")
    assert run("verify", "--home", home)[0] == 0
    cid = store.put(b"soon damaged")
    [path] = store.root.rglob(cid)
    path.write_bytes(b"now damaged!")
    code, out, _ = run("verify", "--home", home, "--json")
    assert code == 1
    [row] = json.loads(out)["damaged"]
    assert (row["cid"], row["problem"]) == (cid, "damaged")
    assert run("verify", "--home", home)[1].endswith("2 blobs, 0 repaired, 1 damaged\n")


def test_repair_without_a_chain_is_5_and_changes_nothing(home, run, monkeypatch):
    monkeypatch.setenv("MEDWEAVE_PASSWORD", "password")
    create_identity(Home(home), "password")
    store = FileStore(Home(home).blobs)
    cid = store.put(b"soon damaged")
    [path] = store.root.rglob(cid)
    path.write_bytes(b"now damaged!")
    code, _, err = run("verify", "--home", home, "--repair")
    assert code in {3, 5}
    assert err.startswith("error: ")
    assert path.read_bytes() == b"now damaged!"


def test_the_quota_of_the_configuration_holds(home):
    store = open_store(Home(home).blobs, Home(home).config().storage)
    store.put(bytes(1_000_000))
    with pytest.raises(StorageFull, match="quota"):
        store.put(bytes(range(256)) * 1000)


def test_an_ipfs_node_that_is_not_there_is_4(home, run, monkeypatch):
    monkeypatch.setenv("MEDWEAVE_STORAGE_BACKEND", "ipfs")
    monkeypatch.setenv("MEDWEAVE_STORAGE_IPFS", "/ip4/127.0.0.1/tcp/1")
    code, _, err = run("stat", "--home", home)
    assert code == 4
    assert "/ip4/127.0.0.1/tcp/1" in err
