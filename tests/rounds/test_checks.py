"""What a node checks of an update's locked ciphertexts before its ledger takes the transaction (DAG-3)."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import pytest

from crypto.errors import CryptoError
from dag.transaction import Unsigned, address_of, sign
from node.errors import LyingPeer
from node.rounds.checks import MAX_ROUNDS, UpdateChecks
from node.rounds.records import UpdateManifest
from node.storage import BlobUnavailable, MemoryStore, blob_cid


@pytest.fixture
def blobs(node):
    """A copy of a member's store, free to be spoilt."""
    store = MemoryStore()
    for cid in node.blobs.store.iterate():
        store.put(node.blobs.store.get(cid))
    return store


class Source:
    """Blobs of one store; notes what is asked for, and of whom first."""

    def __init__(self, store):
        self.store, self.asked = store, []

    def obtain(self, cid, first=None):
        self.asked.append((cid, first))
        if not self.store.has(cid):
            raise BlobUnavailable(cid, ())
        return self.store.get(cid)

    def obtain_all(self, cids, first=None, look=None):
        for cid in cids:
            look(self.obtain(cid, first))


@pytest.fixture
def checks(blobs, ports, state):
    size = UpdateManifest.from_bytes(blobs.get(state.updates[0].manifest)).size
    return UpdateChecks(Source(blobs), lambda _epoch: ports.keys.joint, lambda _round: size)


@pytest.fixture
def updates(ports, state):
    return [ports.ledger.get(update.id) for update in state.updates]


def changed(update, blobs, key=None, **fields):
    """The update's transaction with another manifest behind it; signed by nobody in particular."""
    manifest = replace(UpdateManifest.from_bytes(blobs.get(update.payload)), **fields)
    cid = blobs.put(manifest.to_bytes())
    names = ("kind", "consortium", "epoch", "round", "sequence", "parents")
    unsigned = Unsigned(*(getattr(update, name) for name in names), cid, update.body)
    return sign(unsigned, key or hashlib.sha256(b"somebody").digest())


STRANGER = hashlib.sha256(b"stranger").digest()


def by_stranger(update, blobs, **fields):
    """A transaction whose manifest says so honestly: its issuer is its signer."""
    return changed(update, blobs, STRANGER, issuer=address_of(STRANGER), **fields)


def test_honest_updates_pass_as_often_as_they_come(checks, updates):
    for update in updates * 2:
        checks.check(update, None)


def test_everything_is_in_the_store_afterwards(node, ports, state, updates):
    """The peer that sent it is asked first; manifest and chunks are asked for by name."""
    source = Source(node.blobs.store)
    size = UpdateManifest.from_bytes(node.blobs.store.get(updates[0].payload)).size
    UpdateChecks(source, lambda _: ports.keys.joint, lambda _: size).check(updates[0], "http://sender")
    manifest = UpdateManifest.from_bytes(node.blobs.store.get(updates[0].payload))
    assert source.asked == [(cid, "http://sender") for cid in (updates[0].payload, *manifest.chunks)]


@pytest.mark.parametrize(
    "fields",
    [
        {"consortium": bytes(32)},
        {"epoch": 2},
        {"round": 2},
        {"issuer": bytes(20)},
        {"parameter_set": bytes(16)},
        {"layout": bytes(32)},
        {"size": 1},
    ],
    ids=lambda fields: next(iter(fields)),
)
def test_a_manifest_that_contradicts_its_transaction_is_refused(checks, updates, blobs, fields):
    honest = {"issuer": address_of(STRANGER)}
    (name,) = fields
    with pytest.raises(LyingPeer, match=f"says another {name}") as caught:
        checks.check(changed(updates[0], blobs, STRANGER, **(honest | fields)), None)
    assert set(caught.value.evidence) == {"transaction", "manifest"}


@pytest.mark.parametrize("how", ["fewer", "more", "twice"])
def test_the_chunks_are_as_many_different_ones_as_the_model_needs(checks, updates, blobs, how):
    chunks = UpdateManifest.from_bytes(blobs.get(updates[0].payload)).chunks
    spare = UpdateManifest.from_bytes(blobs.get(updates[1].payload)).chunks[0]
    false = {"fewer": chunks[:-1], "more": (*chunks, spare), "twice": (chunks[0],) * len(chunks)}[how]
    with pytest.raises(LyingPeer, match="chunks, expected"):
        checks.check(by_stranger(updates[0], blobs, chunks=false), None)


