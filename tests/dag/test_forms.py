"""The patterns of canonical bytes accept exactly what the general decoder accepts, and mean the same."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dag import codec
from dag.bodies import Kind
from dag.errors import LedgerError
from dag.forms import read_frame
from dag.transaction import Transaction, Unsigned, signing_digest
from tests.dag.support import CONSORTIUM, post, sample_body
from tests.dag.test_transaction import BODY_STRATEGY, CIDS, digests

FRAMED = [Kind.UPDATE, Kind.ACKNOWLEDGEMENT, Kind.SHARE, Kind.CHECKPOINT]
PARENTS = (b"1" * 32, b"2" * 32)


def by_the_general_decoder(raw: bytes) -> Transaction:
    transaction = Transaction._of_map(raw)
    transaction.__dict__["raw"] = raw
    return transaction


@given(
    body=BODY_STRATEGY,
    numbers=st.tuples(*[st.integers(1, 2**53 - 1) | st.sampled_from([1, 23, 24, 255, 256, 2**16, 2**32])] * 3),
    payload=CIDS,
    nonce=st.none() | digests(8),
    seed=st.integers(0, 2**32),
)
@settings(max_examples=150, deadline=None)
def test_patterns_and_decoder_agree(body, numbers, payload, nonce, seed):
    """DAG-1: one canonical form, whichever way it is read."""
    payload = payload if body.carries_payload else None
    good = post(PARENTS, body, payload=payload, epoch=numbers[0], round=numbers[1], sequence=numbers[2], nonce=nonce)
    assert (read_frame(good.raw) is not None) == (body.kind in FRAMED)
    assert Transaction.decode(good.raw) == by_the_general_decoder(good.raw) == good
    rng = random.Random(seed)
    for _ in range(20):
        changed = mutated(good.raw, rng)
        assert outcome(Transaction.decode, changed) == outcome(by_the_general_decoder, changed)


def mutated(raw: bytes, rng: random.Random) -> bytes:
    changed = bytearray(raw)
    at = rng.randrange(len(changed))
    match rng.randrange(4):
        case 0:
            changed[at] ^= 1 << rng.randrange(8)
        case 1:
            changed[at] = rng.choice((0, 0x17, 0x18, 0x19, 0x1A, 0x1B, 0xF6, 0xFF))
        case 2:
            del changed[at : at + rng.randrange(1, 4)]
        case _:
            changed[at:at] = rng.randbytes(rng.randrange(1, 4))
    return bytes(changed)


def outcome(decode, raw: bytes):
    try:
        return decode(raw)
    except LedgerError:
        return "refused"


@pytest.mark.parametrize("width", [b"\x18\x05", b"\x19\x00\x05", b"\x1a\x00\x00\x00\x05", b"\x1b" + bytes(7) + b"\x05"])
def test_wider_integers_match_no_pattern(width):
    raw = post(PARENTS, sample_body(Kind.UPDATE), sequence=5).raw
    assert read_frame(raw) is not None
    assert read_frame(raw.replace(b"hsequence\x05", b"hsequence" + width)) is None


@pytest.mark.parametrize("kind", [kind for kind in Kind if kind is not Kind.GENESIS])
@pytest.mark.parametrize("nonce", [None, b"nonce of"])
def test_the_digest_cut_out_of_the_bytes_is_the_one_that_was_signed(kind, nonce):
    signed = post(PARENTS, sample_body(kind), sequence=300, nonce=nonce)
    decoded = Transaction.decode(signed.raw)
    names = ("kind", "consortium", "epoch", "round", "sequence", "parents", "payload", "body")
    unsigned = Unsigned(*(getattr(signed, name) for name in names), nonce=nonce)
    assert signing_digest(decoded) == signing_digest(unsigned)
    assert codec.decode(signed.raw, 2**16).keys() - {"signature"} == unsigned.to_map().keys()
    assert decoded.consortium == CONSORTIUM
    assert decoded.issuer == post(PARENTS, sample_body(kind)).issuer
