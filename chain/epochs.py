"""KeyEpochs: the key ceremonies (CRY-1, CRY-5)."""

from __future__ import annotations

from typing import ClassVar

from chain.contract import DeployedContract
from chain.records import Epoch, Receipt, checked_address, checked_digest, checked_integer, from_abi


class KeyEpochs(DeployedContract):
    """The key ceremonies of one consortium. Epochs count from 1.

    Each write raises ContractReverted if the ceremony is not where the step belongs; see IKeyEpochs for the errors.
    """

    NAME: ClassVar[str] = "KeyEpochs"

    def open(self, parameter_set: bytes, threshold: int, deadline: int) -> Receipt:
        """Starts a ceremony; its id is then ``latest()`` and in the event EpochOpened.

        Args:
            parameter_set: The encryption parameters' id, 32 bytes (16, then zeros).
            threshold: How many members will open a sum together, 1 to N.
            deadline: Unix seconds by which it must be complete.
        """
        checked_integer("threshold", threshold, 0, 255)
        checked_integer("deadline", deadline, 0, 2**64 - 1)
        return self._send("open", checked_digest("parameter_set", parameter_set), threshold, deadline)

    def commit(self, epoch: int, commitment: bytes) -> Receipt:
        """Fixes the sender's dealing before it sees any other.

        Args:
            epoch: The running ceremony.
            commitment: Its digest, 32 bytes.
        """
        return self._step("commit", epoch, "commitment", commitment)

    def deal(self, epoch: int, dealing: bytes) -> Receipt:
        """Announces the sender's dealing, once all members committed.

        Args:
            epoch: The running ceremony.
            dealing: The digest of the dealing's header, 32 bytes.
        """
        return self._step("deal", epoch, "dealing", dealing)

    def test(self, epoch: int, report: bytes) -> Receipt:
        """Announces the sender's part of the self-test, once all members dealt.

        Args:
            epoch: The running ceremony.
            report: The digest of the report, 32 bytes.
        """
        return self._step("test", epoch, "report", report)

    def confirm(self, epoch: int, joint_key: bytes) -> Receipt:
        """Confirms the joint key the sender derived; max(T, quorum) equal confirmations activate the epoch.

        Args:
            epoch: The running ceremony.
            joint_key: sha2-256 of the joint public key.
        """
        return self._step("confirm", epoch, "joint_key", joint_key)

    def complain(self, epoch: int, offender: str, evidence: bytes) -> Receipt:
        """Accuses a member's message; a quorum of accusers aborts the ceremony.

        Args:
            epoch: The running ceremony.
            offender: The accused member's address.
            evidence: The digest of what proves it, 32 bytes.
        """
        offender = checked_address("offender", offender)
        return self._send("complain", _epoch(epoch), offender, checked_digest("evidence", evidence))

    def abort(self, epoch: int) -> Receipt:
        """Ends a ceremony whose deadline has passed; anyone may.

        Args:
            epoch: The running ceremony.
        """
        return self._send("abort", _epoch(epoch))

    def active(self) -> int:
        """The epoch whose key is in force; 0 before the first."""
        return int(self._call("active"))

    def latest(self) -> int:
        """The last epoch opened, whatever became of it; 0 before the first."""
        return int(self._call("latest"))

    def get(self, epoch: int) -> Epoch:
        """One epoch; its status is NONE if it does not exist.

        Args:
            epoch: Its id.
        """
        return from_abi(Epoch, self._call("get", _epoch(epoch)))

    def registry(self) -> str:
        """The address of the registry whose members take part."""
        return str(self._call("registry"))

    def _step(self, function: str, epoch: int, field: str, digest: bytes) -> Receipt:
        return self._send(function, _epoch(epoch), checked_digest(field, digest))


def _epoch(epoch: int) -> int:
    return checked_integer("epoch", epoch, 0, 2**256 - 1)
