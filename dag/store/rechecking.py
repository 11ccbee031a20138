"""Checking stored rows against the transactions that were signed: after an unclean end, and when somebody asks.

Recovering a signature costs as much as everything else together, so a large ledger is shared out to all cores, in
processes of their own; a small one is not worth their start.
"""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from collections import deque
from contextlib import suppress
from typing import IO, TYPE_CHECKING, Final, NamedTuple, Self, cast

from dag.equivocation import subject_of
from dag.errors import LedgerError, StoreCorrupt
from dag.transaction import Transaction

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dag.store.schema import Row

WORTH_PROCESSES: Final = 50_000
"""Rows from which several processes win: starting them costs about a second, a row 40 microseconds."""


class Claim(NamedTuple):
    """A row, with its parents' ids instead of their numbers.

    Attributes:
        row: as read from the store.
        parents: ids that its `first` and `second` stand for; none for genesis.
    """

    row: Row
    parents: tuple[bytes, ...]


class Fault(NamedTuple):
    """What is wrong with a row.

    Attributes:
        arrival: the row's number.
        reason: what was found.
    """

    arrival: int
    reason: str


def find_fault(claims: Sequence[Claim]) -> Fault | None:
    """Decodes each row's bytes, recovers the signature, and compares every column; the first row that disagrees."""
    for row, parents in claims:
        try:
            signed = Transaction.decode(row.raw)
            said = (signed.id, signed.issuer, signed.sequence, str(signed.kind), signed.round, subject_of(signed))
        except LedgerError as error:
            return Fault(row.arrival, str(error))
        if said != (row.id, row.issuer, row.sequence, row.kind, row.round, row.subject) or signed.parents != parents:
            return Fault(row.arrival, "columns do not agree with the signed transaction")
    return None


class Rechecker:
    """Checks chunks of rows as they are handed in; leaving the block waits for all of them.

    Raises:
        StoreCorrupt: in `check` or at the end, a row that disagrees.
    """

    def __init__(self, path: str, total: int) -> None:
        """Makes ready for a ledger of `total` rows in the file `path`."""
        self._path = path
        cores = len(os.sched_getaffinity(0))
        self._helpers = deque(Helper() for _ in range(cores if total >= WORTH_PROCESSES and cores > 1 else 0))

    def check(self, claims: Sequence[Claim]) -> None:
        """Checks these rows now or soon."""
        if not self._helpers:
            self._judge(find_fault(claims))
            return
        helper = self._helpers[0]
        self._judge(helper.answer())
        helper.ask(claims)
        self._helpers.rotate(-1)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, failed: type[BaseException] | None, *_: object) -> None:
        try:
            for helper in self._helpers:
                if failed is None:
                    self._judge(helper.answer())
        finally:
            for helper in self._helpers:
                helper.close()

    def _judge(self, fault: Fault | None) -> None:
        if fault is not None:
            raise StoreCorrupt(self._path, fault.arrival, fault.reason)


class Helper:
    """A process that runs `find_fault`, one chunk at a time. If it dies, the chunk is checked here.

    A fresh interpreter, not a fork: a daemon has threads, and a fork would copy their locks in whatever state they are.
    """

    def __init__(self) -> None:
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment
        )
        self._asked: Sequence[Claim] = ()

    def ask(self, claims: Sequence[Claim]) -> None:
        """Hands over a chunk; the answer to the one before must have been taken."""
        self._asked = claims
        with suppress(OSError):  # it has died: `answer` finds out
            pickle.dump(claims, self._stdin)
            self._stdin.flush()

    def answer(self) -> Fault | None:
        """What is wrong with the chunk handed over last; None before the first."""
        claims, self._asked = self._asked, ()
        if not claims:
            return None
        try:
            found: Fault | None = pickle.load(self._stdout)  # noqa: S301  (our own process, started above)
        except (EOFError, OSError, pickle.UnpicklingError):
            return find_fault(claims)
        return found

    def close(self) -> None:
        """Ends the process."""
        with suppress(OSError):
            self._stdin.close()
        self._process.kill()
        self._process.wait()
        self._stdout.close()

    @property
    def _stdin(self) -> IO[bytes]:
        return cast("IO[bytes]", self._process.stdin)

    @property
    def _stdout(self) -> IO[bytes]:
        return cast("IO[bytes]", self._process.stdout)


def serve(asked: IO[bytes], answers: IO[bytes]) -> None:
    """A helper's side: chunks in, faults out, until the pipe closes."""
    while True:
        try:
            claims = pickle.load(asked)  # noqa: S301  (from the process that started this one)
        except EOFError:
            return
        pickle.dump(find_fault(claims), answers)
        answers.flush()


if __name__ == "__main__":
    # Under its importable name, so that what is pickled here is known there.
    from dag.store import rechecking  # noqa: PLW0406  (on purpose: see above)

    rechecking.serve(sys.stdin.buffer, sys.stdout.buffer)
