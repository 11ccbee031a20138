"""Finding and mending what is damaged or missing, with a real node as the peer."""

import os

import pytest

from node.publishing.blobs import PeerBlobs
from node.storage import BlobStore, FileStore, StorageError, fetch_blob
from node.storage.care import Finding, examine, repair
from tests.storage.serving import serving

MEBIBYTE = 1 << 20


def damage(store: FileStore, cid: str) -> None:
    [path] = store.root.rglob(cid)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def test_an_intact_store_has_no_findings(store: BlobStore):
    cids = [store.put(bytes([number])) for number in range(5)]
    steps = []
    assert examine(store, cids, lambda done, total: steps.append((done, total))) == ()
    assert steps == [(number, 5) for number in range(1, 6)]


def test_damaged_and_missing_are_told_apart(files):
    good, bad, gone = (files.put(os.urandom(1000)) for _ in range(3))
    damage(files, bad)
    files.delete(gone)
    found = examine(files, [good, bad, gone])
    assert [(finding.cid, finding.problem) for finding in found] == [(bad, "damaged"), (gone, "missing")]
    assert str(files.root) in found[0].detail


def test_a_peer_mends_both(files, tmp_path):
    peer = FileStore(tmp_path / "peer")
    chunks = [os.urandom(400_000) for _ in range(4)]
    cids = [peer.put(chunk) for chunk in chunks]
    for chunk in chunks:
        files.put(chunk)
    damage(files, cids[1])
    files.delete(cids[2])
    with serving(peer) as url:
        found = examine(files, cids)
        assert len(found) == 2
        assert repair(found, lambda cid: fetch_blob(files, cid, [url])) == ()
    assert examine(files, cids) == ()
    assert [files.get(cid) for cid in cids] == chunks


def test_what_nobody_holds_stays_a_finding(files, tmp_path):
    cid = files.put(b"only here")
    damage(files, cid)
    with serving(FileStore(tmp_path / "peer")) as url:
        [left] = repair(examine(files), lambda wanted: fetch_blob(files, wanted, [url]))
    assert left.cid == cid
    assert left.problem == "damaged"
    assert url in left.detail


def test_a_full_disk_ends_a_repair(files):
    def full(_cid):
        raise StorageError("no room")

    with pytest.raises(StorageError, match="no room"):
        repair([Finding("b", "missing", "")], full)


@pytest.mark.slow
@pytest.mark.parametrize("back_end", ["files", "ipfs"])
def test_a_hundred_megabytes_reach_a_node_that_was_off(request, tmp_path, back_end):
    """Stored by one node, fetched by another that was off, verified; then a corrupt and a missing chunk mended."""
    maker = FileStore(tmp_path / "maker")
    update = [maker.put(os.urandom(4 * MEBIBYTE)) for _ in range(25)]
    store = FileStore(tmp_path / "store") if back_end == "files" else request.getfixturevalue("ipfs")
    with serving(maker) as url:
        blobs = PeerBlobs(store, lambda: (url,))
        for cid in update:
            assert len(blobs.obtain(cid)) == 4 * MEBIBYTE
        assert examine(store, update) == ()
        store.delete(update[3])
        if back_end == "files":
            damage(store, update[7])
        found = examine(store, update)
        assert {finding.cid for finding in found} == ({update[3], update[7]} if back_end == "files" else {update[3]})
        assert repair(found, lambda cid: fetch_blob(store, cid, [url])) == ()
    assert examine(store, update) == ()
