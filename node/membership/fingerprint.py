"""A hospital's fingerprint: what two people read to each other before one of them approves the other's keys."""

from __future__ import annotations

import base64
import hashlib

from node.consortium.view import address_bytes

DIGITS = 24
"""Base-32 digits, five bits each: 120 bits, out of reach for whoever looks for keys with a given fingerprint."""


def fingerprint(account: str, box_key: bytes) -> str:
    """The first 120 bits of sha2-256("medweave/fingerprint", account, X25519 key), base 32, in groups of four.

    Args:
        account: Checksummed hex.
        box_key: 32 bytes.
    """
    digest = hashlib.sha256(b"medweave/fingerprint" + address_bytes(account) + box_key).digest()
    digits = base64.b32encode(digest).decode()[:DIGITS]
    return "-".join(digits[at : at + 4] for at in range(0, DIGITS, 4))
