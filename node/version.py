"""Which version of this software runs."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed


def version() -> str:
    """The installed version; `0` where nothing was installed, such as in a bare checkout."""
    try:
        return installed("medweave")
    except PackageNotFoundError:
        return "0"
