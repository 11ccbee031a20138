"""The arithmetic of the benchmark of faults, and what it makes of a demo that fails."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks import faulting, faults
from benchmarks.errors import NotMeasured
from benchmarks.faulting import Run, RunBook, play
from benchmarks.faults import summarise
from node.demo.faults.spec import Fault, draw_fault

LONG = Fault("kill", "member-2", 18.0, 2, "train", 0.0)
SHORT = Fault("slow", "leader", 9.0, 3, "open", 0.5)


def run(fault: Fault, wrong: tuple[str, ...] = (), **happened: Any) -> Run:
    seen = {"round": 2, "phase": "train", "victim": "hospital-2", "noticed": None, "recovered": None} | happened
    return Run(1, fault, 50.0, wrong, seen)


def test_every_run_is_a_row_and_one_that_failed_misses_the_target() -> None:
    result = summarise(
        [run(LONG, noticed=10.5, recovered=27.0), run(SHORT, recovered=3.0), run(SHORT, ("hospitals differ",))]
    )
    rows = [row for row in result.rows if row.table == "runs"]
    assert [row.figures["verdict"] for row in rows] == ["held", "held", "hospitals differ"]
    assert rows[0].figures["phase"] == "2.train"
    held, noticed = result.targets
    assert (held.value, held.target, held.holds) == (2, 3, False)
    assert (noticed.value, noticed.holds) == (10.5, True)
    kinds = {row.name: row.figures for row in result.rows if row.table == "by kind"}
    assert (kinds["kill"]["held"], kinds["slow"]["held"], kinds["slow"]["runs"]) == (1, 1, 2)
    over_all = {row.name: row.figures for row in result.rows if row.table == "over all runs"}
    assert over_all["recovery"] == {"median_seconds": 15.0, "longest_seconds": 27.0}


def demo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, report: dict[str, Any] | None) -> Run:
    """Play a run whose demo does nothing but write a report and end."""
    out = tmp_path / "run-1"
    out.mkdir()
    write = "" if report is None else f"open({str(out) + '.json'!r}, 'w').write({json.dumps(report)!r});"
    script = f"import sys; {write} print('last words'); sys.exit({code})"
    monkeypatch.setattr(faulting, "command", lambda *_args, **_options: [sys.executable, "-c", script])
    return play(1, 5, out, standard=False)


def test_a_run_that_held_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    report = {"fault": {"wrong": [], "recovered": 3.0}, "rounds": [{"status": "aborted"}, {"status": "finalised"}]}
    played = demo(tmp_path, monkeypatch, 0, report)
    assert (played.wrong, played.aborted) == ((), 1)
    assert not (tmp_path / "run-1").exists()


def test_a_run_that_failed_keeps_its_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    played = demo(tmp_path, monkeypatch, 1, {"fault": {"wrong": ["lost"]}, "rounds": []})
    assert played.wrong == ("lost",)
    assert (tmp_path / "run-1").is_dir()


def test_a_demo_that_breaks_off_is_a_run_that_failed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert demo(tmp_path, monkeypatch, 1, None).wrong == ("ended with 1: last words",)


def test_a_demo_that_cannot_start_gives_no_figures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(NotMeasured, match="last words"):
        demo(tmp_path, monkeypatch, 4, None)


def drawn(seed: int, *wrong: str) -> Run:
    return Run(seed, draw_fault(seed, 4, 5), 41.25, wrong, {"round": 2, "recovered": 7.5}, 1)


def test_runs_are_written_down_as_they_end_and_a_torn_line_counts_for_nothing(tmp_path: Path) -> None:
    file = tmp_path / "runs.jsonl"
    book = RunBook(file, 5, standard=False)
    assert book.runs() == []
    book.add(drawn(3, "lost"))
    file.write_bytes(file.read_bytes() + b'{"seed": 4, "fau')
    book.add(drawn(3))
    assert book.runs() == [
        Run(3, draw_fault(3, 4, 5), 41.2, ("lost",), {"round": 2, "recovered": 7.5}, 1),
        Run(3, draw_fault(3, 4, 5), 41.2, (), {"round": 2, "recovered": 7.5}, 1),
    ]
    assert json.loads(file.read_text().splitlines()[-1])["fault"] == str(draw_fault(3, 4, 5))


def test_runs_of_another_kind_or_another_draw_count_for_nothing(tmp_path: Path) -> None:
    file = tmp_path / "runs.jsonl"
    RunBook(file, 5, standard=False).add(drawn(3))
    assert RunBook(file, 4, standard=False).runs() == []
    assert RunBook(file, 5, standard=True).runs() == []
    file.write_text(file.read_text().replace(str(draw_fault(3, 4, 5)), str(draw_fault(4, 4, 5))))
    assert RunBook(file, 5, standard=False).runs() == []


def test_asked_again_only_what_did_not_hold_is_played(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    played: list[int] = []

    def play_once(seed: int, _rounds: int, _out: Path, *, standard: bool) -> Run:
        assert not standard
        played.append(seed)
        return drawn(seed, *(["lost"] if seed == 2 and played.count(2) == 1 else []))

    monkeypatch.setattr(faults, "play", play_once)
    result = tmp_path / "result.json"
    asked = ["--runs", "3", "--first", "1", "--keep", str(tmp_path / "kept"), "--json", str(result)]
    assert faults.main(asked) == 0
    assert json.loads(result.read_text())["targets"][0]["value"] == 2
    assert faults.main(asked) == 0
    assert json.loads(result.read_text())["targets"][0]["value"] == 3
    assert played == [1, 2, 3, 2]
