"""An envelope checked from docs/spec/statement.md alone: JSON, base64, sha2-256 and textbook ECDSA; nothing of ours, no library.

Only keccak-256 is imported, which the standard library lacks.
"""

from __future__ import annotations

import base64
import hashlib
import json

from eth_hash.auto import keccak

P = 2**256 - 2**32 - 977
N = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
G = (
    0x79BE667EF9DCBBAC55A06295CE870B07029BFCDB2DCE28D959F2815B16F81798,
    0x483ADA7726A3C4655DA4FBFC0E1108A8FD17B448A68554199C47D08FFB10D4B8,
)
Point = tuple[int, int] | None


def add(a: Point, b: Point) -> Point:
    if a is None or b is None:
        return a or b
    if a[0] == b[0] and (a[1] + b[1]) % P == 0:
        return None
    slope = 3 * a[0] * a[0] * pow(2 * a[1], -1, P) if a == b else (b[1] - a[1]) * pow(b[0] - a[0], -1, P)
    x = (slope * slope - a[0] - b[0]) % P
    return x, (slope * (a[0] - x) - a[1]) % P


def times(k: int, point: Point) -> Point:
    total: Point = None
    while k:
        if k & 1:
            total = add(total, point)
        point, k = add(point, point), k >> 1
    return total


def recover(digest: bytes, signature: bytes) -> Point:
    """SEC 1, section 4.1.6."""
    r, s, v = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:64], "big"), signature[64]
    y = pow(r**3 + 7, (P + 1) // 4, P)
    point = (r, y if y % 2 == v else P - y)
    inverse, e = pow(r, -1, N), int.from_bytes(digest, "big")
    return add(times(s * inverse % N, point), times(-e * inverse % N, G))


def verifies(digest: bytes, signature: bytes, key: Point) -> bool:
    """SEC 1, section 4.1.4: what any ECDSA library does with r and s under a known key."""
    r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:64], "big")
    w = pow(s, -1, N)
    found = add(times(int.from_bytes(digest, "big") * w % N, G), times(r * w % N, key))
    return found is not None and found[0] % N == r


def address(key: Point) -> str:
    return "0x" + keccak(key[0].to_bytes(32, "big") + key[1].to_bytes(32, "big"))[-20:].hex()


def signers(envelope: bytes) -> set[str]:
    """The addresses whose keys signed the payload, whatever the key ids say."""
    content = json.loads(envelope)
    body, kind = base64.b64decode(content["payload"]), content["payloadType"].encode()
    encoded = b" ".join([b"DSSEv1", str(len(kind)).encode(), kind, str(len(body)).encode(), body])
    digest, found = hashlib.sha256(encoded).digest(), set()
    for row in content["signatures"]:
        signature = base64.b64decode(row["sig"])
        key = recover(digest, signature)
        if verifies(digest, signature, key):
            found.add(address(key))
    return found
