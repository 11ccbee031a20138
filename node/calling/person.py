"""The tokens a person holds, for commands that read from nodes: each is sent to the node it is for and to no other."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

from node.calling.clients import BearerAuth, Dialer
from node.calling.signatures import authority_of
from node.errors import BadInput

if TYPE_CHECKING:
    from collections.abc import Mapping

VARIABLE: Final = "MEDWEAVE_TOKEN"
"""Holds `URL TOKEN`, or several of these with commas between them."""
FILE_VARIABLE: Final = "MEDWEAVE_TOKEN_FILE"
"""Names a file of such pairs, a line each."""
MAX_FILE_BYTES: Final = 1 << 20


def personal(url: str, environment: Mapping[str, str] | None = None) -> Dialer:
    """The client for a node that a person named: with the person's token for it where there is one.

    Args:
        url: The node's base address.
        environment: Where the variables are; the process's own by default.

    Raises:
        BadInput: A variable, or the file that one names, is malformed; no token is shown.
    """
    held = _held(os.environ if environment is None else environment)
    try:
        token = held.get(authority_of(url))
    except ValueError:  # an address that is none: the call itself will say so
        token = None
    return Dialer() if token is None else Dialer(BearerAuth(token, url))


def _held(environment: Mapping[str, str]) -> dict[str, str]:
    """Tokens by the authority of their node."""
    found = {}
    for source, line in _lines(environment):
        url, _, token = line.partition(" ")
        if not url.startswith(("http://", "https://")) or not token.strip():
            raise BadInput(f"{source}: expected `URL TOKEN`, for instance `http://127.0.0.1:8470 mw_…`")
        found[authority_of(url)] = token.strip()
    return found


def _lines(environment: Mapping[str, str]) -> list[tuple[str, str]]:
    """(where it stands, text) of every pair."""
    lines = [(f"${VARIABLE}", line.strip()) for line in environment.get(VARIABLE, "").split(",")]
    if name := environment.get(FILE_VARIABLE):
        try:
            text = Path(name).read_text(encoding="utf-8")[:MAX_FILE_BYTES]
        except (OSError, UnicodeDecodeError) as error:
            raise BadInput(f"${FILE_VARIABLE} {name}: cannot be read ({error})") from None
        lines += [(f"{name}, line {number}", line.strip()) for number, line in enumerate(text.splitlines(), 1)]
    return [(source, line) for source, line in lines if line and not line.startswith("#")]
