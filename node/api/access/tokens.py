"""People's tokens: random, shown once, kept as a digest, with a role and an end.

A token is 256 random bits, so guessing one takes 2^255 tries however fast a try is: a slow hash (Argon2) protects secrets that people
choose, and would only make every request slow here. What lies on the disk is sha-256 of the token; nothing in the file lets
anybody in. The `mw_` in front makes a token that got into a log or a repository easy to find.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import sqlite3
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from node.api.access.roles import PEOPLE, Role
from node.errors import BadEnvironment, BadInput

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

PREFIX: Final = "mw_"
SECRET_BYTES: Final = 32
MAX_TOKENS: Final = 10_000
"""In one home, ended ones included."""
MAX_DAYS: Final = 3660
MAX_NAME_CHARS: Final = 80
DAY_SECONDS: Final = 86_400
_FORM: Final = re.compile(rf"{PREFIX}[A-Za-z0-9_-]{{43}}")
_NAME: Final = re.compile(r"[^\x00-\x1f\x7f]+")
_BUSY_SECONDS: Final = 10.0
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS tokens (
    id TEXT PRIMARY KEY, name TEXT NOT NULL, role TEXT NOT NULL, digest BLOB NOT NULL UNIQUE,
    created INTEGER NOT NULL, expires INTEGER NOT NULL, revoked INTEGER, used INTEGER
) STRICT
"""
_COLUMNS: Final = "id, name, role, digest, created, expires, revoked, used"


@dataclass(frozen=True)
class Token:
    """A token as it is kept; times are Unix seconds."""

    id: str
    """8 hex digits, drawn at random: what it is called in lists and in the access log."""
    name: str
    """Who or what it was given to."""
    role: Role
    digest: bytes = field(repr=False)
    """sha-256 of the token, 32 bytes."""
    created: int
    expires: int
    revoked: int | None = None
    """When it was revoked."""
    used: int | None = None
    """When it was last used, to the minute."""

    def ended(self, now: float) -> str | None:
        """Why it lets nobody in any more; None while it does."""
        if self.revoked is not None:
            return "this token was revoked"
        return "this token has expired" if now >= self.expires else None


@dataclass(frozen=True)
class Created:
    """A new token and, this once, its secret."""

    token: Token
    secret: str = field(repr=False)
    """`mw_` and 43 characters."""


