"""Blobs that are missing or damaged here come from a peer, over a real socket, and are checked."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import contextmanager

import pytest
import uvicorn

from node.api.app import create_app
from node.calling import Dialer, MemberAuth
from node.publishing.blobs import PeerBlobs
from node.storage import BadCid, BlobUnavailable, FileStore, blob_cid
from tests.api.access.support import access_over
from tests.dag.support import CONSORTIUM, key
from tests.publishing.support import Node

DATA = bytes(range(256)) * 2000  # 512 kB: two chunks
CID = blob_cid(DATA)


ME = Dialer(MemberAuth(key(0), CONSORTIUM))


def peer_blobs(store: FileStore, peers) -> PeerBlobs:
    return PeerBlobs(store, peers, ME)


@contextmanager
def serving(node: Node):
    """A node's API on a real port; gives its URL."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        where = f"http://127.0.0.1:{listener.getsockname()[1]}"
        node.service.access = access_over(node.service.view, CONSORTIUM, where)
        app = create_app(node.service)
        server = uvicorn.Server(uvicorn.Config(app, log_config=None, lifespan="off"))
        thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
        thread.start()
        while not server.started:
            time.sleep(0.005)
        try:
            yield where
        finally:
            server.should_exit = True
            thread.join()


@pytest.fixture(scope="module")
def peer():
    node = Node(1)
    node.service.store.put(DATA)
    node.service.store.put(b"plan")
    with serving(node) as where:
        yield where


@pytest.fixture
def store(tmp_path):
    return FileStore(tmp_path)


def damaged(store: FileStore) -> FileStore:
    store.put(DATA)
    path = store._place(CID)
    path.write_bytes(DATA[:-1] + b"\x00")
    return store


def test_what_is_here_is_asked_of_nobody(store):
    store.put(DATA)
    assert peer_blobs(store, lambda: pytest.fail("asked for peers")).obtain(CID) == DATA


def test_what_is_missing_is_fetched_and_kept(store, peer):
    blobs = peer_blobs(store, lambda: (peer,))
    assert blobs.obtain(CID) == DATA
    assert store.get(CID) == DATA
    assert blobs.store is store


def test_what_is_damaged_is_fetched_again_and_replaced(store, peer):
    assert peer_blobs(damaged(store), lambda: (peer,)).obtain(CID) == DATA
    assert store.get(CID) == DATA


def test_a_peer_whose_copy_is_damaged_is_passed_over(store, tmp_path, peer):
    bad = Node(2)
    bad.service.store = damaged(FileStore(tmp_path / "bad"))
    with serving(bad) as where:
        assert peer_blobs(store, lambda: (where, peer)).obtain(CID) == DATA
        with pytest.raises(BlobUnavailable, match=r"503|other bytes"):
            peer_blobs(FileStore(tmp_path / "other"), lambda: (where,)).obtain(CID)


def test_whoever_announced_it_is_asked_first(store, peer):
    assert peer_blobs(store, lambda: ("http://127.0.0.1:1",)).obtain(CID, peer) == DATA


def test_without_a_peer_that_has_it_the_error_lists_who_was_asked(store, peer):
    missing = blob_cid(b"nobody has this")
    with pytest.raises(BlobUnavailable) as caught:
        peer_blobs(store, lambda: (peer, "http://127.0.0.1:1")).obtain(missing, peer)
    assert [attempt.peer for attempt in caught.value.attempts] == [peer, "http://127.0.0.1:1"]
    with pytest.raises(BlobUnavailable, match="no peer is known"):
        peer_blobs(store, lambda: ()).obtain(missing)


@pytest.mark.parametrize("address", ["no url", "http://..", "http://xn--", "http://:80:80", "http://\x01", "ftp://x"])
def test_an_address_that_is_none_is_passed_over(store, peer, address):
    """A member's URL is its own choice: what cannot even be parsed must not hide the other members."""
    assert peer_blobs(store, lambda: (address, peer)).obtain(CID) == DATA


