"""The canonical bytes against an encoder written by hand from the specification."""

from dataclasses import fields

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from multiformats import CID

from dag.bodies import Kind
from dag.transaction import Transaction
from tests.dag import plain_cbor
from tests.dag.support import post
from tests.dag.test_transaction import BODY_STRATEGY, PARENTS, digests, golden


def by_hand(transaction: Transaction) -> bytes:
    """The transaction from its attributes alone, by an encoder that was written for this test."""
    body = {field.name: getattr(transaction.body, field.name) for field in fields(transaction.body)}
    if "sums" in body:
        body["sums"] = [plain_cbor.Cid(bytes(CID.decode(cid))) for cid in body["sums"]]
    for name in ("alignment_ppm", "descent_ppm"):
        if body.get(name) == ():
            del body[name]  # a verdict that states none has the bytes it always had
    nonce = {} if transaction.nonce is None else {"nonce": transaction.nonce}
    payload = None if transaction.payload is None else plain_cbor.Cid(bytes(CID.decode(transaction.payload)))
    return plain_cbor.encode(
        {
            "format": 1,
            "kind": str(transaction.kind),
            "consortium": transaction.consortium,
            "epoch": transaction.epoch,
            "round": transaction.round,
            "sequence": transaction.sequence,
            "parents": [plain_cbor.Cid(b"\x01\x71\x12\x20" + parent) for parent in transaction.parents],
            "payload": payload,
            "body": body,
            "signature": transaction.signature,
        }
        | nonce
    )


@pytest.mark.parametrize("name", list(Kind))
def test_an_encoder_written_by_hand_agrees(name):
    """DAG-1: golden vectors, checked from the specification alone."""
    raw = bytes.fromhex(golden()[name]["bytes"])
    assert by_hand(Transaction.decode(raw)) == raw


@given(body=BODY_STRATEGY, sequence=st.integers(0, 2**53 - 1), nonce=st.none() | digests(8))
@settings(max_examples=60, deadline=None)
def test_an_encoder_written_by_hand_agrees_on_anything(body, sequence, nonce):
    signed = post(PARENTS, body, sequence=sequence, nonce=nonce)
    assert by_hand(signed) == signed.raw
    assert Transaction.decode(signed.raw) == signed
