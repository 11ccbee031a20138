"""TrainingRounds: one round of training after the other (section 4 of the design, on the chain's side)."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from chain.conduct import Conduct
from chain.errors import ReadOnly
from chain.outcome import as_abi, outcome_digest, sign_outcome
from chain.records import Outcome, Receipt, Round, checked_digest, checked_integer, from_abi
from chain.typed import joined_signatures
from chain.votes import sign_vote

if TYPE_CHECKING:
    from collections.abc import Mapping

    from chain.connection import Connection
    from chain.deployment import Deployment
    from chain.sender import Sender
    from chain.votes import Finding, PlanDecision


class TrainingRounds(Conduct):
    """The rounds of one consortium. Rounds count from 1.

    Each write raises ContractReverted if the round is not where the step belongs; see ITrainingRounds for the errors.
    """

    NAME: ClassVar[str] = "TrainingRounds"

    def __init__(self, deployment: Deployment, connection: Connection, sender: Sender | None) -> None:
        """Makes no request yet.

        Args:
            deployment: Where the contracts are; also gives the domain of what members sign.
            connection: The endpoint to ask.
            sender: Signs and sends; None for a client that only reads.
        """
        super().__init__(deployment.rounds, connection, sender)
        self._deployment = deployment

    def genesis(self, model: bytes, plan: bytes) -> Receipt:
        """Records the lineage's first model, once.

        Args:
            model: The initial model's hash.
            plan: sha2-256 of the training plan it was drawn from.
        """
        return self._send("genesis", checked_digest("model", model), checked_digest("plan", plan))

    def decide_plan(self, decision: PlanDecision, signatures: Mapping[int, bytes]) -> Receipt:
        """Carries out a quorum's decision about a plan; anybody may send it.

        Args:
            decision: What was signed.
            signatures: By member index, what ``sign_vote`` gave, 65 bytes each.
        """
        signed = joined_signatures(signatures)
        return self._send("decidePlan", decision.plan, decision.admitted, decision.deadline, *signed)

    def open(self, plan: bytes, base: bytes, collect_seconds: int, round_seconds: int) -> Receipt:
        """Opens the next round; its number is then ``current()`` and in the event RoundOpened.

        Args:
            plan: sha2-256 of the training plan.
            base: The newest model.
            collect_seconds: From now until updates no longer count, more than 0.
            round_seconds: From now until an outcome is no longer accepted, more than ``collect_seconds``, at most 30
                days.
        """
        checked_integer("collect_seconds", collect_seconds, 0, 2**64 - 1)
        checked_integer("round_seconds", round_seconds, 0, 2**64 - 1)
        plan, base = checked_digest("plan", plan), checked_digest("base", base)
        return self._send("open", plan, base, collect_seconds, round_seconds)

    def propose(self, round: int, proposal: bytes, updates_root: bytes, sums_root: bytes) -> Receipt:  # noqa: A002
        """Puts the sender's proposal on record, once a round.

        Args:
            round: The open round.
            proposal: The ledger id of the proposal transaction.
            updates_root: Merkle root of the update transactions it aggregates.
            sums_root: Merkle root of the encrypted group sums.
        """
        return self._send(
            "propose",
            _round(round),
            checked_digest("proposal", proposal),
            checked_digest("updates_root", updates_root),
            checked_digest("sums_root", sums_root),
        )

    def finalise(self, outcome: Outcome, signatures: Mapping[int, bytes]) -> Receipt:
        """Ends the round with an outcome a quorum signed; any member may send it.

        Args:
            outcome: What was signed.
            signatures: By member index, what ``sign_outcome`` gave, 65 bytes each.
        """
        return self._send("finalise", tuple(as_abi(outcome).values()), *joined_signatures(signatures))

    def abort(self, round: int) -> Receipt:  # noqa: A002
        """Ends a round whose time ran out; anyone may.

        Args:
            round: The open round.
        """
        return self._send("abort", _round(round))

    def current(self) -> int:
        """The last round opened; 0 before the first."""
        return int(self._call("current"))

    def get(self, round: int) -> Round:  # noqa: A002
        """One round; its status is NONE if it does not exist.

        Args:
            round: Its number.
        """
        return from_abi(Round, self._call("get", _round(round)))

    def seed(self) -> bytes:
        """The seed of the open round, or else of the next one; 32 bytes."""
        return bytes(self._call("seed"))

    def outcome_digest(self, outcome: Outcome) -> bytes:
        """The 32 bytes that members sign, computed here.

        Args:
            outcome: The round's result.
        """
        return outcome_digest(outcome, self._deployment)

    def sign_outcome(self, outcome: Outcome) -> bytes:
        """This client's signature of a round's result, 65 bytes. Nothing is sent.

        Args:
            outcome: The round's result, which the caller has checked.

        Raises:
            ReadOnly: If the client has no account.
        """
        if self._sender is None:
            raise ReadOnly("TrainingRounds.sign_outcome")
        return sign_outcome(outcome, self._deployment, self._sender.account)

    def sign_vote(self, vote: PlanDecision | Finding) -> bytes:
        """This client's agreement to a decision about a plan or to a finding, 65 bytes. Nothing is sent.

        Args:
            vote: What is voted on, which the caller has checked.

        Raises:
            ReadOnly: If the client has no account.
        """
        if self._sender is None:
            raise ReadOnly("TrainingRounds.sign_vote")
        return sign_vote(vote, self._deployment, self._sender.account)

    def plan_decisions(self) -> int:
        """How many decisions about plans were carried out; the next one signs this number."""
        return int(self._call("planDecisions"))

    def is_admitted(self, plan: bytes) -> bool:
        """Whether rounds may be opened with a plan.

        Args:
            plan: sha2-256 of the training plan.
        """
        return bool(self._call("isAdmitted", checked_digest("plan", plan)))

    def contract_plan_digest(self, decision: PlanDecision) -> bytes:
        """The 32 bytes that members sign for a decision about a plan, computed by the contract.

        Args:
            decision: What is decided.
        """
        return bytes(self._call("planDigest", decision.plan, decision.admitted, decision.deadline))

    def wiring(self) -> tuple[str, str, str]:
        """The addresses of the registry, the key epochs and the model ledger this contract works with."""
        return str(self._call("registry")), str(self._call("epochs")), str(self._call("models"))

    def contract_outcome_digest(self, outcome: Outcome) -> bytes:
        """The same 32 bytes, computed by the contract.

        Args:
            outcome: The round's result.
        """
        return bytes(self._call("outcomeDigest", tuple(as_abi(outcome).values())))


def _round(number: int) -> int:
    return checked_integer("round", number, 0, 2**256 - 1)
