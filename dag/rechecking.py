"""Checking stored rows against the transactions that were signed: after an unclean end, and when somebody asks.

Recovering a signature costs as much as everything else together, so a large ledger is shared out to all cores, in
processes of their own; a small one is not worth their start.
"""

from __future__ import annotations

import multiprocessing
import os
from collections import deque
from concurrent.futures import Future, ProcessPoolExecutor
from typing import TYPE_CHECKING, Final, NamedTuple, Self

from dag.equivocation import subject_of
from dag.errors import LedgerError, StoreCorrupt
from dag.transaction import Transaction

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dag.schema import Row

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
        self._running: deque[Future[Fault | None]] = deque()
        self._cores = os.cpu_count() or 1
        self._pool: ProcessPoolExecutor | None = None
        if total >= WORTH_PROCESSES and self._cores > 1:
            # Not forked: a daemon has threads, and a fork would copy their locks in whatever state they are.
            self._pool = ProcessPoolExecutor(self._cores, mp_context=multiprocessing.get_context("spawn"))

    def check(self, claims: Sequence[Claim]) -> None:
        """Checks these rows now or soon."""
        if self._pool is None:
            self._judge(find_fault(claims))
            return
        self._running.append(self._pool.submit(find_fault, claims))
        while len(self._running) > 2 * self._cores:
            self._judge(self._running.popleft().result())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, failed: type[BaseException] | None, *_: object) -> None:
        try:
            while self._running and failed is None:
                self._judge(self._running.popleft().result())
        finally:
            if self._pool is not None:
                self._pool.shutdown(cancel_futures=True)

    def _judge(self, fault: Fault | None) -> None:
        if fault is not None:
            raise StoreCorrupt(self._path, fault.arrival, fault.reason)
