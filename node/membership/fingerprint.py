"""Fingerprints: what two people read to each other before one approves the other's keys, or joins the other's consortium."""

from __future__ import annotations

import base64
import hashlib
from typing import TYPE_CHECKING

from node.consortium.view import address_bytes

if TYPE_CHECKING:
    from chain.deployment import Deployment

DIGITS = 24
"""Base-32 digits, five bits each: 120 bits, out of reach for whoever looks for keys with a given fingerprint."""


def fingerprint(account: str, box_key: bytes) -> str:
    """The first 120 bits of sha2-256("medweave/fingerprint", account, X25519 key), base 32, in groups of four.

    Args:
        account: Checksummed hex.
        box_key: 32 bytes.
    """
    return _grouped(hashlib.sha256(b"medweave/fingerprint" + address_bytes(account) + box_key).digest())


def consortium_fingerprint(deployment: Deployment) -> str:
    """The same of sha2-256("medweave/consortium", chain id, first block (8 bytes each, big endian), id, contracts' addresses).

    The id alone names nothing: anybody can deploy contracts that state it. Addresses on a chain are given once. The block is in it
    because whoever reads events from a later one on misses some.

    Args:
        deployment: The consortium's contracts.
    """
    numbers = deployment.chain_id.to_bytes(8, "big") + deployment.block.to_bytes(8, "big")
    state = hashlib.sha256(b"medweave/consortium" + numbers + deployment.consortium)
    for name in sorted(deployment.addresses):
        state.update(address_bytes(deployment.addresses[name]))
    return _grouped(state.digest())


def letters(text: str) -> str:
    """A fingerprint without what people put between its groups."""
    return "".join(text.upper().replace("-", " ").split())


def _grouped(digest: bytes) -> str:
    digits = base64.b32encode(digest).decode()[:DIGITS]
    return "-".join(digits[at : at + 4] for at in range(0, DIGITS, 4))
