"""`python -m benchmarks [NAME …]`: every benchmark, or those named, each in a process of its own."""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

from benchmarks.harness import MEASURED, NOT_MEASURED

NAMES = (
    "gas",
    "round",
    "sealing",
    "audit",
    "ledger",
    "ledger_attacks",
    "routing",
    "learning",
    "cropping",
    "paper",
    "attacks",
    "api",
    "access",
    "faults",
    "scale",
    "soak",
)
"""Every module here that has a `main`; a test holds this list against the folder."""


def main(arguments: list[str] | None = None) -> int:
    """Run them in turn; 0 if all of them measured."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"which; default all: {', '.join(NAMES)}")
    parser.add_argument("--out", type=Path, metavar="DIR", help="write each one's JSON to DIR/NAME.json")
    parser.add_argument("--repeats", metavar="N", help="passed on")
    options = parser.parse_args(arguments)
    if unknown := [name for name in options.names if name not in NAMES]:
        parser.error(f"no benchmark {unknown[0]!r}: choose from {', '.join(NAMES)}")
    codes = [_run(name, options.out, options.repeats) for name in options.names or NAMES]
    return NOT_MEASURED if any(codes) else MEASURED


def _run(name: str, out: Path | None, repeats: str | None) -> int:
    print(f"== {name}", flush=True)
    command = [sys.executable, "-m", f"benchmarks.{name}"]
    command += ["--json", str(out / f"{name}.json")] if out else []
    command += ["--repeats", repeats] if repeats else []
    return subprocess.run(command, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
