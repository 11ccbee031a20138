"""What a quorum signs at a round's end: EIP-712 typed data, computed without asking a chain."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from eth_account import Account
from eth_account.messages import SignableMessage, encode_typed_data
from eth_utils.crypto import keccak

from chain.errors import BadArgument

if TYPE_CHECKING:
    from eth_account.signers.local import LocalAccount

    from chain.deployment import Deployment
    from chain.records import Outcome

SIGNATURE_BYTES = 65

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
    message = _message(outcome, deployment)
    return bytes(keccak(b"\x19" + message.version + message.header + message.body))


def sign_outcome(outcome: Outcome, deployment: Deployment, account: LocalAccount) -> bytes:
    """A member's signature of a round's result.

    Args:
        outcome: The round's result.
        deployment: The consortium's contracts.
        account: The member's key.

    Returns:
        65 bytes: r, s (low, as OpenZeppelin requires) and v, 27 or 28.
    """
    return bytes(account.sign_message(_message(outcome, deployment)).signature)


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
    expected = f"{SIGNATURE_BYTES} bytes r, s (low), v (27 or 28)"
    if len(signature) != SIGNATURE_BYTES or signature[64] not in {27, 28} or signature[32:64] > _HALF_ORDER:
        raise BadArgument("signature", expected, signature)
    try:
        return str(Account.recover_message(_message(outcome, deployment), signature=signature))
    except Exception as error:  # the key library raises its own kinds for points off the curve
        raise BadArgument("signature", expected, signature) from error


_HALF_ORDER = (0x7FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF5D576E7357A4501DDFE92F46681B20A0).to_bytes(32, "big")
"""Half of secp256k1's order: OpenZeppelin refuses a larger s, so that each signature has one form (EIP-2)."""


def _message(outcome: Outcome, deployment: Deployment) -> SignableMessage:
    domain = {
        "name": "Medweave",
        "version": "1",
        "chainId": deployment.chain_id,
        "verifyingContract": deployment.rounds,
    }
    return encode_typed_data(domain_data=domain, message_types=_TYPES, message_data=as_abi(outcome))


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
