"""Waiting for the moment of a fault: who the victim is, and when it is in the phase.

Who leads or opened a round is read from the chain. A phase's beginning is read from the victim's log, which says so the moment
it happens: many phases are over before a question about them would be answered. Only what no log line marks, the key ceremony
and the sealing within `train`, is asked for.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import httpx

from chain.errors import ChainError
from node.consortium.follower import Follower
from node.demo.faults.spec import CEREMONY, LEADER, MOMENTS, ROLES, SEALING
from node.rounds.phases import phase_told

if TYPE_CHECKING:
    import threading
    from collections.abc import Sequence
    from pathlib import Path

    from chain.client import Chain
    from node.demo.faults.spec import Fault
    from node.demo.processes import HospitalProcess

READ_SECONDS: Final = 0.002
"""Between two looks into a log."""
ASK_SECONDS: Final = 0.04
"""Between two questions to a node or the chain; fewer than the fifty a second that a node takes from one person."""
ENDED: Final = ("done", "aborted")
_LINE: Final = re.compile(rb" medweave\.rounds: round (\d+): (.+)")
_BEGUN: Final = "taking part"


@dataclass
class LogTail:
    """What a hospital's log says of its rounds, read on as it grows.

    Args:
        file: The log; may not be there yet.
    """

    file: Path
    round: int = 0
    """The newest; 0 before the first."""
    phase: str = CEREMONY
    """In which the hospital was said to be last."""
    done: set[int] = field(default_factory=set)
    """Rounds whose model it adopted."""
    _read: int = 0

    def read(self) -> list[tuple[int, str]]:
        """Rounds and phases that began since the last look, in order."""
        try:
            with self.file.open("rb") as log:
                log.seek(self._read)
                new = log.read()
        except OSError:
            return []
        whole = new[: new.rfind(b"\n") + 1]
        self._read += len(whole)
        begun = [said for line in whole.splitlines() if (said := _said(line)) is not None]
        for number, phase in begun:
            self.round, self.phase = number, phase
            if phase == "done":
                self.done.add(number)
        return begun


def _said(line: bytes) -> tuple[int, str] | None:
    """The round and phase that a line of a log tells the beginning of."""
    if (found := _LINE.search(line)) is None:
        return None
    doing = found[2].decode(errors="replace")
    phase = MOMENTS[1] if doing == _BEGUN else phase_told(doing)
    return None if phase is None else (int(found[1]), phase)


class Lookout:
    """Waits for a fault's moment.

    Args:
        fault: Which.
        hospitals: All of them, by seat.
        chain: Who leads or opened a round is read from it; needed for these victims only.
    """

    def __init__(self, fault: Fault, hospitals: Sequence[HospitalProcess], chain: Chain | None) -> None:
        self._fault, self._hospitals, self._chain = fault, hospitals, chain
        self.seat = int(fault.victim.removeprefix("member-")) - 1 if fault.victim.startswith("member-") else 0
        """Whose phases count: the victim's once it is known; the first hospital's where the victim is no hospital."""
        self._tail: LogTail | None = None
        self._sealing = False

    def wait(self, over: threading.Event) -> bool:
        """Wait until it is time; False where the run was over before."""
        if self._fault.victim in ROLES and not self._find(over):
            return False
        self._tail = LogTail(self._hospitals[self.seat].home / "node.log")
        if self._fault.moment in {CEREMONY, SEALING}:
            return self._ask_until(over)
        while not any(is_time(self._fault, *begun) for begun in self._tail.read()):
            if over.wait(READ_SECONDS):
                return False
        return True

    def now(self) -> tuple[int, str, int]:
        """Round and phase in which the hospital is, and how many rounds it has finished."""
        tail = self._tail
        if tail is None:
            return 0, CEREMONY, 0
        tail.read()
        phase = SEALING if self._sealing and tail.phase == "train" else tail.phase
        return tail.round, phase, len(tail.done)

    def _find(self, over: threading.Event) -> bool:
        """Learn from the chain whose turn it is in the fault's round, as soon as that is open."""
        if self._chain is None:
            raise ValueError(f"{self._fault.victim} is looked up on a chain: none was given")
        follower = Follower(self._chain)
        while not over.wait(ASK_SECONDS):
            try:
                follower.look()
            except ChainError:
                continue  # it is busy: nothing has been done to it yet
            row = follower.view.rounds.get(self._fault.round)
            if row is not None:
                accounts = [hospital.account.lower() for hospital in follower.view.hospitals]
                leads = self._fault.victim == LEADER
                self.seat = row.ranking[0] if leads else accounts.index(row.opener.lower())
                return True
        return False

    def _ask_until(self, over: threading.Event) -> bool:
        hospital = self._hospitals[self.seat]
        with httpx.Client(timeout=2.0, trust_env=False) as http:
            while not over.wait(ASK_SECONDS):
                row = _status(http, hospital)
                if row is not None and self._asked_for(row):
                    self._sealing = bool(row["round"]) and _is_sealing(row)
                    return True
        return False

    def _asked_for(self, row: dict[str, Any]) -> bool:
        current = row["round"]
        if self._fault.moment == CEREMONY:
            return bool(row["epoch"]["doing"]) or current is not None
        if current is None:
            return False
        if current["round"] == self._fault.round and current["phase"] == "train":
            return _is_sealing(row)
        return is_time(self._fault, current["round"], current["phase"])


def is_time(fault: Fault, number: int, phase: str) -> bool:
    """Whether a hospital that begins this phase of this round is at the fault's moment, or was and nobody saw it."""
    if number != fault.round:
        return number > fault.round
    wanted = "train" if fault.moment == SEALING else fault.moment
    return phase in ENDED or MOMENTS.index(phase) >= MOMENTS.index(wanted)


def _is_sealing(row: dict[str, Any]) -> bool:
    return str(row["round"]["doing"]).startswith(SEALING)


def _status(http: httpx.Client, hospital: HospitalProcess) -> dict[str, Any] | None:
    try:
        answer = http.get(f"{hospital.direct}/v1/status", headers=hospital.headers)
        answer.raise_for_status()
        found: dict[str, Any] = answer.json()
    except (httpx.HTTPError, ValueError):
        return None
    return found
