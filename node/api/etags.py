"""Answers with a strong entity tag, so that a caller who has one already gets 304 and no body (RFC 9110, section 13).

The tag is of the bytes themselves: two answers with the same tag are the same byte for byte.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final

from fastapi import Response

if TYPE_CHECKING:
    from fastapi import Request
    from pydantic import BaseModel

JSON: Final = "application/json"
REVALIDATE: Final = "private, no-cache"
"""What is answered belongs to the caller, and has to be asked for again each time: it may have changed."""


def answer(request: Request, body: BaseModel | bytes, media_type: str = JSON, status: int = 200) -> Response:
    """The answer to a safe request, or 304 where the caller has it.

    Args:
        request: The call, for its If-None-Match.
        body: A model, which goes out as JSON, or the bytes.
        media_type: What the bytes are.
        status: HTTP status of the full answer.
    """
    content = body if isinstance(body, bytes) else body.model_dump_json().encode()
    headers = {"ETag": tag_of(content), "Cache-Control": REVALIDATE}
    if status == 200 and has_it(request.headers.get("if-none-match"), headers["ETag"]):
        return Response(status_code=304, headers=headers)
    return Response(content, status, headers, media_type)


def tag_of(content: bytes) -> str:
    """The strong entity tag of some bytes, in quotes: 128 bits of their sha2-256 digest in hex."""
    return f'"{hashlib.sha256(content).hexdigest()[:32]}"'


def has_it(header: str | None, tag: str) -> bool:
    """Whether an If-None-Match header names a tag; compared weakly, as section 13.1.2 asks.

    Args:
        header: The header's value, or None.
        tag: The tag of the present answer, in quotes.
    """
    if header is None or len(header) > 4000:
        return False
    tags = [one.strip().removeprefix("W/") for one in header.split(",")]
    return tag in tags or tags == ["*"]
