"""HospitalRegistry: who the members are."""

from __future__ import annotations

from typing import ClassVar

from chain.contract import DeployedContract
from chain.records import Hospital, Receipt, checked_address, checked_integer, checked_url, from_abi


class HospitalRegistry(DeployedContract):
    """The members of one consortium. An index is a member's for ever."""

    NAME: ClassVar[str] = "HospitalRegistry"

    def consortium(self) -> bytes:
        """The consortium's identifier, 32 bytes."""
        return bytes(self._call("consortium"))

    def member_count(self) -> int:
        """The number of members, N."""
        return int(self._call("memberCount"))

    def quorum(self) -> int:
        """The smallest number of members that decides for all: ceil(2N/3)."""
        return int(self._call("quorum"))

    def member_at(self, index: int) -> Hospital:
        """The member with an index.

        Args:
            index: 0 to N - 1.

        Raises:
            ContractReverted: NoSuchIndex.
        """
        return from_abi(Hospital, self._call("memberAt", checked_integer("index", index, 0, 2**256 - 1)))

    def members(self) -> tuple[Hospital, ...]:
        """All members, in the order of their indices."""
        return tuple(from_abi(Hospital, member) for member in self._call("members"))

    def index_of(self, account: str) -> int:
        """A member's index.

        Args:
            account: Its address.

        Raises:
            ContractReverted: NotMember.
        """
        return int(self._call("indexOf", checked_address("account", account)))

    def is_member(self, account: str) -> bool:
        """Whether an address is a member's.

        Args:
            account: The address.
        """
        return bool(self._call("isMember", checked_address("account", account)))

    def set_url(self, url: str) -> Receipt:
        """Changes the address of the sender's own node.

        Args:
            url: At most 256 bytes of UTF-8.
        """
        return self._send("setUrl", checked_url(url))