def test_something_that_is_no_cid_is_refused_before_anybody_is_asked(store):
    with pytest.raises(BadCid):
        peer_blobs(store, lambda: pytest.fail("asked for peers")).obtain("../../etc/passwd")


def test_many_threads_may_ask_at_once(store, peer):
    blobs, found = peer_blobs(store, lambda: (peer,)), []
    threads = [threading.Thread(target=lambda: found.append(blobs.obtain(CID))) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [DATA] * 6


MANY = [bytes([number]) * 1000 for number in range(30)]


@pytest.fixture(scope="module")
def rich_peer():
    node = Node(3)
    for data in MANY:
        node.service.store.put(data)
    with serving(node) as where:
        yield where


def test_many_are_fetched_side_by_side_and_each_is_looked_at(store, rich_peer):
    here = store.put(MANY[0])
    store.put(MANY[1])
    store._place(blob_cid(MANY[1])).write_bytes(b"damaged")
    seen, threads = [], set()

    def look(data):
        seen.append(data)
        threads.add(threading.get_ident())

    peer_blobs(store, lambda: (rich_peer,)).obtain_all([blob_cid(data) for data in MANY], look=look)
    assert sorted(seen) == MANY
    assert len(threads) > 1
    assert {store.get(cid) for cid in store.iterate()} == set(MANY)
    assert store.has(here)


def test_what_is_here_already_is_not_even_read_where_nobody_looks(store):
    cids = [store.put(data) for data in MANY]
    store._place(cids[0]).write_bytes(b"damaged")
    peer_blobs(store, lambda: pytest.fail("asked for peers")).obtain_all(cids)


def test_what_came_before_one_that_cannot_be_had_is_kept(store, rich_peer):
    """A large update over a link that breaks: the next attempt goes on from there."""
    missing = blob_cid(b"nobody has this")
    with pytest.raises(BlobUnavailable, match=missing):
        peer_blobs(store, lambda: (rich_peer,)).obtain_all([*(blob_cid(data) for data in MANY[:8]), missing])
    assert len(list(store.iterate())) >= 5  # those that were on their way beside it may or may not be there
    assert store.unfinished() == ()


def test_what_the_look_refuses_ends_it(store, rich_peer):
    looked = []

    def look(data):
        looked.append(data)
        raise ValueError(data[:1])

    with pytest.raises(ValueError, match="x0"):
        peer_blobs(store, lambda: (rich_peer,)).obtain_all([blob_cid(data) for data in MANY], look=look)
    assert len(looked) < len(MANY)


def test_a_stream_gives_the_bytes_in_order_and_keeps_them(store, rich_peer):
    store.put(MANY[3])
    blobs = peer_blobs(store, lambda: (rich_peer,))
    assert list(blobs.stream([blob_cid(data) for data in MANY])) == MANY
    assert {store.get(cid) for cid in store.iterate()} == set(MANY)
    assert list(blobs.stream([])) == []


def test_a_stream_that_nobody_takes_to_its_end_keeps_what_came(store, rich_peer):
    stream = peer_blobs(store, lambda: (rich_peer,)).stream([blob_cid(data) for data in MANY])
    assert next(stream) == MANY[0]
    stream.close()
    kept = [store.get(cid) for cid in store.iterate()]
    assert MANY[0] in kept
    assert len(kept) < len(MANY)
    assert store.unfinished() == ()


def test_a_stream_ends_where_a_blob_cannot_be_had_and_keeps_what_came(store, rich_peer):
    missing = blob_cid(b"nobody has this")
    stream = peer_blobs(store, lambda: (rich_peer,)).stream([blob_cid(MANY[0]), missing, blob_cid(MANY[1])])
    assert next(stream) == MANY[0]
    with pytest.raises(BlobUnavailable, match=missing):
        next(stream)
    assert store.has(blob_cid(MANY[0]))  # the next attempt need not ask for it again
