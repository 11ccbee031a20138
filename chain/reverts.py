"""Custom errors of the contracts, decoded into ``ContractReverted``."""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

from eth_abi.abi import decode
from eth_abi.exceptions import DecodingError
from eth_utils.abi import collapse_if_tuple
from eth_utils.address import is_address, to_checksum_address
from eth_utils.crypto import keccak

from chain.artifact import CONTRACTS, load
from chain.errors import ContractReverted

MAX_REVERT_BYTES = 16_384

_SOLIDITY = (
    {"name": "Error", "inputs": [{"name": "message", "type": "string"}]},
    {"name": "Panic", "inputs": [{"name": "code", "type": "uint256"}]},
)


class _Shape(NamedTuple):
    name: str
    fields: tuple[str, ...]
    types: tuple[str, ...]
    notice: str


def decode_revert(call: str, data: object, message: str = "") -> ContractReverted:
    """What a contract said when it refused.

    Args:
        call: What was called, such as ``TrainingRounds.open``.
        data: The revert data as the endpoint gave it: hex text, or anything else if it gave none.
        message: The endpoint's own words, used if the data says nothing.

    Returns:
        The error to raise. An error this package's contracts do not define keeps its bytes as value ``data``.
    """
    raw = _bytes_of(data)
    shape = _shapes().get(raw[:4])
    if shape is None:
        return ContractReverted(call, "", {"data": raw} if raw else {}, message)
    try:
        values = decode(shape.types, raw[4:])
    except (DecodingError, UnicodeDecodeError, OverflowError):
        return ContractReverted(call, shape.name, {"data": raw}, "its arguments could not be decoded")
    named = {
        field: to_checksum_address(value) if kind == "address" and is_address(value) else value
        for field, kind, value in zip(shape.fields, shape.types, values, strict=True)
    }
    return ContractReverted(call, shape.name, named, shape.notice)


def _bytes_of(data: object) -> bytes:
    if isinstance(data, str) and data.startswith("0x"):
        try:
            return bytes.fromhex(data[2 : 2 + 2 * MAX_REVERT_BYTES])
        except ValueError:
            return b""
    return b""


@cache
def _shapes() -> dict[bytes, _Shape]:
    shapes = {}
    artifacts = [load(name) for name in CONTRACTS]
    notices = {signature: text for artifact in artifacts for signature, text in artifact.notices.items()}
    entries: list[Any] = [entry for artifact in artifacts for entry in artifact.abi if entry["type"] == "error"]
    for entry in (*_SOLIDITY, *entries):
        types = tuple(collapse_if_tuple(item) for item in entry["inputs"])
        signature = f"{entry['name']}({','.join(types)})"
        fields = tuple(item["name"] for item in entry["inputs"])
        shapes[bytes(keccak(text=signature)[:4])] = _Shape(entry["name"], fields, types, notices.get(signature, ""))
    return shapes
