"""Where an audit reads a chain's history: from an endpoint that serves it, or from blocks that prove it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from chain.errors import ContractReverted, MalformedAnswer
from node.audit.errors import IncoherentChain

if TYPE_CHECKING:
    from collections.abc import Sequence

    from chain.client import Chain
    from chain.deployment import Deployment
    from chain.events import Event
    from chain.events import ModelRecorded as Recorded
    from chain.records import ModelRecord


class History(Protocol):
    """What a consortium's contracts did."""

    deployment: Deployment
    """Where they are."""
    proven: bool
    """Whether it was checked against a block hash, so that what it tells wrongly is false and not merely doubtful."""

    def verify(self) -> None:
        """The history is that of the deployment's contracts.

        Raises:
            ChainError: The endpoint does not answer, or serves something else.
            MalformedBlock: A block is not what the next one's header, or its own, commits to.
        """

    def events(self) -> Sequence[Event]:
        """Everything the contracts emitted, in order. Raises ChainError, MalformedBlock."""

    def calldata(self, tx: bytes) -> bytes:
        """What a transaction sent to TrainingRounds.

        Raises:
            MalformedAnswer: It is not known, or it called another contract.
        """

    def record(self, event: Recorded) -> ModelRecord | None:
        """What ModelLedger holds about a model it recorded; None where that cannot be told.

        Raises:
            IncoherentChain: It holds no such model.
        """


class LiveHistory:
    """A chain asked through an endpoint, which is believed as far as it is consistent.

    Args:
        chain: A client that only reads.
    """

    proven = False

    def __init__(self, chain: Chain) -> None:
        self.deployment = chain.deployment
        self._chain = chain

    def verify(self) -> None:
        """See `History.verify`."""
        self._chain.verify()

    def events(self) -> Sequence[Event]:
        """See `History.events`."""
        return self._chain.events(self.deployment.block)

    def calldata(self, tx: bytes) -> bytes:
        """See `History.calldata`."""
        name = f"transaction 0x{tx.hex()}"
        connection = self._chain.rounds._connection  # noqa: SLF001  (read-only; the client has no public way to calldata)
        answer = connection.request("eth_getTransactionByHash", f"0x{tx.hex()}")
        if not answer:
            raise MalformedAnswer(f"{name}: the endpoint does not have it")
        try:
            target, data = _raw(answer["to"]), _raw(answer["input"])
        except (KeyError, TypeError, ValueError) as error:
            raise MalformedAnswer(f"{name}: the endpoint's answer has no calldata ({error})") from None
        verify_target(name, target, self.deployment)
        return data

    def record(self, event: Recorded) -> ModelRecord | None:
        """See `History.record`."""
        try:
            return self._chain.models.get(event.model)
        except ContractReverted as error:
            name = event.model.hex()
            raise IncoherentChain(f"ModelRecorded names model {name}, which ModelLedger does not hold") from error


def verify_target(name: str, target: bytes, deployment: Deployment) -> None:
    """A transaction called TrainingRounds itself.

    Raises:
        MalformedAnswer: It called something else.
    """
    if target != bytes.fromhex(deployment.rounds.removeprefix("0x")):
        raise MalformedAnswer(
            f"{name}: it called 0x{target.hex()}, not TrainingRounds; its signatures are out of sight"
        )


def _raw(value: Any) -> bytes:
    if isinstance(value, str):
        return bytes.fromhex(value.removeprefix("0x"))
    return bytes(value)
