from __future__ import annotations

import http.server
import threading
from typing import TYPE_CHECKING

import pytest

from node.audit import Directories, NodeUrl, NoEvidence, Several, open_evidence
from node.audit.evidence import MAX_BLOB_BYTES, blob_directories
from node.audit.notes import Link
from node.audit.reader import Reader
from node.storage import BadCid, FileStore, blob_cid

if TYPE_CHECKING:
    from pathlib import Path

DATA = b"a ciphertext, say"
CID = blob_cid(DATA)


def store(root: Path, data: bytes = DATA, name: str = CID) -> Path:
    path = root / name[-3:-1] / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


@pytest.fixture
def node():
    """A node that answers whatever `answers` says."""
    answers: dict[str, tuple[int, bytes]] = {}

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            status, body = answers.get(self.path, (404, b""))
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", answers
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize("layout", ["", "blobs", "blobs/blobs", "hospitals/one/blobs", "hospitals/one"])
def test_every_layout_of_a_directory(tmp_path, layout):
    store(tmp_path / layout)
    assert open_evidence([tmp_path]).look(CID).data == DATA


def test_what_a_file_store_wrote_is_read_without_touching_it(tmp_path):
    FileStore(tmp_path).put(DATA)
    before = sorted((p, p.stat().st_mtime_ns) for p in tmp_path.rglob("*"))
    assert open_evidence([tmp_path]).look(CID).data == DATA
    assert sorted((p, p.stat().st_mtime_ns) for p in tmp_path.rglob("*")) == before


def test_a_damaged_copy_is_named_although_another_is_intact(tmp_path):
    bad, _ = store(tmp_path / "hospitals/a/blobs", b"flipped"), store(tmp_path / "hospitals/b/blobs")
    seen = open_evidence([tmp_path]).look(CID)
    assert seen.data == DATA
    assert [(d.cid, d.where) for d in seen.damaged] == [(CID, str(bad))]
    assert blob_cid(b"flipped") in seen.damaged[0].problem


def test_an_oversized_copy_is_not_read(tmp_path):
    path = store(tmp_path)
    with path.open("wb") as file:
        file.truncate(MAX_BLOB_BYTES + 1)
    assert "bytes" in Directories([tmp_path]).look(CID).damaged[0].problem


def test_a_directory_in_a_blobs_place_is_damage(tmp_path):
    (tmp_path / CID[-3:-1] / CID).mkdir(parents=True)
    assert Directories([tmp_path]).look(CID).damaged


def test_absence_names_the_places(tmp_path):
    store(tmp_path, b"other", blob_cid(b"other"))
    assert Directories([tmp_path]).look(CID).absent == (str(tmp_path),)


@pytest.mark.parametrize("make", [lambda p: p / "nothing", lambda p: p])
def test_a_place_without_blobs_is_refused(tmp_path, make):
    with pytest.raises(NoEvidence) as error:
        open_evidence([make(tmp_path)])
    assert error.value.exit_code == 3
    assert str(tmp_path) in str(error.value)


def test_no_place_at_all_is_refused():
    with pytest.raises(NoEvidence):
        open_evidence([])


def test_only_cids_are_looked_for(tmp_path):
    with pytest.raises(BadCid):
        Directories([tmp_path]).look("../../etc/passwd")


def test_a_node_is_asked_and_not_believed(node):
    url, answers = node
    answers[f"/v1/blobs/{CID}"] = (200, DATA)
    assert NodeUrl(url).look(CID).data == DATA
    answers[f"/v1/blobs/{CID}"] = (200, b"something else")
    seen = NodeUrl(url).look(CID)
    assert seen.data is None
    assert seen.damaged[0].where == url
    assert blob_cid(b"something else") in seen.damaged[0].problem


def test_a_node_without_the_blob_or_without_a_voice(node):
    url, _ = node
    assert "404" in NodeUrl(url).look(CID).absent[0]
    assert NodeUrl("http://127.0.0.1:9").look(CID).data is None


def test_directories_first_then_nodes(tmp_path, node):
    url, answers = node
    store(tmp_path, b"other", blob_cid(b"other"))
    answers[f"/v1/blobs/{CID}"] = (200, DATA)
    seen = open_evidence([url, tmp_path]).look(CID)
    assert (seen.data, seen.absent) == (DATA, (str(tmp_path),))


def test_a_node_is_not_asked_for_what_is_here(tmp_path):
    store(tmp_path)

    class Refusing:
        def look(self, cid):
            raise AssertionError(cid)

    assert Several([Directories([tmp_path]), Refusing()]).look(CID).data == DATA


def test_reading_notes_damage_once_and_absence_each_time(tmp_path):
    store(tmp_path, b"flipped")
    reader, link = Reader(Directories([tmp_path])), Link("sums", 1)
    assert reader.read(CID, "chunk 0", link) is None
    assert reader.read(CID, "chunk 0", link) is None
    assert [finding.status for finding in link.findings] == ["falsified", "unchecked", "unchecked"]
    assert reader.read("no cid", "chunk 1", link) is None
    assert link.findings[-1].status == "falsified"


def test_glancing_does_not_mind_absence(tmp_path):
    link = Link("sums", 1)
    assert Reader(Directories([tmp_path])).peek(CID, "opening", link) is None
    assert link.clean


def test_run_directories_are_found(tmp_path):
    store(tmp_path / "hospitals/b/blobs")
    store(tmp_path / "hospitals/a/blobs")
    (tmp_path / "hospitals/c").mkdir()
    assert blob_directories(tmp_path) == [tmp_path / "hospitals/a/blobs", tmp_path / "hospitals/b/blobs"]
