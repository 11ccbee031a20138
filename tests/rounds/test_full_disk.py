"""A disk that is full: what must be written is not done, what need not be written is done all the same, and it passes."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from node.daemon.jobs import Jobs
from node.errors import BadEnvironment
from node.rounds.journal import Journal
from node.rounds.runner import RoundRunner
from node.rounds.state import Tick

ME = 3


def test_nothing_is_promised_that_was_not_written(tmp_path) -> None:
    journal = Journal(tmp_path / "journal.sqlite")
    pages = journal._db.execute("PRAGMA page_count").fetchone()[0]
    journal._db.execute(f"PRAGMA max_page_count={pages}")
    with pytest.raises(BadEnvironment, match="make room"):
        journal.promise(1, "opened", bytes(100_000))
    assert journal.promised(1, "opened") is None
    journal._db.execute("PRAGMA max_page_count=1000")
    journal.promise(1, "opened", bytes(100_000))
    assert journal.promised(1, "opened") == bytes(100_000)


def test_a_round_goes_on_when_its_times_cannot_be_written(played, monkeypatch: pytest.MonkeyPatch) -> None:
    known = played.nodes[ME].runner
    started: list[Any] = []
    runner = RoundRunner(known.ports, known.state.facts, lambda _runner, effect: started.append(effect), lambda: 0.0)

    def full(*_arguments: Any) -> None:
        raise BadEnvironment("full")

    with monkeypatch.context() as patch:
        patch.setattr(known.ports.journal, "note", full)
        runner.state = replace(runner.state, plan=known.state.plan, now=0.0)
        runner.feed([Tick(0.0)])
    assert started, "what the round calls for is begun"
    assert runner._over == frozenset(), "times are written once there is room"
    runner.feed([Tick(0.1)])
    assert runner._over


@pytest.mark.parametrize("error", [sqlite3.OperationalError("database or disk is full"), OSError(28, "No space left")])
def test_a_job_of_the_daemon_survives_a_full_disk(error: Exception) -> None:
    looks: list[int] = []

    def look() -> None:
        looks.append(1)
        if len(looks) == 1:
            raise error

    async def play() -> None:
        parts: Any = SimpleNamespace(config=SimpleNamespace(chain=SimpleNamespace(poll_seconds=0.01, websocket="")))
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(Jobs(parts)._again_and_again("test", look), 0.3)

    asyncio.run(play())
    assert len(looks) > 1
