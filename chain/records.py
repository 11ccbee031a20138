"""The records that go into and come out of the contracts. Digests are bytes, addresses checksummed hex."""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from enum import IntEnum
from typing import TYPE_CHECKING, Any, TypeVar

from eth_utils.address import to_checksum_address

from chain.errors import BadArgument, MalformedAnswer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from _typeshed import DataclassInstance

R = TypeVar("R", bound="DataclassInstance")

DIGEST_BYTES = 32
ADDRESS_BYTES = 20
MAX_MEMBERS = 256
MAX_NAME_BYTES = 64
MAX_URL_BYTES = 256


@dataclass(frozen=True)
class Hospital:
    """One member as the registry knows it.

    Attributes:
        account: Its chain account, which also signs its ledger transactions; checksummed hex.
        box_key: Its X25519 public key, 32 bytes. Key shares are sealed to keys announced for each ceremony instead.
        data_size: The training images it declares, 1 to 2^32 - 1; caps its weight (eq. 19).
        name: Its display name, 1 to 64 bytes of UTF-8.
        url: Where peers reach its node, at most 256 bytes of UTF-8; empty if not known yet.
    """

    account: str
    box_key: bytes
    data_size: int
    name: str
    url: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "account", checked_address("account", self.account))
        checked_digest("box_key", self.box_key)
        checked_integer("data_size", self.data_size, 1, 2**32 - 1)
        if not 1 <= len(self.name.encode()) <= MAX_NAME_BYTES:
            raise BadArgument("name", f"1 to {MAX_NAME_BYTES} bytes of UTF-8", self.name)
        checked_url(self.url)


class EpochStatus(IntEnum):
    """Where a key ceremony stands (IKeyEpochs.Status)."""

    NONE = 0
    RUNNING = 1
    ACTIVE = 2
    SUPERSEDED = 3
    ABORTED = 4


@dataclass(frozen=True)
class Epoch:
    """One key epoch. Sets of members are bitmaps over registry indices.

    Attributes:
        parameter_set: The encryption parameters' id, 32 bytes (16, then zeros).
        joint_key: sha2-256 of the joint public key; zero bytes until the epoch is active.
        threshold: How many members open a sum together, T.
        status: Where the ceremony stands.
        deadline: Unix seconds from which only an abort is accepted.
        generation: How often its shares were refreshed; only shares of one generation open together.
        refreshes: How many refreshes were opened, whatever became of them.
        refreshing: Whether one is running.
        cohort: Whether ``holders`` were drawn; if not, they are all the members there were.
        holders: Who takes part: the members when the ceremony was opened, or a cohort of them.
        announced: Who announced its key, in the ceremony or the last refresh, as all sets below.
        committed: Who committed to its dealing.
        dealt: Who published its dealing.
        tested: Who published its part of the self-test.
        confirmed: Who confirmed a joint key.
        complained: Who accused another member.
    """

    parameter_set: bytes
    joint_key: bytes
    threshold: int
    status: EpochStatus
    deadline: int
    generation: int
    refreshes: int
    refreshing: bool
    cohort: bool
    holders: int
    announced: int
    committed: int
    dealt: int
    tested: int
    confirmed: int
    complained: int

    def __post_init__(self) -> None:
        object.__setattr__(self, "status", EpochStatus(self.status))


class RoundStatus(IntEnum):
    """Where a round stands (ITrainingRounds.Status)."""

    NONE = 0
    COLLECTING = 1
    PROPOSED = 2
    FINALISED = 3
    ABORTED = 4


@dataclass(frozen=True)
class Round:
    """One round of training.

    Attributes:
        plan: sha2-256 of the training plan.
        base: The model it trains from.
        model: The model it made; equal to ``base`` unless it was finalised with a new one.
        epoch: The key epoch its updates are sealed under.
        opened_at: Unix seconds of the opening block.
        collect_by: Unix seconds until which updates count.
        finalise_by: Unix seconds until which, inclusive, an outcome is accepted.
        quorum: The members that decided for all when it opened; 0 for the genesis.
        status: Where it stands.
    """

    plan: bytes
    base: bytes
    model: bytes
    epoch: int
    opened_at: int
    collect_by: int
    finalise_by: int
    quorum: int
    status: RoundStatus

    def __post_init__(self) -> None:
        object.__setattr__(self, "status", RoundStatus(self.status))


