"""Manifests, segments and statements: round trips, and nothing but `LyingPeer` on bytes from a hostile member."""

from __future__ import annotations

import inspect
import json
from dataclasses import fields, replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dag import codec
from dag.ids import RAW, cid_bytes, cid_text
from node.errors import LyingPeer
from node.rounds.records import MAX_CHUNKS, MAX_MANIFEST_BYTES, ShareManifest, SumManifest, UpdateManifest
from node.rounds.segment import pack_segment, unpack_segment
from node.rounds.statement import MAX_STATEMENT_BYTES, Statement
from node.storage import raw_cid
from tests.rounds import support as s

DIGESTS = st.binary(min_size=32, max_size=32)
CIDS = DIGESTS.map(lambda digest: cid_text(cid_bytes(RAW, digest)))
CHUNKS = st.lists(CIDS, min_size=1, max_size=4).map(tuple)
NUMBERS = st.integers(0, 2**53 - 1)

UPDATES = st.builds(
    UpdateManifest,
    consortium=DIGESTS,
    epoch=NUMBERS,
    round=NUMBERS,
    issuer=st.binary(min_size=20, max_size=20),
    parameter_set=st.binary(min_size=16, max_size=16),
    layout=DIGESTS,
    size=NUMBERS,
    clipped=NUMBERS,
    chunks=CHUNKS,
)
SUMS = st.builds(
    SumManifest,
    consortium=DIGESTS,
    epoch=NUMBERS,
    round=NUMBERS,
    updates=st.lists(DIGESTS, min_size=1, max_size=4).map(tuple),
    chunks=CHUNKS,
)
SHARES = st.builds(
    ShareManifest,
    consortium=DIGESTS,
    epoch=NUMBERS,
    round=NUMBERS,
    proposal=DIGESTS,
    member=NUMBERS,
    groups=st.lists(CHUNKS, min_size=1, max_size=3).map(tuple),
)
MANIFESTS = UPDATES | SUMS | SHARES


@given(MANIFESTS)
def test_a_manifest_survives_its_bytes(manifest):
    assert type(manifest).from_bytes(manifest.to_bytes()) == manifest


@given(MANIFESTS)
def test_a_manifest_of_one_kind_is_no_other(manifest):
    for kind in {UpdateManifest, SumManifest, ShareManifest} - {type(manifest)}:
        with pytest.raises(LyingPeer):
            kind.from_bytes(manifest.to_bytes())


@given(MANIFESTS, st.data())
def test_a_changed_manifest_is_refused_or_another(manifest, data):
    raw = bytearray(manifest.to_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        raw[data.draw(st.integers(0, len(raw) - 1))] ^= data.draw(st.integers(1, 255))
    try:
        again = type(manifest).from_bytes(bytes(raw))
    except LyingPeer:
        return
    assert again.to_bytes() == bytes(raw)


@given(MANIFESTS, st.sampled_from([b"\xe1", b"\xf5", b"\xfb\x3f\xf0" + bytes(6), b"\x02"]))
def test_a_format_that_only_equals_one_is_refused(manifest, other):
    """CBOR's simple value 1, true and 1.0 equal 1: the same manifest would have several CIDs."""
    raw = manifest.to_bytes()
    assert b"\x61v\x01" in raw
    with pytest.raises(LyingPeer):
        type(manifest).from_bytes(raw.replace(b"\x61v\x01", b"\x61v" + other, 1))


@given(st.binary(max_size=200))
def test_bytes_that_are_no_manifest_raise_nothing_but_lying_peer(raw):
    for kind in (UpdateManifest, SumManifest, ShareManifest):
        with pytest.raises(LyingPeer):
            kind.from_bytes(raw)


WRONG = {
    "consortium": [bytes(31), "text", None],
    "epoch": [-1, 2**53, True, "1", b"1"],
    "issuer": [bytes(32)],
    "size": [-1, 2**53],
    "chunks": [[], ["bafk"], [b"x"], {}, None, [[1]]],
    "v": [0, 2],
    "kind": ["sum", 1],
}


@pytest.mark.parametrize(("field", "value"), [(field, value) for field, values in WRONG.items() for value in values])
def test_a_wrong_field_is_named(field, value):
    manifest = UpdateManifest(bytes(32), 1, 1, bytes(20), bytes(16), bytes(32), 1, 0, (s.blob("a"),))
    content = codec.decode(manifest.to_bytes(), MAX_MANIFEST_BYTES)
    with pytest.raises(LyingPeer, match="kind" if field == "v" else field):
        UpdateManifest.from_bytes(codec.encode(content | {field: value}))


def test_spare_and_missing_fields_are_refused():
    content = codec.decode(UpdateManifest(b"", 1, 1, b"", b"", b"", 1, 0, (s.blob("a"),)).to_bytes(), 10_000)
    for changed in (content | {"more": 1}, {k: v for k, v in content.items() if k != "size"}):
        with pytest.raises(LyingPeer):
            UpdateManifest.from_bytes(codec.encode(changed))


def test_a_manifest_of_most_chunks_fits_and_one_more_does_not():
    """A manifest stays one raw block: its digest alone must find it."""
    full = UpdateManifest(bytes(32), 1, 1, bytes(20), bytes(16), bytes(32), 1, 0, (s.blob("a"),) * MAX_CHUNKS)
    assert len(full.to_bytes()) <= MAX_MANIFEST_BYTES
    assert UpdateManifest.from_bytes(full.to_bytes()) == full
    with pytest.raises(LyingPeer):
        UpdateManifest.from_bytes(replace(full, chunks=full.chunks + full.chunks[:1]).to_bytes())


# ---- segments --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def transactions():
    return sorted((s.update(k) for k in range(s.N)), key=lambda tx: tx.id)


def test_a_segment_survives_its_bytes(transactions):
    assert unpack_segment(pack_segment([tx.raw for tx in transactions])) == tuple(transactions)


def test_the_order_of_a_segment_is_that_of_ids(transactions):
    raws = [tx.raw for tx in transactions]
    for wrong in (raws[::-1], [*raws, raws[-1]], [raws[0], raws[0]]):
        with pytest.raises(LyingPeer, match="ascending order"):
            unpack_segment(pack_segment(wrong))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.data())
