"""Brings recorded intents into the chain, once each, and back into it when the chain lost them (CHN-6).

A copy is signed and on disk before it is sent. What is not mined is looked after until it is:

    what is found                               what is done
    a block holds one of its copies             noted; final once so deep that the chain keeps it
    the endpoint's pool holds one               waited for; after a while replaced by one that pays more
    nowhere, and the contract would refuse it   waited a little (others' transactions may be missing too), then void
    nowhere, its nonce is the next              the same bytes are sent again
    nowhere, nonces before its own are missing  empty transactions fill them, then the same bytes are sent again
    nowhere, its nonce was used by another      signed anew under the next nonce: the old copy can never be mined
"""

from __future__ import annotations

import logging
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from chain import fees
from chain.connection import checked_number
from chain.errors import ContractReverted, FeeTooHigh, RpcRefused
from chain.intents import Call, Copy, Intent, IntentBook, State

if TYPE_CHECKING:
    from collections.abc import Iterator

    from eth_account.signers.local import LocalAccount
    from web3.types import TxReceipt

    from chain.connection import Connection
    from chain.fees import Fee

log = logging.getLogger("medweave.chain")

FINALITY = 64
"""Blocks on top of one that the chain keeps: two epochs of Ethereum's proof of stake; a local chain killed a second after
it mined loses fewer."""
STUCK_SECONDS = 30.0
"""A copy that waits this long in the pool is replaced by one that pays more."""
SETTLE_SECONDS = 20.0
"""A lost copy that the contract would refuse is given up after this long: until then others may bring back theirs."""
TEND_SECONDS = 1.0
"""Pause between two looks after the same intent, where nobody waits for it."""
_NONCE_ATTEMPTS = 8
_FILLER_GAS = 21_000


class _NonceTaken(Exception):  # noqa: N818  (a signal inside this module, never seen outside)
    """Another transaction of this account has the nonce."""


