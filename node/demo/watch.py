"""Watching a running network: what each hospital does, live on the terminal, until all rounds are over."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import httpx
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from node.client import NodeClient
from node.client.transport import Transport
from node.demo import interrupt
from node.errors import RoundProblem

if TYPE_CHECKING:
    from collections.abc import Sequence

    from node.demo.faults.injector import Injector
    from node.demo.processes import HospitalProcess

PAUSE_SECONDS = 0.25
FAULTY_SECONDS = 1.0
"""A daemon that may have been stopped is waited for so long."""
PLAIN_PAUSE_SECONDS = 5.0
"""Without a terminal, a line is printed this often, or when the phase changes."""


class Watcher:
    """Asks every daemon for its status and shows it.

    Args:
        hospitals: The daemons.
        console: Where to show it.
        rounds: Rounds to wait for.
        deadline: Seconds after which to give up.
        injector: Makes a fault happen meanwhile; told what is seen, and asked whose daemon may be gone.
    """

    def __init__(
        self,
        hospitals: Sequence[HospitalProcess],
        console: Console,
        rounds: int,
        deadline: float,
        injector: Injector | None = None,
    ) -> None:
        self._hospitals = hospitals
        self._console = console
        self._rounds = rounds
        self._deadline = time.monotonic() + deadline
        self._injector = injector
        self._http = httpx.Client(timeout=5.0 if injector is None else FAULTY_SECONDS, trust_env=False)
        self._said = ""
        self._said_at = 0.0

    def wait(self) -> None:
        """Return once every hospital has adopted the last round's model.

        Raises:
            RoundProblem: A daemon died, or the rounds are not over in time; the message says where it stands.
        """
        with self._http:
            if self._console.is_terminal:
                with Live(console=self._console, refresh_per_second=4, transient=True) as live:
                    self._until_over(lambda rows: live.update(self._table(rows)))
            else:
                self._until_over(self._say)

    def _until_over(self, show: Any) -> None:
        while True:
            interrupt.look()
            rows = [self._status(hospital) for hospital in self._hospitals]
            show(rows)
            if self._injector is not None:
                self._injector.seen(rows)
            settled = self._injector is None or self._injector.followed
            if settled and all(row is not None and self._is_over(row) for row in rows):
                return
            if time.monotonic() > self._deadline:
                raise RoundProblem(f"the rounds are not over in time; last seen: {self._line(rows)}")
            time.sleep(PAUSE_SECONDS)

    def _status(self, hospital: HospitalProcess) -> dict[str, Any] | None:
        code = hospital.exited()
        if code is not None and self._injector is not None and self._injector.excuses(hospital):
            return None
        if code is not None:
            raise RoundProblem(f"{hospital.name} stopped with code {code}: {hospital.last_words()}")
        try:
            answer = self._http.get(f"{hospital.direct}/v1/status", headers=hospital.headers)
            answer.raise_for_status()
            found: dict[str, Any] = answer.json()
        except httpx.HTTPError:
            return None
        return found

    def _is_over(self, row: dict[str, Any]) -> bool:
        current = row["round"]
        return bool(row["finalised"] >= self._rounds and (current is None or current["phase"] in {"done", "aborted"}))

    def _table(self, rows: list[dict[str, Any] | None]) -> Group:
        table = Table(box=None, pad_edge=False)
        for title in ("hospital", "round", "doing", "", "ledger"):
            table.add_column(title, no_wrap=True)
        for hospital, row in zip(self._hospitals, rows, strict=True):
            table.add_row(hospital.name, *_cells(row, self._rounds))
        return Group(table, Text(f"{self._rounds} rounds; Ctrl-C stops everything", style="dim"))

    def _say(self, rows: list[dict[str, Any] | None]) -> None:
        line, now = self._line(rows), time.monotonic()
        changed = line.split(" | ")[0] != self._said.split(" | ")[0]
        if line != self._said and (changed or now - self._said_at > PLAIN_PAUSE_SECONDS):
            self._console.print(line, highlight=False, soft_wrap=True)
            self._said, self._said_at = line, now

    def _line(self, rows: list[dict[str, Any] | None]) -> str:
        known = [row for row in rows if row is not None]
        if not known:
            return "no daemon answers"
        done = min(row["finalised"] for row in known)
        return f"finalised {done}/{self._rounds} | " + ", ".join(_doing(row) for row in rows)


def _doing(row: dict[str, Any] | None) -> str:
    if row is None:
        return "no answer"
    if row["round"] is None:
        return row["epoch"]["doing"] or "waiting for a round"
    return str(row["round"]["doing"])


def _cells(row: dict[str, Any] | None, rounds: int) -> tuple[str, str, str, str]:
    if row is None:
        return "-", "no answer", "", "-"
    current = row["round"]
    leader = "leader" if current and current["leader"] else ""
    number = f"{current['round']}/{rounds}" if current else "keys"
    return number, _doing(row), leader, f"{row['transactions']} transactions"


def client_of(hospital: HospitalProcess) -> NodeClient:
    """A client of a daemon, as its operator; asks once, since whoever waits for daemons asks again."""
    token = hospital.headers["Authorization"].removeprefix("Bearer ")
    return NodeClient(hospital.direct, transport=Transport(hospital.direct, token, attempts=1))


def ask(hospital: HospitalProcess, path: str) -> dict[str, Any]:
    """One answer of a daemon, as it sent it.

    Raises:
        PeerProblem: It does not answer.
    """
    with client_of(hospital) as node:
        return node.transport.json(path)
