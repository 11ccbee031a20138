"""The sealed stream: what was written comes back, and whatever is done to the file is noticed (CRY-8)."""

from __future__ import annotations

import io
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crypto import secrets
from node.errors import BadInput, WrongPassword
from node.keeping import sealed
from node.keeping.sealed import SealedReader, SealedWriter

PASSWORD = "correct horse"


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    for name, value in {"MEMORY_KIB": 8, "PASSES": 1, "LANES": 1}.items():
        monkeypatch.setattr(secrets, name, value)
    monkeypatch.setattr(sealed, "FRAME_BYTES", 64)


def written(*pieces: bytes) -> bytes:
    target = io.BytesIO()
    stream = SealedWriter(target, PASSWORD)
    for piece in pieces:
        stream.write(piece)
    stream.finish()
    return target.getvalue()


def read(data: bytes, password: str = PASSWORD) -> bytes:
    return SealedReader(io.BytesIO(data), password).read()


def frames(data: bytes) -> tuple[bytes, list[bytes]]:
    """The header with its key, and the frames."""
    at = 9 + struct.unpack(">4sBI", data[:9])[2]
    head, found = data[:at], []
    while at < len(data):
        size = 5 + struct.unpack(">BI", data[at : at + 5])[1]
        found.append(data[at : at + size])
        at += size
    return head, found


@pytest.mark.parametrize("size", [0, 1, 63, 64, 65, 128, 1000])
def test_what_was_written_comes_back(size):
    plain = bytes(range(256)) * 4
    data = written(plain[:size])
    assert read(data) == plain[:size]
    assert plain[:40] not in data
    assert len(frames(data)[1]) == max(1, -(-size // 64))


@settings(max_examples=30, deadline=None)
@given(st.lists(st.binary(max_size=200), max_size=6))
def test_pieces_of_any_size_come_back(pieces):
    assert read(written(*pieces)) == b"".join(pieces)


def test_two_files_of_the_same_have_nothing_in_common():
    one, two = frames(written(b"a" * 200))[1], frames(written(b"a" * 200))[1]
    assert not set(one) & set(two)


def test_another_password_does_not_open_it():
    with pytest.raises(WrongPassword):
        read(written(b"x"), "battery staple")


@pytest.mark.parametrize(
    "harm",
    [
        lambda f: f[:-1],
        lambda f: [f[0], *f[2:]],
        lambda f: [f[1], f[0], *f[2:]],
        lambda f: [*f, f[-1]],
        lambda f: [*f[:-1], b"\x00" + f[-1][1:]],
        lambda f: [b"\x01" + f[0][1:]],
        lambda f: [*f[:-1], f[-1][:-1]],
        lambda f: [b"\x02" + f[0][1:], *f[1:]],
        lambda f: [b"\x00\xff\xff\xff\xff" + f[0][5:]],
    ],
    ids=["cut", "left out", "exchanged", "longer", "not the last", "early end", "short", "odd mark", "huge"],
)
def test_frames_that_are_not_as_written_are_refused(harm):
    head, found = frames(written(b"a" * 200))
    with pytest.raises(BadInput, match="backup"):
        read(head + b"".join(harm(found)))


def test_a_frame_of_another_file_is_refused():
    (head, mine), (_, other) = frames(written(b"a" * 200)), frames(written(b"b" * 200))
    with pytest.raises(BadInput):
        read(head + b"".join([mine[0], other[1], *mine[2:]]))


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_any_changed_byte_is_noticed(data):
    whole = bytearray(WHOLE)
    place = data.draw(st.integers(0, len(whole) - 1))
    whole[place] ^= data.draw(st.integers(1, 255))
    with pytest.raises((BadInput, WrongPassword)):
        read(bytes(whole))


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=100))
def test_no_bytes_at_all_crash_the_reader(junk):
    for data in (junk, b"MWBK\x01" + junk, b"MWBK\x01\x00\x00\x00\x10" + junk):
        with pytest.raises((BadInput, WrongPassword)):
            read(data)


def test_a_later_version_is_named():
    with pytest.raises(BadInput, match="version 9"):
        read(b"MWBK\x09" + bytes(8))


with pytest.MonkeyPatch.context() as _patch:
    for _name, _value in {"MEMORY_KIB": 8, "PASSES": 1, "LANES": 1}.items():
        _patch.setattr(secrets, _name, _value)
    _patch.setattr(sealed, "FRAME_BYTES", 64)
    WHOLE = written(b"a" * 150)
