"""Numbers of docs/spec/crypto.md, and what every check needs."""

import hashlib
import json
import sys
from array import array

SETS = {  # id: name, ring degree, primes of a key (a ciphertext has the first two), values a chunk
    bytes.fromhex("fd2beefb1e7816dfa3bb0eabb733a54e"):
        ("standard", 8192, (0xFFFFFFFFFFD8001, 0xFFFFFFFFFFE8001, 0xFFFFFFFFFFFC001), 24_576),
    bytes.fromhex("8b08e93f0921e5f6778d03af4b08cecc"): ("minimal", 4096, (0xFFFFBE001, 0xFFFFC4001, 0xFFFFEE001), 8_192),
}  # fmt: skip


class Missing(Exception):  # noqa: N818  (not an error: what is not there)
    """Something that a check needs is not there, or could itself not be established."""


def demand(truth, what):
    if not truth:
        raise ValueError(what)


def canonical_json(data):
    value = json.loads(data)
    same = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode() == data
    demand(same, "JSON is not in its one form")
    return value


def words(data):
    """Little-endian 64-bit words."""
    out = array("Q", data)
    if sys.byteorder == "big":
        out.byteswap()
    return out


def sized(part):
    return len(part).to_bytes(8, "big") + part


def derive(key, *parts):
    return hashlib.blake2b(b"".join(map(sized, parts)), digest_size=32, key=key).digest()


def two_thirds(members):
    return -(-2 * len(members) // 3)


def word(value):
    return value.to_bytes(32, "big") if isinstance(value, int) else value.rjust(32, b"\0")
