"""A js-ipfs daemon of our own, for the tests that talk to a real IPFS node; skipped where there is none (`make ipfs`)."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from node.demo.faults.ipfs import SECONDS, Ipfs, find_ipfs, find_node

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["SECONDS", "running"]


@contextmanager
def running(repository: Path) -> Iterator[int]:
    """The port of the RPC of a daemon that runs offline on this repository, made if there is none."""
    if find_node() is None or find_ipfs() is None:
        pytest.skip("no js-ipfs, or no Node.js that it runs on, here (make ipfs)")
    with Ipfs(repository) as ipfs:
        yield ipfs.port
