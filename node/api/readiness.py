"""Whether a node has what it needs to take part in rounds: chain, disk, ledger, membership, keys. Each is really tried.

The routes that ask are open to anybody, so an answer is kept for two seconds: calls cannot be made to cost more than that.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
import time
from typing import TYPE_CHECKING, Final

from chain.connection import Connection
from chain.errors import ChainError
from dag.errors import LedgerError
from node.api.shapes_node import CheckShape, ReadyShape

if TYPE_CHECKING:
    from collections.abc import Callable

    from node.api.service import Service

KEPT_SECONDS: Final = 2.0
CHAIN_SECONDS: Final = 2.0
LEAST_FREE_BYTES: Final = 256 << 20
"""Below it a disk counts as full: a round's ciphertexts may not fit any more."""


class Readiness:
    """Asks what a node needs; safe to use from several threads, which then wait for one answer.

    Args:
        service: The node.
        clock: Seconds that only grow.
    """

    def __init__(self, service: Service, clock: Callable[[], float] = time.monotonic) -> None:
        self._service = service
        self._clock = clock
        self._lock = threading.Lock()
        self._connection: Connection | None = None
        self._known: ReadyShape | None = None
        self._asked = 0.0

    def now(self) -> ReadyShape:
        """How things stand, as of two seconds ago at most."""
        with self._lock:
            if self._known is None or self._clock() - self._asked > KEPT_SECONDS:
                checks = (self._chain(), self._disk(), self._ledger(), self._member(), self._epoch())
                self._known = ReadyShape(ready=all(check.ok for check in checks), checks=checks)
                self._asked = self._clock()
            return self._known

    def _chain(self) -> CheckShape:
        deployment, rpc = self._service.chain.deployment, self._service.config.chain.rpc
        if self._connection is None:
            self._connection = Connection(rpc, timeout=CHAIN_SECONDS, attempts=1)
        try:
            number, _ = self._connection.head()
            found = self._connection.chain_id()
        except ChainError:
            return CheckShape(name="chain", ok=False, detail="the chain's endpoint does not answer: see [chain] rpc")
        if found != deployment.chain_id:
            detail = f"the endpoint serves chain {found}, the consortium is on {deployment.chain_id}: see [chain] rpc"
            return CheckShape(name="chain", ok=False, detail=detail)
        return CheckShape(name="chain", ok=True, detail=f"block {number}")

    def _disk(self) -> CheckShape:
        root = self._service.home.root
        try:
            free = shutil.disk_usage(root).free
            with tempfile.TemporaryFile(dir=root) as file:
                file.write(bytes(4096))
                os.fsync(file.fileno())
        except OSError as error:
            return CheckShape(name="disk", ok=False, detail=f"nothing can be written: {error.strerror}")
        ok = free >= LEAST_FREE_BYTES
        more = "" if ok else f", at least {LEAST_FREE_BYTES >> 20} MiB are needed: make room"
        return CheckShape(name="disk", ok=ok, detail=f"{free >> 20} MiB free{more}")

    def _ledger(self) -> CheckShape:
        try:
            count = self._service.publisher.read(lambda ledger: (ledger.since(len(ledger) - 1, 1), len(ledger))[1])
        except LedgerError:
            return CheckShape(name="ledger", ok=False, detail="it cannot be read: run `medweave ledger verify`")
        return CheckShape(name="ledger", ok=True, detail=f"{count} transactions")

    def _member(self) -> CheckShape:
        ok = self._service.me in self._service.view.members
        return CheckShape(name="member", ok=ok, detail=f"seat {self._service.me}" if ok else "this hospital has left")

    def _epoch(self) -> CheckShape:
        view = self._service.view
        if not view.active_epoch:
            return CheckShape(name="epoch", ok=False, detail="there is no key yet: the members' nodes make one")
        if not view.fitting:
            return CheckShape(name="epoch", ok=False, detail="the members have changed: a new key is being made")
        if self._service.me not in view.epochs[view.active_epoch].seats:
            return CheckShape(name="epoch", ok=True, detail=f"epoch {view.active_epoch}: this hospital rests")
        if self._service.keeper.keys(view.active_epoch) is None:
            detail = f"this hospital holds no keys of epoch {view.active_epoch}: see `medweave keys restore`"
            return CheckShape(name="epoch", ok=False, detail=detail)
        return CheckShape(name="epoch", ok=True, detail=f"epoch {view.active_epoch}")
