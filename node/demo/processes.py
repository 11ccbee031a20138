"""The demo's child processes: one daemon a hospital, started with a password on a pipe, stopped whatever happens."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
import time
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import httpx

from chain.children import end
from node.api.access.roles import Role
from node.api.access.tokens import Tokens
from node.errors import BadEnvironment, PeerProblem
from node.home import Home

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

START_SECONDS = 90
STOP_SECONDS = 15
TOKEN_DAYS = 1


def command(*arguments: str) -> list[str]:
    """The command line of one of our own commands in this Python environment."""
    return [sys.executable, "-m", "node.cli.main", *arguments]


@dataclass
class HospitalProcess:
    """One hospital of the demo. The password stays in this process's memory and on the child's pipe."""

    index: int
    name: str
    home: Path
    url: str
    port: int
    attack: tuple[str, int] | None = None
    """What it does instead of what the protocol says, and of how many hospitals it is one; None: it is honest."""
    skewed: bool = False
    """Whether its daemon runs under a clock that can be set (`node.demo.faults.clock`)."""
    password: str = field(default_factory=lambda: secrets.token_urlsafe(24), repr=False)
    process: subprocess.Popen[bytes] | None = None

    @cached_property
    def headers(self) -> dict[str, str]:
        """What a request to the daemon carries: an operator's token, made on the spot in the hospital's directory."""
        tokens = Tokens(Home(self.home).tokens)
        try:
            return {"Authorization": f"Bearer {tokens.create('demo', Role.OPERATOR, TOKEN_DAYS).secret}"}
        finally:
            tokens.close()

    @property
    def direct(self) -> str:
        """Where the daemon itself answers; `url` may lead there through a proxy that a fault can cut."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def _daemon(self) -> list[str]:
        if self.skewed:
            return [sys.executable, "-m", "node.demo.faults.clock", "node"]
        if self.attack is None:
            return command("node")
        spec, hospitals = self.attack
        return [sys.executable, "-m", "node.attacks.daemon", spec, "--hospitals", str(hospitals)]

    def run(self, *arguments: str) -> subprocess.Popen[bytes]:
        """Start one of our commands for this hospital, its password on an inherited pipe."""
        read, write = os.pipe()
        try:
            child = subprocess.Popen(
                [*command(*arguments), "--home", str(self.home), "--password-fd", str(read)],
                pass_fds=(read,),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
            )
        finally:
            os.close(read)
        os.write(write, self.password.encode())
        os.close(write)
        return child

    def start(self, threads: int) -> None:
        """Start the daemon; its output goes to the hospital's own log."""
        read, write = os.pipe()
        environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "OPENBLAS_NUM_THREADS": str(threads)}
        with (self.home / "node.log").open("ab") as log:
            try:
                self.process = subprocess.Popen(
                    [
                        *self._daemon,
                        "--home",
                        str(self.home),
                        "--password-fd",
                        str(read),
                        "--parent",
                        str(os.getpid()),
                    ],
                    pass_fds=(read,),
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    env=environment,
                    start_new_session=True,
                )
            finally:
                os.close(read)
        os.write(write, self.password.encode())
        os.close(write)

    def exited(self) -> int | None:
        """The daemon's exit code once it is gone."""
        return None if self.process is None else self.process.poll()

    def last_words(self) -> str:
        """The last line of the daemon's log, for an error message."""
        lines = (self.home / "node.log").read_text(errors="replace").strip().splitlines()
        return lines[-1][-300:] if lines else "(its log is empty)"


def finish(
    children: Sequence[subprocess.Popen[bytes]], what: str, seconds: float, *, parse: bool = True
) -> list[dict[str, Any]]:
    """Wait for commands; their answers, one JSON object each, where `parse` is asked for.

    Raises:
        BadEnvironment: One failed; the message is its own last line.
    """
    deadline = time.monotonic() + seconds
    answers = []
    for child in children:
        try:
            out, err = child.communicate(timeout=max(1.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            for other in children:
                other.kill()
            raise BadEnvironment(f"{what}: no answer within {seconds:.0f} s") from None
        if child.returncode:
            lines = err.decode(errors="replace").strip().splitlines()
            raise BadEnvironment(f"{what} failed: {lines[-1] if lines else child.returncode}")
        if parse:
            answers.append(json.loads(out))
    return answers


def wait_until_up(hospitals: Sequence[HospitalProcess]) -> None:
    """Wait until every daemon answers its health check.

    Raises:
        BadEnvironment: A daemon died; the message is the last line of its log.
        PeerProblem: One does not answer in time.
    """
    deadline = time.monotonic() + START_SECONDS
    waiting = list(hospitals)
    with httpx.Client(timeout=2.0, trust_env=False) as client:
        while waiting:
            hospital = waiting[0]
            if hospital.exited() is not None:
                raise BadEnvironment(f"{hospital.name} stopped while starting: {hospital.last_words()}")
            if time.monotonic() > deadline:
                raise PeerProblem(f"{hospital.name} did not answer at {hospital.direct} within {START_SECONDS} s")
            try:
                client.get(f"{hospital.direct}/v1/health").raise_for_status()
                waiting.pop(0)
            except httpx.HTTPError:
                time.sleep(0.1)


def stop_all(hospitals: Sequence[HospitalProcess]) -> None:
    """Ask every daemon to stop; kill what has not after a grace."""
    running = [h.process for h in hospitals if h.process is not None and h.process.poll() is None]
    end(STOP_SECONDS, *running)
