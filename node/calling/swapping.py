"""One message to each peer, one back: what members tell each other outside rounds and the ledger."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import httpx

from node.errors import BadMotion

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

log = logging.getLogger("medweave.calling")

_PIECE_BYTES = 1 << 16


def swap(
    http: httpx.Client, urls: Iterable[str], message: bytes, hear: Callable[[bytes], bool], most_bytes: int
) -> bool:
    """Tell each peer what is known here and hear what it knows; who cannot be reached is told again next time.

    Args:
        http: Says who calls.
        urls: Where each peer listens for such messages.
        message: What is told, JSON.
        hear: Takes in an answer and says whether it held anything new; raises BadMotion for what is malformed.
        most_bytes: A longer answer is not read to its end.

    Returns:
        Whether anything was new.
    """
    new = False
    for url in urls:
        try:
            new = hear(_post(http, url, message, most_bytes)) or new
        except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
            log.debug("%s: %s", url, error)
        except BadMotion as error:
            log.warning("refused what %s answers: %s", url, error)
    return new


def _post(http: httpx.Client, url: str, message: bytes, most_bytes: int) -> bytes:
    headers = {"Content-Type": "application/json", "Accept-Encoding": "identity"}
    with http.stream("POST", url, content=message, headers=headers) as answer:
        answer.raise_for_status()
        body = bytearray()
        for piece in answer.iter_bytes(_PIECE_BYTES):
            body += piece
            if len(body) > most_bytes:
                msg = f"answers more than {most_bytes} bytes"
                raise ValueError(msg)
    return bytes(body)
