"""A message of every kind between nodes, as members send them and as large as they may be; for fuzzing and for tests."""

from __future__ import annotations

from dag.ids import sha256
from dag.sync.messages import (
    MAX_AFTER,
    MAX_ANNOUNCED,
    MAX_REQUESTED,
    MAX_TIPS,
    Announce,
    Answer,
    Frontier,
    Message,
    Push,
    Range,
    RangeRequest,
    Request,
)


def ids(count: int, salt: str = "id") -> tuple[bytes, ...]:
    return tuple(sha256(f"{salt} {k}".encode()) for k in range(count))


def samples() -> list[Message]:
    """Two of each kind: a usual one, and one at its limits."""
    raws = (b"a transaction", b"another")
    large = (bytes(64 * 1024),) * 16
    return [
        Announce(ids(3)),
        Announce(ids(MAX_ANNOUNCED)),
        Push(raws),
        Push((b"x",) * 1024),
        Request(7, ids(2)),
        Request(2**53 - 1, ids(MAX_REQUESTED)),
        Answer(7, raws, ids(1)),
        Answer(2**53 - 1, large, ids(MAX_REQUESTED)),
        Frontier(1, ids(1), reply=True),
        Frontier(2**53 - 1, ids(MAX_TIPS), reply=False),
        RangeRequest(7, ids(2), None),
        RangeRequest(2**53 - 1, ids(MAX_AFTER), ids(1, "until")[0]),
        Range(7, raws, more=True),
        Range(2**53 - 1, (), more=False),
    ]
