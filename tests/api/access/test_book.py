"""The access log: every kind of tampering is found, with its place; crashes and full disks are survived and shown."""

from __future__ import annotations

import json
import os
import time

import coincurve
import pytest

from node.api.access import book as module
from node.api.access.book import AccessBook
from node.api.access.errors import BrokenLog
from node.api.access.records import check, digest_of_line, read_lines, segments
from node.calling.signatures import address_of

KEY = coincurve.PrivateKey(bytes([9] * 32))
OURS = frozenset({address_of(KEY.public_key.format(compressed=False))})


def sign(digest: bytes) -> bytes:
    return KEY.sign_recoverable(digest, hasher=None)


def written(directory, *numbers: int, signer=sign) -> None:
    """One run of a node that was asked so often."""
    book = AccessBook(directory, signer)
    for number in numbers:
        book.add({"who": f"person {number}", "route": "GET /v1/status", "status": 200})
    book.close()


@pytest.fixture
def log(tmp_path):
    """Three runs: lines 1 to 4, 5 to 8, 9 to 12; every fourth is a head."""
    for run in range(3):
        written(tmp_path, *range(3 * run, 3 * run + 3))
    return tmp_path


def lines_of(directory) -> list[bytes]:
    return [place.raw for place in read_lines(directory)]


def rewrite(directory, lines: list[bytes]) -> None:
    segments(directory)[0].write_bytes(b"".join(lines))


def test_a_whole_log_holds(log):
    found = check(log, OURS)
    assert (found.lines, found.first, found.heads, found.unsigned) == (12, 1, 3, 0)
    assert [place.content["n"] for place in read_lines(log)] == list(range(1, 13))
    assert found.head == f"12:{digest_of_line(lines_of(log)[10]).hex()}"
    check(log, OURS, found.head)


def rebound(lines: list[bytes]) -> list[bytes]:
    """As somebody would who knows the form: every line bound anew to the one before; heads cannot be signed."""
    last, out = bytes(32), []
    for number, line in enumerate(lines, 1):
        content = json.loads(line) | {"n": number, "prev": last.hex()}
        out.append(json.dumps(content, separators=(",", ":")).encode() + b"\n")
        last = digest_of_line(out[-1])
    return out


def edit(lines):
    lines[1] = lines[1].replace(b"person 1", b"person 7")
    return lines


TAMPERED = {
    "changed": (edit, 3),
    "removed": (lambda lines: lines[:1] + lines[2:], 2),
    "two exchanged": (lambda lines: [lines[0], lines[2], lines[1], *lines[3:]], 2),
    "repeated": (lambda lines: [*lines[:2], *lines[1:]], 3),
    "changed and bound anew": (lambda lines: rebound(edit(lines)), 4),
    "removed and bound anew": (lambda lines: rebound(lines[:1] + lines[2:]), 3),
    "cut": (lambda lines: lines[:9], 9),
    "cut below every head": (lambda lines: lines[:3], 3),
    "emptied": (lambda _: [], 0),
    "no JSON": (lambda lines: [b"{]\n", *lines[1:]], 1),
    "no object": (lambda lines: [b"7\n", *lines[1:]], 1),
}


@pytest.mark.parametrize(("tamper", "row"), TAMPERED.values(), ids=TAMPERED)
def test_tampering_is_found_with_its_place(log, tamper, row):
    rewrite(log, tamper(lines_of(log)))
    with pytest.raises(BrokenLog) as caught:
        check(log, OURS)
    assert caught.value.row == row


def test_a_log_rewritten_with_its_newest_head_removed_fails_against_a_head_kept_elsewhere(log):
    kept = check(log, OURS).head
    rewrite(log, lines_of(log)[:8])
    (log / "head.json").unlink()
    check(log, OURS)
    with pytest.raises(BrokenLog, match="cut off"):
        check(log, OURS, kept)


def test_heads_of_another_account_convince_nobody(log):
    with pytest.raises(BrokenLog, match="not signed by an account"):
        check(log, frozenset({bytes(20)}))


