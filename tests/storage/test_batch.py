"""Many blobs in one durable step: the same in every back end where nothing goes wrong, all or none in files where something does."""

import errno
import os
import threading

import pytest

from node.storage import BlobMismatch, FileStore, MemoryStore, StorageFull, blob_cid
from node.storage.limited import LimitedStore

DATA = [bytes([number]) * 1000 for number in range(40)]


def fill(store, *steps):
    """Take the steps in one batch."""
    with store.batch() as batch:
        for step in steps:
            step(batch)


def put(data):
    return lambda batch: batch.put(data)


def fail(_batch):
    raise RuntimeError


def test_all_are_there_when_the_block_ends(store):
    with store.batch() as batch:
        cids = [batch.put(data) for data in DATA]
    assert cids == [blob_cid(data) for data in DATA]
    assert [store.get(cid) for cid in cids] == DATA


def test_a_batch_takes_streams_and_expectations(store):
    with store.batch() as batch, batch.incoming(expected=blob_cid(b"in pieces"), limit=9) as blob:
        blob.write(b"in ")
        blob.write(b"pieces")
        blob.commit()
    with pytest.raises(BlobMismatch):
        fill(store, lambda batch: batch.put_stream([b"wrong"], expected=blob_cid(b"right")))
    assert list(store.iterate()) == [blob_cid(b"in pieces")]


def test_the_same_blob_twice_is_stored_once(store):
    store.put(b"before")
    with store.batch() as batch:
        cids = {batch.put(b"before"), batch.put(b"twice"), batch.put(b"twice")}
    assert set(store.iterate()) == cids == {blob_cid(b"before"), blob_cid(b"twice")}


def test_threads_fill_one_batch(store):
    with store.batch() as batch:
        threads = [
            threading.Thread(target=lambda part=part: [batch.put(data) for data in DATA[part::4]]) for part in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert set(store.iterate()) == {blob_cid(data) for data in DATA}


def test_an_empty_batch_is_nothing(store):
    with store.batch():
        pass
    assert list(store.iterate()) == []


def left_behind(store: FileStore) -> list:
    return [*store.iterate(), *store.unfinished()]


def test_nothing_is_visible_before_every_file_is_synced(files, monkeypatch):
    """A crash between two blobs of an update must not leave names of bytes that are not on the disk."""
    synced: list[int] = []
    real = os.fsync

    def fsync(descriptor):
        if os.fstat(descriptor).st_size == 1000:
            assert list(files.iterate()) == []
            synced.append(descriptor)
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    with files.batch() as batch:
        cids = [batch.put(data) for data in DATA]
    assert len(synced) == len(DATA)
    assert set(files.iterate()) == set(cids)
    assert files.unfinished() == ()


def test_the_directories_are_synced_after_the_names_are_given(files, monkeypatch):
    seen: dict[int, int] = {}
    real = os.fsync

    def fsync(descriptor):
        state = os.fstat(descriptor)
        seen[state.st_ino] = len(list(files.iterate()))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    with files.batch() as batch:
        for data in DATA:
            batch.put(data)
    shards = list((files.root / "blobs").iterdir())
    assert {seen[path.stat().st_ino] for path in [*shards, files.root / "blobs"]} == {len(DATA)}


def test_an_error_in_the_block_drops_all(files):
    with pytest.raises(RuntimeError):
        fill(files, put(b"one"), fail)
    assert left_behind(files) == []


def test_what_is_not_committed_is_dropped_alone(files):
    with files.batch() as batch:
        with batch.incoming() as blob:
            blob.write(b"half")
        cid = batch.put(b"whole")
    assert left_behind(files) == [cid]


@pytest.mark.parametrize("number", [0, 20, 39])
def test_a_disk_that_fills_up_drops_all(files, monkeypatch, number):
    calls, real = iter(range(1000)), os.fsync

    def fsync(descriptor):
        if next(calls) == number:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(StorageFull):
        fill(files, *map(put, DATA))
    assert left_behind(files) == []


def test_the_quota_counts_what_a_batch_holds():
    store = LimitedStore(MemoryStore(), 10)
    with store.batch() as batch:
        batch.put(b"12345")
        assert store.used == 5
        batch.put(b"12345")
        with pytest.raises(StorageFull):
            batch.put(b"1")
    assert store.used == 5


def test_a_batch_that_is_dropped_gives_its_room_back(tmp_path):
    store = LimitedStore(FileStore(tmp_path), 100)
    kept = store.put(b"kept")
    with pytest.raises(RuntimeError):
        fill(store, put(b"kept"), put(bytes(50)), fail)
    assert store.used == 4
    assert list(store.iterate()) == [kept]


def test_what_a_store_kept_in_spite_of_an_error_stays_counted():
    store = LimitedStore(MemoryStore(), 100)
    with pytest.raises(RuntimeError):
        fill(store, put(bytes(50)), fail)
    assert store.used == sum(map(store.size, store.iterate())) == 50
