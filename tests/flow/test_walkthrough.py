"""The walk-through: its page holds the commands that the script types, each of them there, and the script works."""

from __future__ import annotations

import re
import shlex
from importlib import import_module
from pathlib import Path

import click
import pytest

from node.cli.main import COMMANDS
from tools import walkthrough

PAGE = Path(__file__).resolve().parents[2] / "docs" / "walkthrough.md"


def typed_on(page: str) -> list[list[str]]:
    """Every command of ours on a page, split as a shell splits it."""
    return [shlex.split(line) for line in re.findall(r"^\$ (medweave .*)$", page, re.MULTILINE)]


@pytest.mark.parametrize("line", typed_on(PAGE.read_text(encoding="utf-8")), ids=" ".join)
def test_every_command_of_the_page_is_one_of_ours(line: list[str]) -> None:
    found: click.Command = import_module(COMMANDS[line[1]]).command
    rest = line[2:]
    if isinstance(found, click.Group):
        found, rest = found.commands[rest[0]], rest[1:]
    names = {option for parameter in found.params for option in parameter.opts}
    assert {word for word in rest if word.startswith("--")} <= names
    # The images of the page are not here; everything else about the line is parsed as click parses it.
    kept = [word for at, word in enumerate(rest) if "--images" not in (word, rest[at - 1])]
    found.make_context(line[1], kept)


def test_no_hospital_needs_more_than_three_commands_before_its_node_runs() -> None:
    lines = typed_on(PAGE.read_text(encoding="utf-8"))
    for who in walkthrough.HOSPITALS:
        first = next(at for at, line in enumerate(lines) if line[:2] == ["medweave", "node"] and line[3] == who)
        mine = [line[1] for line in lines[: first + 1] if line[line.index("--home") + 1] == who]
        assert len(mine) == 3
        assert mine in (["init", "found", "node"], ["init", "join", "node"])


def test_the_page_says_what_matters() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert "waits for 2 members, there are 1" in page
    assert re.search(r"The round that was open then is round \d+", page)
    assert "no member any more" in page
    assert not re.search(r"\s/[a-z]+/", page), "no path of the machine it was recorded on"


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_three_hospitals_onboard_one_by_one_and_one_leaves(tmp_path: Path) -> None:
    walk = walkthrough.record(tmp_path)
    words = [line.split()[:3] for _, line in walk.typed]
    kept = [line[:3] for line in typed_on(PAGE.read_text(encoding="utf-8"))]
    assert [line for line in words if line[0] == "medweave"] == kept, "make walkthrough records the page anew"
    assert all(process.poll() is not None for process in walk.nodes.values()), "nothing is left running"
