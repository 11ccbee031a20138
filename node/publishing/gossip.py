"""Gossip over HTTP: announce own transactions, take in others', ask for what is missing, compare frontiers.

Push-announce: a transaction goes to every peer as soon as it is attached. Pull-fetch: parents that are missing are asked
of whoever sent the child, then of the others. A frontier exchange on a timer fills what was lost on the way. An update's
ciphertexts are fetched and checked *before* the ledger takes its transaction, so what a node approves it has.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from typing import TYPE_CHECKING

import httpx

from crypto.errors import CryptoError
from dag.bodies import Kind
from dag.errors import LedgerError, WaitingFull, WrongRound
from dag.ids import sha256
from dag.sync import Sync
from dag.transaction import MAX_BYTES, Transaction
from node.errors import MedweaveError, PeerProblem
from node.publishing.wire import (
    MAX_BATCH,
    MAX_IDS,
    MAX_MESSAGE_BYTES,
    MEDIA_TYPE,
    pack_ids,
    pack_transactions,
    unpack_ids,
    unpack_transactions,
)
from node.storage import StorageError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from node.publishing.publisher import Publisher

log = logging.getLogger("medweave.gossip")

FRONTIER_SECONDS = 1.0
"""Pause between two comparisons of frontiers; each asks one peer."""
RESEND_SECONDS = 1.0
"""Pause before an announcement that a peer missed is tried again."""
MAX_HELD = 4096
"""Most transactions held back because their round is not known yet; the oldest give way."""
MAX_QUEUE = 4096
UNREACHABLE = (httpx.HTTPError, httpx.InvalidURL, ValueError)
"""What calling a peer may raise; the last for addresses that are none."""
CONCURRENT = 4


class Gossip:
    """One node's side of the exchange; lives on the daemon's event loop.

    Args:
        publisher: This node's ledger.
        own_url: This node's address, told to peers so that they know whom to ask back.
        peers: The other members' base URLs, newest knowledge at each call.
        check_update: Fetches and checks an update's ciphertexts; given the transaction and the URL it came from.
    """

    def __init__(
        self,
        publisher: Publisher,
        own_url: str,
        peers: Callable[[], tuple[str, ...]],
        check_update: Callable[[Transaction, str | None], None],
    ) -> None:
        self._publisher = publisher
        self._own_url = own_url
        self._peers = peers
        self._check_update = check_update
        self._queue: asyncio.Queue[tuple[bytes, str | None]] = asyncio.Queue(MAX_QUEUE)
        self._busy: set[bytes] = set()
        self._held: OrderedDict[bytes, tuple[bytes, str | None]] = OrderedDict()
        self._delivered: dict[bytes, set[str]] = {}
        self._sending: set[str] = set()
        self._wake = asyncio.Event()
        self._sync: Sync = publisher.read(Sync)
        self._http = httpx.AsyncClient(timeout=httpx.Timeout(10.0, connect=3.0), trust_env=False)

    async def run(self) -> None:
        """Work until cancelled."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._announce())
                group.create_task(self._compare_frontiers())
                for _ in range(CONCURRENT):
                    group.create_task(self._take_in())
        finally:
            await self._http.aclose()

    # ---- announcing -------------------------------------------------------------------------------------------------

    def announce_soon(self) -> None:
        """The outbox has something new."""
        self._wake.set()

    async def _announce(self) -> None:
        """Every peer at its own pace: one that is down holds up nobody else."""
        async with asyncio.TaskGroup() as senders:
            while True:
                self._wake.clear()
                waiting = await asyncio.to_thread(self._publisher.outbox)
                peers = self._peers()
                for peer in peers:
                    due = [tx for tx in waiting if peer not in self._delivered.get(tx.id, ())][:MAX_BATCH]
                    if due and peer not in self._sending:
                        self._sending.add(peer)
                        senders.create_task(self._deliver(peer, due))
                for transaction in waiting:
                    if set(peers) <= self._delivered.get(transaction.id, set()):
                        await asyncio.to_thread(self._publisher.sent, transaction.id)
                        self._delivered.pop(transaction.id, None)
                await _either(self._wake.wait(), RESEND_SECONDS)

    async def _deliver(self, peer: str, due: list[Transaction]) -> None:
        try:
            answer = await self._http.post(
                f"{peer}/v1/gossip/transactions",
                content=pack_transactions(tx.raw for tx in due),
                headers={"Content-Type": MEDIA_TYPE, "Medweave-Node": self._own_url},
            )
            answer.raise_for_status()
        except UNREACHABLE as error:
            log.debug("announcing to %s: %s", peer, error)
            return
        finally:
            self._sending.discard(peer)
        for transaction in due:
            self._delivered.setdefault(transaction.id, set()).add(peer)
        self._wake.set()

    # ---- taking in --------------------------------------------------------------------------------------------------

    def offer(self, raw: bytes, sender: str | None) -> bool:
        """Queue bytes from a peer; False where the queue is full and the peer should come again later."""
        tx_id = sha256(raw)
        if len(raw) > MAX_BYTES or tx_id in self._busy:
            return True
        try:
            self._queue.put_nowait((raw, sender))
        except asyncio.QueueFull:
            return False
        self._busy.add(tx_id)
        return True

    def retry_held(self) -> None:
        """The chain told something new: what was too early may be in time now."""
        held, self._held = self._held, OrderedDict()
        for raw, sender in held.values():
            self.offer(raw, sender)

    async def _take_in(self) -> None:
        while True:
            raw, sender = await self._queue.get()
            try:
                await self._admit(raw, sender)
            except (MedweaveError, CryptoError, LedgerError) as error:
                log.warning("from %s: %s", sender or "a peer", error)
            except Exception:
                # A bug of this node that a peer's bytes can reach must not end the exchange with everybody else.
                log.exception("transaction from %s", sender or "a peer")
            finally:
                self._busy.discard(sha256(raw))

    async def _admit(self, raw: bytes, sender: str | None) -> None:
        transaction = Transaction.decode(raw)
        if await asyncio.to_thread(self._publisher.knows, transaction.id):
            return
        try:
            await asyncio.to_thread(self._publisher.verify_standalone, transaction)
            if transaction.kind is Kind.UPDATE:
                await asyncio.to_thread(self._check_update, transaction, sender)
            received = await asyncio.to_thread(self._publisher.receive, raw)
        except (WrongRound, WaitingFull, StorageError, PeerProblem) as error:
            log.debug("held back: %s", error)
            self._hold(transaction.id, raw, sender)
            return
        for tx_id, reason in received.refused:
            log.warning("transaction %s… from %s refused: %s", tx_id.hex()[:16], sender or "a peer", reason)
        missing = [tx_id for tx_id in received.missing if tx_id not in self._busy]
        if missing:
            await self._fetch(missing, sender)

    def _hold(self, tx_id: bytes, raw: bytes, sender: str | None) -> None:
        self._held[tx_id] = (raw, sender)
        while len(self._held) > MAX_HELD:
            self._held.popitem(last=False)

    async def _fetch(self, ids: list[bytes], sender: str | None) -> None:
        """Ask for transactions by id: whoever sent the child first, then the others until none is missing."""
        wanted = ids[:MAX_IDS]
        for peer in dict.fromkeys([*([sender] if sender else []), *self._peers()]):
            message = await self._ask(peer, "/v1/gossip/fetch", pack_ids(wanted))
            try:
                found = unpack_transactions(message) if message is not None else ()
            except LedgerError as error:
                log.warning("answer of %s: %s", peer, error)
                continue
            for raw in found:
                self.offer(raw, peer)
            got = {sha256(raw) for raw in found}
            wanted = [tx_id for tx_id in wanted if tx_id not in got]
            if not wanted:
                return

    async def _compare_frontiers(self) -> None:
        turn = 0
        while True:
            await asyncio.sleep(FRONTIER_SECONDS)
            self.retry_held()
            peers = self._peers()
            if not peers:
                continue
            peer, turn = peers[turn % len(peers)], turn + 1
            message = await self._ask(peer, "/v1/gossip/frontier", None)
            try:
                theirs = unpack_ids(message) if message is not None else ()
            except LedgerError as error:
                log.warning("frontier of %s: %s", peer, error)
                continue
            wanted = await asyncio.to_thread(self._wanted, theirs)
            missing = [tx_id for tx_id in wanted if tx_id not in self._busy and tx_id not in self._held]
            if missing:
                await self._fetch(missing, peer)

    def _wanted(self, theirs: tuple[bytes, ...]) -> tuple[bytes, ...]:
        ids: tuple[bytes, ...] = self._publisher.read(lambda _ledger: self._sync.wanted(theirs))
        return ids

    # ---- answering --------------------------------------------------------------------------------------------------

    def frontier(self) -> tuple[bytes, ...]:
        """Ids that stand for everything this node has attached."""
        ids: tuple[bytes, ...] = self._publisher.read(lambda _ledger: self._sync.frontier())
        return ids

    def serve(self, ids: tuple[bytes, ...]) -> tuple[bytes, ...]:
        """The asked transactions that this node has."""
        raws: tuple[bytes, ...] = self._publisher.read(lambda _ledger: self._sync.serve(ids))
        return raws[:MAX_BATCH]

    async def _ask(self, peer: str, path: str, message: bytes | None) -> bytes | None:
        """One bounded request; None where the peer does not answer."""
        headers = {"Content-Type": MEDIA_TYPE, "Accept-Encoding": "identity", "Medweave-Node": self._own_url}
        method = "GET" if message is None else "POST"
        try:
            async with self._http.stream(method, f"{peer}{path}", content=message, headers=headers) as answer:
                answer.raise_for_status()
                body = bytearray()
                async for piece in answer.aiter_bytes():
                    body += piece
                    if len(body) > MAX_MESSAGE_BYTES:
                        log.warning("%s%s sends more than %d bytes", peer, path, MAX_MESSAGE_BYTES)
                        return None
                return bytes(body)
        except UNREACHABLE as error:
            log.debug("%s%s: %s", peer, path, error)
            return None


async def _either(event: Awaitable[bool], seconds: float) -> None:
    try:
        await asyncio.wait_for(event, seconds)
    except TimeoutError:
        return
