"""One canonical byte form: strict DAG-CBOR.

Values are None, bool, int, bytes, str, tuples or lists of them, maps with text keys, and `Link`. No floats. Map keys are
sorted by length first, integers are as short as possible, links are tag 42. `decode` accepts nothing that `encode`
would write differently, so one value has one byte form and one hash.
Source: https://ipld.io/specs/codecs/dag-cbor/spec/#strictness
"""

from __future__ import annotations

from typing import Any, Final, NoReturn

import cbor2

from dag.errors import MalformedTransaction

LINK_TAG: Final = 42
_MAX_DEPTH: Final = 8

# Tags the library would turn into dates, big numbers, shared references, regular expressions … before we see them.
_LIBRARY_TAGS: Final = (0, 1, 2, 3, 4, 5, 25, 28, 29, 30, 35, 36, 37, 100, 256, 258, 260, 261, 1004, 43000, 55799)


_KINDS: Final = frozenset({type(None), bool, int, bytes, str, cbor2.CBORTag})


def _refuse(*_: object) -> NoReturn:
    raise ValueError("only tag 42 (a link) may stand here")


_REFUSED: Final[dict[int, Any]] = dict.fromkeys(_LIBRARY_TAGS, _refuse)


def link(binary_cid: bytes) -> cbor2.CBORTag:
    """A DAG-CBOR link to a binary CID (36 bytes): tag 42 over the CID with its 0x00 multibase prefix."""
    return cbor2.CBORTag(LINK_TAG, b"\x00" + binary_cid)


def linked(field: str, value: object) -> bytes:
    """The binary CID inside a decoded link.

    Args:
        field: the name an error gives to the place.
        value: what `decode` found there.

    Raises:
        MalformedTransaction: the value is no link.
    """
    if not isinstance(value, cbor2.CBORTag) or value.tag != LINK_TAG:
        raise MalformedTransaction(field, f"expected a CID link (tag 42), found {type(value).__name__}")
    content = value.value
    if not isinstance(content, bytes) or content[:1] != b"\x00":
        raise MalformedTransaction(field, "a link holds the binary CID after one zero byte")
    return content[1:]


def encode(value: object) -> bytes:
    """The canonical DAG-CBOR bytes of a value."""
    return cbor2.dumps(value, canonical=True)


def decode(raw: bytes, limit: int) -> object:
    """Decodes canonical DAG-CBOR from a hostile sender.

    Args:
        raw: the bytes.
        limit: how many bytes are acceptable.

    Raises:
        MalformedTransaction: too long, not CBOR, or not in the one canonical form.
    """
    if len(raw) > limit:
        raise MalformedTransaction("bytes", f"{len(raw)} bytes, at most {limit} are accepted")
    try:
        value: object = cbor2.loads(
            raw,
            max_depth=_MAX_DEPTH,
            allow_indefinite=False,
            allow_duplicate_keys=False,
            strict_hashable_types=True,
            semantic_decoders=_REFUSED,
        )
        again = encode(value)
    except (cbor2.CBORError, ValueError, TypeError, OverflowError, RecursionError) as error:
        raise MalformedTransaction("bytes", f"not DAG-CBOR: {str(error)[:200]}") from None
    if again != raw:
        raise MalformedTransaction("bytes", "not canonical DAG-CBOR (key order, integer width or trailing bytes)")
    _verify_kinds(value)
    return value


def _verify_kinds(value: object) -> None:
    """Demand the kinds of this form alone: a float or a simple value equals a whole number and has other bytes."""
    if isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, str):
                raise MalformedTransaction("bytes", f"not DAG-CBOR: a map's key is a {type(key).__name__}, not a text")
            _verify_kinds(item)
    elif isinstance(value, list | tuple):
        for item in value:
            _verify_kinds(item)
    elif type(value) not in _KINDS:
        raise MalformedTransaction("bytes", f"not DAG-CBOR as it is used here: a {type(value).__name__}")
