"""The calls that an audit reads: `finalise` with the quorum's signatures, `genesis` with the first model's plan."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any, Final

from eth_abi.abi import decode
from eth_abi.exceptions import DecodingError
from eth_utils.abi import collapse_if_tuple, function_abi_to_4byte_selector

from chain.artifact import load
from chain.errors import MalformedAnswer
from chain.outcome import SIGNATURE_BYTES
from chain.records import Outcome, bitmap_members, from_abi

MAX_CALLDATA: Final = 4 + 32 * 16 + 2 * 256 * SIGNATURE_BYTES
"""Bytes of calldata read: a finalise call of 256 signers takes half of it."""


@dataclass(frozen=True)
class Signed:
    """What the transaction that finalised a round carried."""

    outcome: Outcome
    signers: tuple[int, ...]
    """Seats it names as signers, ascending."""
    signatures: tuple[bytes, ...]
    """65 bytes each, in the signers' order."""


def decode_finalise(data: bytes) -> Signed:
    """The arguments of a `TrainingRounds.finalise` call.

    Args:
        data: Calldata: selector and ABI-encoded arguments.

    Raises:
        MalformedAnswer: Another call, or not what the ABI says.
    """
    values, signers, joined = _arguments("finalise", data)
    indices = tuple(sorted(bitmap_members(signers)))
    if len(joined) != SIGNATURE_BYTES * len(indices):
        raise MalformedAnswer(f"calldata of finalise: {len(joined)} bytes of signatures for {len(indices)} signers")
    signatures = tuple(joined[at : at + SIGNATURE_BYTES] for at in range(0, len(joined), SIGNATURE_BYTES))
    return Signed(from_abi(Outcome, values), indices, signatures)


def decode_genesis(data: bytes) -> bytes:
    """The plan (32 bytes) that a `TrainingRounds.genesis` call names.

    Args:
        data: Calldata.

    Raises:
        MalformedAnswer: Another call, or not what the ABI says.
    """
    _model, plan = _arguments("genesis", data)
    return bytes(plan)


def _arguments(function: str, data: bytes) -> tuple[Any, ...]:
    selector, types = _abi(function)
    if len(data) > MAX_CALLDATA or data[:4] != selector:
        raise MalformedAnswer(f"calldata: {len(data)} bytes that are no call of {function}")
    try:
        return decode(types, data[4:])
    except (DecodingError, ValueError, OverflowError) as error:
        raise MalformedAnswer(f"calldata of {function}: {error}") from None


@cache
def _abi(function: str) -> tuple[bytes, tuple[str, ...]]:
    """The selector and the argument types of a function of TrainingRounds."""
    entries = load("TrainingRounds").abi
    entry: Any = next(e for e in entries if e["type"] == "function" and e["name"] == function)
    return function_abi_to_4byte_selector(entry), tuple(collapse_if_tuple(argument) for argument in entry["inputs"])