@dataclass(frozen=True)
class Outcome:
    """What a quorum signs at a round's end; field by field ITrainingRounds.Outcome.

    Attributes:
        round: The round's number, from 1.
        base: The model it started from.
        model: The new model; equal to ``base`` if no update was accepted.
        plan: sha2-256 of the round's plan.
        leader: The member whose proposal was carried out; checksummed hex.
        proposal: The ledger id of that proposal.
        updates_root: Merkle root of the aggregated update transactions.
        sums_root: Merkle root of the encrypted group sums.
        statement: sha2-256 of the provenance statement.
        seed_material: The members' reveals and the ledger's root, hashed (CHN-2).
    """

    round: int
    base: bytes
    model: bytes
    plan: bytes
    leader: str
    proposal: bytes
    updates_root: bytes
    sums_root: bytes
    statement: bytes
    seed_material: bytes

    def __post_init__(self) -> None:
        checked_integer("round", self.round, 0, 2**256 - 1)
        object.__setattr__(self, "leader", checked_address("leader", self.leader))
        for field in ("base", "model", "plan", "proposal", "updates_root", "sums_root", "statement", "seed_material"):
            checked_digest(field, getattr(self, field))


@dataclass(frozen=True)
class ModelRecord:
    """How one finalised model came to be (IModelLedger.Model).

    Attributes:
        parent: The model it was trained from; zero bytes for the genesis model.
        plan: sha2-256 of the training plan.
        updates_root: Merkle root of the aggregated update transactions.
        sums_root: Merkle root of the encrypted group sums.
        proposal: The ledger id of the leader's proposal.
        statement: sha2-256 of the provenance statement.
        leader: Who proposed the aggregation; the zero address for the genesis model.
        round: The round that made it; 0 for the genesis model.
        timestamp: Unix seconds of the block that recorded it.
    """

    parent: bytes
    plan: bytes
    updates_root: bytes
    sums_root: bytes
    proposal: bytes
    statement: bytes
    leader: str
    round: int
    timestamp: int


@dataclass(frozen=True)
class Receipt:
    """A transaction that took effect.

    Attributes:
        tx: Its hash, 32 bytes.
        block: The block that holds it.
        gas_used: The gas it cost.
    """

    tx: bytes
    block: int
    gas_used: int


def bitmap_members(bitmap: int) -> frozenset[int]:
    """The member indices in a bitmap.

    Args:
        bitmap: As the contracts store it: bit i stands for the member with index i, 0 to 255.
    """
    return frozenset(index for index in range(MAX_MEMBERS) if bitmap >> index & 1)


def checked_digest(field: str, value: object) -> bytes:
    """The value, if it is 32 bytes.

    Args:
        field: Its name, for the error.
        value: What was given.

    Raises:
        BadArgument: If it is anything else.
    """
    if not isinstance(value, bytes) or len(value) != DIGEST_BYTES:
        raise BadArgument(field, f"{DIGEST_BYTES} bytes", value)
    return bytes(value)


def checked_integer(field: str, value: object, low: int, high: int) -> int:
    """The value, if it is an integer in [low, high].

    Args:
        field: Its name, for the error.
        value: What was given.
        low: The smallest it may be.
        high: The largest it may be.

    Raises:
        BadArgument: If it is anything else.
    """
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise BadArgument(field, f"an integer from {low} to {high}", value)
    return value


def checked_address(field: str, value: object) -> str:
    """The address in checksummed form (EIP-55).

    Args:
        field: Its name, for the error.
        value: 20 bytes, or 40 hex digits after ``0x``, all lower case or checksummed.

    Raises:
        BadArgument: If it is anything else.
    """
    if isinstance(value, bytes) and len(value) == ADDRESS_BYTES:
        return str(to_checksum_address(value))
    if isinstance(value, str) and re.fullmatch(r"0x[0-9a-fA-F]{40}", value):
        checksummed = str(to_checksum_address(value))
        if value in {checksummed, value.lower()}:
            return checksummed
    raise BadArgument(field, "an address (20 bytes, or 0x and 40 hex digits, lower case or checksummed)", value)


def checked_url(value: str) -> str:
    """The value, if it fits the registry's field for a node's address.

    Args:
        value: What was given.

    Raises:
        BadArgument: If it is longer than 256 bytes of UTF-8.
    """
    if len(value.encode()) > MAX_URL_BYTES:
        raise BadArgument("url", f"at most {MAX_URL_BYTES} bytes of UTF-8", value)
    return value


def from_abi(record: type[R], values: Sequence[Any]) -> R:
    """Makes a record of a struct, whose members come in the order of the record's fields.

    Args:
        record: The record's class.
        values: The struct's members as the ABI decoder gave them.

    Raises:
        MalformedAnswer: If they do not fit.
    """
    names = [field.name for field in fields(record)]
    try:
        return record(**dict(zip(names, values, strict=True)))
    except (BadArgument, ValueError) as error:
        raise MalformedAnswer(f"{record.__name__} from the chain: {error}") from error
