"""A whole directory into a backup and back, while its databases are written."""

from __future__ import annotations

import io
import json
import sqlite3
import stat
import tarfile
import threading
from contextlib import closing

import pytest

from crypto import secrets
from dag.restoring import least_sequence
from dag.store.sqlite import Store
from node.config import ChainSection, Hospital, NodeConfig
from node.errors import BadConfig, BadEnvironment, BadInput, WrongPassword
from node.home import Home, create_identity
from node.keeping import taking
from node.keeping.contents import contents_of, is_plain, is_taken
from node.keeping.manifest import Manifest
from node.keeping.restoring import forget, fresh_directory, read_backup
from node.keeping.sealed import SealedWriter
from node.keeping.taking import back_up_home
from node.rounds.journal import Journal
from node.rounds.restored import last_forgotten
from node.storage import FileStore

PASSWORD = "correct horse"
MADE = "2026-11-21T03:00:00Z"


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    for name, value in {"MEMORY_KIB": 8, "PASSES": 1, "LANES": 1}.items():
        monkeypatch.setattr(secrets, name, value)


@pytest.fixture
def home(tmp_path):
    made = Home(tmp_path / "home")
    made.root.mkdir()
    create_identity(made, PASSWORD)
    section = Hospital(name="St. Anna", port=8470, url="http://127.0.0.1:8470")
    NodeConfig(hospital=section, chain=ChainSection(rpc="http://127.0.0.1:1")).write(made.config_file)
    Journal(made.journal).close()
    Store(made.ledger).close()
    made.file("data").mkdir()
    made.file("data/train.npz").write_bytes(b"pixels" * 100)
    for name in ("member", "member-1", "member-2", "refresh-3.dealer"):
        made.epoch_file(1, name).write_bytes(name.encode())
    for name in ("tokens.sqlite", "intents.sqlite", "events.sqlite", "orders.sqlite", "training.sealed", "node.log"):
        made.file(name).write_bytes(b"old")
    return made


def restored(source, into, password=PASSWORD):
    with fresh_directory(into) as fresh:
        return read_backup(source, password, fresh)


def test_what_is_taken_comes_back_and_what_would_harm_does_not(home, tmp_path):
    cid = FileStore(home.blobs).put(b"ciphertext" * 1000)
    out = tmp_path / "b.mwb"
    manifest = back_up_home(home, PASSWORD, out, MADE)
    again = restored(out, tmp_path / "again")
    assert again.manifest == manifest
    assert (manifest.made, manifest.hospital, manifest.left_out) == (MADE, "St. Anna", ())
    assert FileStore(tmp_path / "again" / "blobs").get(cid) == b"ciphertext" * 1000
    assert {name for name in again.names if not name.startswith("blobs/")} == {
        "node.toml", "journal.sqlite", "ledger.sqlite", "data/train.npz",
        "secrets/account.json", "secrets/box.sealed", "secrets/epoch-1.member-2.sealed",
    }  # fmt: skip
    for path in (tmp_path / "again").rglob("*"):
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    assert not home.file(".backup").exists()
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith("b.mwb")] == ["b.mwb"]


def test_images_and_blobs_may_be_left_out_and_it_is_said(home, tmp_path):
    FileStore(home.blobs).put(b"x")
    manifest = back_up_home(home, PASSWORD, tmp_path / "b.mwb", MADE, images=False, blobs=False)
    names = read_backup(tmp_path / "b.mwb", PASSWORD, None).names
    assert manifest.left_out == ("blobs/", "data/")
    assert not [name for name in names if name.startswith(("blobs", "data"))]


def test_links_and_images_elsewhere_are_named_and_not_followed(home, tmp_path):
    (tmp_path / "private").write_bytes(b"PRIVATE")
    home.file("link").symlink_to(tmp_path / "private")
    home.file("odd name").write_bytes(b"")
    config = home.config()
    elsewhere = config.model_copy(update={"data": config.data.model_copy(update={"train": "/pacs/train.npz"})})
    elsewhere.write(home.config_file)
    manifest = back_up_home(home, PASSWORD, tmp_path / "b.mwb", MADE)
    assert manifest.left_out == ("/pacs/train.npz", "link", "odd name")
    assert "link" not in read_backup(tmp_path / "b.mwb", PASSWORD, None).names


