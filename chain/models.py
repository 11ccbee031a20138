"""ModelLedger: the lineage of the consortium's models."""

from __future__ import annotations

from typing import ClassVar

from chain.contract import DeployedContract
from chain.records import ModelRecord, checked_digest, from_abi


class ModelLedger(DeployedContract):
    """Every finalised model and what it was made from. Only TrainingRounds writes it."""

    NAME: ClassVar[str] = "ModelLedger"

    def head(self) -> bytes:
        """The newest model's hash; zero bytes before the genesis model."""
        return bytes(self._call("head"))

    def writer(self) -> str:
        """The address of the contract that writes."""
        return str(self._call("writer"))

    def get(self, model: bytes) -> ModelRecord:
        """How a model came to be.

        Args:
            model: Its hash, 32 bytes.

        Raises:
            ContractReverted: UnknownModel.
        """
        return from_abi(ModelRecord, self._call("get", checked_digest("model", model)))

    def exists(self, model: bytes) -> bool:
        """Whether a model is in the lineage.

        Args:
            model: Its hash, 32 bytes.
        """
        return bool(self._call("exists", checked_digest("model", model)))
