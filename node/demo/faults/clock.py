"""A hospital's daemon whose clock is wrong: `python -m node.demo.faults.clock node --home DIR …`, started by `medweave demo --fault` alone.

It is the product's daemon with one function of Python replaced: `time.time` adds what stands in a file of the hospital's
directory, newest value at each call. Clocks that measure spans (`time.monotonic`) go on as they are, as on a machine whose
time of day was set. No command or setting of a real node leads here, and it refuses a directory that no demo made.
"""

from __future__ import annotations

import mmap
import runpy
import struct
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

FILE: Final = "clock-offset"
"""Eight bytes: by how many seconds the clock is ahead, a double, little-endian."""
_FORM: Final = struct.Struct("<d")


def set_clock(home: Path, seconds: float) -> None:
    """Put a hospital's clock forward, or back; the file is made where it is missing."""
    file = home / FILE
    with file.open("r+b" if file.exists() else "wb") as offset:
        offset.write(_FORM.pack(seconds))


def skewed(home: Path, real: Callable[[], float] = time.time) -> Callable[[], float]:
    """A clock that is as wrong as the hospital's file says at each call."""
    with (home / FILE).open("rb") as offset:
        page = mmap.mmap(offset.fileno(), _FORM.size, access=mmap.ACCESS_READ)
    return lambda: real() + float(_FORM.unpack_from(page)[0])


def main(arguments: list[str]) -> int:
    """Run a command of the product under that clock; its exit code."""
    if "--home" not in arguments[:-1]:
        sys.stderr.write("node.demo.faults.clock: --home DIR is missing\n")
        return 2
    home = Path(arguments[arguments.index("--home") + 1])
    if not (home / FILE).is_file():
        sys.stderr.write(
            f"{home / FILE}: no such file; only `medweave demo --fault` makes hospitals with a wrong clock\n"
        )
        return 3
    vars(time)["time"] = skewed(home)  # before anything else takes hold of it
    sys.argv = ["medweave", *arguments]
    runpy.run_module("node.cli.main", run_name="__main__", alter_sys=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
