"""What a client keeps of a chain: a write is whole or not there, and a refusal by the disk is told from damage."""

from __future__ import annotations

import dataclasses
import resource
import sqlite3
from typing import TYPE_CHECKING, Any

import pytest

from chain.errors import BadChainFile
from chain.eventlog import EventLog, Position
from chain.logs import Log
from tests.chain.simchain import DEPLOYMENT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LOGS = [Log(1, b"h" * 32, place, b"t" * 32, (b"a" * 32,), b"d" * 4000) for place in range(40)]
FIRST, SECOND = Position(1, b"h" * 32, 0), Position(2, b"i" * 32, -1)


@pytest.fixture
def events(tmp_path: Path) -> Iterator[EventLog]:
    """What was read up to block 1, which has one log."""
    made = EventLog(tmp_path / "events", DEPLOYMENT)
    made.append(1, b"h" * 32, LOGS[:1])
    yield made
    made.close()


def test_what_cannot_be_written_whole_is_not_there(events: EventLog) -> None:
    nonsense: Any = object()
    with pytest.raises(BadChainFile, match="cannot be read"):
        events.append(2, b"i" * 32, [LOGS[1], dataclasses.replace(LOGS[2], data=nonsense)])
    assert (events.position(), len(events.logs())) == (FIRST, 1)
    events.append(2, b"i" * 32, LOGS[1:3])
    assert (events.position(), len(events.logs())) == (SECOND, 3)


def test_a_full_disk_says_so_and_is_not_for_ever(events: EventLog, tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, ((tmp_path / "events-wal").stat().st_size, hard))
    try:
        with pytest.raises(BadChainFile, match=r"events: .* a disk that refuses it .*: make room, .* keep the file"):
            events.append(2, b"i" * 32, LOGS[1:])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert (events.position(), len(events.logs())) == (FIRST, 1)
    events.append(2, b"i" * 32, LOGS[1:])
    assert (events.position(), len(events.logs())) == (SECOND, 40)


def test_another_process_that_writes_is_told_from_damage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chain.chainfile.BUSY_SECONDS", 0.05)
    events = EventLog(tmp_path / "events", DEPLOYMENT)
    other = sqlite3.connect(tmp_path / "events", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(BadChainFile, match=r"another process writing .*: end that process; keep the file"):
        events.append(1, b"h" * 32, LOGS[:1])
    other.execute("ROLLBACK")
    other.close()
    events.append(1, b"h" * 32, LOGS[:1])
    assert events.position() == FIRST
    events.close()
