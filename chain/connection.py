"""One JSON-RPC endpoint: bounded retries below, typed errors above (CHN-6)."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any, TypeVar

from eth_utils.address import is_checksum_address
from requests.exceptions import RequestException
from web3 import HTTPProvider, Web3
from web3.exceptions import (
    BadFunctionCallOutput,
    BadResponseFormat,
    BlockNotFound,
    ContractLogicError,
    RequestTimedOut,
    TooManyRequests,
    TransactionNotFound,
    Web3Exception,
    Web3RPCError,
)
from web3.types import BlockData, RPCEndpoint, TxReceipt

from chain.errors import ChainUnreachable, MalformedAnswer, RpcRefused
from chain.reverts import decode_revert

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

_TRANSIENT = (
    RequestException,
    BadResponseFormat,
    RequestTimedOut,
    TooManyRequests,
    json.JSONDecodeError,
    UnicodeDecodeError,
)
"""No answer, or half of one: the same request may be sent again."""

_NONSENSE = (AttributeError, KeyError, IndexError, TypeError, ValueError, OverflowError)
"""What web3 raises while it formats an answer of another shape than the protocol's."""

_FIRST_PAUSE = 0.1
_LONGEST_PAUSE = 2.0


class Connection:
    """Asks one endpoint, again if need be.

    Attributes:
        url: The endpoint.
        w3: web3's client for it, with web3's own retries off; safe to use from several threads.
    """

    def __init__(self, url: str, timeout: float = 10.0, attempts: int = 6) -> None:
        """Makes no request yet.

        Args:
            url: An http or https JSON-RPC endpoint.
            timeout: Seconds to wait for one answer.
            attempts: How often to ask before giving up, at least 1; pauses of 0.1, 0.2, 0.4, … s, at most 2 s each.
        """
        self.url = url
        self.attempts = attempts
        self.w3 = Web3(HTTPProvider(url, request_kwargs={"timeout": timeout}, exception_retry_configuration=None))

    def run(self, what: str, ask: Callable[[], T]) -> T:
        """Asks until there is an answer.

        Args:
            what: What is asked, for errors, such as ``TrainingRounds.open``.
            ask: Makes the request with ``w3``; must be safe to repeat.

        Raises:
            ChainUnreachable: If no attempt was answered.
            ContractReverted: If a contract refused.
            RpcRefused: If the endpoint refused.
            MalformedAnswer: If the answer cannot be decoded.
        """
        last: Exception = TimeoutError("no attempt was made")
        for attempt in range(self.attempts):
            if attempt:
                time.sleep(min(_FIRST_PAUSE * 2 ** (attempt - 1), _LONGEST_PAUSE))
            try:
                return ask()
            except _TRANSIENT as error:
                last = error
            except (TransactionNotFound, BlockNotFound):  # an answer, not a failure
                raise
            except ContractLogicError as error:
                raise decode_revert(what, error.data, str(error.message)) from error
            except BadFunctionCallOutput as error:
                raise MalformedAnswer(f"{what}: {error}") from error
            except Web3RPCError as error:
                raise RpcRefused(what, _reason(error)) from error
            except (Web3Exception, *_NONSENSE) as error:
                raise MalformedAnswer(f"{what}: {type(error).__name__}: {error}") from error
        raise ChainUnreachable(self.url, self.attempts, last) from last

    def chain_id(self) -> int:
        """The chain the endpoint serves (EIP-155)."""
        return checked_number("eth_chainId", self.run("eth_chainId", lambda: self.w3.eth.chain_id))

    def block(self, which: str = "latest") -> BlockData:
        """A block without its transactions' bodies.

        Args:
            which: ``latest`` or ``pending``.
        """
        what = "eth_getBlockByNumber"
        try:
            block = self.run(what, lambda: self.w3.eth.get_block(which))  # type: ignore[arg-type]
        except BlockNotFound as error:
            raise MalformedAnswer(f"{what}: no {which} block") from error
        for field in ("number", "timestamp"):
            checked_number(f"{what}, {field}", block.get(field))
        if block.get("baseFeePerGas") is not None:
            checked_number(f"{what}, baseFeePerGas", block["baseFeePerGas"])
        return block

    def head(self) -> tuple[int, bytes]:
        """The latest block's number and hash.

        Raises:
            MalformedAnswer: If it has no hash of 32 bytes.
        """
        block = self.block()
        return int(block["number"]), _checked_hash("eth_getBlockByNumber, hash", block.get("hash"))

    def block_hash(self, number: int) -> bytes | None:
        """The hash of a block, or None if the chain has no such block.

        Args:
            number: The block's number.
        """
        try:
            block = self.run("eth_getBlockByNumber", lambda: self.w3.eth.get_block(number))
        except BlockNotFound:
            return None
        return _checked_hash("eth_getBlockByNumber, hash", block.get("hash"))

    def code(self, address: str) -> bytes:
        """The code at an address, empty if there is none.

        Args:
            address: Checksummed hex.
        """
        where = self.w3.to_checksum_address(address)
        return bytes(self.run("eth_getCode", lambda: bytes(self.w3.eth.get_code(where))))

    def receipt(self, tx: bytes) -> TxReceipt | None:
        """A transaction's receipt, or None if it is not mined.

        Args:
            tx: The transaction's hash.
        """
        what = "eth_getTransactionReceipt"
        try:
            receipt = self.run(what, lambda: self.w3.eth.get_transaction_receipt(_hash(tx)))
        except TransactionNotFound:
            return None
        if _checked_hash(f"{what}, transactionHash", receipt.get("transactionHash")) != tx:
            raise MalformedAnswer(f"{what}: the receipt of another transaction than 0x{tx.hex()}")
        checked_number(f"{what}, blockNumber", receipt.get("blockNumber"), 2**63)
        checked_number(f"{what}, gasUsed", receipt.get("gasUsed"), 2**63)
        checked_number(f"{what}, status", receipt.get("status"), 2)
        address = receipt.get("contractAddress")
        if address is not None and not is_checksum_address(address):
            raise MalformedAnswer(f"{what}, contractAddress: expected an address, found {str(address)[:80]}")
        return receipt

    def knows(self, tx: bytes) -> bool:
        """Whether a transaction is mined or waits in the endpoint's pool.

        Args:
            tx: The transaction's hash.
        """
        try:
            self.run("eth_getTransactionByHash", lambda: self.w3.eth.get_transaction(_hash(tx)))
        except TransactionNotFound:
            return False
        return True

    def request(self, method: str, *parameters: Any) -> Any:
        """A raw request, for methods web3 has no name for.

        Args:
            method: Such as ``evm_snapshot``.
            parameters: The method's parameters, as JSON values.
        """
        return self.run(method, lambda: self.w3.manager.request_blocking(RPCEndpoint(method), list(parameters)))


def checked_number(what: str, found: object, below: int = 2**256) -> int:
    """A number from outside.

    Args:
        what: Where it stood, for errors.
        found: What stood there.
        below: It must be smaller.

    Raises:
        MalformedAnswer: If it is no integer from 0 to ``below`` - 1.
    """
    if not isinstance(found, int) or isinstance(found, bool) or not 0 <= found < below:
        raise MalformedAnswer(f"{what}: expected a number of 0 or more, found {str(found)[:80]}")
    return found


def _checked_hash(what: str, found: object) -> bytes:
    if not isinstance(found, bytes) or len(found) != 32:
        raise MalformedAnswer(f"{what}: expected 32 bytes, found {str(found)[:80]}")
    return bytes(found)


def _hash(tx: bytes) -> Any:
    return tx  # web3 takes bytes where its types say HexBytes


def _reason(error: Web3RPCError) -> str:
    response = error.rpc_response or {}
    inner = response.get("error")
    if isinstance(inner, dict) and isinstance(inner.get("message"), str):
        return inner["message"]
    return str(error.message)
