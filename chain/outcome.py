"""What a quorum signs at a round's end: EIP-712 typed data, computed without asking a chain."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from chain.typed import SIGNATURE_BYTES, message_digest, recover_signer, sign_message, typed_message

if TYPE_CHECKING:
    from eth_account.messages import SignableMessage
    from eth_account.signers.local import LocalAccount

    from chain.deployment import Deployment
    from chain.records import Outcome

__all__ = ["SIGNATURE_BYTES", "as_abi", "outcome_digest", "recover_outcome_signer", "sign_outcome"]

_TYPES = {
    "Outcome": [
        {"name": "round", "type": "uint256"},
        {"name": "base", "type": "bytes32"},
        {"name": "model", "type": "bytes32"},
        {"name": "plan", "type": "bytes32"},
        {"name": "leader", "type": "address"},
        {"name": "proposal", "type": "bytes32"},
        {"name": "updatesRoot", "type": "bytes32"},
        {"name": "sumsRoot", "type": "bytes32"},
        {"name": "statement", "type": "bytes32"},
        {"name": "seedMaterial", "type": "bytes32"},
    ]
}


def outcome_digest(outcome: Outcome, deployment: Deployment) -> bytes:
    """The 32 bytes that members sign; equal to ``TrainingRounds.outcomeDigest``.

    Args:
        outcome: The round's result.
        deployment: Gives chain id and contract address, so that no signature counts twice anywhere (EIP-712).
    """
    return message_digest(_message(outcome, deployment))


def sign_outcome(outcome: Outcome, deployment: Deployment, account: LocalAccount) -> bytes:
    """A member's signature of a round's result.

    Args:
        outcome: The round's result.
        deployment: The consortium's contracts.
        account: The member's key.

    Returns:
        65 bytes: r, s (low, as OpenZeppelin requires) and v, 27 or 28.
    """
    return sign_message(_message(outcome, deployment), account)


def recover_outcome_signer(outcome: Outcome, signature: bytes, deployment: Deployment) -> str:
    """Who signed a round's result. Whether that is a member, the caller decides.

    Args:
        outcome: The round's result.
        signature: 65 bytes, r, s and v.
        deployment: The consortium's contracts.

    Returns:
        The signer's checksummed address.

    Raises:
        BadArgument: If the bytes are no signature.
    """
    return recover_signer(_message(outcome, deployment), signature)


def _message(outcome: Outcome, deployment: Deployment) -> SignableMessage:
    return typed_message(_TYPES, as_abi(outcome), deployment.chain_id, deployment.rounds)


def as_abi(outcome: Outcome) -> dict[str, Any]:
    """The outcome under the contract's own field names, in the contract's order.

    Args:
        outcome: The round's result.
    """
    return {
        "round": outcome.round,
        "base": outcome.base,
        "model": outcome.model,
        "plan": outcome.plan,
        "leader": outcome.leader,
        "proposal": outcome.proposal,
        "updatesRoot": outcome.updates_root,
        "sumsRoot": outcome.sums_root,
        "statement": outcome.statement,
        "seedMaterial": outcome.seed_material,
    }
