"""Flower's deployment engine: one SuperLink, a SuperNode a hospital, and the processes that they start for an app.

As Flower's guide has it (https://flower.ai/docs/framework/how-to-run-flower-with-deployment-engine.html), without TLS;
updates travel in the clear.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import tomli_w

from benchmarks.errors import NotMeasured
from benchmarks.peers.environments import FLOWER, REPOSITORY, prepare
from benchmarks.peers.running import events, free_ports, read, running

if TYPE_CHECKING:
    from benchmarks.peers.running import Processes
    from benchmarks.plain import PlainRun

SUBMIT_SECONDS: Final = 90.0
RUN_SECONDS: Final = 400.0
_APP: Final = Path(__file__).with_name("flower_app.py")


def run(task: Path, out: Path, hospitals: int, rounds: int) -> PlainRun:
    """Run every round of the plan in `task`.

    Args:
        task: With `plan.toml` and `hospital-I/data`.
        out: Run directory, not there yet.
        hospitals: How many.
        rounds: Of the plan.

    Raises:
        NotMeasured: Flower could not be installed, or did not run to its end.
    """
    programs = prepare(FLOWER)
    file, app, home = out / "events", out / "app", out / "flwr"
    app.mkdir(parents=True)
    home.mkdir()
    shutil.copyfile(_APP, app / _APP.name)
    shutil.copyfile(REPOSITORY / "LICENSE", app / "LICENSE")
    (app / "pyproject.toml").write_text(tomli_w.dumps(_project(task, file, hospitals)), encoding="utf-8")
    link, *nodes = free_ports(1 + hospitals)
    connection = {"superlink": {"default": "here", "here": {"address": f"127.0.0.1:{link}", "insecure": True}}}
    (home / "config.toml").write_text(tomli_w.dumps(connection), encoding="utf-8")
    path = f"{programs}{os.pathsep}{os.environ.get('PATH', '')}"  # they start each other by name
    environment = {
        "PATH": path,
        "FLWR_HOME": str(home),
        "FLWR_TELEMETRY_ENABLED": "0",
        "FLWR_DISABLE_UPDATE_CHECK": "1",
    }
    with running(FLOWER, out / "log", environment) as (processes, memory):
        superlink = [str(programs / "flower-superlink"), "--insecure", "--port", str(link)]
        processes.start([*superlink, "--disable-runtime-dependency-installation"], out)
        for index, port in enumerate(nodes):
            supernode = [str(programs / "flower-supernode"), "--insecure", "--superlink", f"127.0.0.1:{link}"]
            processes.start([*supernode, "--port", str(port), "--node-config", f"hospital={index}"], out)
        processes.wait(lambda: _submitted(processes, programs, app), "it takes no app", SUBMIT_SECONDS)
        processes.wait(lambda: _over(file, rounds), "its rounds are not over", RUN_SECONDS)
        peak = memory.peak
    return read(file, FLOWER, rounds, peak)


def _submitted(processes: Processes, programs: Path, app: Path) -> bool:
    """Whether the SuperLink took the app; it refuses while it starts."""
    try:
        processes.finish([str(programs / "flwr"), "run", str(app), "here"], app, SUBMIT_SECONDS)
    except NotMeasured as error:
        if "unavailable" in str(error):
            return False
        raise
    return True


def _over(file: Path, rounds: int) -> bool:
    return any(row["event"] == "round" and row["number"] == rounds for row in events(file))


def _project(task: Path, file: Path, hospitals: int) -> dict[str, Any]:
    """The app's `pyproject.toml`; what it needs is in the environment."""
    module, version = _APP.stem, FLOWER.requirement.partition("==")[2]
    app = {
        "publisher": "medweave",
        "fab-format-version": 1,
        "flwr-version-target": version,
        "components": {"serverapp": f"{module}:server_app", "clientapp": f"{module}:client_app"},
        "config": {"directory": str(task.absolute()), "events": str(file.absolute()), "hospitals": hospitals},
    }
    project = {
        "name": "medweave-round",
        "version": "1.0.0",
        "license": {"file": "LICENSE"},
        "dependencies": [f"flwr>={version}"],
    }
    return {
        "build-system": {"requires": ["hatchling"], "build-backend": "hatchling.build"},
        "project": project,
        "tool": {"flwr": {"app": app}},
    }
