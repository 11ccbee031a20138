"""Calling peers over HTTP: one message out, at most one back, all of it within a deadline."""

from __future__ import annotations

import asyncio
import json
import logging
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import httpx

from dag.sync import MAX_MESSAGE_BYTES, MEDIA_TYPE

if TYPE_CHECKING:
    from dag.sync import Send
    from node.calling import Dialer

log = logging.getLogger("medweave.gossip")

TOTAL_SECONDS = 10.0
"""For one call, from connecting to the answer's last byte: a peer that sends a byte a second gains nothing by it."""
CONNECT_SECONDS = 3.0
MAX_WAITING = 32
"""Most calls to one peer under way or in line; what is beyond is told to the machine as not arrived."""
MAX_REFUSAL_BYTES = 4096
UNREACHABLE = (httpx.HTTPError, httpx.InvalidURL, ValueError, TimeoutError)
"""What calling a peer may raise; `ValueError` for addresses that are none."""


@dataclass(frozen=True)
class Answered:
    """What came of a call.

    Attributes:
        arrived: whether the peer took the message.
        body: what it answered; empty if nothing. One byte over the limit if it sent more than that.
    """

    arrived: bool
    body: bytes = b""


class Calls:
    """The calls of one node.

    What is told to a peer goes out one call after the other, so that parents arrive before children; questions do not wait
    for it.
    """

    def __init__(self, dialer: Dialer) -> None:
        """No calls yet.

        Args:
            dialer: Makes the client; says who calls.
        """
        self._http = dialer.async_client(httpx.Timeout(TOTAL_SECONDS, connect=CONNECT_SECONDS))
        self._lines: dict[str, asyncio.Lock] = {}
        self._waiting: Counter[str] = Counter()
        self._refused: dict[str, str] = {}

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def call(self, send: Send) -> Answered:
        """Carry a message to a peer, under its base URL."""
        peer = send.peer
        if self._waiting[peer] >= MAX_WAITING:
            return Answered(arrived=False)
        self._waiting[peer] += 1
        try:
            if send.asks:
                return await self._post(peer, send.message)
            async with self._lines.setdefault(peer, asyncio.Lock()):
                return await self._post(peer, send.message)
        finally:
            self._waiting[peer] -= 1
            if not self._waiting[peer]:
                del self._waiting[peer]
                self._lines.pop(peer, None)

    async def _post(self, peer: str, message: bytes) -> Answered:
        headers = {"Content-Type": MEDIA_TYPE, "Accept-Encoding": "identity"}
        try:
            async with (
                asyncio.timeout(TOTAL_SECONDS),
                self._http.stream("POST", f"{peer}/v1/gossip", content=message, headers=headers) as answer,
            ):
                await self._note_refusal(peer, answer)
                answer.raise_for_status()
                body = bytearray()
                async for piece in answer.aiter_bytes(1 << 16):
                    body += piece
                    if len(body) > MAX_MESSAGE_BYTES:
                        log.warning("%s answers more than %d bytes", peer, MAX_MESSAGE_BYTES)
                        break
                return Answered(arrived=True, body=bytes(body[: MAX_MESSAGE_BYTES + 1]))
        except UNREACHABLE as error:
            log.debug("%s: %s", peer, error)
            return Answered(arrived=False)

    async def _note_refusal(self, peer: str, answer: httpx.Response) -> None:
        """Say once why a peer does not believe who calls (a clock, an address, a seat): nothing else would show it here."""
        if answer.status_code not in {httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN}:
            self._refused.pop(peer, None)
            return
        body = b""
        async for piece in answer.aiter_bytes(1 << 12):
            body += piece
            if len(body) > MAX_REFUSAL_BYTES:
                break
        detail = _detail(body)
        reason = f"{answer.status_code}{detail[:20]}"  # figures further on change with each call
        if self._refused.get(peer) != reason:
            self._refused[peer] = reason
            log.warning("%s refuses what this node asks: %s", peer, detail)


def _detail(body: bytes) -> str:
    """What a problem document says, in one bounded line of printable characters."""
    try:
        said = json.loads(body)
    except (ValueError, RecursionError):
        said = None
    text = str(said.get("detail", "")) if isinstance(said, dict) else ""
    return "".join(character for character in text if character.isprintable())[:300] or "it gives no reason"
