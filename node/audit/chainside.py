"""The chain's side of an audit: its events folded round by round, and the calldata of every finalising transaction.

The calldata is read so that the quorum's signatures can be verified here; the contract's word is not taken for them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from eth_abi.abi import decode
from eth_abi.exceptions import DecodingError
from eth_utils.abi import collapse_if_tuple, function_abi_to_4byte_selector

from chain import events as ev
from chain.artifact import load
from chain.errors import BadArgument, ChainError, ContractReverted, MalformedAnswer
from chain.outcome import SIGNATURE_BYTES
from chain.records import Outcome, bitmap_members, from_abi
from node.audit.errors import IncoherentChain
from node.consortium.view import ConsortiumView, address_bytes, fold

if TYPE_CHECKING:
    from collections.abc import Mapping

    from chain.client import Chain
    from chain.deployment import Deployment
    from chain.records import Hospital, ModelRecord
    from node.consortium.records import EpochView, ProposedView, RoundView

MAX_CALLDATA: Final = 4 + 32 * 16 + 2 * 256 * SIGNATURE_BYTES
"""Bytes of calldata read: a finalise call of 256 signers takes half of it."""


@dataclass(frozen=True)
class Signed:
    """What the transaction that finalised a round carried."""

    outcome: Outcome
    signers: tuple[int, ...]
    """Member indices it names as signers, ascending."""
    signatures: tuple[bytes, ...]
    """65 bytes each, in the signers' order."""


@dataclass(frozen=True)
class Finalised:
    """One finalised round as the chain tells it."""

    row: RoundView
    hospitals: tuple[Hospital, ...]
    """Members in index order when the round was finalised."""
    quorum: int
    """⌈2N/3⌉."""
    epoch: EpochView | None
    """The key epoch it names; None if the chain has no such epoch."""
    tx: bytes
    """Hash of the transaction that finalised it."""
    signed: Signed | None
    """What that transaction carried; None where the endpoint does not give a finalise call."""
    why: str
    """Why `signed` is None."""

    @property
    def number(self) -> int:
        """The round."""
        return self.row.round

    @property
    def members(self) -> tuple[bytes, ...]:
        """The members' addresses (20 bytes) in index order."""
        return tuple(address_bytes(hospital.account) for hospital in self.hospitals)

    @property
    def sizes(self) -> tuple[int, ...]:
        """The members' registered data sizes, in images."""
        return tuple(hospital.data_size for hospital in self.hospitals)

    @property
    def proposed(self) -> ProposedView | None:
        """The leader's proposal as recorded on chain; None if it recorded none, or another."""
        leader = address_bytes(self.row.leader or "")
        return next((p for p in self.row.proposals if (p.leader, p.proposal) == (leader, self.row.proposal)), None)


@dataclass(frozen=True)
class ChainFacts:
    """Everything an audit takes from the chain."""

    deployment: Deployment
    view: ConsortiumView
    """All events folded."""
    finalised: Mapping[int, Finalised]
    """By round number, ascending."""
    records: Mapping[bytes, ModelRecord]
    """ModelLedger's own record of every model of the view."""


def read_chain(chain: Chain) -> ChainFacts:
    """Read and fold everything the four contracts emitted, and every finalising transaction.

    Raises:
        ChainError: The endpoint does not answer, or serves something else than the deployment.
        IncoherentChain: Its events contradict each other.
    """
    chain.verify()
    view, finalised = ConsortiumView(), {}
    for event in chain.events(chain.deployment.block):
        try:
            view = fold(view, [event])
        except KeyError as error:
            raise IncoherentChain(f"{type(event).__name__} in block {event.block} is about unknown {error}") from None
        if isinstance(event, ev.RoundFinalised):
            finalised[event.round] = _finalised(chain, view, event)
    return ChainFacts(chain.deployment, view, finalised, {model: _record(chain, model) for model in view.models})


def _finalised(chain: Chain, view: ConsortiumView, event: ev.RoundFinalised) -> Finalised:
    row = view.rounds[event.round]
    signed, why = None, ""
    try:
        signed = decode_finalise(_calldata(chain, event.tx))
    except (MalformedAnswer, BadArgument) as error:
        why = str(error)
    return Finalised(
        row=row,
        hospitals=view.hospitals,
        quorum=view.quorum,
        epoch=view.epochs.get(row.epoch),
        tx=event.tx,
        signed=signed,
        why=why,
    )


def _record(chain: Chain, model: bytes) -> ModelRecord:
    try:
        return chain.models.get(model)
    except ContractReverted as error:
        raise IncoherentChain(f"ModelRecorded names model {model.hex()}, which ModelLedger does not hold") from error


def _calldata(chain: Chain, tx: bytes) -> bytes:
    """What a transaction sent to TrainingRounds.

    Raises:
        MalformedAnswer: The endpoint does not know it, or it called another contract.
    """
    name = f"transaction 0x{tx.hex()}"
    answer = chain.rounds._connection.request("eth_getTransactionByHash", f"0x{tx.hex()}")  # noqa: SLF001  (read-only; the client has no public way to calldata)
    if not answer:
        raise MalformedAnswer(f"{name}: the endpoint does not have it")
    try:
        target, data = _raw(answer["to"]), _raw(answer["input"])
    except (KeyError, TypeError, ValueError) as error:
        raise MalformedAnswer(f"{name}: the endpoint's answer has no calldata ({error})") from None
    if target != bytes.fromhex(chain.rounds.address.removeprefix("0x")):
        raise MalformedAnswer(
            f"{name}: it called 0x{target.hex()}, not TrainingRounds; its signatures are out of sight"
        )
    return data


def _raw(value: Any) -> bytes:
    if isinstance(value, str):
        return bytes.fromhex(value.removeprefix("0x"))
    return bytes(value)


def decode_finalise(data: bytes) -> Signed:
    """The arguments of a `TrainingRounds.finalise` call.

    Args:
        data: Calldata: selector and ABI-encoded arguments.

    Raises:
        MalformedAnswer: Another call, or not what the ABI says.
    """
    selector, types = _finalise_abi()
    if len(data) > MAX_CALLDATA or data[:4] != selector:
        raise MalformedAnswer(f"calldata: {len(data)} bytes that are no call of finalise")
    try:
        values, signers, joined = decode(types, data[4:])
    except (DecodingError, ValueError, OverflowError) as error:
        raise MalformedAnswer(f"calldata of finalise: {error}") from None
    indices = tuple(sorted(bitmap_members(signers)))
    if len(joined) != SIGNATURE_BYTES * len(indices):
        raise MalformedAnswer(f"calldata of finalise: {len(joined)} bytes of signatures for {len(indices)} signers")
    signatures = tuple(joined[at : at + SIGNATURE_BYTES] for at in range(0, len(joined), SIGNATURE_BYTES))
    return Signed(from_abi(Outcome, values), indices, signatures)


@cache
def _finalise_abi() -> tuple[bytes, tuple[str, ...]]:
    """The selector and the argument types of `TrainingRounds.finalise`."""
    entries = load("TrainingRounds").abi
    entry: Any = next(e for e in entries if e["type"] == "function" and e["name"] == "finalise")
    return function_abi_to_4byte_selector(entry), tuple(collapse_if_tuple(argument) for argument in entry["inputs"])


UNREADABLE = (ChainError, IncoherentChain)
"""What `read_chain` raises."""
