"""CRY-8: bytes from outside either parse to the same value or raise a typed error; nothing else happens."""

import random
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crypto.ceremony import DealingHeader, receive
from crypto.errors import CryptoError, MalformedBytes, OpeningFailed, WrongParameters
from crypto.keys import JointKey, MemberKey
from crypto.layout import Layout, TensorSpec
from crypto.opening import combine
from crypto.parameters import MINIMAL, STANDARD
from crypto.seal_bytes import read_container, read_message, write_container, write_message
from crypto.sealing import read_chunk, verify_chunk
from crypto.wire import decode_record
from tests.crypto.support import Network, cached, values

ROUNDS = 300
"""Mutations a parser; each is drawn from a seeded generator, so a failure repeats."""


def mutate(data: bytes, rng: random.Random) -> bytes:
    """Flip, cut, extend, overwrite or repeat a few bytes, mostly near the header."""
    out = bytearray(data)
    at = rng.randrange(min(len(out), 120)) if rng.random() < 0.7 else rng.randrange(len(out))
    match rng.randrange(5):
        case 0:
            out[at] ^= 1 << rng.randrange(8)
        case 1:
            del out[at : at + rng.randrange(1, 20)]
        case 2:
            out[at:at] = rng.randbytes(rng.randrange(1, 20))
        case 3:
            out[at : at + 8] = rng.choice([bytes(8), b"\xff" * 8, rng.randbytes(8)])
        case _:
            return bytes(out[: rng.randrange(len(out))])
    return bytes(out)


def parsers(net: Network) -> dict[str, tuple[bytes, Callable[[bytes], object]]]:
    chunk = next(net.sealer.seal(values(1, 20, 9)))
    partials = net.partials(chunk, (0, 1, 2))
    dealing = net.dealers[1].dealing()
    layout = Layout((TensorSpec("a", (3, 4), "0.5"), TensorSpec("b", (), "2")))

    def opened(data: bytes) -> object:
        return combine(chunk, {**partials, 1: data}, MINIMAL, 4)

    def received(which: str) -> Callable[[bytes], object]:
        def parse(data: bytes) -> object:
            blobs = {"public": dealing.public, "share": dealing.shares[0]} | {which: data}
            return receive(
                dealing.header,
                blobs["public"],
                blobs["share"],
                net.boxes[0],
                terms=net.terms,
                commitment=net.dealers[1].commitment,
                dealer=1,
                receiver=0,
            )

        return parse

    return {
        "chunk": (chunk, lambda d: verify_chunk(d, MINIMAL, 1)),
        "partial": (partials[1], opened),
        "joint key": (
            net.joint.to_bytes(),
            lambda d: JointKey.from_bytes(d, allow_minimal=True).to_bytes() == d or 1 / 0,
        ),
        "member key": (net.members[0].secret_bytes(), lambda d: MemberKey.from_secret_bytes(d, allow_minimal=True)),
        "header": (dealing.header.to_bytes(), lambda d: DealingHeader.from_bytes(d).to_bytes() == d or 1 / 0),
        "public share": (dealing.public, received("public")),
        "sealed share": (dealing.shares[0], received("share")),
        "layout": (layout.to_bytes(), lambda d: Layout.from_bytes(d).to_bytes() == d or 1 / 0),
    }


NAMES = ("chunk", "partial", "joint key", "member key", "header", "public share", "sealed share", "layout")


@pytest.mark.parametrize("name", NAMES)
def test_mutations_parse_or_raise_a_typed_error(name: str):
    data, parse = parsers(cached(MINIMAL, 4, 3))[name]
    parse(data)
    rng = random.Random(name)
    refused = 0
    for _ in range(ROUNDS):
        try:
            parse(mutate(data, rng))
        except CryptoError:
            refused += 1
    assert refused > ROUNDS // 4


@pytest.mark.parametrize(
    ("at", "data", "field"),
    [
        (0, b"X", "chunk.magic"),
        (4, b"\x02", "chunk.version"),
        (5, b"\x01", "chunk.reserved"),
        (6, b"\x00\x00", "chunk.terms"),
        (6, b"\x41\x00", "chunk.terms"),
        (8, bytes(16), "chunk.parameters"),
        (24, bytes(8), "chunk.epoch"),
        (24, b"\xff" * 8, "chunk.epoch"),
        (32, b"\xff" * 4, "chunk.index"),
        (36, bytes(4), "chunk.values"),
        (36, b"\xff" * 4, "chunk.values"),
        (40, MINIMAL.primes[0].to_bytes(8, "little"), "chunk.coefficients"),
        (40 + 8 * 4096, b"\xff" * 8, "chunk.coefficients"),
    ],
)
def test_the_error_names_the_field(at: int, data: bytes, field: str):
    chunk = bytearray(next(cached(MINIMAL, 4, 3).sealer.seal(values(1, 20, 9))))
    chunk[at : at + len(data)] = data
    with pytest.raises(MalformedBytes) as caught:
        read_chunk(bytes(chunk), MINIMAL)
    assert caught.value.field == field


def test_another_parameter_set_is_named():
    chunk = next(cached(MINIMAL, 4, 3).sealer.seal(values(1, 20, 9)))
    with pytest.raises(WrongParameters, match="standard"):
        verify_chunk(chunk, STANDARD, 1)


def test_an_update_out_of_range_does_not_open_as_something_else():
    """A crafted ciphertext whose plaintext is no packing is refused, not misread."""
    net = cached(MINIMAL, 4, 3)
    chunk = bytearray(next(net.sealer.seal(np.zeros(4, np.int64))))
    half = MINIMAL.chunk_modulus // 2  # half a modulus: the largest plaintext, whose fields overflow
    for row, prime in enumerate(MINIMAL.chunk_primes):
        at = 40 + 8 * 4096 * row
        value = (int.from_bytes(chunk[at : at + 8], "little") + half) % prime
        chunk[at : at + 8] = value.to_bytes(8, "little")
    with pytest.raises(OpeningFailed):
        net.open(bytes(chunk), (0, 1, 2))


@pytest.mark.parametrize(
    "data", [b"\xa1aa\x18\x01", b"\xa1xa\x01", b"\xbfaa\x01\xff", b"\xa1aa\x01\x00", b"\xa2aa\x01aa\x01"]
)
def test_only_the_canonical_form_is_read(data: bytes):
    assert decode_record(b"\xa1aa\x01", frozenset({"a"}), "record") == {"a": 1}
    with pytest.raises(MalformedBytes):
        decode_record(data, frozenset({"a"}), "record")


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_cbor_noise_is_refused(data: bytes):
    with pytest.raises(MalformedBytes):
        decode_record(data, frozenset({"a"}), "record")


@pytest.mark.parametrize(
    "data",
    [
        b"\x9b" + b"\xff" * 8,
        b"\x81" * 60_000,
        b"\xbf" * 5000,
        b"\xa1\x61a\xfb" + bytes(8),
        b"\xc1" * 1000,
        b"\x5b\x7f" + b"\xff" * 7,
        bytes(1 << 17),
    ],
    ids=["huge array", "deep", "open maps", "float map", "tags", "huge string", "too long"],
)
def test_cbor_bombs_are_refused(data: bytes):
    with pytest.raises(MalformedBytes):
        DealingHeader.from_bytes(data)


@given(st.binary(max_size=60))
def test_containers_and_messages_are_read_strictly(data: bytes):
    assert read_container(write_container(data)) == data
    try:
        fields = read_message(data)
    except CryptoError:
        return
    assert read_message(write_message(fields)) == fields or any(f.wire not in {0, 1, 2} for f in fields)
