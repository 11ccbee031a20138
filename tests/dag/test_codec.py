"""The canonical form refuses what equals a value of its own and has other bytes."""

import pytest

from dag import codec
from dag.errors import MalformedTransaction

ONE = {"v": 1}


@pytest.mark.parametrize(
    ("name", "written"),
    [("simple value 1", "e1"), ("1.0 in two bytes", "f93c00"), ("undefined", "f7"), ("a list of a float", "81f93c00")],
)
def test_a_value_of_another_kind_is_refused(name, written):
    """DAG-1: `e1` and `f93c00` decode to what Python takes for 1."""
    raw = bytes.fromhex("a16176") + bytes.fromhex(written)
    with pytest.raises(MalformedTransaction, match="not DAG-CBOR"):
        codec.decode(raw, 64)
    assert codec.decode(codec.encode(ONE), 64) == ONE


def test_a_key_is_a_text():
    with pytest.raises(MalformedTransaction, match="a map's key is a bytes, not a text"):
        codec.decode(bytes.fromhex("a1416101"), 64)


def test_every_kind_of_the_form_comes_back():
    value = {"a": None, "b": True, "c": -5, "d": b"x", "e": "text", "f": [1, [2]], "g": {"h": codec.link(bytes(36))}}
    assert codec.decode(codec.encode(value), 256) == value
