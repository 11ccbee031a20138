"""When a fault begins, and whom it is done to: by the lines of a log, and by a chain."""

from __future__ import annotations

import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from node.demo.faults import moments
from node.demo.faults.moments import LogTail, Lookout, is_time
from node.demo.faults.spec import parse_fault
from node.rounds import phases

LINE = "2026-11-21 12:00:00,123 INFO medweave.rounds: round {}: {}\n"


@pytest.mark.parametrize(
    ("number", "phase", "time"),
    [
        (2, "train", False),
        (1, "done", False),
        (2, "propose", True),
        (2, "sign", True),
        (2, "aborted", True),
        (3, "plan", True),
    ],
)
def test_the_moment_comes_or_is_made_up_for_in_a_later_phase(number: int, phase: str, time: bool) -> None:
    assert is_time(parse_fault("kill@2.propose", 4, 5), number, phase) is time


@pytest.mark.parametrize(
    ("phase", "doing", "time"),
    [("train", "training 100%", False), ("train", "sealing 12%", True), ("post", "posting", True)],
)
def test_sealing_is_the_later_part_of_training(phase: str, doing: str, time: bool) -> None:
    lookout = Lookout(parse_fault("kill@2.sealing", 4, 5), [], None)
    status = {"epoch": {"doing": ""}, "round": {"round": 2, "phase": phase, "doing": doing}}
    assert lookout._asked_for(status) is time


def test_every_phase_is_known_by_the_line_that_a_node_logs() -> None:
    """The log's words are the node's own: what they say is read back as the phase they are of."""
    for name, words in phases._DOING.items():
        assert phases.phase_told(words) == name
    assert [phases.phase_told(text) for text in ("done", "aborted", "left, as asked")] == ["done", "aborted", None]


def test_a_log_is_read_on_as_it_grows_line_by_line(tmp_path: Path) -> None:
    tail = LogTail(tmp_path / "node.log")
    assert tail.read() == []
    with tail.file.open("a") as log:
        log.write("T WARNING medweave.chain: round 9: training\n")
        log.write(LINE.format(1, "taking part") + LINE.format(1, "confirming 2/4 updates") + LINE.format(1, "do"))
        log.flush()
        log.truncate(log.tell() - 3)  # the last line is half written
    assert tail.read() == [(1, "plan"), (1, "confirm")]
    assert (tail.round, tail.phase, tail.done) == (1, "confirm", set())
    with tail.file.open("a") as log:
        log.write("done\n" + LINE.format(2, "reading the plan"))
    assert tail.read() == [(1, "done"), (2, "plan")]
    assert (tail.round, tail.phase, tail.done) == (2, "plan", {1})
    assert tail.read() == []


class Follower:
    """Stands in for one that reads a chain: round 2 is open at the third look."""

    looks = 0

    def __init__(self, chain: Any) -> None:
        assert chain == "chain"

    def look(self) -> None:
        Follower.looks += 1

    @property
    def view(self) -> Any:
        hospitals = [SimpleNamespace(account=f"0xA{seat}") for seat in range(4)]
        row = SimpleNamespace(ranking=(3, 0, 1, 2), opener="0xa2")
        return SimpleNamespace(hospitals=hospitals, rounds={2: row} if Follower.looks > 2 else {1: row})


@pytest.mark.parametrize(("victim", "seat"), [("leader", 3), ("opener", 2)])
def test_who_leads_or_opened_a_round_is_read_from_the_chain(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, victim: str, seat: int
) -> None:
    monkeypatch.setattr(moments, "Follower", Follower)
    monkeypatch.setattr(Follower, "looks", 0)
    hospitals: Any = [SimpleNamespace(home=tmp_path / str(seat)) for seat in range(4)]
    for hospital in hospitals:
        hospital.home.mkdir()
        (hospital.home / "node.log").write_text(LINE.format(2, "taking part"))
    (hospitals[seat].home / "node.log").write_text(LINE.format(1, "done") + LINE.format(2, "scoring, 1/3 verdicts"))
    chain: Any = "chain"
    lookout = Lookout(parse_fault(f"kill:{victim}@2.open", 4, 5), hospitals, chain)
    assert lookout.wait(threading.Event())
    assert lookout.seat == seat
    assert lookout.now() == (2, "score", 1)


def test_a_run_that_is_over_is_not_waited_for(tmp_path: Path) -> None:
    hospital: Any = SimpleNamespace(home=tmp_path)
    over = threading.Event()
    over.set()
    assert not Lookout(parse_fault("kill@2.open", 4, 5), [hospital], None).wait(over)
