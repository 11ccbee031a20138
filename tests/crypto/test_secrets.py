"""CRY-8, CRY-9: secrets stay secret, envelopes bind their purpose."""

import ast
import copy
import pickle
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import crypto
from crypto import envelope
from crypto.envelope import Binding
from crypto.errors import BadEnvelope, MalformedBytes, WrongPassword
from crypto.parameters import MINIMAL
from crypto.randomness import Stream, derive, fresh_seed
from crypto.secrets import BoxKey, ContentKey, protect, unprotect
from tests.crypto.support import cached

KEY = ContentKey(b"k" * 32)
BINDING = Binding("share", 3, 9, b"i" * 20)


def secrets_():
    net = cached(MINIMAL, 4, 3)
    return [net.boxes[0], net.dealers[0], net.members[0], net.members[0].content]


@pytest.mark.parametrize("index", range(4))
def test_secrets_cannot_be_shown_pickled_or_copied(index: int):
    secret = secrets_()[index]
    name = type(secret).__name__
    assert repr(secret) == str(secret) == f"{secret}" == f"<{name}: secret>"
    for act in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="secret"):
            act(secret)


def test_public_records_hold_no_secret_type():
    net = cached(MINIMAL, 4, 3)
    public = (net.joint.to_bytes(), net.dealers[0].dealing().header.to_bytes(), net.dealers[0].dealing().public)
    for secret in (net.members[0].content.key, net.members[0].smudge, net.dealers[0].seed, net.boxes[0].private):
        assert not any(secret in record for record in public)


def test_protected_secrets_come_back_with_the_password_only():
    data = protect(b"the secret", "correct horse")
    assert b"the secret" not in data
    assert data != protect(b"the secret", "correct horse")
    assert unprotect(data, "correct horse") == b"the secret"
    with pytest.raises(WrongPassword):
        unprotect(data, "wrong horse")
    with pytest.raises(WrongPassword):
        unprotect(data[:-1] + bytes([data[-1] ^ 1]), "correct horse")


@pytest.mark.parametrize(("at", "value"), [(0, 88), (4, 9), (8, 255), (9, 255), (12, 255), (13, 255), (13, 0)])
def test_hostile_costs_are_refused_before_they_are_paid(at: int, value: int):
    data = bytearray(protect(b"x", "p"))
    data[at] = value
    with pytest.raises((MalformedBytes, WrongPassword)):
        unprotect(bytes(data), "p")
    if at != 8:
        with pytest.raises(MalformedBytes):
            unprotect(bytes(data), "p")


@given(st.binary(max_size=100))
def test_noise_is_no_protected_secret_and_no_envelope(data: bytes):
    with pytest.raises(MalformedBytes):
        unprotect(data, "p")
    with pytest.raises(MalformedBytes):
        envelope.open(KEY, BINDING, data)


def test_box_keys_are_fresh_and_restorable():
    key = BoxKey.generate()
    assert key.public != BoxKey.generate().public
    assert BoxKey.from_secret_bytes(key.secret_bytes()).public == key.public
    with pytest.raises(MalformedBytes):
        BoxKey.from_secret_bytes(b"short")


@given(st.binary(max_size=200))
def test_envelopes_open_and_repeat(plaintext: bytes):
    sealed = envelope.seal(KEY, BINDING, plaintext)
    assert sealed == envelope.seal(KEY, BINDING, plaintext)
    assert len(sealed) == len(plaintext) + envelope.OVERHEAD
    assert envelope.open(KEY, BINDING, sealed) == plaintext


@pytest.mark.parametrize(
    "other",
    [
        Binding("model", 3, 9, b"i" * 20),
        Binding("share", 4, 9, b"i" * 20),
        Binding("share", 3, 8, b"i" * 20),
        Binding("share", 3, 9, b"j" * 20),
        Binding("share", 3, 9, b""),
    ],
)
def test_envelopes_are_bound_to_their_purpose(other: Binding):
    sealed = envelope.seal(KEY, BINDING, b"weights")
    assert sealed[5:29] != envelope.seal(KEY, other, b"weights")[5:29], "another purpose needs another nonce"
    with pytest.raises(BadEnvelope):
        envelope.open(KEY, other, sealed)


@given(st.integers(5, 60), st.integers(1, 255))
def test_an_altered_envelope_does_not_open(at: int, flip: int):
    sealed = bytearray(envelope.seal(KEY, BINDING, b"sixteen bytes ok"))
    sealed[at] ^= flip
    with pytest.raises(BadEnvelope):
        envelope.open(KEY, BINDING, bytes(sealed))
    with pytest.raises(BadEnvelope):
        envelope.open(ContentKey(b"l" * 32), BINDING, envelope.seal(KEY, BINDING, b""))


@pytest.mark.parametrize(
    "fields", [("", 1, 1, b""), ("x" * 65, 1, 1, b""), ("x", -1, 1, b""), ("x", 1, 2**63, b""), ("x", 1, 1, b"short")]
)
def test_bindings_are_checked(fields):
    with pytest.raises(MalformedBytes, match="binding"):
        Binding(*fields)


def test_a_revealed_key_is_bound_to_issuer_and_round():
    keys = {ContentKey.from_reveal(b"r" * 32, issuer * 20, n).key for issuer in (b"a", b"b") for n in (1, 2)}
    assert len(keys) == 4


# ---- randomness ------------------------------------------------------------------------------------------------------


def test_no_module_draws_from_an_insecure_generator():
    """CRY: secrets and masks never come from numpy's, torch's or Python's default generators."""
    for path in Path(crypto.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import | ast.ImportFrom):
                names = {alias.name for alias in node.names} | {getattr(node, "module", "") or ""}
                assert not {"random", "torch", "numpy.random"} & names, path
            if isinstance(node, ast.Attribute):
                assert node.attr != "random", path


def test_streams_repeat_and_purposes_differ():
    assert Stream(b"s" * 32).take(100) == Stream(b"s" * 32).take(100)
    stream = Stream(b"s" * 32)
    assert stream.take(32) != stream.take(32)
    assert fresh_seed() != fresh_seed()
    labels = {
        derive(b"s" * 32, "a", b"b"),
        derive(b"s" * 32, "ab"),
        derive(b"s" * 32, "a", b"", b"b"),
        derive(b"t" * 32, "a", b"b"),
    }
    assert len(labels) == 4


def test_distributions():
    stream, n = Stream(b"d" * 32), 200_000
    ternary = stream.ternary(10 * n)
    assert set(np.unique(ternary)) == {-1, 0, 1}
    for value in (-1, 0, 1):
        assert abs(np.mean(ternary == value) - 1 / 3) < 0.0013, "rejection is what makes it uniform"
    errors = stream.errors(n)
    assert abs(errors.mean()) < 0.05
    assert abs(errors.std() - np.sqrt(10.5)) < 0.05
    assert np.abs(errors).max() <= 21
    smudge = stream.smudging(58, n).astype(float)
    assert np.abs(smudge).max() <= 2.0**59
    assert abs(smudge.mean()) < 2.0**58 / np.sqrt(n) * 5
    assert abs(smudge.std() / 2.0**58 - np.sqrt(4 / 12)) < 0.01
    prime = MINIMAL.primes[0]
    uniform = stream.uniform(prime, n)
    assert int(uniform.max()) < prime
    assert abs(uniform.astype(float).mean() / prime - 0.5) < 0.01
