"""What members decide by vote: who belongs to them, by which plans they train, who was at fault (CHN-1, CHN-4).

Each record is EIP-712 typed data. Members check it, sign it, and hand their signatures to whoever sends the one
transaction. ``decision`` is the contract's count of decisions so far: a vote is carried out once, and every other
signed meanwhile is void.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, ClassVar

from chain.conduct import PROVEN, Fault
from chain.errors import BadArgument
from chain.records import Hospital, checked_address, checked_digest, checked_integer
from chain.typed import message_digest, recover_signer, sign_message, typed_message

if TYPE_CHECKING:
    from eth_account.messages import SignableMessage
    from eth_account.signers.local import LocalAccount

    from chain.deployment import Deployment

_WORD = 2**256 - 1


@dataclass(frozen=True, kw_only=True)
class Vote:
    """Base of what is voted on.

    Attributes:
        CONTRACT: Which contract counts the signatures: a field of ``Deployment``.
        TYPES: EIP-712's types, the vote's own first.
    """

    CONTRACT: ClassVar[str]
    TYPES: ClassVar[dict[str, list[dict[str, str]]]]

    def to_abi(self) -> dict[str, Any]:
        """The vote under the contract's own field names, in the contract's order."""
        names = [entry["name"] for entry in self.TYPES[type(self).__name__]]
        return dict(zip(names, (getattr(self, field.name) for field in fields(self)), strict=True))


@dataclass(frozen=True, kw_only=True)
class Admission(Vote):
    """A hospital becomes a member, with the next index.

    Attributes:
        hospital: Its record. Its account must never have been a member's.
        decision: ``HospitalRegistry.decisions()``.
        deadline: Unix seconds until which, inclusive, the vote may be carried out.
    """

    hospital: Hospital
    decision: int
    deadline: int

    CONTRACT: ClassVar[str] = "registry"
    TYPES: ClassVar[dict[str, list[dict[str, str]]]] = {
        "Admission": [
            {"name": "hospital", "type": "Hospital"},
            {"name": "decision", "type": "uint256"},
            {"name": "deadline", "type": "uint256"},
        ],
        "Hospital": [
            {"name": "account", "type": "address"},
            {"name": "boxKey", "type": "bytes32"},
            {"name": "dataSize", "type": "uint32"},
            {"name": "name", "type": "string"},
            {"name": "url", "type": "string"},
        ],
    }

    def __post_init__(self) -> None:
        _check_times(self.decision, self.deadline)

    def to_abi(self) -> dict[str, Any]:
        """The vote under the contract's own field names, in the contract's order."""
        h = self.hospital
        record = {"account": h.account, "boxKey": h.box_key, "dataSize": h.data_size, "name": h.name, "url": h.url}
        return {"hospital": record, "decision": self.decision, "deadline": self.deadline}


@dataclass(frozen=True, kw_only=True)
class Removal(Vote):
    """A hospital is no longer a member; its index stays empty.

    Attributes:
        account: Its present account, checksummed hex.
        decision: ``HospitalRegistry.decisions()``.
        deadline: Unix seconds until which, inclusive, the vote may be carried out.
    """

    account: str
    decision: int
    deadline: int

    CONTRACT: ClassVar[str] = "registry"
    TYPES: ClassVar[dict[str, list[dict[str, str]]]] = {
        "Removal": [
            {"name": "account", "type": "address"},
            {"name": "decision", "type": "uint256"},
            {"name": "deadline", "type": "uint256"},
        ]
    }

    def __post_init__(self) -> None:
        object.__setattr__(self, "account", checked_address("account", self.account))
        _check_times(self.decision, self.deadline)


@dataclass(frozen=True, kw_only=True)
class Rotation(Vote):
    """A member answers to other keys.

    Attributes:
        account: Its present account, checksummed hex; never valid again.
        new_account: Its new account, or the present one if only the box key changes.
        new_box_key: Its new X25519 key, 32 bytes, or the present one.
        decision: ``HospitalRegistry.decisions()``.
        deadline: Unix seconds until which, inclusive, the vote may be carried out.
    """

    account: str
    new_account: str
    new_box_key: bytes
    decision: int
    deadline: int

    CONTRACT: ClassVar[str] = "registry"
    TYPES: ClassVar[dict[str, list[dict[str, str]]]] = {
        "Rotation": [
            {"name": "account", "type": "address"},
            {"name": "newAccount", "type": "address"},
            {"name": "newBoxKey", "type": "bytes32"},
            {"name": "decision", "type": "uint256"},
            {"name": "deadline", "type": "uint256"},
        ]
    }

    def __post_init__(self) -> None:
        for field in ("account", "new_account"):
            object.__setattr__(self, field, checked_address(field, getattr(self, field)))
        checked_digest("new_box_key", self.new_box_key)
        _check_times(self.decision, self.deadline)


@dataclass(frozen=True, kw_only=True)
class Resizing(Vote):
    """A member's declared data size changes.

    Attributes:
        account: Its present account, checksummed hex.
        data_size: Training images, 1 to 2^32 - 1.
        decision: ``HospitalRegistry.decisions()``.
        deadline: Unix seconds until which, inclusive, the vote may be carried out.
    """

    account: str
    data_size: int
    decision: int
    deadline: int

    CONTRACT: ClassVar[str] = "registry"
    TYPES: ClassVar[dict[str, list[dict[str, str]]]] = {
        "Resizing": [
            {"name": "account", "type": "address"},
            {"name": "dataSize", "type": "uint32"},
            {"name": "decision", "type": "uint256"},
            {"name": "deadline", "type": "uint256"},
        ]
    }

    def __post_init__(self) -> None:
        object.__setattr__(self, "account", checked_address("account", self.account))
        checked_integer("data_size", self.data_size, 1, 2**32 - 1)
        _check_times(self.decision, self.deadline)


@dataclass(frozen=True, kw_only=True)
class PlanDecision(Vote):
    """A plan is admitted, or withdrawn. The first decision makes admission necessary for every later round.

    Attributes:
        plan: sha2-256 of the training plan.
        admitted: Whether rounds may be opened with it from then on.
        decision: ``TrainingRounds.planDecisions()``.
        deadline: Unix seconds until which, inclusive, the vote may be carried out.
    """

    plan: bytes
    admitted: bool
    decision: int
    deadline: int

    CONTRACT: ClassVar[str] = "rounds"
    TYPES: ClassVar[dict[str, list[dict[str, str]]]] = {
        "PlanDecision": [
            {"name": "plan", "type": "bytes32"},
            {"name": "admitted", "type": "bool"},
            {"name": "decision", "type": "uint256"},
            {"name": "deadline", "type": "uint256"},
        ]
    }

    def __post_init__(self) -> None:
        checked_digest("plan", self.plan)
        if not isinstance(self.admitted, bool):
            raise BadArgument("admitted", "true or false", self.admitted)
        _check_times(self.decision, self.deadline)


@dataclass(frozen=True, kw_only=True)
class Finding(Vote):
    """Members were at fault in a round, in a way no chain sees. Counts once a member, round and fault.

    Attributes:
        round: The round.
        fault: What was done; one of those that are not proven on chain.
        members: Bitmap of those who did it.
        evidence: sha2-256 of the document that shows it.
    """

    round: int
    fault: Fault
    members: int
    evidence: bytes

    CONTRACT: ClassVar[str] = "rounds"
    TYPES: ClassVar[dict[str, list[dict[str, str]]]] = {
        "Finding": [
            {"name": "round", "type": "uint256"},
            {"name": "fault", "type": "uint8"},
            {"name": "members", "type": "uint256"},
            {"name": "evidence", "type": "bytes32"},
        ]
    }

    def __post_init__(self) -> None:
        checked_integer("round", self.round, 1, _WORD)
        if not isinstance(self.fault, Fault) or self.fault in PROVEN:
            raise BadArgument("fault", "a fault that a quorum finds, not one that is proven", self.fault)
        checked_integer("members", self.members, 1, _WORD)
        checked_digest("evidence", self.evidence)

    def to_abi(self) -> dict[str, Any]:
        """The finding under the contract's own field names, in the contract's order."""
        return {**super().to_abi(), "fault": int(self.fault)}


def vote_digest(vote: Vote, deployment: Deployment) -> bytes:
    """The 32 bytes that members sign; equal to what the contract computes.

    Args:
        vote: What is voted on.
        deployment: The consortium's contracts.
    """
    return message_digest(_message(vote, deployment))


def sign_vote(vote: Vote, deployment: Deployment, account: LocalAccount) -> bytes:
    """A member's agreement, 65 bytes. Nothing is sent.

    Args:
        vote: What is voted on, which the caller has checked.
        deployment: The consortium's contracts.
        account: The member's key.
    """
    return sign_message(_message(vote, deployment), account)


def recover_vote_signer(vote: Vote, signature: bytes, deployment: Deployment) -> str:
    """Who agreed. Whether that is a member, the caller decides.

    Args:
        vote: What is voted on.
        signature: 65 bytes, r, s and v.
        deployment: The consortium's contracts.

    Returns:
        The signer's checksummed address.

    Raises:
        BadArgument: If the bytes are no signature.
    """
    return recover_signer(_message(vote, deployment), signature)


def _message(vote: Vote, deployment: Deployment) -> SignableMessage:
    contract = str(getattr(deployment, vote.CONTRACT))
    return typed_message(vote.TYPES, vote.to_abi(), deployment.chain_id, contract)


def _check_times(decision: int, deadline: int) -> None:
    checked_integer("decision", decision, 0, _WORD)
    checked_integer("deadline", deadline, 0, _WORD)
