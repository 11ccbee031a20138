"""CRY-8: bytes from outside either parse to the same value or raise a typed error; nothing else happens."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crypto.ceremony import DealingHeader
from crypto.errors import CryptoError, MalformedBytes, OpeningFailed, WrongParameters
from crypto.keys import MemberKey
from crypto.parameters import MINIMAL, STANDARD
from crypto.seal_bytes import read_container, read_message, write_container, write_message
from crypto.sealing import add, read_chunk, verify_chunk
from crypto.wire import decode_record
from tests.crypto import fuzzing
from tests.crypto.support import cached, values

QUICK, MANY = 60, 1200
"""Mutations of each record: every time, and in ``make test-slow`` (more than 10,000 in all)."""

NAMES = tuple(fuzzing.doors(cached(MINIMAL, 4, 3)))


@pytest.mark.parametrize("name", NAMES)
def test_mutations_parse_or_raise_a_typed_error(name: str):
    tally = fuzzing.run(fuzzing.doors(cached(MINIMAL, 4, 3))[name], QUICK, name)
    assert tally.refused + tally.accepted == QUICK
    assert tally.refused > 0


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_many_mutations_in_processes_of_bounded_memory():
    found = dict(fuzzing.everything(MANY, 1))
    assert {name: error for name, error in found.items() if isinstance(error, BaseException)} == {}
    assert sum(tally.refused + tally.accepted for tally in found.values()) >= 10_000
    assert max(tally.slowest for tally in found.values()) < fuzzing.SLOWEST


def test_the_fuzzer_finds_what_it_looks_for():
    """A parser that accepts too much, and one that breaks, are both found."""
    careless = fuzzing.Door(b"0" * 50, lambda data: data[:10].ljust(50, b"0"))
    with pytest.raises(fuzzing.ReadAsSomethingElse):
        fuzzing.run(careless, 100, "careless")
    broken = fuzzing.Door(b"0" * 50, lambda data: data[49:50] * data.index(b"0000", 40))
    with pytest.raises(ValueError, match="not found"):
        fuzzing.run(broken, 100, "broken")


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


@pytest.mark.parametrize("place", [0, 1, 2, 20])
@pytest.mark.parametrize("harm", ["coefficient", "length", "header"])
def test_every_summand_is_checked(place: int, harm: str):
    """Also those whose header is the first one's again, and those beyond the sixteenth."""
    chunks = [next(cached(MINIMAL, 4, 3).sealer.seal(values(1, 20, 9)))] * 21
    bad = bytearray(chunks[place])
    if harm == "coefficient":
        bad[-8:] = MINIMAL.chunk_primes[1].to_bytes(8, "little")
    elif harm == "length":
        del bad[-8:]
    else:
        bad[32] = 1
    add(chunks, MINIMAL)
    chunks[place] = bytes(bad)
    with pytest.raises(MalformedBytes):
        add(chunks, MINIMAL)


def test_reserved_bytes_of_a_members_key_are_zero():
    """Else two files hold the same key."""
    good = cached(MINIMAL, 4, 3).members[0].secret_bytes()
    assert good[5:7] == bytes(2)
    with pytest.raises(MalformedBytes) as caught:
        MemberKey.from_secret_bytes(good[:5] + b"\x01" + good[6:], allow_minimal=True)
    assert caught.value.field == "memberKey.reserved"


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
