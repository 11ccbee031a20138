"""What nodes say to each other (DAG-8): one byte form, bounds, and errors that name the field."""

from __future__ import annotations

import random
from dataclasses import fields, replace

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dag import codec
from dag.errors import MalformedMessage
from dag.sync import MAX_MESSAGE_BYTES, is_question
from dag.sync.messages import (
    KINDS,
    MAX_CONTENT_BYTES,
    Announce,
    Answer,
    Frontier,
    Push,
    Range,
    RangeRequest,
    Request,
    parse,
)
from tests.dag.messages import ids, samples

SAMPLES = samples()


@pytest.mark.parametrize("message", SAMPLES, ids=lambda message: f"{message.KIND} {len(message.encode())}")
def test_a_message_reads_back(message):
    raw = message.encode()
    assert len(raw) <= MAX_MESSAGE_BYTES
    assert parse(raw) == message
    assert codec.encode(cbor2.loads(raw)) == raw


def test_every_kind_is_sampled():
    assert {message.KIND for message in SAMPLES} == set(KINDS)


def test_bytes_of_the_format():
    """Worked out by hand from RFC 8949: keys by length, then bytewise; a change here is another version."""
    raw = RangeRequest(7, (b"\x01" * 32,), None).encode()
    assert raw.hex() == (
        "a5"
        "646b696e64" + "6d72616e67652d72657175657374"
        "656166746572" + "81" + "5820" + "01" * 32 + "65756e74696c" + "f6"
        "666e756d626572" + "07"
        "6776657273696f6e" + "01"
    )


@given(st.data())
def test_lists_of_any_ids_read_back(data):
    some = tuple(data.draw(st.lists(st.binary(min_size=32, max_size=32), min_size=1, max_size=20, unique=True)))
    raws = tuple(data.draw(st.lists(st.binary(min_size=1, max_size=200), max_size=8)))
    number = data.draw(st.integers(0, 2**53 - 1))
    for message in (
        Announce(some),
        Request(number, some),
        Answer(number, raws, some),
        Frontier(number + 1 if number < 2**53 - 1 else number, some, reply=bool(number % 2)),
        RangeRequest(number, some, some[0] if number % 2 else None),
        Range(number, raws, more=bool(raws)),
    ):
        assert parse(message.encode()) == message


@pytest.mark.parametrize(
    ("make", "field"),
    [
        (lambda: Announce(()), "ids"),
        (lambda: Announce(ids(1025)), "ids"),
        (lambda: Announce((b"short",)), "ids[0]"),
        (lambda: Announce(ids(1) * 2), "ids"),
        (lambda: Push(()), "transactions"),
        (lambda: Push((b"",)), "transactions[0]"),
        (lambda: Push((bytes(64 * 1024 + 1),)), "transactions[0]"),
        (lambda: Push((bytes(64 * 1024),) * 17), "transactions"),
        (lambda: Push((b"x",) * 1025), "transactions"),
        (lambda: Push(("text",)), "transactions[0]"),
        (lambda: Request(-1, ids(1)), "number"),
        (lambda: Request(True, ids(1)), "number"),
        (lambda: Request(2**53, ids(1)), "number"),
        (lambda: Request(1, ids(257)), "ids"),
        (lambda: Answer(1, (), ids(257)), "absent"),
        (lambda: Frontier(0, ids(1), reply=True), "count"),
        (lambda: Frontier(1, ids(257), reply=True), "tips"),
        (lambda: Frontier(1, ids(1), reply=1), "reply"),
        (lambda: RangeRequest(1, (), None), "after"),
        (lambda: RangeRequest(1, ids(65), None), "after"),
        (lambda: RangeRequest(1, ids(1), b"short"), "until"),
        (lambda: Range(1, (), more=True), "transactions"),
        (lambda: Range(1, (), more=None), "more"),
    ],
)
def test_what_is_out_of_range_is_named(make, field):
    with pytest.raises(MalformedMessage) as caught:
        make()
    assert caught.value.field == field


def as_map(message) -> dict:
    return cbor2.loads(message.encode())


@pytest.mark.parametrize(
    ("content", "field"),
    [
        (as_map(Announce(ids(1))) | {"version": 2}, "version"),
        (as_map(Announce(ids(1))) | {"version": True}, "version"),
        (as_map(Announce(ids(1))) | {"kind": "gossip"}, "kind"),
        (as_map(Announce(ids(1))) | {"kind": 1}, "kind"),
        (as_map(Announce(ids(1))) | {"more": 1}, "more"),
        ({"version": 1, "kind": "announce"}, "ids"),
        (as_map(Announce(ids(1))) | {"ids": {"a": 1}}, "ids"),
        (as_map(Announce(ids(1))) | {"ids": [[1]]}, "ids[0]"),
        ([1, 2], "bytes"),
        ({1: 2}, "bytes"),
    ],
)
def test_bytes_that_are_no_message_are_refused_by_field(content, field):
    with pytest.raises(MalformedMessage) as caught:
        parse(codec.encode(content))
    assert caught.value.field == field


def test_only_one_form_is_read():
    raw = Request(7, ids(1)).encode()
    at = raw.index(b"fnumber") + 7 if b"fnumber" in raw else raw.index(b"number") + 6
    longer = raw[:at] + b"\x18\x07" + raw[at + 1 :]
    for other in (longer, raw + b"\x00", raw[:-1], b""):
        with pytest.raises(MalformedMessage):
            parse(other)


def test_no_message_is_longer_than_the_limit():
    with pytest.raises(MalformedMessage, match="at most"):
        parse(b"\x00" * (MAX_MESSAGE_BYTES + 1))
    assert MAX_CONTENT_BYTES + 1024 * 5 + 256 * 34 + 200 < MAX_MESSAGE_BYTES


@pytest.mark.parametrize("seed", range(4))
def test_mutated_messages_read_as_what_they_say_or_are_refused(seed):
    rng = random.Random(seed)
    small = [message.encode() for message in SAMPLES if len(message.encode()) < 5000]
    read = 0
    for _ in range(1500):
        raw = bytearray(rng.choice(small))
        for _ in range(rng.randint(1, 3)):
            at = rng.randrange(len(raw))
            match rng.randrange(3):
                case 0:
                    raw[at] = rng.randrange(256)
                case 1:
                    del raw[at : at + rng.randint(1, 8)]
                case _:
                    raw[at:at] = rng.choice(
                        [b"\xff", b"\x9f", b"\x5b" + b"\x7f" * 8, b"\xc1", b"\x80", rng.randbytes(4)]
                    )
            if not raw:
                raw = bytearray(b"\x00")
        try:
            message = parse(bytes(raw))
        except MalformedMessage:
            continue
        read += 1
        assert message.encode() == bytes(raw)
    assert read, "some mutations only change an id: they must read as what they say"


def test_which_messages_are_questions():
    asked = {message.KIND for message in SAMPLES if is_question(message.encode())}
    assert asked == {"request", "range-request", "frontier"}
    assert not is_question(Frontier(1, ids(1), reply=False).encode())


def test_fields_cannot_be_changed():
    message = Request(1, ids(1))
    with pytest.raises(AttributeError):
        message.number = 2
    with pytest.raises(MalformedMessage):
        replace(message, number=-1)
    assert [field.name for field in fields(message)] == ["number", "ids"]