class Tokens:
    """The tokens of one home. Several processes may use the file; what one changes, another sees at its next look.

    Args:
        path: The SQLite file; made, for its owner alone, where it is missing. `:memory:` keeps nothing.
        clock: Unix time in seconds.

    Raises:
        BadEnvironment: The file cannot be used.
    """

    def __init__(self, path: Path | str, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._version = -1
        self._known: Mapping[bytes, Token] = {}
        self._used: dict[str, int] = {}
        try:
            if path != ":memory:":
                _private(path)
            self._file = sqlite3.connect(path, timeout=_BUSY_SECONDS, check_same_thread=False, isolation_level=None)
            self._file.execute("PRAGMA journal_mode=WAL")  # a command that writes does not make the node wait
            self._file.execute("PRAGMA synchronous=FULL")
            self._file.execute(_SCHEMA)
        except (OSError, sqlite3.Error) as error:
            raise BadEnvironment(f"{path}: tokens cannot be kept there: {error}") from None

    def create(self, name: str, role: Role, days: float = 90) -> Created:
        """A new token.

        Args:
            name: Who or what it is for, 1 to 80 characters.
            role: One of `PEOPLE`.
            days: Until it expires, more than 0, at most 3660.

        Raises:
            BadInput: An argument is out of range, or there are too many tokens.
        """
        if not (_NAME.fullmatch(name) and len(name) <= MAX_NAME_CHARS):
            raise BadInput(f"--name: 1 to {MAX_NAME_CHARS} characters on one line are accepted")
        if role not in PEOPLE:
            raise BadInput(f"--role {role}: people are {', '.join(PEOPLE)}")
        if not 0 < days <= MAX_DAYS:
            raise BadInput(f"--days {days}: more than 0 and at most {MAX_DAYS} are accepted")
        secret = PREFIX + secrets.token_urlsafe(SECRET_BYTES)
        now = int(self._clock())
        token = Token(secrets.token_hex(4), name, role, digest_of(secret), now, now + int(days * DAY_SECONDS))
        with self._lock:
            if self._file.execute("SELECT count(*) FROM tokens").fetchone()[0] >= MAX_TOKENS:
                raise BadInput(f"there are {MAX_TOKENS} tokens; no more are kept")
            row = (token.id, name, str(role), token.digest, now, token.expires)
            self._file.execute(
                "INSERT INTO tokens (id, name, role, digest, created, expires) VALUES (?,?,?,?,?,?)", row
            )
            self._version = -1
        return Created(token, secret)

    def revoke(self, which: str) -> tuple[Token, ...]:
        """Let a token, or all tokens of a name, in no more; at once, also in a node that runs.

        Returns:
            What was revoked now; without those that had been before.

        Raises:
            BadInput: There is no such token.
        """
        with self._lock:
            found = [token for token in self._rows() if which in {token.id, token.name}]
            if not found:
                raise BadInput(f"there is no token {which[:MAX_NAME_CHARS]!r}; `medweave token list` shows them")
            live = tuple(token for token in found if token.revoked is None)
            now = int(self._clock())
            self._file.executemany("UPDATE tokens SET revoked = ? WHERE id = ?", [(now, token.id) for token in live])
            self._version = -1
        return live

    def all(self) -> tuple[Token, ...]:
        """Every token, oldest first."""
        with self._lock:
            return tuple(self._rows())

    def find(self, secret: str) -> Token | None:
        """The token of a secret, ended or not; None where there is none, or it has not a token's form."""
        return self.by_digest(digest_of(secret)) if _FORM.fullmatch(secret) else None

    def by_digest(self, digest: bytes) -> Token | None:
        """The token of a digest, as it is now."""
        with self._lock:
            version = self._file.execute("PRAGMA data_version").fetchone()[0]
            if version != self._version:
                self._known = {token.digest: token for token in self._rows()}
                self._version = version
            return self._known.get(digest)

    def note_use(self, token: Token) -> None:
        """Remember that a token was used; written by `flush`."""
        self._used[token.id] = int(self._clock()) // 60 * 60

    def flush(self) -> None:
        """Write down what was used since the last time. Called where waiting for the disk harms nobody.

        Raises:
            sqlite3.Error: The file cannot be written; what was noted is kept for the next time.
        """
        rows = [(used, name) for name, used in tuple(self._used.items())]
        if rows:
            with self._lock:
                try:
                    self._file.execute("BEGIN IMMEDIATE")
                    self._file.executemany("UPDATE tokens SET used = ? WHERE id = ?", rows)
                    self._file.execute("COMMIT")
                finally:
                    if self._file.in_transaction:  # a full disk leaves it open, and everybody else locked out
                        self._file.execute("ROLLBACK")
            for used, name in rows:
                if self._used.get(name) == used:
                    del self._used[name]

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._file.close()

    def _rows(self) -> list[Token]:
        found = self._file.execute(f"SELECT {_COLUMNS} FROM tokens ORDER BY created, rowid").fetchall()  # noqa: S608  (a constant)
        return [Token(row[0], row[1], Role(row[2]), *row[3:]) for row in found]


def digest_of(secret: str) -> bytes:
    """What is kept of a token."""
    return hashlib.sha256(secret.encode()).digest()


def _private(path: Path | str) -> None:
    """Make the file for its owner alone before SQLite would make it for everybody."""
    from pathlib import Path

    place = Path(path)
    place.parent.mkdir(parents=True, exist_ok=True)
    place.touch(mode=0o600)
    place.chmod(0o600)
