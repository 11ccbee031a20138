"""Motions and the signatures under them, durable in a hospital's directory; daemon and command line share the file.

SQLite, WAL, synchronous=FULL: a signature is on disk before it is shown to anybody. The same row again changes nothing.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from node.database import Database
from node.errors import BadMotion
from node.membership.motion import Motion

if TYPE_CHECKING:
    from pathlib import Path

    from chain.deployment import Deployment

_SCHEMA = """
CREATE TABLE IF NOT EXISTS motions (id BLOB PRIMARY KEY, body TEXT NOT NULL, seen REAL NOT NULL, ended TEXT NOT NULL DEFAULT '');
CREATE TABLE IF NOT EXISTS signatures (motion BLOB, account TEXT, signature BLOB NOT NULL, PRIMARY KEY (motion, account));
"""
MAX_LIVE_OF_ONE = 16
"""Most live motions to which a member is the first here to have signed: nobody can fill the others' disks."""
MAX_ENDED = 1000
"""Ended motions that are remembered."""


class MotionBook(Database):
    """The motions of one hospital; safe to use from several threads and processes.

    Args:
        path: The file; `:memory:` for tests.
        deployment: The consortium's contracts.
    """

    def __init__(self, path: Path | str, deployment: Deployment) -> None:
        self._deployment = deployment
        super().__init__(path, _SCHEMA)

    @property
    def version(self) -> int:
        """Changes whenever another process changed the file."""
        with self._lock:
            return int(self._db.execute("PRAGMA data_version").fetchone()[0])

    def add(self, motion: Motion, account: str, signature: bytes) -> bool:
        """Take in a signature, whose signer the caller has recovered and found to be a member.

        Returns:
            Whether it was new, and the motion has not ended.

        Raises:
            BadMotion: The member has put too many motions before the others already.
        """
        with self._lock:
            row = self._db.execute("SELECT ended FROM motions WHERE id = ?", (motion.id,)).fetchone()
            if row is not None and row[0]:
                return False
            if row is None and self._first_of(account) >= MAX_LIVE_OF_ONE:
                raise BadMotion(f"motion {motion.id.hex()[:16]}…: {account} has {MAX_LIVE_OF_ONE} others waiting")
            with self._at_once():
                body = (motion.id, motion.text(), time.time())
                self._db.execute("INSERT OR IGNORE INTO motions (id, body, seen) VALUES (?, ?, ?)", body)
                changed = self._db.execute(
                    "INSERT OR IGNORE INTO signatures VALUES (?, ?, ?)", (motion.id, account, signature)
                )
            return changed.rowcount > 0

    def _first_of(self, account: str) -> int:
        """How many live motions came here with this member's signature first."""
        found = self._db.execute(
            "SELECT count(*) FROM motions m WHERE ended = '' AND (SELECT account FROM signatures WHERE motion = m.id "
            "ORDER BY rowid LIMIT 1) = ?",
            (account,),
        ).fetchone()
        return int(found[0])

    def live(self) -> list[Motion]:
        """Motions that have not ended, in the order in which they came."""
        with self._lock:
            rows = self._db.execute("SELECT body FROM motions WHERE ended = '' ORDER BY seen, id").fetchall()
        return [Motion.from_text(row[0], self._deployment) for row in rows]

    def ended(self) -> list[tuple[Motion, str]]:
        """Motions that have ended and how, the newest first."""
        with self._lock:
            rows = self._db.execute("SELECT body, ended FROM motions WHERE ended != '' ORDER BY seen DESC").fetchall()
        return [(Motion.from_text(row[0], self._deployment), row[1]) for row in rows]

    def find(self, prefix: str) -> Motion:
        """The live motion whose id begins so.

        Raises:
            BadMotion: None does, or several do.
        """
        found = [motion for motion in self.live() if motion.id.hex().startswith(prefix.lower().removeprefix("0x"))]
        if len(found) != 1 or not prefix:
            raise BadMotion(
                f"{prefix!r} is the beginning of {len(found)} pending motions' ids: see `medweave members pending`"
            )
        return found[0]

    def signatures(self, motion: Motion) -> dict[str, bytes]:
        """The signatures under a motion by account."""
        with self._lock:
            rows = self._db.execute(
                "SELECT account, signature FROM signatures WHERE motion = ? ORDER BY rowid", (motion.id,)
            )
            return {row[0]: bytes(row[1]) for row in rows.fetchall()}

    def end(self, motion: Motion, how: str) -> None:
        """A motion was carried out, or cannot be any more; that it was here is remembered for a while."""
        with self._lock:
            self._db.execute("UPDATE motions SET ended = ? WHERE id = ? AND ended = ''", (how, motion.id))
            self._db.execute(
                "DELETE FROM motions WHERE ended != '' AND id NOT IN "
                "(SELECT id FROM motions WHERE ended != '' ORDER BY seen DESC LIMIT ?)",
                (MAX_ENDED,),
            )
            self._db.execute("DELETE FROM signatures WHERE motion NOT IN (SELECT id FROM motions)")
