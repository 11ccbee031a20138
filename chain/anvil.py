"""A local chain as a child process: Foundry's Anvil, with its state in a file."""

from __future__ import annotations

import os
import socket
import subprocess
import tempfile
import time
from functools import lru_cache
from typing import IO, TYPE_CHECKING, Self

from eth_account import Account

from chain.anvilstate import StateCopier, mend
from chain.children import end, ending_with_parent
from chain.connection import Connection
from chain.errors import AnvilFailed, ChainError, PortInUse
from chain.toolchain import find_anvil

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

    from eth_account.signers.local import LocalAccount

HOST = "127.0.0.1"
START_SECONDS = 20.0
STOP_SECONDS = 15.0

_MNEMONIC = "test test test test test test test test test test test junk"
_TAIL_BYTES = 400


class Anvil:
    """One Anvil, listening on the loopback address only.

    It ends when ``stop`` is called, and on Linux also when its parent is killed; Ctrl-C in the parent's terminal does
    not reach it, so the parent can still use the chain while it cleans up. On Linux, start it from a thread that
    lives as long as it should: the kernel counts the thread's end as the parent's.

    State is written once a second: after ``kill -9`` up to a second is lost and the block height is lower than before.
    A kill in the middle of that writing tears the file; the next start then goes on from a copy at most two writings old.

    Attributes:
        port: Where it listens.
        chain_id: The chain's id.
    """

    def __init__(self, port: int | None, state: Path, chain_id: int = 31337, log: Path | None = None) -> None:
        """Starts nothing yet.

        Args:
            port: Where to listen; None for any free port.
            state: The file that keeps the chain; read if it exists.
            chain_id: The chain's id (EIP-155).
            log: Where its output goes; None to keep it only for error messages.
        """
        self.port = port if port is not None else free_port()
        self.chain_id = chain_id
        self._state = state
        self._log = log
        self._output: IO[bytes] | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._copier: StateCopier | None = None

    @property
    def url(self) -> str:
        """The JSON-RPC endpoint."""
        return f"http://{HOST}:{self.port}"

    @property
    def pid(self) -> int | None:
        """The process id, or None while it does not run."""
        return None if self._process is None else self._process.pid

    def start(self) -> None:
        """Starts it and waits for its first answer.

        Raises:
            AnvilMissing: If the binary is not installed.
            PortInUse: If another program listens on the port.
            AnvilFailed: If it dies or does not answer within 20 s, with what it said.
        """
        if self._process is not None:
            return
        binary = find_anvil()
        if not _is_free(self.port):
            raise PortInUse(self.port)
        self._state.parent.mkdir(parents=True, exist_ok=True)
        mend(self._state)
        self._output = self._open_output()
        self._process = subprocess.Popen(
            [str(binary), *self._options()],
            stdin=subprocess.DEVNULL,
            stdout=self._output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=ending_with_parent(),  # noqa: PLW1509  (it only makes system calls prepared before the fork)
        )
        try:
            self._await_answer(self._process)
        except BaseException:
            self.stop()
            raise
        self._copier = StateCopier(self._state)
        self._copier.start()

    def stop(self) -> None:
        """Asks it to save its state and end; kills it if it does not within 15 s. Does nothing if it does not run."""
        process, self._process = self._process, None
        if process is None:
            return
        if self._copier is not None:
            self._copier.stop()
            self._copier = None
        try:
            end(STOP_SECONDS, process)
        finally:
            if self._output is not None:
                self._output.close()

    def __enter__(self) -> Self:
        """Starts it."""
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stops it."""
        self.stop()

    def _options(self) -> list[str]:
        return [
            *("--host", HOST, "--port", str(self.port), "--chain-id", str(self.chain_id)),
            *("--state", str(self._state), "--state-interval", "1", "--preserve-historical-states"),
            # A page in the operator's browser has no business with the chain.
            *("--no-cors", "--silent"),
        ]

    def _open_output(self) -> IO[bytes]:
        if self._log is None:
            return tempfile.TemporaryFile()
        self._log.parent.mkdir(parents=True, exist_ok=True)
        return self._log.open("a+b")

    def _await_answer(self, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if process.poll() is not None:
                raise AnvilFailed(f"ended with status {process.returncode} at its start", self._said())
            if self._answers():
                return
            time.sleep(0.02)
        raise AnvilFailed(f"did not answer at {self.url} within {START_SECONDS:.0f} s", self._said())

    def _answers(self) -> bool:
        try:
            return Connection(self.url, timeout=1.0, attempts=1).chain_id() == self.chain_id
        except ChainError:
            return False

    def _said(self) -> str:
        """The end of its output on one line."""
        if self._output is None:
            return ""
        self._output.seek(0, os.SEEK_END)
        self._output.seek(max(0, self._output.tell() - _TAIL_BYTES))
        return " ".join(self._output.read().decode("utf-8", "replace").split())


@lru_cache(maxsize=16)
def dev_account(index: int) -> LocalAccount:
    """One of the ten accounts Anvil starts with, each with 10,000 ether. Their keys are public knowledge.

    Good for deploying and funding on a local chain, and for nothing else.

    Args:
        index: 0 to 9.
    """
    Account.enable_unaudited_hdwallet_features()
    account: LocalAccount = Account.from_mnemonic(_MNEMONIC, account_path=f"m/44'/60'/0'/0/{index}")
    return account


def free_port() -> int:
    """A TCP port on the loopback address that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        # Connections of a predecessor that linger in TIME_WAIT do not keep the port.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True