class Outbox:
    """One account's intents on one chain; safe to use from several threads.

    A lock covers the time from reading the nonce to the endpoint's taking the transaction. Several processes may share
    an account: one that loses the race for a nonce signs again.
    """

    def __init__(
        self,
        connection: Connection,
        account: LocalAccount,
        chain_id: int,
        book: IntentBook,
        *,
        fee_cap: int = fees.FEE_CAP,
        finality: int = FINALITY,
    ) -> None:
        """Makes no request yet.

        Args:
            connection: The endpoint.
            account: Signs and pays.
            chain_id: Goes into every signature (EIP-155).
            book: Where intents are kept.
            fee_cap: Wei a unit of gas that may be paid.
            finality: Blocks on top of one that the chain keeps.
        """
        self.book = book
        self._connection = connection
        self._account = account
        self._chain_id = chain_id
        self._fee_cap = fee_cap
        self._finality = finality
        self._lock = threading.RLock()
        self._awaited: list[int] = []
        self._offered: dict[int, float] = {}
        self._tended: dict[int, float] = {}
        self._refused: dict[int, float] = {}
        self._seen: set[int] = set()

    # ---- for whoever sends -------------------------------------------------------------------------------------------

    def find(self, call: Call, key: str | None) -> Intent | None:
        """The intent to go on with instead of recording the same one again; see ``IntentBook.find``."""
        return self.book.find(str(self._account.address), self._chain_id, call, key)

    def estimate(self, call: Call) -> int:
        """The gas a call takes now.

        On the pending block: the latest one's time lies in the past, and an abort waits for a deadline.

        Raises:
            ContractReverted: If the contract refuses it.
        """
        request = {**call.request, "from": self._account.address}
        eth = self._connection.w3.eth
        gas = self._connection.run(call.what, lambda: eth.estimate_gas(request, "pending"))  # type: ignore[arg-type]
        return checked_number(f"{call.what}, eth_estimateGas", gas, 2**63)

    def record(self, call: Call, gas: int, key: str | None) -> Intent:
        """Signs a call, writes it down, and only then sends it.

        Args:
            call: What is called.
            gas: The limit.
            key: The idempotency key; None to derive it from the call.

        Raises:
            RpcRefused: If the endpoint refuses it, such as for want of funds; the intent is void.
            FeeTooHigh: If the chain asks for more than the cap.
            ChainUnreachable: If the endpoint does not answer; the intent stays open.
        """
        with self._lock:
            copy = self._sign(call, gas, self.nonce(), fees.suggest(self._connection, call.what, self._fee_cap))
            intent = self.book.add(str(self._account.address), self._chain_id, call, gas, copy, key)
            for _ in range(_NONCE_ATTEMPTS):
                try:
                    self._offer(intent, copy)
                except _NonceTaken:
                    copy = self._sign_anew(intent)
                except RpcRefused as error:
                    self.book.void(intent.id, str(error))
                    raise
                else:
                    return intent
            why = "every nonce was taken: does another program send from this account without pause?"
            self.book.void(intent.id, why)
            raise RpcRefused(call.what, why)

    def settled(self, intent: Intent) -> TxReceipt | None:
        """The receipt of whichever copy is mined, noted in the book; None if none is.

        Args:
            intent: As the book gave it last; copies made meanwhile are looked at as well.
        """
        intent = self.book.get(intent.id)
        for copy in reversed(intent.copies):
            receipt = self._connection.receipt(copy.tx)
            if receipt is not None:
                block, succeeded = int(receipt["blockNumber"]), receipt["status"] == 1
                if intent.state is not State.FINAL and (intent.block, intent.succeeded) != (block, succeeded):
                    self.book.mined(intent.id, block, succeeded=succeeded)
                return receipt
        return None

    @contextmanager
    def awaited(self, intent: Intent) -> Iterator[None]:
        """While somebody waits for an intent and looks after it, ``watch`` leaves it alone."""
        self._awaited.append(intent.id)
        try:
            yield
        finally:
            self._awaited.remove(intent.id)

    def nonce(self) -> int:
        """The account's next nonce, counting what waits in the endpoint's pool."""
        return self._count("pending")

    # ---- looking after what was sent ---------------------------------------------------------------------------------

    def watch(self, head: int, ancestor: int | None) -> None:
        """Looks after everything that is not final: call it whenever the chain grew or went back, and now and then.

        Args:
            head: The chain's last block.
            ancestor: The newest block that stayed, if the chain went back; None if it did not.

        Raises:
            ChainUnreachable: If the endpoint does not answer; call it again.
        """
        intents = self.book.unresolved(str(self._account.address), self._chain_id)
        if ancestor is not None:
            self._seen -= {intent.id for intent in intents if intent.block is None or intent.block > ancestor}
            self._tended.clear()
        for intent in intents:
            if intent.block is None:
                self._look_after(intent)
            elif intent.block > head or intent.id not in self._seen or head - intent.block >= self._finality:
                self._look_again(intent, head)

    def tend(self, intent: Intent) -> bool:
        """Does what an intent needs that is in no block, by the table above.

        Args:
            intent: As the book gave it last.

        Returns:
            Whether it is on its way: in a block, in the endpoint's pool, or sent just now.

        Raises:
            ChainUnreachable: If the endpoint does not answer.
        """
        with self._lock:
            intent = self.book.get(intent.id)
            self._tended[intent.id] = time.monotonic()
            if intent.state is State.VOID:
                return False
            if self.settled(intent) is not None:
                return True
            if intent.state is not State.OPEN:
                self.book.reopen(intent.id)
            try:
                return self._in_pool(intent) or self._bring_back(intent)
            except (_NonceTaken, RpcRefused, FeeTooHigh) as error:
                log.info("%s: not taken yet, trying again: %s", intent.call.what, error)
                return False

    def _in_pool(self, intent: Intent) -> bool:
        """Whether the endpoint's pool holds a copy; sees to it that it can be mined."""
        if not any(self._connection.knows(copy.tx) for copy in intent.copies):
            return False
        self._fill_gap(intent.copies[-1].nonce)
        if time.monotonic() - self._offered.setdefault(intent.id, time.monotonic()) > STUCK_SECONDS:
            self._pay_more(intent)
        return True

    def _look_after(self, intent: Intent) -> None:
        """An open intent nobody waits for: of a process that ended, or lost by the chain."""
        last = self._tended.get(intent.id)
        if intent.id not in self._awaited and (last is None or time.monotonic() - last >= TEND_SECONDS):
            self.tend(intent)

    def _look_again(self, intent: Intent, head: int) -> None:
        """A mined intent whose block this client has not read past yet, or that may be final by now."""
        receipt = self.settled(intent)
        if receipt is None:
            self._seen.discard(intent.id)
            if not intent.succeeded:
                self.book.void(intent.id, "it was mined as failed, and the chain took that back")
                return
            log.warning(
                "%s: the chain took back block %d, which held it: sending it again", intent.call.what, intent.block
            )
            self.book.reopen(intent.id)
            self._look_after(intent)
            return
        block = int(receipt["blockNumber"])
        if block <= head:
            self._seen.add(intent.id)
        if head - block >= self._finality:
            self.book.mined(intent.id, block, succeeded=receipt["status"] == 1, final=True)
            for memory in (self._offered, self._tended, self._refused):
                memory.pop(intent.id, None)
            self._seen.discard(intent.id)

    def _bring_back(self, intent: Intent) -> bool:
        """Sends an intent that is nowhere, not mined and not in the pool; whether it could."""
        newest = intent.copies[-1]
        mined, pending = self._count("latest"), self.nonce()
        if mined <= newest.nonce < pending:
            return False  # another transaction waits under this nonce; what becomes of it decides
        if mined > newest.nonce and self.settled(intent) is not None:
            return True
        if not self._wanted(intent):
            return False
        if mined > newest.nonce:
            self._offer(intent, self._sign_anew(intent))
        else:
            self._fill_gap(newest.nonce)
            self._offer(intent, newest)
        return True

    def _wanted(self, intent: Intent) -> bool:
        """Whether the contract would take the call now; one that it refuses for long is given up."""
        try:
            self.estimate(intent.call)
        except ContractReverted as error:
            since = self._refused.setdefault(intent.id, time.monotonic())
            if time.monotonic() - since >= SETTLE_SECONDS:
                log.info("%s: given up, the contract refuses it by now: %s", intent.call.what, error)
                self.book.void(intent.id, str(error))
            return False
        self._refused.pop(intent.id, None)
        return True

    def _fill_gap(self, nonce: int) -> None:
        """Sends empty transactions under the nonces that are missing before one, so that it can be mined."""
        for missing in range(self.nonce(), nonce):
            log.warning("nonce %d of %s is missing: filling it", missing, self._account.address)
            call = Call("empty transaction", str(self._account.address), b"")
            fee = fees.suggest(self._connection, call.what, self._fee_cap)
            self._hand_over(call.what, self._sign(call, _FILLER_GAS, missing, fee))

    def _pay_more(self, intent: Intent) -> None:
        newest = intent.copies[-1]
        now = fees.suggest(self._connection, intent.call.what, self._fee_cap)
        fee = fees.raised(fees.Fee(newest.max_fee, newest.tip, now.dynamic), now, self._fee_cap)
        self._offered[intent.id] = time.monotonic()
        if fee is None:
            log.warning("%s: waits at the highest fee allowed", intent.call.what)
            return
        copy = self._sign(intent.call, intent.gas, newest.nonce, fee)
        self.book.add_copy(intent.id, copy)
        self._hand_over(intent.call.what, copy)

    # ---- signing and sending -----------------------------------------------------------------------------------------

    def _sign_anew(self, intent: Intent) -> Copy:
        fee = fees.suggest(self._connection, intent.call.what, self._fee_cap)
        copy = self._sign(intent.call, intent.gas, self.nonce(), fee)
        self.book.add_copy(intent.id, copy)
        return copy

    def _sign(self, call: Call, gas: int, nonce: int, fee: Fee) -> Copy:
        signed = self._account.sign_transaction({**call.request, **fees.options(gas, nonce, self._chain_id, fee)})
        return Copy(bytes(signed.hash), nonce, bytes(signed.raw_transaction), fee.max_fee, fee.tip)

    def _offer(self, intent: Intent, copy: Copy) -> None:
        self._hand_over(intent.call.what, copy)
        self._offered[intent.id] = time.monotonic()

    def _hand_over(self, what: str, copy: Copy) -> None:
        """Hands signed bytes to the endpoint, which may have them already from an attempt that seemed to fail."""
        try:
            self._connection.run(what, lambda: self._connection.w3.eth.send_raw_transaction(copy.raw))
        except RpcRefused as error:
            if self._connection.knows(copy.tx):
                return
            reason = error.reason.lower()
            if "nonce" in reason or "underpriced" in reason:
                raise _NonceTaken(error.reason) from error
            raise

    def _count(self, which: str) -> int:
        eth, address = self._connection.w3.eth, self._account.address
        what = "eth_getTransactionCount"
        count = self._connection.run(what, lambda: eth.get_transaction_count(address, which))  # type: ignore[arg-type]
        return checked_number(what, count, 2**63)