def test_anothers_ciphertext_is_not_posted_again(checks, updates, blobs):
    """It would count that hospital twice."""
    checks.check(updates[0], None)
    chunks = UpdateManifest.from_bytes(blobs.get(updates[0].payload)).chunks
    with pytest.raises(LyingPeer, match="re-posts a ciphertext") as caught:
        checks.check(by_stranger(updates[1], blobs, chunks=chunks), None)
    assert caught.value.evidence["chunk"] == chunks[0]


def test_one_ciphertext_of_anothers_is_enough(checks, updates, blobs):
    checks.check(updates[0], None)
    stolen = UpdateManifest.from_bytes(blobs.get(updates[0].payload)).chunks
    own = UpdateManifest.from_bytes(blobs.get(updates[1].payload)).chunks
    assert len(own) > 1
    with pytest.raises(LyingPeer, match="re-posts"):
        checks.check(by_stranger(updates[1], blobs, chunks=(*own[:-1], stolen[-1])), None)


def test_what_was_refused_claims_nothing(checks, updates, blobs):
    """A thief whose update falls for another reason must not keep the victim's own update out."""
    chunks = UpdateManifest.from_bytes(blobs.get(updates[0].payload)).chunks
    bad = blobs.put(b"no ciphertext")
    with pytest.raises(CryptoError):
        checks.check(by_stranger(updates[0], blobs, chunks=(*chunks[:-1], bad)), None)
    checks.check(updates[0], None)


@pytest.mark.parametrize("how", ["empty", "cut", "magic", "long"])
def test_what_has_not_the_form_of_a_locked_chunk_is_refused_by_a_typed_error(checks, updates, blobs, how):
    chunks = UpdateManifest.from_bytes(blobs.get(updates[0].payload)).chunks
    data = blobs.get(chunks[0])
    damaged = {
        "empty": b"",
        "cut": data[:-1],
        "magic": b"X" + data[1:],
        "long": data + b"\0",
    }[how]
    update = by_stranger(updates[0], blobs, chunks=(blobs.put(damaged), *chunks[1:]))
    with pytest.raises(CryptoError):
        checks.check(update, None)


@pytest.mark.parametrize("data", [b"", b"\xa0", b"no manifest", b"\xff" * 50])
def test_a_payload_that_is_no_manifest_is_refused(checks, updates, blobs, data):
    names = ("kind", "consortium", "epoch", "round", "sequence", "parents")
    unsigned = Unsigned(*(getattr(updates[0], name) for name in names), blobs.put(data), updates[0].body)
    with pytest.raises(LyingPeer, match="manifest"):
        checks.check(sign(unsigned, STRANGER), None)


@pytest.mark.parametrize("which", ["manifest", "chunk"])
def test_what_cannot_be_had_yet_is_no_lie(checks, updates, blobs, which):
    chunks = UpdateManifest.from_bytes(blobs.get(updates[0].payload)).chunks
    gone = updates[0].payload if which == "manifest" else chunks[-1]
    data = blobs.get(gone)
    blobs.delete(gone)
    with pytest.raises(BlobUnavailable):
        checks.check(updates[0], None)
    assert blob_cid(data) == blobs.put(data)
    checks.check(updates[0], None)


def test_an_update_without_payload_is_refused(checks, updates):
    class Bare:
        id, payload = updates[0].id, None

    with pytest.raises(LyingPeer, match="no payload"):
        checks.check(Bare, None)


def test_owners_are_remembered_for_a_few_rounds(blobs, ports, updates):
    size = UpdateManifest.from_bytes(blobs.get(updates[0].payload)).size
    checks = UpdateChecks(Source(blobs), lambda _: ports.keys.joint, lambda _: size)
    for number in range(1, MAX_ROUNDS + 4):
        where = replace(updates[0], round=number, signature=updates[0].signature)
        manifest = replace(UpdateManifest.from_bytes(blobs.get(updates[0].payload)), round=number, issuer=where.issuer)
        checks._claim(where, manifest, keep=True)
    assert len(checks._owners) <= MAX_ROUNDS
    assert max(checks._owners) == MAX_ROUNDS + 3
