"""What is passed on to one member opens for it alone, and anything else is refused by name."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crypto.errors import MalformedBytes
from crypto.passing import OVERHEAD, pass_on, receive_passed
from crypto.secrets import BoxKey

BOX = BoxKey.from_secret_bytes(bytes(range(32)))


@given(st.binary(max_size=200))
def test_only_the_receiver_opens_it(data):
    blob = pass_on(data, BOX.public)
    assert len(blob) == len(data) + OVERHEAD
    assert receive_passed(blob, BOX) == data
    with pytest.raises(MalformedBytes, match="not sealed to this hospital"):
        receive_passed(blob, BoxKey.generate())


@given(st.binary(max_size=120))
def test_other_bytes_are_refused(blob):
    with pytest.raises(MalformedBytes, match="passed"):
        receive_passed(blob, BOX)


def test_a_changed_byte_is_noticed():
    blob = bytearray(pass_on(b"a model", BOX.public))
    for at in range(len(blob)):
        changed = bytes(blob[:at]) + bytes([blob[at] ^ 1]) + bytes(blob[at + 1 :])
        with pytest.raises(MalformedBytes):
            receive_passed(changed, BOX)


@pytest.mark.parametrize("key", [b"", bytes(31), bytes(32), bytes(33)])
def test_keys_that_take_nothing_are_refused(key):
    with pytest.raises(MalformedBytes, match="boxKey"):
        pass_on(b"a model", key)
