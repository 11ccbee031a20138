"""What the contracts emitted, typed. One class per event, one field per argument, in the contract's order."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

from eth_abi.abi import decode
from eth_abi.exceptions import DecodingError
from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak

from chain.artifact import CONTRACTS, load
from chain.errors import MalformedAnswer

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, kw_only=True)
class Event:
    """Something a contract recorded.

    Attributes:
        block: The block that holds it.
        log_index: Its place among that block's events.
        tx: The hash of the transaction that caused it, 32 bytes.
    """

    block: int
    log_index: int
    tx: bytes


@dataclass(frozen=True, kw_only=True)
class HospitalAdmitted(Event):
    """A hospital became a member; the fields are those of ``Hospital``."""

    index: int
    account: str
    box_key: bytes
    data_size: int
    name: str
    url: str


@dataclass(frozen=True, kw_only=True)
class HospitalRemoved(Event):
    """A hospital is no longer a member; its index stays empty."""

    index: int
    account: str


@dataclass(frozen=True, kw_only=True)
class KeysRotated(Event):
    """A member (``index``) answers to ``new_account`` and ``box_key`` instead of ``account`` from now on."""

    index: int
    account: str
    new_account: str
    box_key: bytes


@dataclass(frozen=True, kw_only=True)
class DataSizeChanged(Event):
    """A member's declared data size changed."""

    index: int
    account: str
    data_size: int


@dataclass(frozen=True, kw_only=True)
class UrlChanged(Event):
    """A member (``account``) moved its node to ``url``."""

    account: str
    url: str


@dataclass(frozen=True, kw_only=True)
class CardRegistered(Event):
    """The member ``account`` at seat ``index`` put the ``digest`` of its data card (32 bytes) on record."""

    index: int
    account: str
    digest: bytes


@dataclass(frozen=True, kw_only=True)
class EpochOpened(Event):
    """A key ceremony began; its ``deadline`` is in Unix seconds."""

    epoch: int
    parameter_set: bytes
    threshold: int
    deadline: int
    opener: str


@dataclass(frozen=True, kw_only=True)
class CohortDrawn(Event):
    """The ceremony that was just opened is among the members in the bitmap ``holders`` alone, drawn by ``seed``."""

    epoch: int
    seed: bytes
    holders: int


@dataclass(frozen=True, kw_only=True)
class RefreshOpened(Event):
    """The ``refresh``-th refresh of an epoch's shares began, to make ``generation``; ``deadline`` in Unix seconds."""

    epoch: int
    refresh: int
    generation: int
    deadline: int
    opener: str


@dataclass(frozen=True, kw_only=True)
class Announced(Event):
    """A member announced the X25519 key to which its shares are sealed in this ceremony or refresh."""

    epoch: int
    member: str
    box_key: bytes


@dataclass(frozen=True, kw_only=True)
class Committed(Event):
    """A member fixed its dealing."""

    epoch: int
    member: str
    commitment: bytes


@dataclass(frozen=True, kw_only=True)
class Dealt(Event):
    """A member published its dealing; ``dealing`` is the digest of its header."""

    epoch: int
    member: str
    dealing: bytes


@dataclass(frozen=True, kw_only=True)
class Tested(Event):
    """A member published its part of the self-test; ``report`` is its digest."""

    epoch: int
    member: str
    report: bytes


@dataclass(frozen=True, kw_only=True)
class Confirmed(Event):
    """A member derived this joint key, given by its digest, and saw the self-test pass."""

    epoch: int
    member: str
    joint_key: bytes


@dataclass(frozen=True, kw_only=True)
class EpochActivated(Event):
    """The joint key is in force."""

    epoch: int
    joint_key: bytes


@dataclass(frozen=True, kw_only=True)
class RefreshActivated(Event):
    """The shares of ``generation`` are in force."""

    epoch: int
    refresh: int
    generation: int


@dataclass(frozen=True, kw_only=True)
class Complained(Event):
    """A member accuses another's message; ``evidence`` is the digest of what proves it."""

    epoch: int
    member: str
    offender: str
    evidence: bytes


@dataclass(frozen=True, kw_only=True)
class EpochAborted(Event):
    """The ceremony ended without a key; ``complained`` is the bitmap of members who complained."""

    epoch: int
    complained: int


@dataclass(frozen=True, kw_only=True)
class RefreshAborted(Event):
    """The refresh ended without new shares; ``complained`` is the bitmap of members who complained."""

    epoch: int
    refresh: int
    complained: int


@dataclass(frozen=True, kw_only=True)
class PlanDecided(Event):
    """A quorum (bitmap ``signers``) admitted a plan, or withdrew it."""

    plan: bytes
    admitted: bool
    signers: int


@dataclass(frozen=True, kw_only=True)
class RoundOpened(Event):
    """A round began. ``seed`` fixes its leaders' order; ``collect_by`` and ``finalise_by`` are Unix seconds."""

    round: int
    epoch: int
    plan: bytes
    base: bytes
    seed: bytes
    opener: str
    collect_by: int
    finalise_by: int


