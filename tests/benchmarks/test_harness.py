import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from benchmarks import harness
from benchmarks.errors import NotMeasured
from benchmarks.harness import Result, Row, Target

MISSED = Target("speed", 5.0, "s", "<=", 4.0)
ROWS = (
    Row("times", "ours", {"wait_seconds": 1.5, "sent_bytes": 5_769_152, "count": 12345}),
    Row("times", "theirs", {"wait_seconds": None, "note": "died"}),
    Row("compared", "both", {"wait_ratio": 2.0}),
)


@pytest.mark.parametrize(
    ("value", "op", "bound", "holds"),
    [
        (4.0, "<=", 4.0, True),
        (4.01, "<=", 4.0, False),
        (4.0, ">=", 4.0, True),
        (3.99, ">=", 4.0, False),
        (3, "==", 3, True),
        (2, "==", 3, False),
    ],
)
def test_a_target_holds_or_not(value, op, bound, holds):
    target = Target("x", value, "s", op, bound)
    assert target.holds is holds
    assert target.to_json() == {"name": "x", "value": value, "unit": "s", "op": op, "target": bound, "holds": holds}


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_no_number_is_no_measurement(value):
    with pytest.raises(NotMeasured, match="speed"):
        Target("speed", value, "s", "<=", 4.0)


@given(st.lists(st.floats(0, 1e6), min_size=1))
def test_the_spread_encloses_its_median(values):
    found = harness.spread("wait", values)
    assert min(values) == found["wait_least_seconds"] <= found["wait_seconds"] <= found["wait_most_seconds"]
    assert found["wait_most_seconds"] == max(values)


def test_no_median_of_nothing():
    with pytest.raises(NotMeasured):
        harness.median([])


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [
        ("wait_seconds", 1.5, "1.500 s"),
        ("sent_bytes", 5_769_152, "5.77 MB"),
        ("wait_ratio", 11.9666, "11.97 x"),
        ("gas", 286337, "286,337"),
        ("auc", 0.875, "0.875"),
        ("auc", None, "-"),
        ("note", "died", "died"),
    ],
)
def test_figures_are_shown_in_their_unit(name, value, shown):
    assert harness.text(name, value) == shown


def test_the_json_form(tmp_path):
    file = tmp_path / "made" / "here.json"
    assert harness.run(lambda: Result(ROWS, (MISSED,)), file) == 0
    written = json.loads(file.read_text())
    assert set(written) == {"environment", "rows", "targets"}
    assert written["rows"][0] == {
        "table": "times",
        "name": "ours",
        "wait_seconds": 1.5,
        "sent_bytes": 5_769_152,
        "count": 12345,
    }
    assert written["targets"] == [MISSED.to_json()]
    assert {"cores", "processor", "memory_bytes", "load_before", "libraries", "commit"} <= set(written["environment"])
    assert written["environment"]["libraries"]["numpy"]


def test_a_missed_target_is_shown_and_is_no_failure(capsys):
    assert harness.run(lambda: Result(ROWS, (MISSED, Target("size", 1.0, "MB", "<=", 2.0)), ("a note",)), None) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[-1] for line in lines if line.startswith(("speed", "size"))] == ["missed", "holds"]
    assert {"times", "compared", "targets", "a note"} <= {line.strip() for line in lines}
    assert any(line.startswith("ours") and "5.77 MB" in line for line in lines)


def test_what_could_not_be_measured_says_why(tmp_path, capsys):
    def fail() -> Result:
        raise NotMeasured("the demo ended with 4")

    assert harness.run(fail, tmp_path / "x.json") == 2
    assert capsys.readouterr().err == "error: the demo ended with 4\n"
    assert not (tmp_path / "x.json").exists()


def test_a_file_that_cannot_be_written_is_no_measurement(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert harness.run(lambda: Result(ROWS), tmp_path / "file" / "x.json") == 2
    assert "error: " in capsys.readouterr().err


def test_the_range_is_shown_beside_its_median():
    console = Console(record=True, width=harness.WIDTH)
    harness.show(Result((Row("t", "r", harness.spread("wait", [1.0, 2.0, 4.0])),)), console)
    assert "2.000 s (1.000 to 4.000)" in console.export_text()


@pytest.mark.parametrize("word", ["0", "-1", "many"])
def test_repeats_are_counted_from_one(word, capsys):
    with pytest.raises(SystemExit):
        harness.parser("About").parse_args(["--repeats", word])
    assert "--repeats" in capsys.readouterr().err


def test_options_have_defaults():
    options = harness.parser("About").parse_args([])
    assert (options.json, options.repeats) == (None, harness.DEFAULT_REPEATS)
