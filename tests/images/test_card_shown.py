"""A card that somebody shows is the one its digest names, or refused by the name of a field."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.images.card import DataCard, data_card
from node.images.errors import BadCard
from node.images.phantom import generate
from node.images.shown import MAX_CARD_BYTES, card_from_bytes, card_from_json

CARD = data_card(generate(8, 32, 0))
FIELDS = cbor2.loads(CARD.to_bytes())


def encoded(**changed: object) -> bytes:
    fields = {**FIELDS, **changed}
    return cbor2.dumps({name: value for name, value in fields.items() if value is not ...}, canonical=True)


cards = st.builds(
    DataCard,
    classes=st.dictionaries(st.text(max_size=9), st.integers(10, 2**20), min_size=2, max_size=5).map(
        lambda counts: tuple(counts.items())
    ),
    patients=st.integers(1, 20),
    height=st.integers(8, 4096),
    width=st.integers(8, 4096),
    mean_ppm=st.integers(0, 10**6),
    deviation_ppm=st.integers(0, 10**6),
    content=st.binary(min_size=32, max_size=32),
    synthetic=st.booleans(),
    cropped=st.sampled_from(["", "5f" * 32]),
)


@given(card=cards)
def test_what_is_shown_is_read_again(card):
    assert card_from_bytes(card.to_bytes()) == card
    assert hashlib.sha256(card.to_bytes()).digest() == card.digest
    assert card_from_json(json.dumps(card.to_json()).encode()) == card
    both = {"train": card.to_json(), "test": CARD.to_json()}
    assert card_from_json(json.dumps(both).encode()) == card
    assert card_from_json(json.dumps(both).encode(), "test") == CARD


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"patients": 0}, "patients"),
        ({"patients": 9}, "patients"),
        ({"patients": True}, "patients"),
        ({"height": 7}, "height"),
        ({"width": 4097}, "width"),
        ({"mean_ppm": -1}, "mean_ppm"),
        ({"deviation_ppm": 10**6 + 1}, "deviation_ppm"),
        ({"version": 2}, "version"),
        ({"content": bytes(31)}, "content"),
        ({"content": "ab" * 16}, "content"),
        ({"synthetic": 1}, "synthetic"),
        ({"cropped": ""}, "cropped"),
        ({"cropped": "5F" * 32}, "cropped"),
        ({"classes": [["one", 8]]}, "classes"),
        ({"classes": [["one", 4], ["one", 4]]}, "classes"),
        ({"classes": [["one", 4], ["two", -1]]}, "classes, two"),
        ({"classes": [["one", 4], ["two"]]}, "classes"),
        ({"classes": [["one", 4], "two"]}, "classes"),
        ({"classes": [["one", 0], ["two", 0]]}, "images"),
        ({"classes": {"one": 4, "two": 4}}, "classes"),
        ({"classes": ...}, "fields"),
        ({"more": 1}, "fields"),
    ],
)
def test_a_wrong_field_is_named(changed, named):
    with pytest.raises(BadCard, match=named):
        card_from_bytes(encoded(**changed))


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"images": 9}, "images"),
        ({"digest": "00" * 32}, "digest"),
        ({"content": "00" * 32}, "digest"),
        ({"content": "x" * 64}, "content"),
        ({"mean": 1.5}, "mean"),
        ({"mean": float("nan")}, "mean"),
        ({"deviation": "0"}, "deviation"),
        ({"size": [32]}, "size"),
        ({"classes": []}, "classes"),
        ({"more": 1}, "fields"),
    ],
)
def test_a_wrong_field_of_a_file_is_named(changed, named):
    with pytest.raises(BadCard, match=named):
        card_from_json(json.dumps({**CARD.to_json(), **changed}).encode())


def test_what_is_no_card_is_refused():
    for data in (b"", b"\xa0", cbor2.dumps([1]), b"\x9f" * 400, CARD.to_bytes() + b"\0", bytes(MAX_CARD_BYTES + 1)):
        with pytest.raises(BadCard):
            card_from_bytes(data)
    for text in (b"", b"[]", b"null", b"{}", b'{"train": 1}', b"\xff", b"[" * 600, b" " * (MAX_CARD_BYTES + 1)):
        with pytest.raises(BadCard):
            card_from_json(text)


@given(data=st.binary(max_size=200))
def test_hostile_bytes_do_not_crash_it(data):
    for read in (card_from_bytes, card_from_json):
        with pytest.raises(BadCard):
            read(data)


@given(at=st.integers(0, len(CARD.to_bytes()) - 1), bit=st.integers(0, 7))
def test_a_flipped_bit_is_another_card_or_none(at, bit):
    data = bytearray(CARD.to_bytes())
    data[at] ^= 1 << bit
    try:
        assert card_from_bytes(bytes(data)).digest != CARD.digest
    except BadCard:
        return


def test_a_card_of_cropped_slices_differs():
    cropped = replace(CARD, cropped="5f" * 32)
    assert card_from_bytes(cropped.to_bytes()).digest != CARD.digest