def test_a_database_is_of_one_moment_while_it_is_written(home, tmp_path):
    """Each transaction writes two rows; a copy that holds an odd number was torn."""
    stop = threading.Event()
    with closing(sqlite3.connect(home.file("pairs.sqlite"))) as db:
        db.executescript("PRAGMA journal_mode=WAL; CREATE TABLE t (x)")

    def write():
        with closing(sqlite3.connect(home.file("pairs.sqlite"), isolation_level=None)) as mine:
            while not stop.is_set():
                mine.execute("BEGIN")
                mine.execute("INSERT INTO t VALUES (1)")
                mine.execute("INSERT INTO t VALUES (2)")
                mine.execute("COMMIT")

    writer = threading.Thread(target=write)
    writer.start()
    try:
        counts = []
        for number in range(5):
            back_up_home(home, PASSWORD, tmp_path / f"{number}.mwb", MADE)
            restored(tmp_path / f"{number}.mwb", tmp_path / str(number))
            with closing(sqlite3.connect(tmp_path / str(number) / "pairs.sqlite")) as db:
                counts.append(db.execute("SELECT COUNT(*) FROM t").fetchone()[0])
    finally:
        stop.set()
        writer.join()
    assert all(count % 2 == 0 for count in counts)
    assert counts[-1] > counts[0]


def test_a_damaged_database_is_said_and_nothing_is_left(home, tmp_path):
    with closing(sqlite3.connect(home.file("big.sqlite"))) as db:
        db.execute("CREATE TABLE t (x)")
        db.executemany("INSERT INTO t VALUES (?)", [("x" * 900,) for _ in range(100)])
        db.commit()
    raw = bytearray(home.file("big.sqlite").read_bytes())
    raw[8192:16384] = bytes(8192)
    home.file("big.sqlite").write_bytes(raw)
    with pytest.raises((BadConfig, BadEnvironment), match=r"big\.sqlite|malformed"):
        back_up_home(home, PASSWORD, tmp_path / "b.mwb", MADE)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["home"]


def test_a_full_disk_leaves_no_half_backup(home, tmp_path, monkeypatch):
    def full(*_arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(taking.os, "fsync", full)
    with pytest.raises(BadEnvironment, match="No space left"):
        back_up_home(home, PASSWORD, tmp_path / "b.mwb", MADE)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["home"]


def test_a_backup_overwrites_nothing_and_lies_elsewhere(home, tmp_path):
    (tmp_path / "b.mwb").write_bytes(b"precious")
    with pytest.raises(BadInput, match="exists already"):
        back_up_home(home, PASSWORD, tmp_path / "b.mwb", MADE)
    with pytest.raises(BadInput, match="inside"):
        back_up_home(home, PASSWORD, home.file("b.mwb"), MADE)
    assert (tmp_path / "b.mwb").read_bytes() == b"precious"


def test_the_wrong_password_neither_makes_nor_opens_one(home, tmp_path):
    with pytest.raises(WrongPassword):
        back_up_home(home, "battery staple", tmp_path / "b.mwb", MADE)
    back_up_home(home, PASSWORD, tmp_path / "b.mwb", MADE)
    with pytest.raises(WrongPassword):
        restored(tmp_path / "b.mwb", tmp_path / "again", "battery staple")
    assert not (tmp_path / "again").exists()


def test_nothing_is_restored_over_something(home, tmp_path):
    back_up_home(home, PASSWORD, tmp_path / "b.mwb", MADE)
    with pytest.raises(BadInput, match="not empty"):
        restored(tmp_path / "b.mwb", home.root)


def test_a_cut_backup_leaves_no_directory(home, tmp_path):
    out = tmp_path / "b.mwb"
    back_up_home(home, PASSWORD, out, MADE)
    out.write_bytes(out.read_bytes()[:-40])
    with pytest.raises(BadInput):
        restored(out, tmp_path / "again")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b.mwb", "home"]


def archive(*entries):
    """A sealed archive with a manifest and whatever somebody who knows the password might put into it."""
    target = io.BytesIO()
    stream = SealedWriter(target, PASSWORD)
    manifest = Manifest(MADE, "A", "0x" + "a" * 40, "0", len(entries), 0).to_bytes()
    with tarfile.open(fileobj=stream, mode="w|") as tar:
        for entry, data in ((tarfile.TarInfo("backup.json"), manifest), *entries):
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
    stream.finish()
    return target.getvalue()


def special(name, kind):
    entry = tarfile.TarInfo(name)
    entry.type, entry.linkname = kind, "/etc/passwd"
    return entry


@pytest.mark.parametrize(
    "entry",
    [
        tarfile.TarInfo("../escaped"),
        tarfile.TarInfo("/absolute"),
        tarfile.TarInfo("a/../../escaped"),
        tarfile.TarInfo("a/./b"),
        tarfile.TarInfo("/".join("abcdefghi")),
        tarfile.TarInfo("tokens.sqlite"),
        tarfile.TarInfo("journal.sqlite-wal"),
        special("link", tarfile.SYMTYPE),
        special("hard", tarfile.LNKTYPE),
        special("device", tarfile.CHRTYPE),
        special("directory", tarfile.DIRTYPE),
    ],
    ids=lambda entry: entry.name,
)
def test_what_does_not_belong_into_a_backup_is_refused(tmp_path, entry):
    source = tmp_path / "b.mwb"
    source.write_bytes(archive((entry, b"")))
    with pytest.raises(BadInput, match="does not belong"):
        restored(source, tmp_path / "again")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b.mwb"]


def test_no_name_stands_twice(tmp_path):
    (tmp_path / "b.mwb").write_bytes(archive((tarfile.TarInfo("a"), b"1"), (tarfile.TarInfo("a"), b"2")))
    with pytest.raises(BadInput, match="does not belong"):
        restored(tmp_path / "b.mwb", tmp_path / "again")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("made", "yesterday"),
        ("account", "0x1"),
        ("files", -1),
        ("size", "1"),
        ("left_out", [1]),
        ("hospital", "x" * 201),
        ("version", 2),
        ("extra", 1),
    ],
)
def test_a_manifest_of_another_form_names_the_field(field, value):
    row = json.loads(Manifest(MADE, "A", "0x" + "a" * 40, "0", 1, 1).to_bytes())
    with pytest.raises(BadInput, match=field):
        Manifest.from_bytes(json.dumps({**row, field: value}).encode())


