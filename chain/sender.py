"""Sends one account's calls to one chain and waits until they are mined, once each (CHN-6)."""

from __future__ import annotations

import time
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING

from web3.exceptions import ContractLogicError, Web3Exception

from chain import fees
from chain.errors import BadArgument, ChainUnreachable, ContractReverted, RpcRefused, TransactionLost
from chain.intents import Call, IntentBook, State
from chain.outbox import FINALITY, Outbox
from chain.records import Receipt
from chain.reverts import decode_revert

if TYPE_CHECKING:
    from eth_account.signers.local import LocalAccount
    from web3.types import TxReceipt

    from chain.connection import Connection
    from chain.intents import Intent

_TEND_SECONDS = 2.0
_FIRST_PAUSE = 0.02
_LONGEST_PAUSE = 0.5


class Sender:
    """Sends one account's transactions to one chain; safe to use from several threads.

    What is to be sent is written down before it is (`chain.intents`): a call that this process or an earlier one recorded
    and that is not mined yet is waited for instead of being sent again. A request that went unanswered is repeated with
    the same signed bytes, so a call takes effect once at most. ``watch`` sends again what the chain lost.

    Attributes:
        account: Signs and pays.
    """

    def __init__(
        self,
        connection: Connection,
        account: LocalAccount,
        chain_id: int,
        patience: float = 60.0,
        book: IntentBook | None = None,
        *,
        fee_cap: int = fees.FEE_CAP,
        finality: int = FINALITY,
    ) -> None:
        """Makes no request yet.

        Args:
            connection: The endpoint.
            account: Signs and pays.
            chain_id: Goes into every signature (EIP-155).
            patience: Seconds to wait for a receipt.
            book: Where intents are kept; None to keep them in memory.
            fee_cap: Wei a unit of gas that may be paid.
            finality: Blocks on top of one that the chain keeps.
        """
        self.account = account
        self._connection = connection
        self._patience = patience
        self._outbox = Outbox(connection, account, chain_id, book or IntentBook(), fee_cap=fee_cap, finality=finality)

    def send(self, call: str, to: str, data: bytes = b"", value: int = 0, key: str | None = None) -> Receipt:
        """Sends one transaction and waits until it is mined.

        Args:
            call: What it does, for errors, such as ``TrainingRounds.open``.
            to: The receiver, checksummed hex.
            data: The call's ABI encoding.
            value: Wei to transfer.
            key: An idempotency key: with the same key, whatever came between, nothing is sent twice. Without one only a
                call that is not mined yet is not sent again; whether a mined one may be repeated, the contract says.

        Raises:
            ContractReverted: If the contract refuses it, before or after it was sent.
            RpcRefused: If the endpoint refuses it, such as for want of funds.
            FeeTooHigh: If the chain asks for more than the cap.
            TransactionLost: If no receipt came in time.
            ChainUnreachable: If the endpoint does not answer.
        """
        return _receipt(self._mine(Call(call, to, data, value), key))

    def create(self, call: str, code: bytes, key: str | None = None) -> tuple[Receipt, str]:
        """Deploys a contract and waits until it is mined.

        Args:
            call: What it does, for errors.
            code: The contract's bytecode with its constructor's arguments.
            key: An idempotency key, as for ``send``; with one, what was deployed first counts, whatever ``code`` is.

        Returns:
            The receipt and the contract's checksummed address.
        """
        receipt = self._mine(Call(call, None, code), key)
        address = receipt["contractAddress"]
        if address is None:
            raise RpcRefused(call, "the receipt names no contract")
        return _receipt(receipt), str(address)

    def nonce(self) -> int:
        """The account's next nonce, counting what waits in the endpoint's pool."""
        return self._outbox.nonce()

    def watch(self, head: int, ancestor: int | None = None) -> None:
        """Looks after what was sent and is not final: sends again what the chain lost, fills gaps among the nonces.

        Call it whenever the chain grew or went back, and now and then.

        Args:
            head: The chain's last block.
            ancestor: The newest block that stayed, if the chain went back.

        Raises:
            ChainUnreachable: If the endpoint does not answer; call it again.
        """
        self._outbox.watch(head, ancestor)

    def _mine(self, call: Call, key: str | None) -> TxReceipt:
        intent = self._outbox.find(call, key)
        if intent is None:
            # What others send before this is mined may make it dearer (the confirmation that completes a quorum also
            # activates the epoch, 60 k gas); unused gas costs nothing.
            gas = self._outbox.estimate(call) * 5 // 4 + 120_000
            intent = self._outbox.record(call, gas, key)
        else:
            self._nudge(intent)
        with self._outbox.awaited(intent):
            receipt = self._await_receipt(intent)
        if receipt is None:  # given up by another thread, and the contract takes it now
            return self._mine(call, key)
        if receipt["status"] != 1:
            raise self._explain(call, receipt)
        return receipt

    def _nudge(self, intent: Intent) -> None:
        """Brings an intent on its way again if the chain lost it.

        Raises:
            ContractReverted: If the contract would refuse it now: whoever waits is told at once, while ``watch`` still
                gives others a while to bring back theirs.
        """
        if not self._outbox.tend(intent):
            self._outbox.estimate(intent.call)

    def _await_receipt(self, intent: Intent) -> TxReceipt | None:
        """The receipt; None if the intent was given up."""
        start = tended = time.monotonic()
        pause = _FIRST_PAUSE
        while True:
            receipt = self._outbox.settled(intent)
            if receipt is not None:
                return receipt
            now = time.monotonic()
            if now - start > self._patience:
                raise TransactionLost(intent.call.what, intent.copies[-1].tx, self._patience)
            if now - tended > _TEND_SECONDS:  # an endpoint that restarted may have forgotten it
                self._nudge(intent)
                tended = now
                if self._outbox.book.get(intent.id).state is State.VOID:
                    return None
            time.sleep(pause)
            pause = min(pause * 1.5, _LONGEST_PAUSE)

    def _explain(self, call: Call, receipt: TxReceipt) -> ContractReverted:
        """Asks for the reason of a mined failure by repeating the call on the state before its block."""
        request = {**call.request, "from": self.account.address}
        eth = self._connection.w3.eth
        try:
            eth.call(request, block_identifier=receipt["blockNumber"] - 1)  # type: ignore[arg-type]
        except ContractLogicError as error:
            return decode_revert(call.what, error.data, str(error.message))
        except (Web3Exception, ChainUnreachable, OSError) as error:
            return ContractReverted(call.what, "", {}, f"mined as failed, and the reason is not to be had ({error})")
        return ContractReverted(call.what, "", {}, "mined as failed: another transaction of the same block came first")


def wei(ether: object) -> int:
    """An amount in wei.

    Args:
        ether: The amount in ether; an integer, a Decimal or decimal text.

    Raises:
        BadArgument: If it is no amount of 0 or more.
    """
    try:
        amount = Decimal(str(ether)) * 10**18
    except InvalidOperation as error:
        raise BadArgument("ether", "a decimal number", ether) from error
    if not amount.is_finite() or amount < 0:
        raise BadArgument("ether", "a decimal number of 0 or more", ether)
    return int(amount)


def _receipt(receipt: TxReceipt) -> Receipt:
    return Receipt(
        tx=bytes(receipt["transactionHash"]), block=int(receipt["blockNumber"]), gas_used=int(receipt["gasUsed"])
    )
