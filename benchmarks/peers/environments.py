"""A virtual environment for each peer: its pins clash with ours.

The peer and what it needs come from the package index. What is not among that (torch, numpy's kin, `node` itself) is found in this
project's environment and checkout by a `.pth` file: the same torch on every side, and nothing large is fetched twice.
"""

from __future__ import annotations

import subprocess
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.errors import NotMeasured

REPOSITORY: Final = Path(__file__).resolve().parents[2]
CACHE: Final = REPOSITORY / ".cache" / "peers"
INSTALL_SECONDS: Final = 900
_SHARED: Final = "zz-medweave.pth"
"""Read after the environment's own packages, so those come first."""


@dataclass(frozen=True, slots=True)
class Peer:
    """A system and the version of it that is measured."""

    name: str
    requirement: str
    """As pip takes it, pinned."""
    probe: str
    """A module that imports only where everything is installed."""


FLOWER: Final = Peer("flower", "flwr==1.41.0", "flwr.serverapp")
NVFLARE: Final = Peer("nvflare", "nvflare==2.9.0", "nvflare.app_opt.pt.recipes.fedavg_he")
PEERS: Final = (FLOWER, NVFLARE)


def prepare(peer: Peer, cache: Path = CACHE) -> Path:
    """Make a peer's environment where it is not there; the folder of its programs.

    Raises:
        NotMeasured: It could not be installed; pip's last line is quoted.
    """
    home = cache / f"{peer.requirement.replace('==', '-')}-py{sys.version_info.major}{sys.version_info.minor}"
    programs, done = home / "bin", home / "installed"
    if not done.is_file():
        _run([sys.executable, "-m", "venv", "--clear", str(home)], peer)
        _run([str(programs / "python"), "-m", "pip", "install", "--quiet", peer.requirement], peer)
        done.write_text(peer.requirement + "\n", encoding="utf-8")
    _share(programs, peer)
    return programs


def _share(programs: Path, peer: Peer) -> None:
    """Let the environment see ours; written anew each time, for a checkout may move."""
    where = "import sysconfig; print(sysconfig.get_path('purelib'))"
    packages = Path(_run([str(programs / "python"), "-c", where], peer).strip())
    lines = [str(REPOSITORY), sysconfig.get_path("purelib")]
    (packages / _SHARED).write_text("\n".join(lines) + "\n", encoding="utf-8")
    _run([str(programs / "python"), "-c", f"import torch, {peer.probe}"], peer)


def _run(command: list[str], peer: Peer) -> str:
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=INSTALL_SECONDS).stdout
    except subprocess.TimeoutExpired:
        raise NotMeasured(f"{peer.requirement}: not installed within {INSTALL_SECONDS} s") from None
    except (OSError, subprocess.CalledProcessError) as error:
        said = (getattr(error, "stderr", None) or str(error)).strip().splitlines()
        raise NotMeasured(f"{peer.requirement} could not be installed: {said[-1] if said else error}") from None
