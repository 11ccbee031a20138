"""Signs transactions locally and brings them into the chain, once each (CHN-6)."""

from __future__ import annotations

import threading
import time
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any

from web3.exceptions import ContractLogicError, Web3Exception

from chain.errors import BadArgument, ChainUnreachable, ContractReverted, RpcRefused, TransactionLost
from chain.records import Receipt
from chain.reverts import decode_revert

if TYPE_CHECKING:
    from eth_account.signers.local import LocalAccount
    from web3.types import TxReceipt

    from chain.connection import Connection

_NONCE_ATTEMPTS = 8
_REBROADCAST_SECONDS = 2.0
_FIRST_PAUSE = 0.02
_LONGEST_PAUSE = 0.5


class _NonceTaken(Exception):  # noqa: N818  (a signal inside this module, never seen outside)
    """Another transaction of this account has the nonce: this one can never be mined and may be signed anew."""


class Sender:
    """Sends one account's transactions to one chain.

    Safe to use from several threads: a lock covers the time from reading the nonce to the endpoint's taking the
    transaction. Several processes may share an account: one that loses the race for a nonce signs again.
    A request that went unanswered is repeated with the same signed bytes, so a transaction takes effect once at most.

    Attributes:
        account: Signs and pays.
    """

    def __init__(self, connection: Connection, account: LocalAccount, chain_id: int, patience: float = 60.0) -> None:
        """Makes no request yet.

        Args:
            connection: The endpoint.
            account: Signs and pays.
            chain_id: Goes into every signature (EIP-155).
            patience: Seconds to wait for a receipt.
        """
        self.account = account
        self._connection = connection
        self._chain_id = chain_id
        self._patience = patience
        self._lock = threading.Lock()

    def send(self, call: str, to: str, data: bytes = b"", value: int = 0) -> Receipt:
        """Sends one transaction and waits until it is mined.

        Args:
            call: What it does, for errors, such as ``TrainingRounds.open``.
            to: The receiver, checksummed hex.
            data: The call's ABI encoding.
            value: Wei to transfer.

        Raises:
            ContractReverted: If the contract refuses it, before or after it was sent.
            RpcRefused: If the endpoint refuses it, such as for want of funds.
            TransactionLost: If no receipt came in time.
            ChainUnreachable: If the endpoint does not answer.
        """
        return _receipt(self._mine(call, {"to": to, "data": data, "value": value}))

    def create(self, call: str, code: bytes) -> tuple[Receipt, str]:
        """Deploys a contract and waits until it is mined.

        Args:
            call: What it does, for errors.
            code: The contract's bytecode with its constructor's arguments.

        Returns:
            The receipt and the contract's checksummed address.
        """
        receipt = self._mine(call, {"data": code})
        address = receipt["contractAddress"]
        if address is None:
            raise RpcRefused(call, "the receipt names no contract")
        return _receipt(receipt), str(address)

    def nonce(self) -> int:
        """The account's next nonce, counting what waits in the endpoint's pool."""
        eth = self._connection.w3.eth
        return int(
            self._connection.run(
                "eth_getTransactionCount", lambda: eth.get_transaction_count(self.account.address, "pending")
            )
        )

    def _mine(self, call: str, body: dict[str, Any]) -> TxReceipt:
        request = {**body, "from": self.account.address}
        eth = self._connection.w3.eth
        # On the pending block: the latest one's time lies in the past, and an abort waits for a deadline.
        estimate = self._connection.run(call, lambda: eth.estimate_gas(request, "pending"))  # type: ignore[arg-type]
        # What others send before this is mined may make it dearer (the confirmation that completes a quorum also
        # activates the epoch, 60 k gas); unused gas costs nothing.
        gas = estimate * 5 // 4 + 120_000
        for _ in range(_NONCE_ATTEMPTS):
            try:
                raw, tx = self._broadcast(call, {**body, "gas": gas})
                receipt = self._await_receipt(call, raw, tx)
            except _NonceTaken:
                continue
            if receipt["status"] != 1:
                raise self._explain(call, request, receipt)
            return receipt
        raise RpcRefused(call, "every nonce was taken: does another program send from this account without pause?")

    def _broadcast(self, call: str, body: dict[str, Any]) -> tuple[bytes, bytes]:
        with self._lock:
            unsigned: dict[str, Any] = {**body, **self._fees(), "nonce": self.nonce(), "chainId": self._chain_id}
            signed = self.account.sign_transaction(unsigned)
            raw, tx = bytes(signed.raw_transaction), bytes(signed.hash)
            self._offer(call, raw, tx)
            return raw, tx

    def _offer(self, call: str, raw: bytes, tx: bytes) -> None:
        """Hands the signed bytes to the endpoint, which may have them already from an attempt that seemed to fail."""
        try:
            self._connection.run(call, lambda: self._connection.w3.eth.send_raw_transaction(raw))
        except RpcRefused as error:
            if self._connection.knows(tx):
                return
            reason = error.reason.lower()
            if "nonce" in reason or "underpriced" in reason:
                raise _NonceTaken from error
            raise

    def _await_receipt(self, call: str, raw: bytes, tx: bytes) -> TxReceipt:
        start = offered = time.monotonic()
        pause = _FIRST_PAUSE
        while True:
            receipt = self._connection.receipt(tx)
            if receipt is not None:
                return receipt
            now = time.monotonic()
            if now - start > self._patience:
                raise TransactionLost(call, tx, self._patience)
            if now - offered > _REBROADCAST_SECONDS:  # an endpoint that restarted may have forgotten it
                self._offer(call, raw, tx)
                offered = now
            time.sleep(pause)
            pause = min(pause * 1.5, _LONGEST_PAUSE)

    def _fees(self) -> dict[str, int]:
        block = self._connection.block()
        base = block.get("baseFeePerGas")
        if base is None:  # a chain from before EIP-1559
            eth = self._connection.w3.eth
            return {"gasPrice": int(self._connection.run("eth_gasPrice", lambda: eth.gas_price))}
        tip = 1_000_000_000
        return {"maxFeePerGas": 2 * int(base) + tip, "maxPriorityFeePerGas": tip, "type": 2}

    def _explain(self, call: str, request: dict[str, Any], receipt: TxReceipt) -> ContractReverted:
        """Asks for the reason of a mined failure by repeating the call on the state before its block."""
        eth = self._connection.w3.eth
        try:
            eth.call(request, block_identifier=receipt["blockNumber"] - 1)  # type: ignore[arg-type]
        except ContractLogicError as error:
            return decode_revert(call, error.data, str(error.message))
        except (Web3Exception, ChainUnreachable, OSError) as error:
            return ContractReverted(call, "", {}, f"mined as failed, and the reason is not to be had ({error})")
        return ContractReverted(call, "", {}, "mined as failed: another transaction of the same block came first")


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
