"""Waits for the moment, does the fault, lifts it: on a thread beside a running demo."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Self

from chain.errors import ChainError
from node.demo.faults.clock import set_clock
from node.demo.faults.moments import Lookout
from node.demo.faults.spec import BESIDES, IPFS
from node.demo.watch import client_of
from node.errors import MedweaveError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from chain.anvil import Anvil
    from chain.client import Chain
    from node.demo.faults.disk import Disk
    from node.demo.faults.ipfs import Ipfs
    from node.demo.faults.links import Links
    from node.demo.faults.spec import Fault
    from node.demo.processes import HospitalProcess

STOP_SECONDS: Final = 20.0
PATIENCE_SECONDS: Final = 90.0
"""So long after a fault all must have the next model: a round and a half of the benchmark's."""


@dataclass
class Happened:
    """What the fault came to; times are of `time.monotonic`, None until then."""

    victim: str = ""
    """Name of the hospital, or `anvil`, or `ipfs`."""
    seat: int | None = None
    round: int = 0
    phase: str = ""
    """In which the victim was seen when it began."""
    how: str = ""
    """How it was done, where there are several ways."""
    begun: float | None = None
    lifted: float | None = None
    finalised: int = 0
    """Rounds that were over when it began."""
    noticed: float | None = None
    """Seconds from its beginning until another hospital said that the victim is silent."""
    recovered: float | None = None
    """Seconds from its beginning until all hospitals held the next model."""
    exited: list[int] = field(default_factory=list)
    """Codes with which the victim ended by itself."""
    problem: str = ""
    """Why it could not be done or lifted."""


@dataclass(frozen=True)
class Stage:
    """What a fault can be done to."""

    hospitals: Sequence[HospitalProcess]
    anvil: Anvil
    threads: int
    """For a hospital's daemon that is started again."""
    links: Links | None = None
    towards: tuple[int, ...] = ()
    """The port of the proxy before each hospital, or of each before the chain."""
    disk: Disk | None = None
    ipfs: Ipfs | None = None
    chain: Chain | None = None
    """Where it is read who leads or opened a round."""


