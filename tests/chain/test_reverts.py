from __future__ import annotations

from eth_abi.abi import encode
from eth_utils.crypto import keccak
from hypothesis import given
from hypothesis import strategies as st

from chain.errors import ContractReverted
from chain.reverts import decode_revert


def reverted(signature: str, types: list[str], values: list[object]) -> ContractReverted:
    return decode_revert("X.y", f"0x{(keccak(text=signature)[:4] + encode(types, values)).hex()}")


def test_custom_errors_by_name_with_their_meaning() -> None:
    error = reverted("NoQuorum(uint256,uint256)", ["uint256", "uint256"], [2, 3])
    assert (error.call, error.name, error.values) == ("X.y", "NoQuorum", {"signed": 2, "quorum": 3})
    assert str(error) == "X.y reverted: NoQuorum(signed=2, quorum=3): Fewer members signed than the quorum."


def test_addresses_are_checksummed() -> None:
    error = reverted("NotMember(address)", ["address"], ["0x" + "ab" * 20])
    assert error.values == {"account": "0xABaBaBaBABabABabAbAbABAbABabababaBaBABaB"}


def test_solidity_s_own_errors() -> None:
    assert reverted("Error(string)", ["string"], ["why"]).values == {"message": "why"}
    assert reverted("Panic(uint256)", ["uint256"], [0x11]).values == {"code": 0x11}


def test_without_data_the_endpoints_words_remain() -> None:
    error = decode_revert("X.y", None, "execution reverted")
    assert (error.name, error.values) == ("", {})
    assert "execution reverted" in str(error)


def test_another_contracts_error_keeps_its_bytes() -> None:
    assert decode_revert("X.y", "0x12345678aa").values == {"data": bytes.fromhex("12345678aa")}


def test_cut_arguments_keep_the_name() -> None:
    error = decode_revert("X.y", f"0x{keccak(text='NoQuorum(uint256,uint256)')[:4].hex()}00")
    assert error.name == "NoQuorum"
    assert "data" in error.values


@given(data=st.one_of(st.text(), st.binary(max_size=100).map(lambda raw: f"0x{raw.hex()}"), st.integers(), st.none()))
def test_nothing_crashes_it(data: object) -> None:
    assert isinstance(decode_revert("X.y", data), ContractReverted)


@given(tail=st.binary(max_size=200))
def test_hostile_texts_do_not_crash_it(tail: bytes) -> None:
    found = decode_revert("X.y", f"0x{(keccak(text='Error(string)')[:4] + tail).hex()}")
    assert isinstance(found, ContractReverted)
