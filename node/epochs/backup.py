"""A member's secrets in one sealed file, and back.

A backup holds what no peer can give back: the account, the box key, the epoch keys with the shares in force, the
configuration. Each share's file name tells its generation; nothing of a refresh that is running is in it. It is sealed under the
keystore password (Argon2id, XChaCha20-Poly1305), like the secrets inside it. It holds neither images, ledger nor journal.

Without the journal a member does not know what it promised in the present round. It must not open sums of another
partition of that round (crypto/SECURITY.md, the differencing rule), so a restored member sits that round's opening out.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from crypto.errors import CryptoError
from crypto.secrets import PROTECTED_LIMIT, protect, unprotect
from dag import codec
from dag.errors import LedgerError
from dag.fields import as_map, check_integer, check_keys
from dag.ids import sha256
from node.errors import BadConfig, BadInput, WrongPassword
from node.home import Home, unlock_identity, write_private

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Mapping
    from pathlib import Path

RESTORED = sha256(b"medweave/restored from a backup")
"""What a restored member promises in place of a partition: nothing it is asked to open equals it."""

_NAME = re.compile(
    r"node\.toml|consortium\.json|plan\.toml"
    r"|secrets/(account(\.next|\.0x[0-9a-f]{40})?\.json|(box|box\.next|root)\.sealed)"
    r"|secrets/epoch-[0-9]{1,18}\.(member(-[0-9]{1,5})?|dealer|box)\.sealed"
    r"|epochs/epoch-[0-9]{1,18}\.joint"
)
_SHARE = re.compile(r"secrets/epoch-([0-9]{1,18})\.member(?:-([0-9]{1,5}))?\.sealed")
_PATTERNS = ("node.toml", "consortium.json", "plan.toml", "secrets/*", "epochs/*.joint")


def generations(names: Iterable[str]) -> dict[int, int]:
    """By epoch, the generation of the share in a backup with these names; a share that was never refreshed is of 0."""
    found: dict[int, int] = {}
    for name in names:
        match = _SHARE.fullmatch(name)
        if match:
            epoch, generation = int(match[1]), int(match[2] or 0)
            found[epoch] = max(generation, found.get(epoch, 0))
    return dict(sorted(found.items()))


def without_shares(names: Iterable[str], epochs: Container[int]) -> tuple[str, ...]:
    """Those of the names that are shares of these epochs."""
    return tuple(name for name in names if (match := _SHARE.fullmatch(name)) and int(match[1]) in epochs)


def superseded(home: Home) -> frozenset[str]:
    """Names of this hospital's shares that were refreshed already and are about to be erased: no backup may keep them."""
    names = [path.relative_to(home.root).as_posix() for path in home.root.glob("secrets/epoch-*.member*.sealed")]
    newest = generations(names)
    shares = ((name, match) for name in names if (match := _SHARE.fullmatch(name)))
    return frozenset(name for name, match in shares if int(match[2] or 0) < newest[int(match[1])])


def back_up(home: Home, password: str) -> tuple[bytes, tuple[str, ...]]:
    """A hospital's secrets as one sealed file.

    Args:
        home: The hospital's directory.
        password: Its keystore password; it must open the secrets.

    Returns:
        The file's bytes, and the names it holds.

    Raises:
        BadConfig: There are no secrets, or they are too large for one file.
        WrongPassword: The password does not open them.
    """
    unlock_identity(home, password)
    files = {
        path.relative_to(home.root).as_posix(): path.read_bytes()
        for pattern in _PATTERNS
        for path in sorted(home.root.glob(pattern))
        if _NAME.fullmatch(path.relative_to(home.root).as_posix())
    }
    for name in superseded(home):
        files.pop(name, None)
    data = codec.encode({"files": files, "version": 1})
    if len(data) > PROTECTED_LIMIT - 1024:
        raise BadConfig(f"{home.secrets}: {len(data)} bytes are too many for one backup: remove keys of old epochs")
    return protect(data, password), tuple(files)


def open_backup(data: bytes, password: str) -> Mapping[str, bytes]:
    """The files in a backup, by name.

    Raises:
        WrongPassword: Wrong password, or the file was altered.
        BadInput: No backup.
    """
    try:
        plain = unprotect(data, password)
    except CryptoError as error:
        raise WrongPassword(f"the backup does not open: {error}") from None
    try:
        record = as_map("backup", codec.decode(plain, PROTECTED_LIMIT))
        check_keys("backup", record, frozenset({"files", "version"}))
        check_integer("backup.version", record["version"], 1, 1)
        files = as_map("backup.files", record["files"])
    except LedgerError as error:
        raise BadInput(f"this is no backup of a hospital's secrets: {error}") from None
    found: dict[str, bytes] = {}
    for name, content in files.items():
        if not _NAME.fullmatch(name) or not isinstance(content, bytes):
            raise BadInput(f"backup: {name[:80]!r} does not belong into a backup")
        found[name] = content
    return found


def restore(files: Mapping[str, bytes], root: Path, password: str) -> None:
    """Write a backup's files into a directory and check that the password opens the keys.

    Args:
        files: What `open_backup` gave.
        root: The hospital's directory; nothing in it is overwritten.
        password: The keystore password.

    Raises:
        BadConfig: The directory holds secrets already, or the backup holds none.
        WrongPassword: The password opens the backup, but not the keys in it.
    """
    home = Home(root)
    if home.secrets.exists():
        raise BadConfig(f"{home.secrets}: there are secrets already; restore into another --home")
    for name in sorted(files):
        target = root / name
        if not target.exists():
            write_private(target, files[name])
    unlock_identity(home, password)
