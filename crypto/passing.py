"""Passing something on to one member: a libsodium sealed box under its registered X25519 key.

For what a member may have and holds no epoch's content key for, such as the model of a round it rested in. Whoever passes it
on is not authenticated: the receiver compares what it got with a digest it has from elsewhere.
"""

import nacl.exceptions
from nacl.bindings import crypto_box_seal, crypto_box_seal_open

from crypto.errors import MalformedBytes
from crypto.secrets import BoxKey
from crypto.wire import want_bytes

OVERHEAD = 48
"""Bytes that a sealed box is longer than what it holds: an ephemeral key and an authenticator."""


def pass_on(data: bytes, box_key: bytes) -> bytes:
    """The bytes, sealed so that only the holder of a key opens them; other bytes every time.

    Args:
        data: What is passed on.
        box_key: The receiver's X25519 public key, 32 bytes.

    Raises:
        MalformedBytes: The key is none.
    """
    want_bytes(box_key, 32, "boxKey")
    try:
        return crypto_box_seal(data, box_key)
    except (nacl.exceptions.CryptoError, nacl.exceptions.RuntimeError) as error:
        raise MalformedBytes("boxKey", "a point that nothing can be sealed to") from error


def receive_passed(blob: bytes, box: BoxKey) -> bytes:
    """What somebody passed on to this key's holder.

    Raises:
        MalformedBytes: It does not open.
    """
    if len(blob) < OVERHEAD:
        raise MalformedBytes("passed", f"{len(blob)} bytes, at least {OVERHEAD} expected")
    try:
        return crypto_box_seal_open(blob, box.public, box.private)
    except (nacl.exceptions.CryptoError, nacl.exceptions.RuntimeError) as error:
        raise MalformedBytes("passed", "it is not sealed to this hospital's registered key") from error
