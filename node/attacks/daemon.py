"""A hospital's daemon that lies: `python -m node.attacks.daemon SPEC …`, started by `medweave demo --attack` alone.

It is the product's daemon with one function replaced: what carries out the effects of a round. No command or setting of a real
node leads here, and it refuses a directory that no demo made.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import sys
from pathlib import Path
from typing import Final

from chain.children import die_with
from node.attacks.acts import Liar
from node.attacks.spec import MARK, parse_attack
from node.daemon import conductor
from node.daemon.service import Daemon
from node.errors import BadInput, MedweaveError
from node.home import Home, unlock_identity

log = logging.getLogger("medweave.attacks")

MAX_PASSWORD_BYTES: Final = 4096


def main(arguments: list[str] | None = None) -> int:
    """Run the daemon until SIGTERM; its exit code."""
    parser = argparse.ArgumentParser(prog="node.attacks.daemon", description="A hospital that lies, for demos.")
    parser.add_argument("attack")
    parser.add_argument("--hospitals", type=int, required=True)
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--password-fd", type=int, required=True)
    parser.add_argument("--parent", type=int, required=True)
    options = parser.parse_args(arguments)
    die_with(options.parent)  # nothing is left running behind a killed demo
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    try:
        daemon = _liar(options)
        asyncio.run(daemon.run())
    except MedweaveError as error:
        log.critical("%s", error)
        return error.exit_code
    return 0


def _liar(options: argparse.Namespace) -> Daemon:
    """The daemon, about to lie.

    Raises:
        BadInput: The directory is not marked for this attack.
    """
    attack = parse_attack(options.attack, options.hospitals)
    mark = options.home / MARK
    if not mark.is_file() or mark.read_text(encoding="utf-8") != str(attack):
        raise BadInput(f"{mark}: does not name this attack; only `medweave demo --attack` makes hospitals that lie")
    with os.fdopen(options.password_fd, "rb") as pipe:
        password = pipe.read(MAX_PASSWORD_BYTES).decode()
    home = Home(options.home)
    daemon = Daemon(home, home.config(), unlock_identity(home, password))
    # The one thing it does otherwise; the product has no switch for it.
    vars(conductor)["carry_out"] = Liar(attack).carry_out
    return daemon


if __name__ == "__main__":
    sys.exit(main())
