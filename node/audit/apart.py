"""An audit in a process of its own: a daemon asks for it so that adding sums again never holds up its own work.

The process reads one job as a line of JSON from its standard input and answers with lines of JSON: `{"at": [what, done, all]}`
while it works, and at the end `{"report": …}` or `{"problem": text}`. It needs no key and gets none. It ends as soon as its
standard input is closed, so it never outlives the daemon that started it.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from chain.client import Chain
from chain.deployment import Deployment
from chain.errors import ChainError
from node.audit.evidence import Sighting, open_evidence
from node.audit.run import Scope, audit
from node.config import Storage
from node.errors import MedweaveError
from node.home import Home
from node.provenance.envelopes import noted
from node.storage import BlobMissing, StorageError
from node.storage.opening import open_backend

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import IO

    from node.audit.evidence import Evidence
    from node.storage import BlobStore

NICE: Final = 10
"""How far an audit stands back for the node's own work."""
INTERRUPTED: Final = 3
"""Exit code where the daemon went away."""


@dataclass(frozen=True)
class Job:
    """What is to be audited, and where its evidence lies."""

    rpc: str
    """JSON-RPC endpoint of the chain."""
    deployment: str
    """The contracts' addresses, as `Deployment.to_json` writes them."""
    home: str
    """The hospital's directory."""
    storage: dict[str, Any]
    """`[storage]` of the configuration."""
    model: str | None = None
    """Hash of a model, 64 hex digits; None for the newest one."""
    round: int | None = None
    """The one round that is examined; None for all that led to the model."""

    def to_line(self) -> str:
        """As a line of JSON."""
        return json.dumps(asdict(self)) + "\n"

    def evidence(self) -> Evidence:
        """The hospital's own blobs, read without changing anything.

        Raises:
            NoEvidence: There are none yet.
            StorageError: The IPFS node cannot be used.
        """
        settings, home = Storage.model_validate(self.storage), Home(Path(self.home))
        if settings.backend == "files":
            return open_evidence([home.root])
        return StoreEvidence(open_backend(home.blobs, settings), home)


class StoreEvidence:
    """The blobs of a store that is no directory.

    Args:
        store: Where blobs lie.
        home: The hospital's directory, whose journal names the envelopes.
    """

    def __init__(self, store: BlobStore, home: Home) -> None:
        self._store = store
        self._home = home

    def look(self, cid: str) -> Sighting:
        """See `node.audit.evidence.Evidence.look`."""
        try:
            return Sighting(self._store.get(cid))
        except BlobMissing:
            return Sighting(None, absent=("this hospital's store",))
        except StorageError as error:
            return Sighting(None, absent=(f"this hospital's store ({error})",))

    def envelope(self, number: int) -> bytes | None:
        """See `node.audit.evidence.Evidence.envelope`."""
        cid = noted(self._home.journal, number)
        return None if cid is None else self.look(cid).data


def examine(job: Job, say: Callable[[dict[str, Any]], None]) -> None:
    """Carry out a job.

    Args:
        job: What to audit.
        say: Told each answer.
    """
    try:
        report = audit(
            Chain(job.rpc, Deployment.from_json(job.deployment)),
            job.evidence(),
            None if job.model is None else bytes.fromhex(job.model),
            scope=Scope(only=job.round),
            progress=lambda what, done, steps: say({"at": [what, done, steps]}),
        )
    except (MedweaveError, ChainError) as error:
        say({"problem": str(error)})
        return
    say({"report": report.to_json(timings=True)})


def main() -> None:
    """Read a job, carry it out, answer."""
    os.nice(NICE)
    job = Job(**json.loads(sys.stdin.readline()))
    threading.Thread(target=_end_with, args=(sys.stdin,), daemon=True).start()
    examine(job, _say)


def _say(answer: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


def _end_with(stream: IO[str]) -> None:
    stream.read()
    os._exit(INTERRUPTED)


if __name__ == "__main__":
    main()