def test_a_cut_is_said_at_the_next_start_and_stays_found(log, caplog):
    rewrite(log, lines_of(log)[:9])
    written(log, 1)
    assert "lines were removed" in caplog.text
    with pytest.raises(BrokenLog):
        check(log, OURS)


def test_a_line_that_a_crash_tore_is_removed_and_told(log):
    path = segments(log)[-1]
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"n":13,"prev":"00')
    assert check(log, OURS).lines == 12, "a line that is just being written is no fault"
    written(log, 1)
    found = [place.content for place in read_lines(log)]
    assert found[12]["note"] == "18 bytes of an unfinished line were removed at the start"
    assert check(log, OURS).lines == 15


def test_it_goes_on_in_further_files(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "SEGMENT_BYTES", 300)
    for run in range(3):
        written(tmp_path, run, run)
    assert len(segments(tmp_path)) == 3
    assert check(tmp_path, OURS).lines == 9
    segments(tmp_path)[0].unlink()
    found = check(tmp_path, OURS)
    assert (found.first, found.lines) == (4, 6), "old files may be taken away whole"
    segments(tmp_path)[0].unlink()
    assert check(tmp_path, OURS).first == 7


def test_a_file_from_the_middle_is_missed(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "SEGMENT_BYTES", 300)
    for run in range(3):
        written(tmp_path, run, run)
    segments(tmp_path)[1].unlink()
    with pytest.raises(BrokenLog, match="line 4 is missing"):
        check(tmp_path, OURS)


def test_what_machines_ask_is_summed_up(tmp_path):
    book = AccessBook(tmp_path, sign)
    for _ in range(500):
        book.count("hospital-2", "member", "POST /v1/gossip", 202, 10)
    book.count("hospital-2", "member", "POST /v1/gossip", 200, 5)
    book.close()
    rows = [place.content for place in read_lines(tmp_path) if "count" in place.content]
    assert [(row["status"], row["count"], row["bytes"]) for row in rows] == [(202, 500, 5000), (200, 1, 5)]


def test_a_disk_that_is_full_is_told_and_what_was_lost_is_counted(tmp_path, monkeypatch, caplog):
    book = AccessBook(tmp_path, sign)
    fsync, broken = os.fsync, [True]

    def full(descriptor):
        if broken:
            raise OSError(28, "No space left on device")
        fsync(descriptor)

    monkeypatch.setattr(module.os, "fsync", full)
    monkeypatch.setattr(module, "BATCH_SECONDS", 0.0)
    book.add({"who": "lost"})
    until(lambda: book.failing)
    assert "leaves no trace" in caplog.text
    assert lines_of(tmp_path) == []
    broken.clear()
    book.add({"who": "kept"})
    until(lambda: not book.failing)
    book.close()
    said = [place.content for place in read_lines(tmp_path)]
    assert said[0]["who"] == "kept"
    assert any(line.get("note") == "1 lines were lost" for line in said)
    check(tmp_path, OURS)


def until(ready) -> None:
    end = time.monotonic() + 5
    while not ready():
        assert time.monotonic() < end
        time.sleep(0.005)


def test_too_many_that_wait_are_counted(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "MAX_WAITING", 2)
    book = AccessBook(tmp_path, sign)
    monkeypatch.setattr(book, "_start", lambda: None)
    for number in range(5):
        book.add({"who": str(number)})
    monkeypatch.undo()
    book._start()
    until(book._waiting.empty)
    book.close()
    assert any(place.content.get("note") == "3 lines were lost" for place in read_lines(tmp_path))


def test_files_are_for_their_owner_alone(log):
    assert all(path.stat().st_mode & 0o077 == 0 for path in log.iterdir())


def test_without_a_key_lines_are_bound_all_the_same(tmp_path):
    written(tmp_path, 1, 2, signer=None)
    found = check(tmp_path, frozenset())
    assert (found.lines, found.heads, found.unsigned, found.head) == (2, 0, 2, "")