@dataclass(frozen=True, kw_only=True)
class Proposed(Event):
    """A member put a proposal on record."""

    round: int
    leader: str
    proposal: bytes
    updates_root: bytes
    sums_root: bytes


@dataclass(frozen=True, kw_only=True)
class RoundFinalised(Event):
    """A quorum (bitmap ``signers``) signed the outcome; ``model`` equals ``base`` if no update was accepted.

    ``seed`` is the next round's.
    """

    round: int
    model: bytes
    leader: str
    base: bytes
    proposal: bytes
    statement: bytes
    signers: int
    seed: bytes


@dataclass(frozen=True, kw_only=True)
class RoundAborted(Event):
    """The round's time ran out; ``seed`` is the next round's."""

    round: int
    seed: bytes


@dataclass(frozen=True, kw_only=True)
class FaultRecorded(Event):
    """A member (``index``) is at ``fault`` (a ``chain.conduct.Fault``); ``points`` were taken, ``reputation`` is left."""

    round: int
    index: int
    fault: int
    evidence: bytes
    points: int
    reputation: int


@dataclass(frozen=True, kw_only=True)
class FaultAnnulled(Event):
    """A fault no longer stands; ``points`` were given back, ``reputation`` is what the member has now."""

    round: int
    index: int
    fault: int
    points: int
    reputation: int


@dataclass(frozen=True, kw_only=True)
class ModelRecorded(Event):
    """A model joined the lineage."""

    model: bytes
    parent: bytes
    round: int
    statement: bytes


EVENTS: tuple[type[Event], ...] = (
    HospitalAdmitted,
    HospitalRemoved,
    KeysRotated,
    DataSizeChanged,
    UrlChanged,
    CardRegistered,
    EpochOpened,
    CohortDrawn,
    RefreshOpened,
    Announced,
    Committed,
    Dealt,
    Tested,
    Confirmed,
    EpochActivated,
    RefreshActivated,
    Complained,
    EpochAborted,
    RefreshAborted,
    PlanDecided,
    RoundOpened,
    Proposed,
    RoundFinalised,
    RoundAborted,
    FaultRecorded,
    FaultAnnulled,
    ModelRecorded,
)
"""All events of the four contracts that a node or an auditor reads."""


class _Argument(NamedTuple):
    field: str
    kind: str
    indexed: bool


class _Shape(NamedTuple):
    record: type[Event]
    arguments: tuple[_Argument, ...]


def decode_log(log: Mapping[str, Any]) -> Event | None:
    """Decodes one log of one of the four contracts.

    Args:
        log: An entry of an ``eth_getLogs`` answer, as web3 gives it.

    Returns:
        The event, or None for OpenZeppelin's own (EIP712DomainChanged), which never concerns us.

    Raises:
        MalformedAnswer: If it does not follow the ABI.
    """
    try:
        topics = [bytes(topic) for topic in log["topics"]]
        where: dict[str, Any] = {
            "block": int(log["blockNumber"]),
            "log_index": int(log["logIndex"]),
            "tx": bytes(log["transactionHash"]),
        }
        shape = _shapes().get(topics[0])
        return None if shape is None else shape.record(**where, **_arguments(shape, topics[1:], bytes(log["data"])))
    except (DecodingError, KeyError, IndexError, TypeError, ValueError, OverflowError) as error:
        raise MalformedAnswer(f"an event in the endpoint's logs: {type(error).__name__}: {error}") from error


def _arguments(shape: _Shape, topics: list[bytes], data: bytes) -> dict[str, Any]:
    indexed = [argument for argument in shape.arguments if argument.indexed]
    plain = [argument for argument in shape.arguments if not argument.indexed]
    values = dict(zip(indexed, (decode([a.kind], t)[0] for a, t in zip(indexed, topics, strict=True)), strict=True))
    values |= dict(zip(plain, decode([argument.kind for argument in plain], data), strict=True))
    return {
        argument.field: to_checksum_address(value) if argument.kind == "address" else value
        for argument, value in values.items()
    }


@cache
def _shapes() -> dict[bytes, _Shape]:
    """The events by topic: the hash of their signature."""
    records = {record.__name__: record for record in EVENTS}
    entries = [entry for name in CONTRACTS for entry in load(name).abi if entry["type"] == "event"]
    shapes = {}
    for entry in entries:
        if entry["name"] in records:
            arguments = tuple(_Argument(snake(i["name"]), i["type"], i["indexed"]) for i in entry["inputs"])
            signature = f"{entry['name']}({','.join(argument.kind for argument in arguments)})"
            shapes[bytes(keccak(text=signature))] = _Shape(records[entry["name"]], arguments)
    return shapes


def snake(name: str) -> str:
    """A Solidity name in Python's spelling: ``collectBy`` becomes ``collect_by``.

    Args:
        name: In mixed case.
    """
    return re.sub(r"(?<!^)([A-Z])", r"_\1", name).lower()
