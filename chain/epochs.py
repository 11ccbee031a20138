"""KeyEpochs: the key ceremonies and the refreshes of their shares (CRY-1, CRY-5)."""

from __future__ import annotations

from typing import ClassVar

from chain.contract import DeployedContract
from chain.records import (
    MAX_MEMBERS,
    Epoch,
    Receipt,
    checked_address,
    checked_digest,
    checked_integer,
    from_abi,
)


class KeyEpochs(DeployedContract):
    """The key ceremonies of one consortium. Epochs count from 1.

    A refresh takes the steps of a ceremony again, under the id of the active epoch. Each write raises ContractReverted if the ceremony is not where the step belongs; see IKeyEpochs for the errors.
    """

    NAME: ClassVar[str] = "KeyEpochs"

    def open(self, parameter_set: bytes, threshold: int, deadline: int) -> Receipt:
        """Starts a ceremony; its id is then ``latest()`` and in the event EpochOpened.

        Args:
            parameter_set: The encryption parameters' id, 32 bytes (16, then zeros).
            threshold: How many members will open a sum together, 1 to N.
            deadline: Unix seconds by which it must be complete, at most a day ahead.
        """
        checked_integer("threshold", threshold, 0, 255)
        checked_integer("deadline", deadline, 0, 2**64 - 1)
        return self._send("open", checked_digest("parameter_set", parameter_set), threshold, deadline)

    def open_cohort(self, parameter_set: bytes, threshold: int, deadline: int, size: int) -> Receipt:
        """Starts a ceremony among a cohort, which the contract draws (``chain.cohort``); its epoch's rounds are theirs alone.

        Args:
            parameter_set: The encryption parameters' id, 32 bytes (16, then zeros).
            threshold: How many of them will open a sum together, 1 to their number.
            deadline: Unix seconds by which it must be complete, at most a day ahead.
            size: How many take part, ``smallest_cohort()`` to all; who, the event CohortDrawn tells.
        """
        checked_integer("threshold", threshold, 0, 255)
        checked_integer("deadline", deadline, 0, 2**64 - 1)
        checked_integer("size", size, 0, MAX_MEMBERS)
        return self._send("openCohort", checked_digest("parameter_set", parameter_set), threshold, deadline, size)

    def refresh(self, deadline: int) -> Receipt:
        """Starts a refresh of the active epoch's shares; its number is then in the event RefreshOpened.

        Args:
            deadline: Unix seconds by which it must be complete, at most a day ahead.
        """
        return self._send("refresh", checked_integer("deadline", deadline, 0, 2**64 - 1))

    def announce(self, epoch: int, box_key: bytes) -> Receipt:
        """Announces the X25519 key to which the sender's shares are to be sealed, made for this ceremony alone.

        Args:
            epoch: The running ceremony, or the epoch that is refreshed.
            box_key: The public key, 32 bytes; no key is taken twice.
        """
        return self._step("announce", epoch, "box_key", box_key)

    def commit(self, epoch: int, commitment: bytes) -> Receipt:
        """Fixes the sender's dealing before it sees any other, once all members announced their keys.

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
        """Confirms the joint key the sender derived; max(T, quorum of those who take part) equal confirmations activate it.

        In a refresh every holder's confirmation of the epoch's own key is needed to activate the next generation.

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
        """Ends a ceremony or refresh whose deadline has passed; anyone may.

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

    def in_force(self) -> tuple[int, int]:
        """The active epoch and whose its rounds are: a bitmap, with all 256 bits set where they are all members'."""
        epoch, cohort = self._call("inForce")
        return int(epoch), int(cohort)

    def cohort_of(self, epoch: int) -> int:
        """Whose the rounds of an epoch are: a bitmap, with all 256 bits set where they are all members'.

        Args:
            epoch: Its id.
        """
        return int(self._call("cohortOf", _epoch(epoch)))

    def get(self, epoch: int) -> Epoch:
        """One epoch; its status is NONE if it does not exist.

        Args:
            epoch: Its id.
        """
        return from_abi(Epoch, self._call("get", _epoch(epoch)))

    def smallest_cohort(self) -> int:
        """The fewest members a cohort may have, for good; 0 where there are no cohorts."""
        return int(self._call("smallestCohort"))

    def rounds(self) -> str:
        """The address of the rounds whose seed draws cohorts."""
        return str(self._call("rounds"))

    def registry(self) -> str:
        """The address of the registry whose members take part."""
        return str(self._call("registry"))

    def _step(self, function: str, epoch: int, field: str, digest: bytes) -> Receipt:
        return self._send(function, _epoch(epoch), checked_digest(field, digest))


def _epoch(epoch: int) -> int:
    return checked_integer("epoch", epoch, 0, 2**256 - 1)
