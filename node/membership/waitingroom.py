"""Requests of hospitals that are not members yet, as they reached this one; daemon and command line share the file.

Anybody may ask, so there is a bound on how many wait, one a hospital; what is full stays full until a request is over or a
member puts it away. A hospital that asks again replaces what it asked before.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from node.consortium.view import address_bytes
from node.database import Database
from node.errors import BadMotion, PeerBusy
from node.membership.request import read_request

if TYPE_CHECKING:
    from pathlib import Path

    from chain.deployment import Deployment
    from node.consortium.view import ConsortiumView
    from node.membership.request import Request

_SCHEMA = """
CREATE TABLE IF NOT EXISTS requests (
  account TEXT PRIMARY KEY, body BLOB NOT NULL, deadline INTEGER NOT NULL, seen REAL NOT NULL
);
"""
MAX_WAITING = 64
"""Requests that may wait at once."""


class WaitingRoom(Database):
    """The requests one hospital holds; safe to use from several threads and processes.

    Args:
        path: The file; `:memory:` for tests.
        deployment: The consortium's contracts.
    """

    def __init__(self, path: Path | str, deployment: Deployment) -> None:
        self._deployment = deployment
        super().__init__(path, _SCHEMA)

    def take(self, text: bytes, view: ConsortiumView, now: float) -> Request:
        """Take in a request from a hostile sender.

        Args:
            text: What it sent.
            view: What the chain said so far.
            now: Unix seconds.

        Raises:
            BadMotion: It is malformed, of an account that has, or had, a seat, or under a member's name.
            PeerBusy: Too many wait already.
        """
        request = read_request(text, self._deployment, now)
        account, name = request.hospital.account, request.hospital.name
        if address_bytes(account) in view.seats:
            raise BadMotion(f"request: {account} is, or was, a member's account")
        if any(hospital.name == name for _, hospital in view.present):
            raise BadMotion(f"request: a member is called {name!r} already: choose another [hospital] name")
        self._clean(view, now)
        row = (account, text, request.deadline, now, account, MAX_WAITING)
        with self._lock:
            done = self._db.execute(
                "INSERT OR REPLACE INTO requests SELECT ?, ?, ?, ? "
                "WHERE (SELECT count(*) FROM requests WHERE account != ?) < ?",
                row,
            )
        if not done.rowcount:
            raise PeerBusy(f"{MAX_WAITING} hospitals wait to be admitted here already: ask another member, or later")
        return request

    def waiting(self, view: ConsortiumView, now: float) -> list[Request]:
        """The requests that may still be carried out, the oldest first.

        Args:
            view: What the chain said so far: whoever it knows waits no more.
            now: Unix seconds.
        """
        self._clean(view, now)
        with self._lock:
            rows = self._db.execute("SELECT body FROM requests ORDER BY seen, account").fetchall()
        return [read_request(bytes(row[0]), self._deployment, now) for row in rows]

    def put_away(self, request: Request) -> None:
        """A member does not want to see this request again; its hospital may ask anew."""
        with self._lock:
            self._db.execute("DELETE FROM requests WHERE account = ?", (request.hospital.account,))

    def _clean(self, view: ConsortiumView, now: float) -> None:
        with self._lock:
            self._db.execute("DELETE FROM requests WHERE deadline < ?", (now,))
            accounts = [row[0] for row in self._db.execute("SELECT account FROM requests").fetchall()]
            over = [(account,) for account in accounts if address_bytes(account) in view.seats]
            self._db.executemany("DELETE FROM requests WHERE account = ?", over)
