"""A fault in a real network of daemons, as a user plays it, held against the oracle."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SMALL = "--hospitals 4 --rounds 2 --epochs 1 --architecture cnn --image-size 32 --samples 96 --no-baseline"


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.parametrize(
    "fault",
    [
        "kill:member-2:17@train",
        "kill:anvil:3@propose",
        "cut:leader:8@confirm",
        "disk-full:member-3:5@post",
        "kill:ipfs:5@2.confirm",
    ],
)
def test_everything_holds_after_a_fault(tmp_path: Path, fault: str) -> None:
    out = tmp_path / "run"
    asked = [*SMALL.split(), "--parameters", "minimal", "--round-seconds", "60", "--fault", fault, "--out", str(out)]
    done = subprocess.run(
        [sys.executable, "-m", "node.cli.main", "demo", *asked],
        capture_output=True,
        text=True,
        timeout=380,
        check=False,
        env={**os.environ, "MEDWEAVE_TESTING": "1"},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads((out / "report.json").read_text())["fault"]
    assert found["wrong"] == []
    assert found["lifted"] > found["begun"]
    if fault.startswith("kill:member"):
        assert found["noticed"] <= 15
