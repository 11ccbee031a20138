"""The chances that docs/threat-model.md states of groups and sections, computed again."""

from __future__ import annotations

import re
from math import comb
from pathlib import Path

import numpy as np
import pytest

from node.rounds.groups import draw_partitions

PAGE = (Path(__file__).parents[2] / "docs" / "threat-model.md").read_text("utf-8")
OTHERS = 11
"""Members beside the one that is looked at."""
COLLUDERS = (2, 3, 5, 7)
DRAWS = 400
SINGLED_OUT = re.findall(r"^\| (\d+) \| (\d) \| ([^|]+) \| ([^|]+) \| ([^|]+) \|$", PAGE, re.MULTILINE)
"""Rows of three cells after number of updates and smallest group."""


def alone(group: int, colluders: int) -> float:
    """The chance that all others of a member's group collude."""
    return comb(colluders, group - 1) / comb(OTHERS, group - 1)


def near(cell: str, chance: float) -> bool:
    """Whether a cell states a chance as closely as its digits go."""
    digits = len(cell.removesuffix(" %").partition(".")[2])
    return cell == "0" if chance == 0 else abs(float(cell.removesuffix(" %")) - 100 * chance) <= 0.51 * 10**-digits


def test_one_group_of_colluders():
    rows = re.findall(
        r"^\| (\d+) \| \d+ \| (\d+) \| ([^|]+) \| ([^|]+) \| ([^|]+) \| ([^|]+) \| 1/", PAGE, re.MULTILINE
    )
    assert [int(group) for group, *_ in rows] == [3, 4, 6, 12]
    for group, most, *cells in rows:
        assert int(most) == int(group) - 2
        for cell, colluders in zip(cells, COLLUDERS, strict=True):
            assert near(cell, alone(int(group), colluders)), (group, cell)


def test_some_section_of_colluders():
    rows = re.findall(r"^\| (\d) \| (\d) \| ([^|]+) \| ([^|]+) \| ([^|]+) \| ([^|]+) \|$", PAGE, re.MULTILINE)
    assert len(rows) == 6
    for group, sections, *cells in rows:
        for cell, colluders in zip(cells, COLLUDERS, strict=True):
            assert near(cell, 1 - (1 - alone(int(group), colluders)) ** int(sections)), (group, sections, cell)


def single_out(count: int, least: int, sections: int, seed: int) -> bool:
    """Whether some combination of the groups of one draw is a single member."""
    groups = draw_partitions(seed.to_bytes(32, "big"), count, least, sections=sections)
    held = np.zeros((len(groups), count))
    for row, group in zip(held, groups, strict=True):
        row[list(group)] = 1
    return bool((np.diag(np.linalg.pinv(held) @ held) > 1 - 1e-9).any())


@pytest.mark.parametrize("row", SINGLED_OUT, ids=lambda row: f"{row[0]} updates by {row[1]}")
def test_what_a_trait_of_all_sections_would_single_out(row):
    count, least, *cells = row
    assert not any(single_out(int(count), int(least), 1, seed) for seed in range(DRAWS)), "without sections, never"
    for sections, cell in enumerate(cells, 2):
        if not cell[0].isdigit():
            assert sections > int(least), "a plan may not ask for it"
            continue
        found = sum(single_out(int(count), int(least), sections, seed) for seed in range(DRAWS)) / DRAWS
        stated = float(cell.removesuffix(" %")) / 100
        assert abs(found - stated) < 0.01 + 3 * (stated * (1 - stated) / DRAWS) ** 0.5, (sections, found)
        assert sections > 2 or int(count) % int(least) or found == 0, "two sections of groups of one size never do"


def test_all_rows_are_read():
    assert [(int(count), int(least)) for count, least, *_ in SINGLED_OUT] == [
        *((6, 2), (7, 2), (9, 3), (10, 3), (11, 3), (12, 3), (12, 4), (13, 4)),
    ]
