"""Fetching from peers that are honest, absent, broken or hostile; real servers on the loopback."""

import asyncio
import socket
import threading
import time
import zlib
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest

from node.storage import (
    BadCid,
    BlobUnavailable,
    FetchLimits,
    FileStore,
    StorageFull,
    blob_cid,
    fetch_blob,
    fetch_blob_async,
)

DATA = bytes(range(256)) * 4096  # 1 MiB: four chunks
CID = blob_cid(DATA)
LIMITS = FetchLimits(max_bytes=len(DATA), connect_seconds=2, read_seconds=0.5, peer_seconds=1.5)


class Peer(BaseHTTPRequestHandler):
    """A peer whose first path segment says how it behaves."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        _, manner, *rest = self.path.split("/")
        self.server.asked.append(self.path)
        if rest != ["v1", "blobs", CID]:
            return self.send_error(400)
        try:
            return getattr(self, manner)()
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    def answer(self, body, **headers):
        self.send_response(200)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def honest(self):
        self.server.encodings.append(self.headers["Accept-Encoding"])
        self.answer(DATA)

    def lacking(self):
        self.send_error(404)

    def lying(self):
        self.answer(DATA[:-1] + b"\x00")

    def generous(self):
        self.answer(DATA + b"\x00")

    def boasting(self):
        self.send_response(200)
        self.send_header("Content-Length", "9" * 19)
        self.end_headers()

    def endless(self):
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        while True:
            self.wfile.write(b"10000\r\n" + bytes(65536) + b"\r\n")

    def cut(self):
        self.send_response(200)
        self.send_header("Content-Length", str(len(DATA)))
        self.end_headers()
        self.wfile.write(DATA[:1000])
        self.close_connection = True

    def packed(self):
        self.answer(zlib.compress(DATA), Content_Encoding="deflate")

    def elsewhere(self):
        self.send_response(302)
        self.send_header("Location", f"/honest/v1/blobs/{CID}")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def silent(self):
        self.server.released.wait(5)
        self.close_connection = True

    def trickling(self):
        self.send_response(200)
        self.send_header("Content-Length", str(len(DATA)))
        self.end_headers()
        for start in range(100):
            self.wfile.write(DATA[start : start + 1])
            if self.server.released.wait(0.1):
                break
        self.close_connection = True

    def log_message(self, *_arguments):
        pass


@pytest.fixture
def peer() -> Iterator[ThreadingHTTPServer]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Peer)
    server.daemon_threads = True
    server.asked, server.encodings, server.released = [], [], threading.Event()
    server.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.released.set()
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(params=["sync", "async"])
def fetch(request):
    """Both variants, called alike; every test runs with each."""
    if request.param == "sync":
        return fetch_blob
    return lambda *arguments, **options: asyncio.run(fetch_blob_async(*arguments, **options))


def closed_port() -> str:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{listener.getsockname()[1]}"


def test_an_honest_peer_delivers(fetch, files, peer):
    fetched = fetch(files, CID, [f"{peer.url}/honest"], limits=LIMITS)
    assert (fetched.cid, fetched.size, fetched.peer, fetched.failed) == (CID, len(DATA), f"{peer.url}/honest", ())
    assert files.get(CID) == DATA
    assert peer.encodings == ["identity"]


@pytest.mark.parametrize(
    ("manner", "reason"),
    [
        ("lacking", "404 Not Found"),
        ("lying", f"other bytes, of CID {blob_cid(DATA[:-1] + bytes(1))}"),
        ("generous", f"announces {len(DATA) + 1} bytes"),
        ("boasting", "announces 9999999999999999999 bytes"),
        ("endless", f"more than the {len(DATA)} bytes"),
        ("cut", "RemoteProtocolError"),
        ("packed", "other bytes"),
        ("elsewhere", "302 Found"),
        ("silent", "no answer in time"),
        ("trickling", "not done after 1.5 s"),
    ],
)
def test_a_bad_peer_is_passed_over(fetch, files, peer, manner, reason):
    bad, good = f"{peer.url}/{manner}", f"{peer.url}/honest/"
    fetched = fetch(files, CID, [bad, good], limits=LIMITS)
    assert fetched.peer == good
    [attempt] = fetched.failed
    assert attempt.peer == bad
    assert reason in attempt.reason
    assert len(peer.asked) == 2, "a redirection must not be followed"
    assert files.get(CID) == DATA
    assert list((files.root / "incoming").iterdir()) == []


@pytest.mark.parametrize(
    "address", ["ftp://127.0.0.1", "file:///etc/passwd", "127.0.0.1:80", "http://", "", "http://\x00"]
)
def test_what_is_no_address_is_passed_over(fetch, files, peer, address):
    fetched = fetch(files, CID, [address, f"{peer.url}/honest"], limits=LIMITS)
    assert [attempt.peer for attempt in fetched.failed] == [address]


def test_every_reason_is_reported(fetch, files, peer):
    dead = closed_port()
    with pytest.raises(BlobUnavailable) as caught:
        fetch(files, CID, [dead, f"{peer.url}/lacking"], limits=LIMITS)
    assert [attempt.peer for attempt in caught.value.attempts] == [dead, f"{peer.url}/lacking"]
    assert "ConnectError" in caught.value.attempts[0].reason
    assert dead in str(caught.value)
    assert caught.value.exit_code == 5
    assert not files.has(CID)


def test_no_peer_at_all(fetch, files):
    with pytest.raises(BlobUnavailable, match="no peer is known"):
        fetch(files, CID, [])


def test_no_other_text_becomes_a_path(fetch, files, peer):
    with pytest.raises(BadCid):
        fetch(files, "../../admin", [peer.url])
    assert peer.asked == []


def test_our_full_disk_is_not_the_peers_fault(fetch, peer, tmp_path, monkeypatch):
    files = FileStore(tmp_path / "store")

    def full(_descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(StorageFull):
        fetch(files, CID, [f"{peer.url}/honest"] * 3, limits=LIMITS)
    assert len(peer.asked) == 1


def test_a_proxy_is_not_asked_for_this_machine(fetch, files, peer, monkeypatch):
    for name in ("HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, closed_port())
    assert fetch(files, CID, [f"{peer.url}/honest"], limits=LIMITS).failed == ()


def test_a_client_given_is_used_and_left_open(files, peer):
    with httpx.Client(headers={"X-Whose": "ours"}, follow_redirects=True) as client:
        peers = [f"{peer.url}/elsewhere", f"{peer.url}/honest"]
        fetched = fetch_blob(files, CID, peers, limits=LIMITS, client=client)
        assert not client.is_closed
    assert fetched.peer == peers[1], "not even a client that follows redirections does so here"


async def test_an_async_client_given_is_used_and_left_open(files, peer):
    async with httpx.AsyncClient() as client:
        await fetch_blob_async(files, CID, [f"{peer.url}/honest"], limits=LIMITS, client=client)
        assert not client.is_closed


async def test_the_event_loop_goes_on(files, peer):
    """While a slow peer is waited for, the loop serves others."""
    longest, running = 0.0, True

    async def heartbeat():
        nonlocal longest
        while running:
            start = time.monotonic()
            await asyncio.sleep(0.01)
            longest = max(longest, time.monotonic() - start)

    beating = asyncio.create_task(heartbeat())
    await fetch_blob_async(files, CID, [f"{peer.url}/silent", f"{peer.url}/honest"], limits=LIMITS)
    running = False
    await beating
    assert longest < LIMITS.read_seconds
