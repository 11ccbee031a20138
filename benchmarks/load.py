"""Many clients at once against an HTTP server: each asks, waits for the whole answer, and asks again at once.

HTTP/1.1 by hand over asyncio streams, so that what is measured is the server and not a client library; it runs in a
process of its own. A latency is from the first byte sent to the last byte received.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from itertools import count
from time import perf_counter
from typing import TYPE_CHECKING

from benchmarks.errors import NotMeasured

if TYPE_CHECKING:
    from collections.abc import Sequence

READ_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Load:
    """What is asked of whom."""

    host: str
    port: int
    paths: tuple[str, ...]
    """Asked for in turn, each client beginning elsewhere."""
    tokens: tuple[str, ...]
    """One a client; empty strings where none is needed."""
    seconds: float


@dataclass(frozen=True, slots=True)
class Sample:
    """What came of it."""

    latencies: tuple[float, ...]
    """Seconds of each answer, in no order."""
    wall: float
    """Seconds from the first request to the last answer."""
    size: float
    """Mean bytes of an answer's body."""

    @property
    def rate(self) -> float:
        """Answers a second."""
        return len(self.latencies) / self.wall

    def quantile(self, share: float) -> float:
        """The latency that so large a share of the answers kept, seconds."""
        ordered = sorted(self.latencies)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def drive(load: Load) -> Sample:
    """Put a server under load.

    Raises:
        NotMeasured: An answer is no 200.
    """
    return asyncio.run(_drive(load))


async def _drive(load: Load) -> Sample:
    began = perf_counter()
    found = await asyncio.gather(*(_client(load, number, began + load.seconds) for number in range(len(load.tokens))))
    wall = perf_counter() - began
    latencies = [latency for answers in found for latency, _ in answers]
    sizes = [size for answers in found for _, size in answers]
    return Sample(tuple(latencies), wall, sum(sizes) / len(sizes))


async def _client(load: Load, number: int, until: float) -> list[tuple[float, int]]:
    reader, writer = await asyncio.open_connection(load.host, load.port)
    token = load.tokens[number]
    credentials = f"Authorization: Bearer {token}\r\n" if token else ""
    requests = [
        f"GET {path} HTTP/1.1\r\nHost: {load.host}:{load.port}\r\n{credentials}\r\n".encode() for path in load.paths
    ]
    answers = []
    for turn in count(number * max(1, len(requests) // len(load.tokens))):
        began = perf_counter()
        if began >= until:
            break
        writer.write(requests[turn % len(requests)])
        size = await asyncio.wait_for(_answer(reader, load.paths[turn % len(requests)]), READ_SECONDS)
        answers.append((perf_counter() - began, size))
    writer.close()
    return answers


async def _answer(reader: asyncio.StreamReader, path: str) -> int:
    """Read one answer whole; the bytes of its body."""
    head = await reader.readuntil(b"\r\n\r\n")
    if b" 200 " not in head[:20]:
        raise NotMeasured(f"{path}: {head.splitlines()[0].decode(errors='replace')}")
    size = next((int(v) for n, v in _fields(head) if n == b"content-length"), None)
    if size is None:
        raise NotMeasured(f"{path}: an answer without Content-Length")
    await reader.readexactly(size)
    return size


def _fields(head: bytes) -> Sequence[tuple[bytes, bytes]]:
    return [(name.lower(), value) for name, _, value in (line.partition(b": ") for line in head.split(b"\r\n")[1:])]
