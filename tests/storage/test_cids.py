"""The CIDs are IPFS's, checked against vectors of its JavaScript implementation."""

import base64
import doctest
import hashlib
import json
import string
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from multiformats import CID

import node.storage.cids
import node.storage.store
from node.storage import BadCid, BlobMismatch, CidHasher, blob_cid, parse_blob_cid, raw_cid, stream_cid, verify_blob
from node.storage.cids import CHUNK_SIZE, CID_LENGTH, DAG_PB, RAW

VECTORS = json.loads((Path(__file__).parent / "vectors" / "unixfs.json").read_text())["vectors"]
HELLO = "bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e"  # of b"hello world"


def pattern(size: int) -> bytes:
    return (np.arange(size, dtype=np.uint32) * np.uint32(2654435761) >> 24).astype(np.uint8).tobytes()


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: f"{vector['size']}-bytes")
def test_vectors(vector):
    assert blob_cid(pattern(vector["size"])) == vector["cid"]


def test_documented_examples():
    assert blob_cid(b"hello world") == HELLO
    for module in (node.storage.cids, node.storage.store):
        result = doctest.testmod(module)
        assert result.attempted
        assert not result.failed


@given(st.lists(st.integers(0, 3 * CHUNK_SIZE), max_size=6))
def test_pieces_of_any_sizes_give_the_same_cid(sizes):
    data = pattern(sum(sizes))
    pieces, start = [], 0
    for size in sizes:
        pieces.append(memoryview(data)[start : start + size])
        start += size
    assert stream_cid(pieces) == blob_cid(data)


def test_cid_may_be_asked_for_in_between():
    hasher, data = CidHasher(), pattern(176 * CHUNK_SIZE + 9)
    for end in (0, 5, CHUNK_SIZE, 174 * CHUNK_SIZE, 175 * CHUNK_SIZE + 1, len(data)):
        hasher.update(data[hasher.size : end])
        assert hasher.cid() == blob_cid(data[:end])
        assert hasher.size == end


def test_memory_is_bounded():
    piece = bytes(1_000_003)
    tracemalloc.start()
    hasher = CidHasher()
    for _ in range(100):
        hasher.update(piece)
    hasher.cid()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 * CHUNK_SIZE


@given(st.binary(max_size=300))
def test_small_blobs_are_their_own_leaves(data):
    cid = blob_cid(data)
    assert parse_blob_cid(cid) == (RAW, hashlib.sha256(data).digest())
    foreign = CID.decode(cid)
    assert (foreign.version, foreign.codec.name, foreign.raw_digest) == (1, "raw", hashlib.sha256(data).digest())


def test_a_small_blob_is_named_by_its_digest_alone():
    assert raw_cid(DIGEST) == HELLO
    with pytest.raises(BadCid, match="31"):
        raw_cid(DIGEST[1:])


def test_large_blobs_are_trees():
    codec, _ = parse_blob_cid(blob_cid(bytes(CHUNK_SIZE + 1)))
    assert codec == DAG_PB


def text_of(cid: bytes) -> str:
    return "b" + base64.b32encode(cid).decode().lower().rstrip("=")


DIGEST = hashlib.sha256(b"hello world").digest()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "0 characters"),
        ("QmWATWQ7fVPP2EFGu71UkfnqhYXDYH566qy47CnJDgvs8u", "46 characters"),
        (HELLO[:-1], "58 characters"),
        (HELLO + "a", "60 characters"),
        (HELLO.upper(), "canonical"),
        ("z" + HELLO[1:], "canonical"),
        (HELLO[:-1] + "f", "canonical"),  # the same 36 bytes, and a stray bit in the last character
        (HELLO[:10] + "1" + HELLO[11:], "base32"),
        (HELLO[:10] + "\u017f" + HELLO[11:], "canonical"),
        ("../" * 19 + "ab", "base32"),
        (text_of(b"\x02\x55\x12\x20" + DIGEST), "version 2"),
        (text_of(b"\x01\x71\x12\x20" + DIGEST), "0x71"),
        (text_of(b"\x01\x55\x13\x20" + DIGEST), "sha2-256"),
    ],
)
def test_what_is_no_blob_cid_is_refused(text, reason):
    with pytest.raises(BadCid, match=reason) as caught:
        parse_blob_cid(text)
    assert caught.value.text == text


@given(st.text(max_size=80) | st.text(string.ascii_lowercase + "234567", min_size=CID_LENGTH, max_size=CID_LENGTH))
def test_any_text_parses_or_is_refused(text):
    try:
        codec, digest = parse_blob_cid(text)
    except BadCid:
        return
    assert text_of(b"\x01" + bytes([codec]) + b"\x12\x20" + digest) == text


def test_bad_cids_are_shown_shortened():
    with pytest.raises(BadCid) as caught:
        parse_blob_cid("x" * 10_000)
    assert len(str(caught.value)) < 300


def test_verify_names_both_cids():
    verify_blob(HELLO, b"hello world")
    with pytest.raises(BlobMismatch) as caught:
        verify_blob(HELLO, b"hello World")
    assert (caught.value.expected, caught.value.actual) == (HELLO, blob_cid(b"hello World"))
