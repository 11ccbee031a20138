"""Locks against a second implementation from the specification: hashlib, libsodium and dag-cbor, none of our code."""

from __future__ import annotations

import hashlib

import dag_cbor
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nacl.bindings import crypto_aead_xchacha20poly1305_ietf_decrypt, crypto_aead_xchacha20poly1305_ietf_encrypt

from crypto.errors import BadEnvelope, MalformedBytes
from crypto.locking import UpdateLock, locked_bytes
from crypto.parameters import MINIMAL, STANDARD
from crypto.sealing import chunk_bytes


def derive(key: bytes, label: bytes, *parts: bytes) -> bytes:
    state = hashlib.blake2b(key=key, digest_size=32)
    for part in (label, *parts):
        state.update(len(part).to_bytes(8, "big") + part)
    return state.digest()


def enclose(reveal: bytes, issuer: bytes, epoch: int, number: int, index: int, chunk: bytes) -> bytes:
    """As docs/spec/crypto.md says, "Envelopes and locks"."""
    key = derive(reveal, b"update lock", issuer, number.to_bytes(8, "big"))
    binding = dag_cbor.encode({"epoch": epoch, "issuer": issuer, "kind": f"update/{index}", "round": number})
    nonce = derive(key, b"envelope nonce", binding, chunk)[:24]
    header = b"MWEN\x01" + nonce
    sealed = crypto_aead_xchacha20poly1305_ietf_encrypt(chunk, header + binding, nonce, derive(key, b"envelope key"))
    return header + sealed


@given(
    reveal=st.binary(min_size=32, max_size=32),
    issuer=st.binary(min_size=20, max_size=20),
    epoch=st.integers(1, 2**40),
    number=st.integers(1, 2**40),
    index=st.integers(0, 2**20),
    chunk=st.binary(max_size=200),
)
def test_both_implementations_lock_alike(reveal, issuer, epoch, number, index, chunk):
    lock = UpdateLock.from_reveal(reveal, issuer, epoch, number)
    locked = lock.lock(index, chunk)
    assert locked == enclose(reveal, issuer, epoch, number, index, chunk)
    assert lock.unlock(index, locked) == chunk
    with pytest.raises(BadEnvelope):
        lock.unlock(index + 1, locked)


@given(st.data())
def test_a_changed_byte_or_length_opens_nothing(data):
    lock = UpdateLock.from_reveal(bytes(32), bytes(20), 1, 1)
    locked = bytearray(lock.lock(0, b"ciphertext"))
    locked[data.draw(st.integers(0, len(locked) - 1))] ^= data.draw(st.integers(1, 255))
    with pytest.raises((BadEnvelope, MalformedBytes)):
        lock.unlock(0, bytes(locked))
    with pytest.raises((BadEnvelope, MalformedBytes)):
        lock.unlock(0, bytes(locked[: data.draw(st.integers(0, len(locked) - 1))]))


def test_a_reveal_of_another_length_is_refused():
    with pytest.raises(MalformedBytes, match="reveal"):
        UpdateLock.from_reveal(bytes(31), bytes(20), 1, 1)


def test_a_lock_is_a_secret_and_adds_45_bytes():
    lock = UpdateLock.from_reveal(b"a secret value of thirty-two byt", bytes(20), 1, 1)
    assert "thirty" not in repr(lock)
    for params in (MINIMAL, STANDARD):
        assert locked_bytes(params) == chunk_bytes(params) + 45


def test_who_knows_the_lock_of_another_round_reads_nothing():
    """The key is bound to the round even where a member revealed the same secret twice."""
    chunk = b"ciphertext of round 1"
    locked = UpdateLock.from_reveal(bytes(32), bytes(20), 1, 1).lock(0, chunk)
    other = derive(bytes(32), b"update lock", bytes(20), (2).to_bytes(8, "big"))
    binding = dag_cbor.encode({"epoch": 1, "issuer": bytes(20), "kind": "update/0", "round": 1})
    with pytest.raises(Exception, match="Decryption failed"):
        crypto_aead_xchacha20poly1305_ietf_decrypt(
            locked[29:], locked[:29] + binding, locked[5:29], derive(other, b"envelope key")
        )
