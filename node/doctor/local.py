"""This machine: configuration, secrets, images, disk, port, software."""

from __future__ import annotations

import errno
import os
import re
import shutil
import socket
import sqlite3
import stat
import sys
import tempfile
from contextlib import closing
from importlib.metadata import PackageNotFoundError, requires, version
from typing import TYPE_CHECKING

from node.doctor.verdict import fail, ok, skipped, warn
from node.errors import BadConfig, WrongPassword
from node.home import unlock_identity
from node.images.archive import load_saved
from node.images.card import data_card
from node.images.errors import DataError
from node.images.record import cropping
from node.planning.first import Images

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from node.config import NodeConfig
    from node.doctor.verdict import Check
    from node.home import Home

OTHERS = stat.S_IRWXG | stat.S_IRWXO
LEAST_FREE_BYTES = 1 << 30
"""Below it a node soon cannot store a round of ten hospitals."""
FEW_FREE_BYTES = 5 << 30
_PIN = re.compile(r"(?P<name>[A-Za-z0-9._-]+)(?:\[[^\]]*\])?\s*(?:==\s*(?P<pin>[^\s,;]+))?")


def permissions(home: Home) -> Check:
    """Whether anybody else on this machine can read the secrets."""
    name = "permissions"
    if not home.account_file.exists():
        return fail(name, f"{home.account_file} is missing", "make this hospital's keys with `medweave init`")
    paths = (home.secrets, *sorted(home.secrets.iterdir()))
    readable = [path for path in paths if path.lstat().st_mode & OTHERS]
    if readable:
        return fail(
            name,
            f"others on this machine may open {', '.join(path.name for path in readable[:3])}",
            f"chmod -R go= {home.secrets}",
        )
    foreign = [path for path in paths if path.lstat().st_uid != os.geteuid()]
    if foreign:
        return warn(
            name,
            f"{foreign[0].name} belongs to another user of this machine",
            "run the node, and this command, as the user who owns the directory",
        )
    return ok(name, f"{home.secrets} is open to its owner alone")


def password(home: Home, given: str | None) -> Check:
    """Whether the password opens the keys."""
    name = "password"
    if given is None:
        return skipped(name, "none was given: --password-file, or $MEDWEAVE_PASSWORD")
    try:
        unlock_identity(home, given)
    except BadConfig as error:
        return fail(name, str(error), "restore them (`medweave keys restore`), or make new ones in a new directory")
    except WrongPassword as error:
        return fail(
            name, str(error), "give the password that `medweave init` was given; nobody can make a lost one again"
        )
    return ok(name, "it opens this hospital's keys")


def images(home: Home, config: NodeConfig) -> tuple[Check, Images | None, int]:
    """Whether the images can be read.

    Returns:
        The check, what the images are, and how many are trained on; None and 0 where they cannot be read.
    """
    name, shown = "images", []
    known: Images | None = None
    count = 0
    for part, key in (("training", config.data.train), ("validation", config.data.validation)):
        path = home.file(key)
        try:
            found = load_saved(path)
        except DataError as error:
            do = f"take images in: medweave data import PATH --out {home.root / 'data'}"
            return fail(name, f"{part}: {error}", do), None, 0
        card, these = data_card(found), Images(found.class_names, found.cropped)
        if known is None:
            known, count = these, card.images
        elif these != known:
            do = "take training and validation images in together: medweave data import"
            shown_classes = f"{', '.join(these.classes)}, {cropping(these.cropped)}"
            return fail(name, f"validation is prepared otherwise than training: {shown_classes}", do), None, 0
        shown.append(f"{card.images} {part} ({', '.join(f'{label} {number}' for label, number in card.classes)})")
    if known is not None and known.cropped:
        shown.append(cropping(known.cropped))
    return ok(name, ", ".join(shown)), known, count


def disk(home: Home) -> Check:
    """Whether there is room, and whether it can be written."""
    name = "disk"
    try:
        with tempfile.TemporaryFile(dir=home.root) as file:
            file.write(b"0" * 4096)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        return fail(name, f"{home.root} cannot be written ({error.strerror})", "mend the disk, its mount or its rights")
    return room(shutil.disk_usage(home.root).free)


def room(free: int) -> Check:
    """Whether so many free bytes will do."""
    name, shown = "disk", f"{free / 2**30:.1f} GiB free"
    do = "make room, or keep fewer rounds: [storage] keep_rounds, `medweave storage gc`"
    if free < LEAST_FREE_BYTES:
        return fail(name, shown, do)
    return warn(name, shown, do) if free < FEW_FREE_BYTES else ok(name, shown)


