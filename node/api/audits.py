"""Audits that people ask a node for: one at a time, each in a process of its own (`node.audit.apart`)."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import threading
import time
from collections import deque
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final, Literal

from node.audit.apart import Job
from node.audit.errors import TooManyAudits
from node.config import TESTING_VARIABLE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from node.api.service import Service

log = logging.getLogger("medweave.audits")

State = Literal["waiting", "running", "done", "failed"]
MOST_WAITING: Final = 8
MOST_KEPT: Final = 64
LONGEST_SECONDS: Final = 4 * 3600.0
"""An audit that takes longer is given up."""
PASSED_ON: Final = ("PATH", "LANG", "LC_ALL", "TMPDIR", "SSL_CERT_FILE", "PYTHONPATH", TESTING_VARIABLE)
"""Of the daemon's environment, what an audit's process gets."""


@dataclass(frozen=True)
class Audit:
    """One audit that was asked for."""

    number: int
    """Counted from 1 since the node was started."""
    asked: float
    """Unix seconds."""
    model: str | None
    """Hash of the model; None for the newest one of its time."""
    round: int | None
    """The one round that is examined; None for all that led to the model."""
    state: State = "waiting"
    doing: str = ""
    """What it is about now."""
    share: float = 0.0
    """Done of the whole, 0 to 1."""
    ended: float | None = None
    report: dict[str, Any] | None = field(default=None, repr=False)
    """See `node.audit.report.Report.to_json`; None until it is done."""
    problem: str = ""
    """Why it failed."""

    @property
    def over(self) -> bool:
        """Whether nothing changes about it any more."""
        return self.state in {"done", "failed"}


class AuditDesk:
    """Takes audits in and carries them out, one after the other, oldest first.

    Args:
        service: The node whose chain and blobs are read.
        command: Starts the process; for tests.
    """

    def __init__(self, service: Service, command: tuple[str, ...] = (sys.executable, "-m", "node.audit.apart")) -> None:
        self._service = service
        self._command = command
        self._lock = threading.Lock()
        self._audits: dict[int, Audit] = {}
        self._queue: deque[int] = deque()
        self._busy = False
        self._last = 0

    def ask(self, model: str | None, number: int | None) -> Audit:
        """Take an audit in; the same one that still waits or runs is not begun twice.

        Args:
            model: Hash of a model, 64 hex digits; None for the newest.
            number: The one round to examine; None for all.

        Raises:
            TooManyAudits: Too many wait already.
        """
        with self._lock:
            for known in self._audits.values():
                if not known.over and (known.model, known.round) == (model, number):
                    return known
            if len(self._queue) >= MOST_WAITING:
                raise TooManyAudits(len(self._queue))
            self._last += 1
            made = Audit(self._last, time.time(), model, number)
            self._audits[made.number] = made
            self._queue.append(made.number)
            self._forget()
            if not self._busy:
                self._busy = True
                # A thread that is no obstacle to the daemon's end; the process ends with its pipe.
                threading.Thread(target=self._work, name="audits", daemon=True).start()
        return made

    def get(self, number: int) -> Audit | None:
        """One audit; None where there was none, or it was long ago."""
        with self._lock:
            return self._audits.get(number)

    def all(self) -> tuple[Audit, ...]:
        """Those still known, newest first."""
        with self._lock:
            return tuple(reversed(self._audits.values()))

    def _forget(self) -> None:
        over = [number for number, audit in self._audits.items() if audit.over]
        for number in over[: max(0, len(self._audits) - MOST_KEPT)]:
            del self._audits[number]

    def _work(self) -> None:
        while True:
            with self._lock:
                if not self._queue:
                    self._busy = False
                    return
                number = self._queue.popleft()
            self._change(number, state="running")
            try:
                self._carry_out(number)
            except (OSError, ValueError) as error:
                log.warning("audit %d failed: %s", number, error)
                self._change(number, state="failed", problem=f"the audit's process failed: {error}", ended=time.time())

    def _change(self, number: int, **fields: Any) -> None:
        with self._lock:
            self._audits[number] = replace(self._audits[number], **fields)

    def _carry_out(self, number: int) -> None:
        audit = self._audits[number]
        with subprocess.Popen(
            self._command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=_environment(),
            text=True,
        ) as process:
            clock = threading.Timer(LONGEST_SECONDS, process.kill)
            clock.daemon = True
            clock.start()
            try:
                if process.stdin is None or process.stdout is None:
                    raise OSError("it has no pipes")
                process.stdin.write(self._job(audit).to_line())
                process.stdin.flush()
                for answer in _answers(process.stdout):
                    self._hear(number, answer)
            finally:
                clock.cancel()
                process.kill()
        if not self._audits[number].over:
            raise OSError("it ended without a report")

    def _job(self, audit: Audit) -> Job:
        service = self._service
        return Job(
            rpc=service.config.chain.rpc,
            deployment=service.chain.deployment.to_json(),
            home=str(service.home.root.absolute()),
            storage=service.config.storage.model_dump(mode="json"),
            model=audit.model,
            round=audit.round,
        )

    def _hear(self, number: int, answer: dict[str, Any]) -> None:
        if "at" in answer:
            what, done, steps = answer["at"]
            self._change(number, doing=str(what), share=min(1.0, done / max(1, steps)))
        elif "report" in answer:
            self._change(number, state="done", share=1.0, doing="", report=answer["report"], ended=time.time())
        else:
            self._change(number, state="failed", problem=str(answer.get("problem")), ended=time.time())


def _environment() -> dict[str, str]:
    return {name: os.environ[name] for name in PASSED_ON if name in os.environ} | {"OMP_NUM_THREADS": "1"}


def _answers(lines: Iterator[str]) -> Iterator[dict[str, Any]]:
    for line in lines:
        yield json.loads(line)
