"""What the directory store adds: durability, damage, full disks, permissions."""

import errno
import os
import signal
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from node.storage import CHUNK_SIZE, BlobCorrupt, FileStore, StorageFull, StorageUnusable, blob_cid

REPOSITORY = Path(__file__).parents[2]


def path_of(files: FileStore, cid: str) -> Path:
    [path] = files.root.rglob(cid)
    return path


def unfinished(files: FileStore) -> list[Path]:
    return list((files.root / "incoming").iterdir())


@pytest.mark.parametrize("size", [1, 1000, CHUNK_SIZE, 2 * CHUNK_SIZE + 1])
@pytest.mark.parametrize("damage", ["flip", "cut", "extend", "empty"])
def test_damage_is_found_and_healed(files, size, damage):
    data = bytes(size)
    cid = files.put(data)
    path = path_of(files, cid)
    bad = {"flip": data[:-1] + b"\x01", "cut": data[:-1], "extend": data + b"\x00", "empty": b""}[damage]
    path.write_bytes(bad)
    for read in (files.get, files.open):
        with pytest.raises(BlobCorrupt) as caught:
            read(cid)
        assert (caught.value.cid, caught.value.path, caught.value.actual) == (cid, path, blob_cid(bad))
        assert str(path) in str(caught.value)
    assert files.put(data) == cid
    assert files.get(cid) == data


def test_another_process_reads_what_was_put(files):
    cid = files.put(b"durable")
    assert FileStore(files.root).get(cid) == b"durable"


def test_synced_before_it_appears(files, monkeypatch):
    steps, me = [], threading.get_ident()
    sync, replace = os.fsync, Path.replace

    def note(step):
        if threading.get_ident() == me:  # a chain that another test left running copies its state meanwhile
            steps.append(step)

    def recording_sync(descriptor):
        note("sync directory" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "sync file")
        sync(descriptor)

    def recording_replace(self, target):
        note("rename")
        return replace(self, target)

    monkeypatch.setattr(os, "fsync", recording_sync)
    monkeypatch.setattr(Path, "replace", recording_replace)
    files.put(b"first in its directory")
    assert steps == ["sync file", "rename", "sync directory", "sync directory"]


def test_a_killed_writer_leaves_no_half_blob(files):
    program = (
        "import sys, pathlib; from node.storage import FileStore\n"
        "with FileStore(pathlib.Path(sys.argv[1])).incoming() as blob:\n"
        "    blob.write(bytes(1_000_000)); print('half', flush=True); sys.stdin.read()\n"
    )
    writer = subprocess.Popen(
        [sys.executable, "-c", program, files.root], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=REPOSITORY
    )
    with writer:
        assert writer.stdout.readline() == b"half\n"
        writer.send_signal(signal.SIGKILL)
    assert list(files.iterate()) == []
    [left] = unfinished(files)
    assert FileStore(files.root).put(b"goes on") == blob_cid(b"goes on")
    assert left.exists(), "a young file may belong to a writer that lives"
    two_days_ago = time.time() - 2 * 24 * 3600
    os.utime(left, (two_days_ago, two_days_ago))
    FileStore(files.root)
    assert not left.exists()


def test_a_file_size_limit_of_the_system_is_a_full_store(files):
    program = (
        "import resource, signal, sys, pathlib; from node.storage import FileStore, StorageFull\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))\n"
        "store = FileStore(pathlib.Path(sys.argv[1])); before = store.put(b'before')\n"
        "try: store.put(bytes(1_000_000))\n"
        "except StorageFull as error: print(error.exit_code, error)\n"
        "assert store.get(before) == b'before'; store.put(b'after')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, files.root], capture_output=True, text=True, cwd=REPOSITORY, check=True
    )
    assert done.stdout.startswith(f"4 cannot write to {files.root}")
    assert sorted(files.iterate()) == sorted([blob_cid(b"before"), blob_cid(b"after")])
    assert unfinished(files) == []


@pytest.mark.parametrize(
    ("number", "kind"),
    [(errno.ENOSPC, StorageFull), (errno.EDQUOT, StorageFull), (errno.EIO, StorageUnusable)],
)
@pytest.mark.parametrize("step", ["fsync", "open", "replace"])
def test_errors_of_the_disk_are_ours(files, monkeypatch, number, kind, step):
    kept = files.put(b"kept")

    def fail(*_arguments, **_options):
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patch:
        patch.setattr(*((Path, "replace") if step == "replace" else (os, step)), fail)
        with pytest.raises(kind, match=os.strerror(number)):
            files.put(b"lost")
    assert list(files.iterate()) == [kept]
    assert unfinished(files) == []
    assert files.get(files.put(b"goes on")) == b"goes on"


def test_owner_alone_may_read(files):
    path = path_of(files, files.put(b"private"))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_foreign_files_are_passed_over(files):
    cid = files.put(b"ours")
    (path_of(files, cid).parent / "notes.txt").write_text("not a blob")
    (files.root / "blobs" / "README").write_text("not a directory")
    assert list(files.iterate()) == [cid]


def test_a_file_in_the_way_is_named(tmp_path):
    (tmp_path / "store").write_text("a file")
    with pytest.raises(StorageUnusable, match=str(tmp_path / "store")):
        FileStore(tmp_path / "store")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_directory_without_permission_is_named(tmp_path):
    FileStore(tmp_path / "store")
    (tmp_path / "store" / "incoming").chmod(0o500)
    with pytest.raises(StorageUnusable, match="cannot be written"):
        FileStore(tmp_path / "store")


def test_a_blob_in_use_survives_its_deletion(files):
    data = bytes(CHUNK_SIZE + 5)
    cid = files.put(data)
    with files.open(cid) as file:
        files.delete(cid)
        assert file.read() == data