def port(config: NodeConfig, answers: str | None) -> Check:
    """Whether the node's port can be had, or is held by this very node.

    Args:
        config: The configuration.
        answers: The name of the hospital whose node answers under this one's URL; None if none does.
    """
    name, host, number = "port", config.hospital.host, config.hospital.port
    where = f"{host}:{number}"
    problem = _bind(host, number)
    if problem is None:
        return ok(name, f"{where} is free; the node is not running")
    if problem == errno.EADDRINUSE and answers == config.hospital.name:
        return ok(name, f"{where} is served by this hospital's running node")
    if problem == errno.EADDRINUSE:
        who = f"the node of {answers}" if answers else "another program"
        return fail(
            name, f"{who} listens on {where}", "stop it, or choose another [hospital] port, and register the URL anew"
        )
    if problem == errno.EACCES:
        return fail(name, f"this user may not listen on {where}", "choose a [hospital] port from 1024 on")
    return fail(
        name, f"cannot listen on {where} ({os.strerror(problem)})", "choose a [hospital] host of this machine's"
    )


def _bind(host: str, number: int) -> int | None:
    """The error number of trying to listen; None if it can be done."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, number, type=socket.SOCK_STREAM)[0]
    except OSError:
        return errno.EADDRNOTAVAIL
    with socket.socket(family, kind, protocol) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(address)
        except OSError as error:
            return error.errno
    return None


def software() -> Check:
    """Whether the packages installed are those this version was tested with."""
    name = "software"
    try:
        lines = [line for line in requires("medweave") or () if ";" not in line]
        shown = f"medweave {version('medweave')}, Python {sys.version.split()[0]}"
    except PackageNotFoundError:
        return warn(name, "medweave itself is not installed", "install it: make install")
    wrong = list(wrong_packages(lines))
    if wrong:
        return fail(name, f"{shown}; {'; '.join(wrong[:5])}", "install what the project pins: make install")
    return ok(name, f"{shown}, {len(lines)} packages as pinned")


def wrong_packages(lines: Iterable[str]) -> Iterator[str]:
    """What is missing, or of another version than the pinned one, a phrase each.

    Args:
        lines: Requirements, such as `numpy==2.4.6`; what pins no version only has to be there.
    """
    for line in lines:
        found = _PIN.match(line)
        if found is None:
            continue
        try:
            installed = version(found["name"])
        except PackageNotFoundError:
            yield f"{found['name']} is missing"
            continue
        if found["pin"] and installed.partition("+")[0] != found["pin"]:
            yield f"{found['name']} is {installed}, expected {found['pin']}"


def journal(path: Path, newest: int, *, running: bool, now: float) -> Check:
    """Whether the journal is this hospital's newest: an old one forgets promises, and must not be used in an open round.

    Args:
        path: The journal.
        newest: The newest round the chain knows; 0 for none.
        running: Whether the node runs.
        now: Unix seconds.
    """
    name = "journal"
    if not path.exists() and not newest:
        return ok(name, "none yet: there was no round")
    if not path.exists():
        do = "fine for a new member; after a loss read docs/operations.md, Back up, before starting the node"
        return warn(name, f"there is none, the chain has {newest} rounds", do)
    try:
        remembered = newest_round(path)
    except sqlite3.Error as error:
        return fail(name, f"{path.name} cannot be read ({error})", "restore it: docs/operations.md, Back up")
    hours = max(0.0, now - _written(path)) / 3600
    shown = f"it knows rounds up to {remembered}, the chain has {newest}; last written {hours:.1f} hours ago"
    if running or remembered >= newest:
        return ok(name, shown)
    do = "if it was restored from a copy, start the node only while no round is open in which this hospital took part"
    return warn(name, shown, do)


def newest_round(path: Path) -> int:
    """The newest round a journal knows; 0 for none. It is opened for reading alone.

    Raises:
        sqlite3.Error: It is no journal.
    """
    with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, timeout=2)) as db:
        found = db.execute(
            "SELECT max(round) FROM (SELECT round FROM promises UNION SELECT round FROM facts)"
        ).fetchone()
    return int(found[0] or 0)


def _written(path: Path) -> float:
    """When a database was written last, its write-ahead log included."""
    log = path.with_name(path.name + "-wal")
    return max(file.stat().st_mtime for file in (path, log) if file.exists())
