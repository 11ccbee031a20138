"""Typed data that members sign off chain (EIP-712), computed without asking a chain.

Every message has the domain name ``Medweave``, version ``1``, the deployment's chain id and the address of the contract
that counts the signatures, so that no signature counts twice anywhere.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from eth_account import Account
from eth_account.messages import SignableMessage, encode_typed_data
from eth_utils.crypto import keccak

from chain.errors import BadArgument
from chain.records import MAX_MEMBERS, checked_integer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from eth_account.signers.local import LocalAccount

SIGNATURE_BYTES = 65

_HALF_ORDER = (0x7FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF5D576E7357A4501DDFE92F46681B20A0).to_bytes(32, "big")
"""Half of secp256k1's order: OpenZeppelin refuses a larger s, so that each signature has one form (EIP-2)."""


def typed_message(
    types: Mapping[str, list[dict[str, str]]], values: Mapping[str, Any], chain_id: int, contract: str
) -> SignableMessage:
    """What members sign.

    Args:
        types: EIP-712's types by name, the message's own first.
        values: The message, under the contract's field names.
        chain_id: The chain (EIP-155).
        contract: The address of the contract that verifies, checksummed hex.
    """
    domain = {"name": "Medweave", "version": "1", "chainId": chain_id, "verifyingContract": contract}
    return encode_typed_data(domain_data=domain, message_types=dict(types), message_data=dict(values))


def message_digest(message: SignableMessage) -> bytes:
    """The 32 bytes under the signature; equal to what the contract computes.

    Args:
        message: What ``typed_message`` made.
    """
    return bytes(keccak(b"\x19" + message.version + message.header + message.body))


def sign_message(message: SignableMessage, account: LocalAccount) -> bytes:
    """A member's signature.

    Args:
        message: What ``typed_message`` made.
        account: The member's key.

    Returns:
        65 bytes: r, s (low, as OpenZeppelin requires) and v, 27 or 28.
    """
    return bytes(account.sign_message(message).signature)


def recover_signer(message: SignableMessage, signature: bytes) -> str:
    """Who signed. Whether that is a member, the caller decides.

    Args:
        message: What ``typed_message`` made.
        signature: 65 bytes, r, s and v.

    Returns:
        The signer's checksummed address.

    Raises:
        BadArgument: If the bytes are no signature.
    """
    expected = f"{SIGNATURE_BYTES} bytes r, s (low), v (27 or 28)"
    if len(signature) != SIGNATURE_BYTES or signature[64] not in {27, 28} or signature[32:64] > _HALF_ORDER:
        raise BadArgument("signature", expected, signature)
    try:
        return str(Account.recover_message(message, signature=signature))
    except Exception as error:  # the key library raises its own kinds for points off the curve
        raise BadArgument("signature", expected, signature) from error


def joined_signatures(signatures: Mapping[int, bytes]) -> tuple[int, bytes]:
    """Signatures as the contracts take them.

    Args:
        signatures: By member index, 65 bytes each.

    Returns:
        The bitmap of signers, and their signatures by ascending index, joined.

    Raises:
        BadArgument: If an index or a length is out of its range.
    """
    bitmap = 0
    for index, signature in signatures.items():
        bitmap |= 1 << checked_integer("signatures", index, 0, MAX_MEMBERS - 1)
        if len(signature) != SIGNATURE_BYTES:
            raise BadArgument(f"signatures[{index}]", f"{SIGNATURE_BYTES} bytes", signature)
    return bitmap, b"".join(signatures[index] for index in sorted(signatures))
