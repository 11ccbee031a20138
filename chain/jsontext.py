"""JSON files that somebody else may have written.

Python's reader recurses once a bracket and relies on the interpreter's recursion limit; libraries of the Ethereum stack raise that
limit beyond what the stack holds, and a file of brackets would end the process. Our files have a handful of brackets, so
their number is bounded before anything is read.
"""

from __future__ import annotations

import json
from typing import Any, Final

MAX_BRACKETS: Final = 512


def parse(text: str | bytes) -> Any:
    """The value in a small JSON text.

    Raises:
        ValueError: not JSON, not UTF-8, or more than `MAX_BRACKETS` opening brackets.
    """
    shown = text.decode("utf-8") if isinstance(text, bytes) else text
    brackets = shown.count("[") + shown.count("{")
    if brackets > MAX_BRACKETS:
        raise ValueError(f"{brackets} brackets, at most {MAX_BRACKETS} expected")
    return json.loads(shown)
