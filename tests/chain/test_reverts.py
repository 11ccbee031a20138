from __future__ import annotations

from typing import Any

import pytest
from eth_abi.abi import encode
from eth_utils.crypto import keccak
from hypothesis import given
from hypothesis import strategies as st

from chain.artifact import CONTRACTS, load
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


def errors_of_the_contracts() -> list[tuple[str, dict[str, Any]]]:
    return [(name, entry) for name in CONTRACTS for entry in load(name).abi if entry["type"] == "error"]


def value_of(kind: str) -> object:
    """Some value of an ABI type."""
    if kind == "address":
        return "0x" + "ab" * 20
    if kind == "bool":
        return True
    if kind == "string":
        return "why"
    if kind.startswith("bytes"):
        return bytes(range(int(kind[5:]))) if kind[5:] else b"some"
    assert kind.startswith("uint"), f"an error with a field of type {kind}: decode it, and say here how it looks"
    return 7


@pytest.mark.parametrize(
    ("contract", "entry"), errors_of_the_contracts(), ids=lambda v: v if isinstance(v, str) else v["name"]
)
def test_every_error_of_every_contract_is_decoded_with_its_fields(contract: str, entry: dict[str, Any]) -> None:
    types = [item["type"] for item in entry["inputs"]]
    error = reverted(f"{entry['name']}({','.join(types)})", types, [value_of(kind) for kind in types])
    assert error.name == entry["name"]
    assert list(error.values) == [item["name"] for item in entry["inputs"]]
    assert "data" not in error.values or "data" in [item["name"] for item in entry["inputs"]]


def test_every_error_of_our_own_says_what_it_means() -> None:
    ours = [
        (name, e)
        for name, e in errors_of_the_contracts()
        if not e["name"].startswith(("ECDSA", "InvalidShort", "StringToo"))
    ]
    silent = []
    for name, entry in ours:
        types = [item["type"] for item in entry["inputs"]]
        error = reverted(f"{entry['name']}({','.join(types)})", types, [value_of(kind) for kind in types])
        if str(error).endswith(")"):
            silent.append(f"{name}.{entry['name']}")
    assert silent == []
    assert len(ours) > 30