@pytest.mark.parametrize("data", [b"", b"[]", b"{}", b"\xff", b"null"])
def test_bytes_that_are_no_manifest_are_refused(data):
    with pytest.raises(BadInput):
        Manifest.from_bytes(data)


@pytest.mark.parametrize("name", ["a", "a/b.c", "blobs/blobs/xy/bafk", "access/2026-11.jsonl", "..a"])
def test_ordinary_names_are_plain(name):
    assert is_plain(name)
    assert is_taken(name)


@pytest.mark.parametrize(
    "name",
    [
        "tokens.sqlite", "orders.sqlite", "nonces.sqlite", "logs/node.log.3", "debug/round-1.npy", "journal.sqlite-wal",
        "ledger.sqlite.format-1", ".backup/x", "secrets/epoch-1.refresh-2.box.sealed", "blobs/incoming/x", "node.toml.new",
    ],
)  # fmt: skip
def test_what_must_not_come_back_is_not_taken(name):
    assert is_plain(name)
    assert not is_taken(name)


@pytest.mark.parametrize("name", ["", ".", "..", "a//b", "a/..", "a\\b", "a b", "a\n", "é", "x" * 201])
def test_other_names_are_not(name):
    assert not is_plain(name)


def test_a_restored_node_has_forgotten_and_knows_it(home, tmp_path):
    journal = Journal(home.journal)
    journal.promise(4, "opened", b"p" * 32)
    journal.close()
    back_up_home(home, PASSWORD, tmp_path / "b.mwb", MADE)
    restored(tmp_path / "b.mwb", tmp_path / "again")
    place = Home(tmp_path / "again")
    assert forget(place, PASSWORD, 1_800_000_000.0) == 1_800_000_000_000_000
    with Store(place.ledger) as store:
        assert least_sequence(store) == 1_800_000_000_000_000
    journal = Journal(place.journal)
    assert last_forgotten(journal, 6) == 6
    assert journal.promised(4, "opened") == b"p" * 32


def test_contents_put_blobs_last(home):
    FileStore(home.blobs).put(b"x")
    files = contents_of(home).files
    assert files[-1].startswith("blobs/")
    assert files[-2] == "data/train.npz"
