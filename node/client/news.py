"""A node's event stream, read: what breaks off is taken up again where it was."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from node.client.errors import Malformed, NodeBusy, NodeUnreachable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from node.client.transport import Transport

MAX_LINE_BYTES: Final = 64 << 10


@dataclass(frozen=True)
class News:
    """One event.

    Attributes:
        id: Names it, for taking up again.
        name: What kind; `gap` where some were missed: read the lists again.
        data: What happened.
    """

    id: str
    name: str
    data: dict[str, Any]


def follow(transport: Transport, last: str | None = None) -> Iterator[News]:
    """Events as they come, without end; after a break the stream is opened again and goes on after the last one.

    Args:
        transport: Calls the node.
        last: Id of the event seen last; None for news only.

    Raises:
        NodeUnreachable: It cannot be reached any more, however often it is tried.
        Refused: It answers with a problem.
        Malformed: What it sends is no stream of events.
    """
    pauses = transport.pauses()
    while True:
        try:
            headers = {"Accept": "text/event-stream"} | ({"Last-Event-ID": last} if last else {})
            with transport.opened("GET", "/v1/events", headers=headers) as response:
                for event in _events(transport.url, response.iter_bytes()):
                    pauses = transport.pauses()
                    last = event.id or last
                    yield event
        except (NodeUnreachable, NodeBusy) as error:
            transport.wait(error, next(pauses, None))
        else:
            transport.wait(NodeUnreachable(transport.url, "the stream ended"), next(pauses, None))


def _events(url: str, pieces: Iterator[bytes]) -> Iterator[News]:
    """Events of a byte stream (WHATWG HTML, section 9.2.6); comments are left out."""
    fields: dict[str, str] = {}
    for line in _lines(url, pieces):
        name, _, value = line.partition(":")
        if line and name in {"id", "event", "data"}:
            fields[name] = value.removeprefix(" ")
        elif not line and "data" in fields:
            yield _event(url, fields)
            fields = {}


def _lines(url: str, pieces: Iterator[bytes]) -> Iterator[str]:
    held = b""
    for piece in pieces:
        *lines, held = (held + piece).split(b"\n")
        if len(held) > MAX_LINE_BYTES:
            raise Malformed(url, f"a line of the event stream is longer than {MAX_LINE_BYTES} bytes")
        for line in lines:
            yield line.decode(errors="replace").removesuffix("\r")


def _event(url: str, fields: dict[str, str]) -> News:
    try:
        data = json.loads(fields["data"])
    except (ValueError, RecursionError):
        raise Malformed(url, "an event's data is no JSON") from None
    if not isinstance(data, dict):
        raise Malformed(url, "an event's data is no JSON object")
    return News(fields.get("id", ""), fields.get("event", "message"), data)
