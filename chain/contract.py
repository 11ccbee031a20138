"""What the four contract classes share: calls that return decoded values, and signed sends."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from chain.artifact import load
from chain.errors import ReadOnly

if TYPE_CHECKING:
    from web3.contract import Contract

    from chain.connection import Connection
    from chain.records import Receipt
    from chain.sender import Sender


class DeployedContract:
    """A contract at an address.

    Attributes:
        NAME: The contract's name in the artefacts.
        address: Checksummed hex.
    """

    NAME: ClassVar[str]

    def __init__(self, address: str, connection: Connection, sender: Sender | None) -> None:
        """Makes no request yet.

        Args:
            address: Where the contract is.
            connection: The endpoint to ask.
            sender: Signs and sends; None for a client that only reads.
        """
        self.address = address
        self._connection = connection
        self._sender = sender
        self._contract: Contract = connection.w3.eth.contract(
            address=connection.w3.to_checksum_address(address), abi=load(self.NAME).abi
        )

    def _call(self, function: str, *arguments: Any) -> Any:
        bound = self._contract.get_function_by_name(function)(*arguments)
        return self._connection.run(f"{self.NAME}.{function}", bound.call)

    def _send(self, function: str, *arguments: Any) -> Receipt:
        call = f"{self.NAME}.{function}"
        if self._sender is None:
            raise ReadOnly(call)
        data = bytes.fromhex(self._contract.encode_abi(function, args=list(arguments))[2:])
        return self._sender.send(call, self.address, data)
