"""Runs the Solidity tests: ``python -m chain.forge [forge test options]``. For developers."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

from chain.errors import ChainError
from chain.toolchain import ROOT, find_forge, node_first_path

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


def run_forge(command: str, options: Sequence[str] = (), root: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """Runs one of forge's commands with npm's compiler (foundry.toml); downloads nothing.

    Args:
        command: Such as ``test`` or ``coverage``.
        options: Further options of the command.
        root: The folder with foundry.toml.

    Returns:
        Its exit status and output, stderr merged in.

    Raises:
        CompilerMissing: If forge or Node.js is not installed.
    """
    return subprocess.run(
        [str(find_forge()), command, "--root", str(root), *options],
        env={**os.environ, "PATH": node_first_path()},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )


def run_tests(options: Sequence[str] = ()) -> subprocess.CompletedProcess[str]:
    """Runs ``forge test`` over contracts/test.

    Args:
        options: Further options of ``forge test``.

    Returns:
        Its exit status and output, stderr merged in.

    Raises:
        CompilerMissing: If forge or Node.js is not installed.
    """
    return run_forge("test", options)


def main(options: Sequence[str]) -> int:
    """Runs the tests and shows what forge said.

    Args:
        options: Further options of ``forge test``.

    Returns:
        forge's exit status, or 2 if it could not be started.
    """
    try:
        done = run_tests(options)
    except ChainError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    sys.stdout.write(done.stdout)
    return done.returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
