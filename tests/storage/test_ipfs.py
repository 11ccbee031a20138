"""What the IPFS back end adds to the conformance suite: a node that is damaged, absent, slow or lies. Real js-ipfs."""

import json
import os
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from node.storage import CHUNK_SIZE, BlobCorrupt, BlobMissing, FileStore, StorageFull, StorageUnusable, blob_cid
from node.storage.ipfs import IpfsStore
from tests.ipfs_node import running

MEBIBYTE = 1 << 20


def test_both_back_ends_give_the_same_names(ipfs, files):
    for size in (0, 1, CHUNK_SIZE, CHUNK_SIZE + 1, 175 * CHUNK_SIZE + 3):
        data = os.urandom(size)
        assert ipfs.put(data) == files.put(data)


def test_a_deleted_blob_is_gone_and_may_come_back(ipfs):
    cid = ipfs.put(b"fleeting")
    ipfs.delete(cid)
    with pytest.raises(BlobMissing):
        ipfs.get(cid)
    assert ipfs.collect() >= 1
    with pytest.raises(BlobMissing):
        ipfs.get(cid)
    assert ipfs.put(b"fleeting") == cid
    assert ipfs.get(cid) == b"fleeting"


def test_collecting_spares_what_is_stored(ipfs):
    data = os.urandom(3 * CHUNK_SIZE)
    cid = ipfs.put(data)
    ipfs.collect()
    assert ipfs.get(cid) == data


@pytest.mark.parametrize("size", [1000, 2 * CHUNK_SIZE + 1])
def test_a_damaged_block_is_found_and_healed(tmp_path, size):
    """Bytes changed in the node's own files: read errors name the blob, and putting it again heals it."""
    data = os.urandom(size)
    with running(tmp_path / "repo") as port:
        cid = IpfsStore(f"/ip4/127.0.0.1/tcp/{port}").put(data)
    [block] = [
        path for path in (tmp_path / "repo" / "blocks").rglob("*.data") if path.read_bytes() == data[:CHUNK_SIZE]
    ]
    block.write_bytes(bytes(len(data[:CHUNK_SIZE])))
    with running(tmp_path / "repo") as port:
        store = IpfsStore(f"/ip4/127.0.0.1/tcp/{port}", seconds=10)
        with pytest.raises((BlobCorrupt, StorageUnusable)) as caught:
            store.get(cid)
        assert cid in str(caught.value) or "hash" in str(caught.value)
        assert store.put(data) == cid
        assert store.get(cid) == data


def test_a_restarted_node_still_has_its_blobs(tmp_path):
    with running(tmp_path / "repo") as port:
        cid = IpfsStore(f"/ip4/127.0.0.1/tcp/{port}").put(b"durable")  # the daemon is then killed
    with running(tmp_path / "repo") as port:
        assert IpfsStore(f"/ip4/127.0.0.1/tcp/{port}").get(cid) == b"durable"


@pytest.mark.slow
def test_a_hundred_megabytes_pass_in_bounded_memory(ipfs):
    piece = os.urandom(MEBIBYTE)
    pieces = [number.to_bytes(4, "big") + piece[4:] for number in range(100)]
    cid = ipfs.put_stream(iter(pieces))
    assert ipfs.size(cid) == 100 * MEBIBYTE
    with ipfs.open(cid) as file:
        for expected in pieces:
            assert file.read(MEBIBYTE) == expected


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def test_nobody_there_is_said(tmp_path):
    with pytest.raises(StorageUnusable, match=r"/ip4/127\.0\.0\.1/tcp/") as caught:
        IpfsStore(f"/ip4/127.0.0.1/tcp/{free_port()}", seconds=2)
    assert caught.value.exit_code == 4


@pytest.mark.parametrize("address", ["", "nonsense", "http://127.0.0.1:5001", "/ip4/127.0.0.1", "/unix/tmp/ipfs.sock"])
def test_an_address_that_is_none_is_named(address):
    with pytest.raises(StorageUnusable, match="not the address of an RPC"):
        IpfsStore(address)


@pytest.mark.parametrize("address", ["/ip4/192.0.2.7/tcp/5001", "/dns/ipfs.example.org/tcp/5001"])
def test_another_machine_only_with_leave(address):
    with pytest.raises(StorageUnusable, match="no password"):
        IpfsStore(address)


class Pretender(BaseHTTPRequestHandler):
    """An RPC that answers each path with what `answers` says, refusals with status 500; only for answers js-ipfs never gives."""

    def do_POST(self):
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        status, body = next(
            (answer for path, answer in self.server.answers.items() if f"/{path}?" in self.path + "?"),
            (500, {"Message": "not pinned"}),
        )
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json" if not isinstance(body, bytes) else "text/plain")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)
        self.close_connection = True

    def log_message(self, *_):
        pass


@pytest.fixture
def pretender():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Pretender)
    server.answers = {"version": (200, {"Version": "0"})}
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def store_at(server) -> IpfsStore:
    return IpfsStore(f"/ip4/127.0.0.1/tcp/{server.server_address[1]}", seconds=5)


def test_a_full_disk_of_the_node_is_a_full_store(pretender):
    pretender.answers["add"] = (500, {"Message": "write /repo/blocks: no space left on device", "Code": 0})
    with pytest.raises(StorageFull, match="no space left"):
        store_at(pretender).put(b"too much")


def test_a_node_that_computes_other_names_is_refused(pretender):
    pretender.answers["add"] = (200, {"Hash": blob_cid(b"other"), "Name": "", "Size": "5"})
    with pytest.raises(StorageUnusable, match="computes CID"):
        store_at(pretender).put(b"mine")


def test_a_node_that_lies_about_bytes_is_found_out(pretender):
    cid = blob_cid(b"truth")
    pretender.answers["pin/ls"] = (200, {"Keys": {cid: {"Type": "recursive"}}})
    pretender.answers["files/stat"] = (200, {"Size": 5})
    pretender.answers["cat"] = (200, b"lying")
    with pytest.raises(BlobCorrupt) as caught:
        store_at(pretender).get(cid)
    assert (caught.value.cid, caught.value.actual) == (cid, blob_cid(b"lying"))


@pytest.mark.parametrize("body", [b"<html>", b"[1]", b'{"Keys": 3}'])
def test_answers_of_another_form_are_typed_errors(pretender, body):
    pretender.answers["pin/ls"] = (200, body)
    with pytest.raises(StorageUnusable):
        list(store_at(pretender).iterate())


def test_peers_fill_an_ipfs_store_as_any_other(ipfs, tmp_path):
    other = FileStore(Path(tmp_path) / "peer")
    data = os.urandom(CHUNK_SIZE + 9)
    cid = other.put(data)
    with other.open(cid) as file, ipfs.incoming(expected=cid) as blob:
        while piece := file.read(100_000):
            blob.write(piece)
        assert blob.commit() == cid
    assert ipfs.get(cid) == data
