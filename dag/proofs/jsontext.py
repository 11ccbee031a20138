"""JSON from a hostile sender.

Python's own reader recurses once a bracket and relies on the interpreter's recursion limit to stop. Libraries of the
Ethereum stack raise that limit far beyond what the machine's stack holds, and a text of brackets then ends the process. So
depth is counted before the text is read.
"""

from __future__ import annotations

import json
import re
from typing import Any, Final

from dag.errors import MalformedNote

MAX_DEPTH: Final = 32

_STRING: Final = re.compile(rb'"(?:[^"\\]|\\.)*+"', re.DOTALL)
_NOT_BRACKETS: Final = bytes(set(range(256)) - set(b"[]{}"))


def parse_json(field: str, raw: bytes, limit: int) -> Any:
    """The value that a JSON text holds.

    Args:
        field: what an error calls it.
        raw: UTF-8.
        limit: how many bytes are acceptable.

    Raises:
        MalformedNote: too long, too deep, or no JSON.
    """
    if len(raw) > limit:
        raise MalformedNote(field, f"{len(raw)} bytes, at most {limit} are accepted")
    depth = 0
    for mark in _STRING.sub(b"", raw).translate(None, _NOT_BRACKETS):
        depth += 1 if mark in b"[{" else -1
        if depth > MAX_DEPTH:
            raise MalformedNote(field, f"nested deeper than {MAX_DEPTH}")
    try:
        return json.loads(raw.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise MalformedNote(field, f"not JSON: {str(error)[:120]}") from None
