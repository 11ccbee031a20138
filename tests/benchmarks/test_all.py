import importlib
import re
from pathlib import Path

import pytest

from benchmarks import __main__ as every
from benchmarks.harness import MEASURED, NOT_MEASURED

REPOSITORY = Path(__file__).parents[2]
FOLDER = REPOSITORY / "benchmarks"
MAIN = re.compile(r"^def main\(", re.MULTILINE)


def test_every_benchmark_is_listed_and_described():
    with_main = {path.stem for path in FOLDER.glob("*.py") if MAIN.search(path.read_text())} - {"__main__"}
    assert with_main == set(every.NAMES)
    page = (FOLDER / "README.md").read_text()
    assert [name for name in every.NAMES if f"`benchmarks.{name}`" not in page] == []


def test_make_bench_runs_the_list():
    lines = (REPOSITORY / "Makefile").read_text().splitlines()
    recipe = lines[next(i for i, line in enumerate(lines) if line.startswith("bench:")) + 1]
    assert "-m benchmarks --out benchmarks/out" in recipe


@pytest.mark.parametrize("name", every.NAMES)
def test_every_benchmark_takes_the_common_options(name, capsys):
    with pytest.raises(SystemExit) as ended:
        importlib.import_module(f"benchmarks.{name}").main(["--help"])
    assert ended.value.code == 0
    shown = capsys.readouterr().out
    assert "--json" in shown
    assert "--repeats" in shown


def test_an_unknown_name_is_refused(capsys):
    with pytest.raises(SystemExit):
        every.main(["nonsense"])
    assert "no benchmark 'nonsense'" in capsys.readouterr().err


@pytest.mark.parametrize(("code", "expected"), [(0, MEASURED), (2, NOT_MEASURED), (-9, NOT_MEASURED)])
def test_each_runs_in_a_process_of_its_own(monkeypatch, tmp_path, code, expected):
    commands = []

    class Done:
        returncode = code

    monkeypatch.setattr(every.subprocess, "run", lambda command, check: commands.append(command) or Done())
    assert every.main(["--out", str(tmp_path), "--repeats", "1"]) == expected
    assert [command[1:3] for command in commands] == [["-m", f"benchmarks.{name}"] for name in every.NAMES]
    assert commands[0][3:] == ["--json", str(tmp_path / f"{every.NAMES[0]}.json"), "--repeats", "1"]
