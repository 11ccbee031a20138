"""What every back end of `BlobStore` must do; each test runs against each."""

import tempfile
import threading
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from node.storage import (
    CHUNK_SIZE,
    BadCid,
    BlobMismatch,
    BlobMissing,
    BlobTooLarge,
    FileStore,
    MemoryStore,
    StorageError,
    blob_cid,
)

ABSENT = blob_cid(b"never stored")
SIZES = [0, 1, 1000, CHUNK_SIZE, CHUNK_SIZE + 1, 3 * CHUNK_SIZE + 17]


@pytest.mark.parametrize("size", SIZES)
def test_what_was_put_comes_back(store, size):
    data = bytes(range(256)) * (size // 256) + bytes(size % 256)
    cid = store.put(data)
    assert cid == blob_cid(data)
    assert store.get(cid) == data
    assert store.size(cid) == len(data)
    assert store.has(cid)
    with store.open(cid) as file:
        assert file.read(10) == data[:10]
        assert file.read() == data[10:]


def test_streams_and_buffers(store):
    data = bytes(range(256)) * 2000
    pieces = [data[:5], memoryview(data)[5:300_000], bytearray(data[300_000:])]
    assert store.put_stream(iter(pieces)) == store.put(memoryview(data)) == blob_cid(data)
    assert store.get(blob_cid(data)) == data


def test_putting_twice_stores_once(store):
    cid = store.put(b"again")
    assert store.put(b"again") == cid
    assert list(store.iterate()) == [cid]


def test_the_stored_bytes_are_a_copy(store):
    data = bytearray(b"mutable")
    cid = store.put(data)
    data[0] = 0
    assert store.get(cid) == b"mutable"


def test_iterate_lists_all(store):
    cids = {store.put(bytes([number])) for number in range(50)}
    listed = list(store.iterate())
    assert set(listed) == cids
    assert len(listed) == len(cids)
    assert list(store.iterate()) == listed


def test_delete_forgets(store):
    cid, other = store.put(b"one"), store.put(b"two")
    assert store.delete(cid)
    assert not store.delete(cid)
    assert not store.has(cid)
    assert list(store.iterate()) == [other]


@pytest.mark.parametrize("method", ["get", "open", "size"])
def test_missing_blobs_are_named(store, method):
    with pytest.raises(BlobMissing, match=ABSENT) as caught:
        getattr(store, method)(ABSENT)
    assert caught.value.cid == ABSENT
    assert not store.has(ABSENT)


@pytest.mark.parametrize("method", ["get", "open", "size", "has", "delete"])
@pytest.mark.parametrize("text", ["", "x" * 59, "../../../../etc/passwd", "..", ABSENT.upper(), ABSENT + "/.."])
def test_no_method_takes_other_texts(store, method, text):
    with pytest.raises(BadCid):
        getattr(store, method)(text)


def test_expected_bytes_only(store):
    cid = blob_cid(b"right")
    assert store.put_stream([b"ri", b"ght"], expected=cid) == cid
    with pytest.raises(BlobMismatch) as caught:
        store.put_stream([b"wrong"], expected=ABSENT)
    assert (caught.value.expected, caught.value.actual) == (ABSENT, blob_cid(b"wrong"))
    with pytest.raises(BadCid):
        store.put_stream([b"x"], expected="nonsense")
    assert list(store.iterate()) == [cid]


def test_the_limit_is_the_last_size_allowed(store):
    cid = store.put_stream([b"12", b"34"], limit=4)

    def endless():
        while True:
            yield b"again"

    with pytest.raises(BlobTooLarge) as caught:
        store.put_stream(endless(), limit=12)
    assert (caught.value.size, caught.value.limit) == (15, 12)
    assert list(store.iterate()) == [cid]


def test_incoming_without_commit_leaves_nothing(store):
    def interrupted():
        yield b"half"
        raise RuntimeError

    with pytest.raises(RuntimeError):
        store.put_stream(interrupted())
    with store.incoming() as blob:
        blob.write(b"forgotten")
    assert list(store.iterate()) == []


def test_not_visible_before_commit(store):
    cid = blob_cid(b"whole")
    with store.incoming() as blob:
        blob.write(b"whole")
        assert not store.has(cid)
        assert blob.commit() == cid
        assert store.has(cid)
    assert store.has(cid)


def test_threads_share_a_store(store):
    errors: list[StorageError] = []

    def work(seed: int) -> None:
        try:
            for number in range(20):
                data = bytes([number]) * (seed + 1000)
                cid = store.put(data)
                shared = store.put(b"the same everywhere")
                assert store.get(cid) == data
                assert store.get(shared) == b"the same everywhere"
        except StorageError as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert len(list(store.iterate())) == 6 * 20 + 1


class AgainstDictionary(RuleBasedStateMachine):
    """Any order of puts and deletes leaves what a dictionary would hold."""

    cids = Bundle("cids")

    def __init__(self) -> None:
        super().__init__()
        self.store = self.make()
        self.model: dict[str, bytes] = {}

    def make(self):
        return MemoryStore()

    @rule(target=cids, data=st.binary(max_size=50))
    def put(self, data):
        cid = self.store.put(data)
        self.model[cid] = data
        return cid

    @rule(cid=consumes(cids))
    def delete(self, cid):
        assert self.store.delete(cid) == (self.model.pop(cid, None) is not None)

    @rule(cid=cids)
    def read(self, cid):
        if cid in self.model:
            assert self.store.get(cid) == self.model[cid]
        else:
            with pytest.raises(BlobMissing):
                self.store.get(cid)

    @invariant()
    def same_blobs(self):
        assert set(self.store.iterate()) == set(self.model)


class FilesAgainstDictionary(AgainstDictionary):
    def make(self):
        self.directory = tempfile.TemporaryDirectory()
        return FileStore(Path(self.directory.name))

    def teardown(self):
        self.directory.cleanup()


TestMemoryAgainstDictionary = AgainstDictionary.TestCase
TestMemoryAgainstDictionary.settings = settings(max_examples=20, stateful_step_count=15, deadline=None)
TestFilesAgainstDictionary = FilesAgainstDictionary.TestCase
TestFilesAgainstDictionary.settings = TestMemoryAgainstDictionary.settings
