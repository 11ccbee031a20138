"""Fixtures that several packages' tests share: a finished demo run, made once for all workers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from filelock import FileLock
from hypothesis import settings

DEMO_SECONDS = 240
TINY = ("--hospitals", "4", "--rounds", "2", "--samples", "96", "--architecture", "cnn", "--epochs", "1")

settings.register_profile("medweave", deadline=None)  # a busy machine fails no example
settings.load_profile("medweave")


def _run_demo(out: Path) -> None:
    """`medweave demo` as a user calls it: real Anvil, real daemons, `standard` parameters, tiny data."""
    environment = {key: value for key, value in os.environ.items() if key != "MEDWEAVE_TESTING"}
    command = [sys.executable, "-m", "node.cli.main", "demo", *TINY, "--image-size", "32", "--check-plaintext"]
    done = subprocess.run(
        [*command, "--out", str(out), "--json", str(out) + ".json"],
        capture_output=True,
        text=True,
        timeout=DEMO_SECONDS,
        env=environment,
        check=False,
    )
    Path(str(out) + ".log").write_text(done.stdout + done.stderr)
    Path(str(out) + ".code").write_text(str(done.returncode))


@pytest.fixture(scope="session")
def demo_run(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """Run directory of a finished demo; beside it lie RUN.json (its report), RUN.log and RUN.code."""
    base = tmp_path_factory.getbasetemp()
    shared = base if worker_id == "master" else base.parent
    out = shared / "demo-run"
    with FileLock(str(out) + ".lock"):
        if not Path(str(out) + ".code").exists():
            _run_demo(out)
    code = Path(str(out) + ".code").read_text()
    assert code == "0", Path(str(out) + ".log").read_text()
    return out


@pytest.fixture(scope="session")
def demo_report(demo_run: Path) -> dict:
    """What `--json` wrote."""
    return json.loads(Path(str(demo_run) + ".json").read_text())