class Injector:
    """`with Injector(fault, stage, rounds) as injector`: the fault happens in the meantime, and is lifted at the latest at the end.

    Args:
        fault: Which.
        stage: To what.
        rounds: How many are played.
    """

    def __init__(self, fault: Fault, stage: Stage, rounds: int) -> None:
        self._fault, self._stage, self._rounds = fault, stage, rounds
        self.happened = Happened()
        self._over = threading.Event()
        self._away = False
        self._thread = threading.Thread(target=self._run, name="fault", daemon=True)

    def __enter__(self) -> Self:
        """Begin to wait for the moment."""
        for hospital in self._stage.hospitals:
            _ = hospital.headers  # tokens are made now: not by two threads at once, and not on a disk that is full
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        """Wait no longer; a fault under way is lifted."""
        self._over.set()
        self._thread.join(STOP_SECONDS + self._fault.seconds)

    def excuses(self, hospital: HospitalProcess) -> bool:
        """Whether a hospital's process may be gone now."""
        return self._away and hospital.index == self.happened.seat

    @property
    def settled(self) -> bool:
        """Whether the fault is over, or cannot be done."""
        return bool(self.happened.problem) or self.happened.lifted is not None

    @property
    def followed(self) -> bool:
        """Whether nothing is left to see of it: it is over, and all have the next model or had long enough to get it."""
        done = self.happened
        if done.recovered is not None or done.lifted is None:
            return self.settled
        return time.monotonic() - done.lifted > PATIENCE_SECONDS

    def seen(self, rows: Sequence[dict[str, Any] | None]) -> None:
        """What all hospitals said of themselves at one moment; None of one that did not answer."""
        done, now = self.happened, time.monotonic()
        if done.begun is None:
            return
        if done.noticed is None and done.seat is not None:
            others = [row for seat, row in enumerate(rows) if row is not None and seat != done.seat]
            if any(peer["index"] == done.seat and peer["silent"] for row in others for peer in row["peers"]):
                done.noticed = now - done.begun
        known = [row for row in rows if row is not None]
        if done.recovered is None and len(known) == len(rows):
            wanted = min(done.finalised + 1, self._rounds)
            if all(row["finalised"] >= wanted for row in known) and self._all_hold(wanted):
                done.recovered = now - done.begun

    def _all_hold(self, count: int) -> bool:
        """Whether every hospital has the model of the so-manieth finalised round, and not only heard of it on the chain."""
        try:
            for hospital in self._stage.hospitals:
                with client_of(hospital) as node:
                    models = [model for model in node.models() if model.round]
                if not models[count - 1].held:
                    return False
        except (MedweaveError, IndexError):
            return False
        return True

    # ---- on the thread -----------------------------------------------------------------------------------------------

    def _run(self) -> None:
        lookout = Lookout(self._fault, self._stage.hospitals, self._stage.chain)
        try:
            if not lookout.wait(self._over):
                self.happened.problem = "the rounds were over before its moment came"
                return
            self._over.wait(self._fault.delay)
            self._note(lookout)
            self._happen()
        except (MedweaveError, ChainError, OSError, subprocess.TimeoutExpired) as error:
            self.happened.problem = f"{type(error).__name__}: {error}"
        finally:
            self._over.wait()  # what was started here ends with this thread

    def _note(self, lookout: Lookout) -> None:
        done = self.happened
        done.round, done.phase, done.finalised = lookout.now()
        if self._fault.victim in BESIDES:
            done.victim = self._fault.victim
        else:
            done.victim, done.seat = self._stage.hospitals[lookout.seat].name, lookout.seat

    def _happen(self) -> None:
        begin, lift = self._deeds()
        self._away = True
        try:
            self.happened.begun = time.monotonic()
            begin()
            self._over.wait(self._fault.seconds)
        finally:
            lift()
            self._away = False
            self.happened.lifted = time.monotonic()

    def _deeds(self) -> tuple[Callable[[], None], Callable[[], None]]:
        """How to begin the fault and how to lift it."""
        kind, stage = self._fault.kind, self._stage
        if self.happened.seat is None:
            besides = stage.ipfs if self._fault.victim == IPFS else stage.anvil
            if besides is None:
                raise ProcessLookupError("there is no IPFS node")
            return _besides_deeds(kind, besides)
        victim = stage.hospitals[self.happened.seat]
        if kind == "clock":
            return (lambda: set_clock(victim.home, self._fault.amount)), (lambda: set_clock(victim.home, 0.0))
        if stage.links is not None:
            return self._link_deeds(victim, stage.links)
        if stage.disk is not None:
            self.happened.how = stage.disk.how
            return self._disk_deeds(victim, stage.disk)
        if kind == "pause":
            return (lambda: _signal(victim, signal.SIGSTOP)), (lambda: _signal(victim, signal.SIGCONT))
        ending = signal.SIGKILL if kind == "kill" else signal.SIGTERM
        return (lambda: _end(victim, ending)), (lambda: victim.start(stage.threads))

    def _link_deeds(self, victim: HospitalProcess, links: Links) -> tuple[Callable[[], None], Callable[[], None]]:
        towards = self._stage.towards[victim.index]
        return (lambda: links.break_off(self._fault.kind, towards, _pid(victim))), links.mend

    def _disk_deeds(self, victim: HospitalProcess, disk: Disk) -> tuple[Callable[[], None], Callable[[], None]]:
        def lift() -> None:
            code = victim.exited()
            disk.clear(None if code is not None else _pid(victim))
            if code is not None:  # as its supervisor would
                self.happened.exited.append(code)
                victim.start(self._stage.threads)

        return (lambda: disk.fill(_pid(victim))), lift


def _besides_deeds(kind: str, service: Anvil | Ipfs) -> tuple[Callable[[], None], Callable[[], None]]:
    """How to end or stop the chain or the IPFS node, and how to have it back."""

    def kill() -> None:
        if service.pid is not None:
            os.kill(service.pid, signal.SIGKILL)
        service.stop()

    if kind == "pause":
        pid = service.pid or 0
        return (lambda: os.kill(pid, signal.SIGSTOP)), (lambda: os.kill(pid, signal.SIGCONT))
    return (kill if kind == "kill" else service.stop), service.start


def _pid(hospital: HospitalProcess) -> int:
    if hospital.process is None:
        raise ProcessLookupError(f"{hospital.name} was never started")
    return hospital.process.pid


def _signal(hospital: HospitalProcess, number: signal.Signals) -> None:
    """To the daemon and the processes it started: they are one group."""
    os.killpg(_pid(hospital), number)


def _end(hospital: HospitalProcess, number: signal.Signals) -> None:
    os.kill(_pid(hospital), number)
    if hospital.process is not None:
        hospital.process.wait(STOP_SECONDS)
