"""Keys at rest: readable with the password only, and no file makes a node work itself to death."""

from __future__ import annotations

import json
from typing import Any

import pytest
from eth_account import Account
from hypothesis import given, settings
from hypothesis import strategies as st

from chain.errors import BadKeystore
from chain.keystore import create, unlock

ACCOUNT, TEXT = create("correct horse")


def test_round_trip() -> None:
    assert unlock(TEXT, "correct horse").key == ACCOUNT.key
    assert unlock(TEXT.encode(), "correct horse").address == ACCOUNT.address


def test_the_key_is_not_in_the_file() -> None:
    assert ACCOUNT.key.hex().removeprefix("0x") not in TEXT
    assert "correct horse" not in TEXT


def test_every_key_is_new() -> None:
    assert create("x")[0].key != create("x")[0].key


def test_other_tools_read_it() -> None:
    assert Account.decrypt(json.loads(TEXT), "correct horse") == ACCOUNT.key


def test_wrong_password() -> None:
    with pytest.raises(BadKeystore, match="wrong password"):
        unlock(TEXT, "correct house")


def test_empty_password_is_refused() -> None:
    with pytest.raises(BadKeystore, match="not empty"):
        create("")


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", "nonsense", '{"version": 3}', '{"version": 1}', "[" * 5000, " " * 20_000]
)
def test_malformed_files(text: str) -> None:
    with pytest.raises(BadKeystore):
        unlock(text, "correct horse")


@pytest.mark.parametrize(
    "change",
    [
        {"n": 2**30},
        {"n": 2**14, "r": 2**20},
        {"p": 2**20},
        {"n": -1},
        {"n": "16384"},
        {"n": True},
        {"dklen": 2**30},
        {"r": None},
    ],
)
def test_absurd_work_is_refused_before_it_starts(change: dict[str, Any]) -> None:
    record = json.loads(TEXT)
    record["crypto"]["kdfparams"].update(change)
    with pytest.raises(BadKeystore):
        unlock(json.dumps(record), "correct horse")


def test_pbkdf2_is_read_and_bounded() -> None:
    record = Account.encrypt(ACCOUNT.key, "pw", kdf="pbkdf2", iterations=1000)
    assert unlock(json.dumps(record), "pw").key == ACCOUNT.key
    record["crypto"]["kdfparams"]["c"] = 2**40
    with pytest.raises(BadKeystore, match="more work"):
        unlock(json.dumps(record), "pw")


def test_a_false_address_is_noticed() -> None:
    record = json.loads(TEXT)
    record["address"] = "00" * 20
    with pytest.raises(BadKeystore, match="states address"):
        unlock(json.dumps(record), "correct horse")


@settings(max_examples=40, deadline=None)
@given(at=st.integers(0, len(TEXT) - 1), byte=st.integers(32, 126))
def test_one_changed_byte_never_gives_another_key(at: int, byte: int) -> None:
    changed = TEXT[:at] + chr(byte) + TEXT[at + 1 :]
    key, complaint = None, ""
    try:
        key = unlock(changed, "correct horse").key
    except BadKeystore as error:
        complaint = str(error)
    assert key in {None, ACCOUNT.key}
    assert ACCOUNT.key.hex().removeprefix("0x") not in complaint