def test_a_changed_segment_is_refused_or_another(transactions, data):
    raw = bytearray(pack_segment([tx.raw for tx in transactions]))
    raw[data.draw(st.integers(0, len(raw) - 1))] ^= data.draw(st.integers(1, 255))
    try:
        found = unpack_segment(bytes(raw))
    except LyingPeer:
        return
    assert pack_segment([tx.raw for tx in found]) == bytes(raw)
    assert found != tuple(transactions)


@pytest.mark.parametrize(
    "content",
    [{}, [], {"transactions": []}, {"transactions": [1]}, {"transactions": [b""]}, {"transactions": {}}, {"other": []}],
)
def test_what_is_no_segment_is_refused(content):
    with pytest.raises(LyingPeer, match="ledger segment"):
        unpack_segment(codec.encode(content))


@given(st.binary(max_size=100))
def test_bytes_that_are_no_segment_raise_nothing_but_lying_peer(raw):
    with pytest.raises(LyingPeer):
        unpack_segment(raw)


# ---- statements ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def honest(played) -> bytes:
    return played.nodes[0].blobs.store.get(raw_cid(played.chain.endings[1].statement))


def test_a_statement_survives_its_bytes(played, honest):
    statement = Statement.from_bytes(honest)
    assert statement.to_bytes() == honest
    assert statement.digest == played.chain.endings[1].statement
    assert json.loads(honest)["_type"] == "https://in-toto.io/Statement/v1"


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.data())
def test_a_changed_statement_is_refused_or_another(honest, data):
    raw = bytearray(honest)
    for _ in range(data.draw(st.integers(1, 2))):
        raw[data.draw(st.integers(0, len(raw) - 1))] ^= data.draw(st.integers(1, 255))
    try:
        assert Statement.from_bytes(bytes(raw)).to_bytes() == bytes(raw)
    except LyingPeer:
        return


@given(st.binary(max_size=200) | st.text(max_size=60).map(lambda t: t.encode("utf-8", "surrogatepass")))
def test_bytes_that_are_no_statement_raise_nothing_but_lying_peer(raw):
    with pytest.raises(LyingPeer):
        Statement.from_bytes(raw)


def altered(honest: bytes, change) -> bytes:
    content = json.loads(honest)
    change(content, content["predicate"])
    return json.dumps(content, sort_keys=True, separators=(",", ":")).encode()


@pytest.mark.parametrize(
    "change",
    [
        lambda c, p: c.update(extra=1),
        lambda c, p: p.update(extra=1),
        lambda c, p: c.update(predicateType="urn:other"),
        lambda c, p: c["subject"].append(c["subject"][0]),
        lambda c, p: c["subject"][0]["digest"].update(sha256="00" * 32),
        lambda c, p: c["subject"][0]["digest"].update(sha512="00"),
        lambda c, p: p.update(seed=p["seed"].upper() + "\n"),
        lambda c, p: p.update(seed="A" * 64),
        lambda c, p: p.update(seed="0" * 64 + "\n"),
        lambda c, p: p.update(leader="0x" + "G" * 40),
        lambda c, p: p.update(segment="bafk/../../etc"),
        lambda c, p: p.update(round=0),
        lambda c, p: p.update(round="1"),
        lambda c, p: p.update(round=1.0),
        lambda c, p: p.update(updates=[]),
        lambda c, p: p["updates"][0].update(weight_ppm=0),
        lambda c, p: p["updates"][0].update(weight_ppm=1_000_001),
        lambda c, p: p.update(openers=list(range(257))),
        lambda c, p: p.pop("seed"),
    ],
)
def test_a_statement_out_of_form_is_refused(honest, change):
    with pytest.raises(LyingPeer):
        Statement.from_bytes(altered(honest, change))


def test_a_statement_that_is_too_long_is_not_parsed():
    with pytest.raises(LyingPeer, match="at most"):
        Statement.from_bytes(bytes(MAX_STATEMENT_BYTES + 1))


def test_white_space_and_key_order_are_part_of_the_form(honest):
    loose = json.dumps(json.loads(honest)).encode()
    with pytest.raises(LyingPeer, match="canonical"):
        Statement.from_bytes(loose)


def test_every_manifest_field_is_documented_by_a_sentence():
    for kind in (UpdateManifest, SumManifest, ShareManifest):
        source = inspect.getsource(kind)
        for field in fields(kind):
            after = source.split(f"    {field.name}: ", 1)[1].split("\n", 2)[1].strip()
            assert after.startswith('"""'), (kind.__name__, field.name)
