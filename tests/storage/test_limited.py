"""The quota: whole blobs or none, and a count that never drifts."""

import threading

import pytest

from node.storage import FileStore, MemoryStore, StorageFull, blob_cid
from node.storage.limited import LimitedStore


def test_what_exceeds_the_quota_is_refused_whole(tmp_path):
    store = LimitedStore(FileStore(tmp_path), 100)
    kept = store.put(bytes(60))
    with pytest.raises(StorageFull, match="quota of 100 bytes") as caught:
        store.put(bytes(range(41)))
    assert caught.value.exit_code == 4
    assert list(store.iterate()) == [kept]
    assert store.used == 60
    assert list((tmp_path / "incoming").iterdir()) == []
    store.put(bytes(range(40)))
    assert store.used == 100


def test_an_endless_blob_is_stopped_at_the_quota():
    store = LimitedStore(MemoryStore(), 1000)

    def endless():
        while True:
            yield bytes(10)

    with pytest.raises(StorageFull):
        store.put_stream(endless())
    assert store.used == 0


def test_a_blob_that_is_there_takes_no_room_again():
    store = LimitedStore(MemoryStore(), 10)
    store.put(b"12345")
    store.put(b"12345")
    assert store.used == 5


def test_deleting_makes_room():
    store = LimitedStore(MemoryStore(), 10)
    cid = store.put(bytes(10))
    assert store.delete(cid)
    assert not store.delete(cid)
    assert store.used == 0
    store.put(bytes(range(10)))


def test_the_count_survives_a_restart(tmp_path):
    LimitedStore(FileStore(tmp_path), 100).put(bytes(60))
    again = LimitedStore(FileStore(tmp_path), 100)
    assert again.used == 60
    with pytest.raises(StorageFull):
        again.put(bytes(range(41)))


def test_what_was_not_committed_takes_no_room():
    store = LimitedStore(MemoryStore(), 10)
    with store.incoming() as blob:
        blob.write(bytes(8))
        assert store.used == 8

    def interrupted():
        yield bytes(8)
        raise RuntimeError

    with pytest.raises(RuntimeError):
        store.put_stream(interrupted())
    assert store.used == 0


def test_threads_never_exceed_it_together():
    store = LimitedStore(MemoryStore(), 500)
    stored, refused = [], []

    def work(seed: int) -> None:
        for number in range(20):
            data = bytes([seed, number]) * 5
            try:
                stored.append(store.put(data))
            except StorageFull:
                refused.append(blob_cid(data))

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    # Blobs on their way in hold their room, so a few may be refused before the last byte is used.
    assert store.used == 10 * len(stored) <= 500
    assert len(stored) + len(refused) == 120
    assert refused
