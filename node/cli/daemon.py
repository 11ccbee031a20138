"""`medweave node`: run a hospital's daemon."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

import click

from chain.children import die_with
from node.cli.options import home_option, password_options, read_password
from node.home import Home, unlock_identity
from node.logs import Format, everywhere, set_up
from node.membership.waiting import until_member


@click.command("node")
@home_option
@password_options
@click.option("--verbose", is_flag=True, help="Log more.")
@click.option("--log-format", type=click.Choice(["text", "json"]), help="How a log line looks; default: [log] format.")
@click.option("--parent", type=int, hidden=True, help="Stop when this process is gone.")
def command(
    home: Path,
    password_file: Path | None,
    password_fd: int | None,
    *,
    verbose: bool,
    log_format: Format | None,
    parent: int | None,
) -> None:
    """Run a hospital's daemon until SIGTERM or Ctrl-C; before the members have admitted the hospital, it waits for them."""
    if parent is not None:
        die_with(parent)  # nothing is left running behind a killed demo
    place = Home(home)
    config = place.config()
    settings = config.log
    set_up(
        log_format or settings.format,
        logging.DEBUG if verbose else logging.getLevelNamesMapping()[settings.level.upper()],
        file=place.file(settings.file) if settings.file else None,
        max_bytes=settings.max_mib << 20,
        keep=settings.keep,
    )
    identity = unlock_identity(place, read_password(password_file, password_fd))
    from node.daemon.service import Daemon  # loaded here, after everything cheap was checked
    from node.daemon.supervisor import patiently

    again = True
    while again:
        with patiently("starting: reads its ledger, and waits where it is no member yet"):
            identity = until_member(place, identity)
            daemon = Daemon(place, config, identity)
        everywhere(member=daemon.me)
        again = asyncio.run(daemon.run())
