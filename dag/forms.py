"""The canonical bytes of the common kinds, each as one pattern.

Canonical DAG-CBOR leaves no freedom: keys stand in one order, lengths and integers have one width. So the bytes of a
kind without lists are a fixed frame around its values, and one regular expression accepts exactly the canonical form.
That is many times faster than decoding and encoding again. What no pattern matches goes to `dag.codec`, which knows every
kind and says what is wrong; a test holds the two against each other. Ranges and truth are not judged here.
"""

from __future__ import annotations

import re
from dataclasses import fields
from functools import lru_cache
from typing import Any, Final, NamedTuple

from dag.bodies import BODIES, SIGNATURE_BYTES, Body, Kind

NONCE_BYTES: Final = 8

# Unsigned integers in their shortest form: inside the first byte, or 1, 2, 4, 8 bytes that fewer would not hold.
_UINT: Final = rb"([\x00-\x17]|\x18[\x18-\xff]|\x19(?!\x00)..|\x1a(?!\x00\x00)....|\x1b(?!\x00\x00\x00\x00)........)"
_LINK_HEAD: Final = rb"\xd8\x2a\x58\x25\x00"
_PARENT: Final = _LINK_HEAD + rb"\x01\x71\x12\x20(.{32})"
_BLOB: Final = _LINK_HEAD + rb"(\x01[\x55\x70]\x12\x20.{32})"
_NOTHING: Final = rb"()"  # stands for a value that this form has not, so that all forms capture the same


def _bytes(size: int) -> bytes:
    head = bytes((0x40 + size,)) if size < 24 else bytes((0x58, size))
    return re.escape(head) + b"(.{%d})" % size


def _text(value: str) -> bytes:
    return re.escape(bytes((0x60 + len(value),)) + value.encode("ascii"))


def _map(entries: dict[str, bytes]) -> tuple[bytes, tuple[str, ...]]:
    """The pattern of a map with these keys, and the keys in the order their values are captured."""
    names = tuple(sorted(entries, key=lambda name: (len(name), name)))
    head = re.escape(bytes((0xA0 + len(names),)))
    return head + b"".join(_text(name) + entries[name] for name in names), names


_OPTIONAL_DIGEST: Final = rb"(?:\xf6|" + _bytes(32) + rb")"
_BOOL: Final = rb"([\xf4\xf5])"
_BODIES: Final[dict[Kind, dict[str, bytes]]] = {
    Kind.UPDATE: {
        "weight_ppm": _UINT,
        "samples": _UINT,
        "slots": _UINT,
        "commitment": _bytes(32),
        "parameter_set": _bytes(16),
        "layout": _bytes(32),
    },
    Kind.ACKNOWLEDGEMENT: {"reveal": _OPTIONAL_DIGEST, "close": _BOOL},
    Kind.SHARE: {"proposal": _bytes(32), "member": _UINT},
    Kind.CHECKPOINT: {
        "proposal": _bytes(32),
        "model": _bytes(32),
        "statement": _bytes(32),
        "outcome_signature": _bytes(SIGNATURE_BYTES),
        "statement_signature": _bytes(SIGNATURE_BYTES),
        "root": _bytes(32),
    },
}


class Frame(NamedTuple):
    """What a pattern found between the fixed bytes; lengths and types are proved by it, numbers may be out of range.

    Attributes:
        kind: the transaction's kind.
        body: its body, which has checked itself.
        consortium: 32 bytes.
        epoch: the number.
        round: the number.
        sequence: the number.
        parents: the two ids.
        payload: the payload's binary CID, or None.
        nonce: 8 bytes, or None.
        signature: 65 bytes.
    """

    kind: Kind
    body: Body
    consortium: bytes
    epoch: int
    round: int
    sequence: int
    parents: tuple[bytes, bytes]
    payload: bytes | None
    nonce: bytes | None
    signature: bytes


class _Form:
    """One kind's pattern, with or without a nonce."""

    def __init__(self, kind: Kind, *, nonce: bool) -> None:
        self.kind = kind
        body, _ = _map(_BODIES[kind])
        entries = {
            "format": rb"\x01",
            "kind": _text(kind.value),
            "consortium": _bytes(32),
            "epoch": _UINT if nonce else _UINT + _NOTHING,
            "round": _UINT,
            "sequence": _UINT,
            "parents": rb"\x82" + _PARENT + _PARENT,
            "payload": _BLOB if BODIES[kind].carries_payload else rb"\xf6" + _NOTHING,
            "body": body,
            "signature": _bytes(SIGNATURE_BYTES),
        } | ({"nonce": _bytes(NONCE_BYTES)} if nonce else {})
        pattern, _ = _map(entries)
        self.match = re.compile(pattern, re.DOTALL).fullmatch

    def read(self, raw: bytes) -> Frame | None:
        found = self.match(raw)
        if found is None:
            return None
        # In the order of the keys; `body`, the shortest, comes first.
        *said, epoch, nonce, round_, one, two, payload, sequence, signature, consortium = found.groups()
        return Frame(
            self.kind,
            _body(self.kind, *said),
            consortium,
            _number(epoch),
            _number(round_),
            _number(sequence),
            (one, two),
            payload or None,
            nonce or None,
            signature,
        )


@lru_cache(maxsize=64)  # most transactions are plain acknowledgements: one body serves them all
def _body(kind: Kind, *said: bytes | None) -> Body:
    """The body whose fields were captured, in the order of their keys. Raises MalformedTransaction."""
    fields_of = {name: _meaning(pattern, value) for (name, pattern), value in zip(_KEYED[kind], said, strict=True)}
    return BODIES[kind](**fields_of)


def read_frame(raw: bytes) -> Frame | None:
    """The values in canonical bytes of an update, acknowledgement, share or checkpoint; None for anything else."""
    form = _FORMS.get(raw[:_TELLING])
    return None if form is None else form.read(raw)


def _number(encoded: bytes) -> int:
    return int.from_bytes(encoded[1:] or encoded, "big")  # a number below 24 is its own head byte


def _meaning(pattern: bytes, captured: bytes | None) -> Any:
    """What the captured bytes of a body's field stand for."""
    if pattern == _UINT and captured is not None:
        return _number(captured)
    return captured == b"\xf5" if pattern == _BOOL else captured


def _beginning(kind: Kind, *, nonce: bool) -> bytes:
    """How such bytes begin: number of keys, `body`, its number of keys, length of its first key."""
    names = _map(_BODIES[kind])[1]
    return bytes((0xAB if nonce else 0xAA,)) + b"\x64body" + bytes((0xA0 + len(names), 0x60 + len(names[0])))


_TELLING: Final = 8
_KEYED: Final = {kind: tuple((name, entries[name]) for name in _map(entries)[1]) for kind, entries in _BODIES.items()}

# A kind whose pattern does not name all of its body's fields is left to the general decoder: a default would give such a
# transaction a second form.
_FORMS: Final = {
    _beginning(kind, nonce=nonce): _Form(kind, nonce=nonce)
    for kind, patterns in _BODIES.items()
    for nonce in (False, True)
    if patterns.keys() == {field.name for field in fields(BODIES[kind])}
}
