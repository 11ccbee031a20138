"""Messages between nodes: round trips, bounds, and nothing but typed errors on anything else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dag import codec
from dag.errors import MalformedTransaction
from node.publishing.wire import (
    MAX_BATCH,
    MAX_IDS,
    MAX_MESSAGE_BYTES,
    pack_ids,
    pack_transactions,
    unpack_ids,
    unpack_transactions,
)

IDS = st.lists(st.binary(min_size=32, max_size=32), max_size=20)
RAWS = st.lists(st.binary(max_size=200), max_size=20)


@given(IDS)
def test_ids_survive_the_way(ids):
    assert unpack_ids(pack_ids(ids)) == tuple(ids)


@given(RAWS)
def test_transactions_survive_the_way(raws):
    assert unpack_transactions(pack_transactions(raws)) == tuple(raws)


@given(st.binary(max_size=300))
def test_other_bytes_raise_nothing_but_the_typed_error(message):
    for unpack in (unpack_ids, unpack_transactions):
        try:
            unpack(message)
        except MalformedTransaction:
            continue


@given(RAWS, st.data())
def test_one_changed_byte_is_refused_or_read_as_another_list(raws, data):
    message = bytearray(pack_transactions(raws))
    at = data.draw(st.integers(0, len(message) - 1))
    message[at] ^= data.draw(st.integers(1, 255))
    try:
        assert pack_transactions(unpack_transactions(bytes(message))) == bytes(message)
    except MalformedTransaction:
        return


@pytest.mark.parametrize(
    ("unpack", "content"),
    [
        (unpack_ids, {"ids": [bytes(31)]}),
        (unpack_ids, {"ids": ["x" * 32]}),
        (unpack_ids, {"ids": [bytes(32)] * (MAX_IDS + 1)}),
        (unpack_ids, {"ids": {}}),
        (unpack_ids, {"transactions": []}),
        (unpack_ids, {"ids": [], "more": 1}),
        (unpack_ids, []),
        (unpack_transactions, {"transactions": ["text"]}),
        (unpack_transactions, {"transactions": [b""] * (MAX_BATCH + 1)}),
        (unpack_transactions, {"transactions": None}),
        (unpack_transactions, {"ids": []}),
    ],
)
def test_a_wrong_shape_is_refused(unpack, content):
    with pytest.raises(MalformedTransaction):
        unpack(codec.encode(content))


def test_a_message_longer_than_the_limit_is_not_even_parsed():
    with pytest.raises(MalformedTransaction, match="at most"):
        unpack_transactions(bytes(MAX_MESSAGE_BYTES + 1))


def test_a_full_batch_of_the_longest_transactions_fits():
    assert len(unpack_transactions(pack_transactions([bytes(64 * 1024)] * MAX_BATCH))) == MAX_BATCH
    assert len(unpack_ids(pack_ids([bytes(32)] * MAX_IDS))) == MAX_IDS
