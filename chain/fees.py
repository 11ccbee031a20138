"""What a transaction may cost: EIP-1559 where the chain has it, a plain gas price where not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from chain.connection import checked_number
from chain.errors import FeeTooHigh

if TYPE_CHECKING:
    from chain.connection import Connection

GWEI = 10**9
TIP = GWEI
"""Wei a unit of gas for the block's maker: what wallets offer on a chain that is not crowded."""

FEE_CAP = 1000 * GWEI
"""The default cap. A round takes 0.4 M gas: at this price 0.4 ether, which nobody pays by accident every round."""


@dataclass(frozen=True)
class Fee:
    """A price of gas.

    Attributes:
        max_fee: Wei a unit of gas at most; on a chain from before EIP-1559 the gas price.
        tip: Wei a unit of gas for the block's maker; 0 on a chain from before EIP-1559.
        dynamic: Whether the chain has EIP-1559.
    """

    max_fee: int
    tip: int
    dynamic: bool = True

    @property
    def fields(self) -> dict[str, int]:
        """The price as a transaction's fields."""
        if not self.dynamic:
            return {"gasPrice": self.max_fee}
        return {"maxFeePerGas": self.max_fee, "maxPriorityFeePerGas": self.tip, "type": 2}


def suggest(connection: Connection, what: str, cap: int) -> Fee:
    """The price for a transaction now: room for the base fee to double, which takes it six full blocks.

    Args:
        connection: The endpoint.
        what: What is sent, for errors.
        cap: Wei a unit of gas that may be paid.

    Raises:
        FeeTooHigh: If not even the next block can be paid for.
        ChainUnreachable: If the endpoint does not answer.
    """
    base = connection.block().get("baseFeePerGas")
    if base is None:
        price = checked_number("eth_gasPrice", connection.run("eth_gasPrice", lambda: connection.w3.eth.gas_price))
        if price > cap:
            raise FeeTooHigh(what, price, cap)
        return Fee(price, 0, dynamic=False)
    if int(base) + TIP > cap:
        raise FeeTooHigh(what, int(base), cap)
    return Fee(min(2 * int(base) + TIP, cap), TIP)


def price_now(connection: Connection) -> int:
    """What a transaction of ours pays for a unit of gas in the next block, tip included, in wei.

    Args:
        connection: The endpoint.

    Raises:
        ChainUnreachable: If the endpoint does not answer.
    """
    base = connection.block().get("baseFeePerGas")
    price = checked_number("eth_gasPrice", connection.run("eth_gasPrice", lambda: connection.w3.eth.gas_price))
    return price if base is None else max(price, int(base) + TIP)


def raised(paid: Fee, now: Fee, cap: int) -> Fee | None:
    """The price for a copy that replaces one that waits too long: an eighth more, as endpoints demand, or today's.

    Args:
        paid: What the waiting copy offers.
        now: What a new transaction would offer.
        cap: Wei a unit of gas that may be paid.

    Returns:
        The price, or None if it would exceed the cap.
    """
    max_fee = max(now.max_fee, _eighth_more(paid.max_fee))
    tip = max(now.tip, _eighth_more(paid.tip)) if now.dynamic else 0
    return None if max_fee > cap else Fee(max_fee, min(tip, max_fee), now.dynamic)


def _eighth_more(price: int) -> int:
    return -(-price * 9 // 8)


def options(gas: int, nonce: int, chain_id: int, fee: Fee) -> dict[str, Any]:
    """The fields that a call does not have itself.

    Args:
        gas: The limit.
        nonce: The account's.
        chain_id: Goes into the signature (EIP-155).
        fee: The price.
    """
    return {**fee.fields, "gas": gas, "nonce": nonce, "chainId": chain_id}
