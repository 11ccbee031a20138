"""HospitalRegistry: who the members are, and what a quorum of them decides about that."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from chain.contract import DeployedContract
from chain.errors import BadArgument, ReadOnly
from chain.records import (
    Hospital,
    Receipt,
    bitmap_members,
    checked_address,
    checked_digest,
    checked_integer,
    checked_url,
    from_abi,
)
from chain.typed import joined_signatures
from chain.votes import sign_vote

if TYPE_CHECKING:
    from collections.abc import Mapping

    from chain.connection import Connection
    from chain.deployment import Deployment
    from chain.sender import Sender
    from chain.votes import Admission, Removal, Resizing, Rotation


class HospitalRegistry(DeployedContract):
    """The members of one consortium. An index is given once; an account serves one index, once.

    Each vote raises ContractReverted if it is not a quorum's, is too late or was counted; see IHospitalRegistry.
    """

    NAME: ClassVar[str] = "HospitalRegistry"

    def __init__(self, deployment: Deployment, connection: Connection, sender: Sender | None) -> None:
        """Makes no request yet.

        Args:
            deployment: Where the contracts are; also gives the domain of what members sign.
            connection: The endpoint to ask.
            sender: Signs and sends; None for a client that only reads.
        """
        super().__init__(deployment.registry, connection, sender)
        self._deployment = deployment

    def consortium(self) -> bytes:
        """The consortium's identifier, 32 bytes."""
        return bytes(self._call("consortium"))

    def member_count(self) -> int:
        """The number of members, N."""
        return int(self._call("memberCount"))

    def quorum(self) -> int:
        """The smallest number of members that decides for all: ceil(2N/3)."""
        return int(self._call("quorum"))

    def member_set(self) -> frozenset[int]:
        """The indices of the members."""
        return bitmap_members(int(self._call("memberSet")))

    def decisions(self) -> int:
        """How many votes were carried out; the next vote signs this number."""
        return int(self._call("decisions"))

    def member_at(self, index: int) -> Hospital:
        """The hospital with an index, member or former member.

        Args:
            index: 0 to the number of seats ever given, less one.

        Raises:
            ContractReverted: NoSuchIndex.
        """
        return from_abi(Hospital, self._call("memberAt", checked_integer("index", index, 0, 2**256 - 1)))

    def members(self) -> tuple[Hospital, ...]:
        """All hospitals by index, former members included: see ``member_set``."""
        return tuple(from_abi(Hospital, member) for member in self._call("members"))

    def card_of(self, index: int) -> bytes | None:
        """The digest of the data card that a hospital registered last, 32 bytes; None if it registered none.

        Args:
            index: 0 to the number of seats ever given, less one.

        Raises:
            ContractReverted: NoSuchIndex.
        """
        return _card(self._call("cardOf", checked_integer("index", index, 0, 2**256 - 1)))

    def cards(self) -> tuple[bytes | None, ...]:
        """``card_of`` of all hospitals by index, former members included."""
        return tuple(_card(digest) for digest in self._call("cards"))

    def index_of(self, account: str) -> int:
        """A member's index.

        Args:
            account: Its present address.

        Raises:
            ContractReverted: NotMember.
        """
        return int(self._call("indexOf", checked_address("account", account)))

    def is_member(self, account: str) -> bool:
        """Whether an address is a member's present one.

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

    def register_card(self, digest: bytes) -> Receipt:
        """Puts the sender's data card on record: these are the images it trains on from now on.

        Args:
            digest: sha2-256 of the card, 32 bytes and not all zero.

        Raises:
            ContractReverted: SameCard, where this one is on record already; NotMember.
        """
        if not any(checked_digest("digest", digest)):
            raise BadArgument("digest", "the digest of a data card", digest)
        return self._send("registerCard", digest)

    def admit(self, vote: Admission, signatures: Mapping[int, bytes]) -> Receipt:
        """Gives a hospital the next index; anybody may send it.

        Args:
            vote: What was signed.
            signatures: By member index, what ``sign_vote`` gave, 65 bytes each.
        """
        return self._send("admit", tuple(vote.to_abi()["hospital"].values()), _vote(vote.deadline, signatures))

    def remove(self, vote: Removal, signatures: Mapping[int, bytes]) -> Receipt:
        """Ends a hospital's membership; anybody may send it.

        Args:
            vote: What was signed.
            signatures: By member index, what ``sign_vote`` gave, 65 bytes each.
        """
        return self._send("remove", vote.account, _vote(vote.deadline, signatures))

    def rotate(self, vote: Rotation, signatures: Mapping[int, bytes]) -> Receipt:
        """Gives a member other keys; anybody may send it.

        Args:
            vote: What was signed.
            signatures: By member index, what ``sign_vote`` gave, 65 bytes each.
        """
        keys = (vote.account, vote.new_account, vote.new_box_key)
        return self._send("rotate", *keys, _vote(vote.deadline, signatures))

    def resize(self, vote: Resizing, signatures: Mapping[int, bytes]) -> Receipt:
        """Changes a member's declared data size; anybody may send it.

        Args:
            vote: What was signed.
            signatures: By member index, what ``sign_vote`` gave, 65 bytes each.
        """
        return self._send("resize", vote.account, vote.data_size, _vote(vote.deadline, signatures))

    def sign_vote(self, vote: Admission | Removal | Rotation | Resizing) -> bytes:
        """This client's agreement to a vote, 65 bytes. Nothing is sent.

        Args:
            vote: What is voted on, which the caller has checked.

        Raises:
            ReadOnly: If the client has no account.
        """
        if self._sender is None:
            raise ReadOnly("HospitalRegistry.sign_vote")
        return sign_vote(vote, self._deployment, self._sender.account)

    def contract_vote_digest(self, vote: Admission | Removal | Rotation | Resizing) -> bytes:
        """The 32 bytes that members sign now, computed by the contract, which supplies its own count of decisions.

        Args:
            vote: What is voted on.
        """
        values = [tuple(v.values()) if isinstance(v, dict) else v for k, v in vote.to_abi().items() if k != "decision"]
        return bytes(self._call(f"{type(vote).__name__.lower()}Digest", *values))


def _card(digest: bytes) -> bytes | None:
    """A digest as the contract keeps it, where 32 zero bytes stand for none."""
    return bytes(digest) if any(digest) else None


def _vote(deadline: int, signatures: Mapping[int, bytes]) -> tuple[Any, ...]:
    return (deadline, *joined_signatures(signatures))
