"""The liveness schedules on the real contracts, and the audit of what they leave behind (docs/spec/round.md, RND-18)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.flow.liveness.network import play_on
from tests.flow.liveness.onanvil import audited, on_anvil
from tests.flow.liveness.oracle import judge
from tests.flow.liveness.schedule import draw

if TYPE_CHECKING:
    from pathlib import Path

SEEDS = (2, 13, 3, 5, 8, 16, 14, 7, 30, 53)
"""Leaders that lie, die or stay silent at different steps; 14 ends in an abort."""
QUICK = 2


def seeds() -> list:
    marks = {True: (), False: (pytest.mark.slow,)}
    return [pytest.param(seed, id=f"seed-{seed}", marks=marks[place < QUICK]) for place, seed in enumerate(SEEDS)]


@pytest.mark.parametrize("seed", seeds())
def test_a_round_ends_on_the_real_contracts(seed: int, tmp_path: Path):
    with on_anvil(draw(seed), tmp_path / "chain") as net:
        played = play_on(net)
        problems = judge(played)
        assert not problems, f"{'; '.join(problems)}\n{played.story}"
        report = audited(net, tmp_path / "run")
        assert report.verdict == "verified", f"{report.to_text()}\n{played.story}"
