"""What each kind of transaction says. Whole numbers, bytes and texts only; floats are scaled to parts per million.

Every body checks itself when it is made, by us or from a peer's bytes, and raises `MalformedTransaction` naming the
field. Whether a well-formed body is *true* is the business of `dag.rules`.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Any, ClassVar, Final

from dag import codec
from dag.errors import MalformedIdentifier, MalformedTransaction
from dag.fields import (
    MAX_MEMBERS,
    PPM,
    U32,
    U53,
    as_map,
    as_tuple,
    check_address,
    check_ascending,
    check_blob,
    check_bytes,
    check_digest,
    check_integer,
    check_keys,
    check_tuple,
)
from dag.ids import blob_cid, blob_leaf, blob_link, sha256
from dag.proofs import merkle

REVEAL_DOMAIN: Final = b"medweave/reveal"
SIGNATURE_BYTES: Final = 65
POINTING: Final = ("alignment_ppm", "descent_ppm")
"""What a verdict may state of where the sums point, beside their scores."""


class Kind(StrEnum):
    """What a transaction is for."""

    GENESIS = "genesis"
    UPDATE = "update"
    ACKNOWLEDGEMENT = "acknowledgement"
    PROPOSAL = "proposal"
    SHARE = "share"
    VERDICT = "verdict"
    CHECKPOINT = "checkpoint"


@dataclass(frozen=True)
class Body:
    """Base of the seven bodies."""

    kind: ClassVar[Kind]
    carries_payload: ClassVar[bool]

    def to_map(self) -> dict[str, Any]:
        """The body as a map that `dag.codec.encode` takes; one key a field."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @classmethod
    def from_map(cls, value: object) -> Body:
        """The body that a decoded map holds.

        Raises:
            MalformedTransaction: a field is missing, spare, of a wrong type or out of range.
        """
        content = as_map("body", value)
        check_keys("body", content, frozenset(field.name for field in fields(cls)))
        return cls(**cls._thaw(content))

    @classmethod
    def _thaw(cls, content: dict[str, Any]) -> dict[str, Any]:
        return content


@dataclass(frozen=True)
class GenesisBody(Body):
    """The ledger's first transaction; every node derives the same one, nobody signs it.

    Attributes:
        chain_id: EIP-155 id of the chain that anchors this ledger, 1 … 2^53 - 1.
        registry: address (20 bytes) of the consortium's HospitalRegistry on that chain.
    """

    chain_id: int
    registry: bytes

    kind: ClassVar[Kind] = Kind.GENESIS
    carries_payload: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check_integer("body.chain_id", self.chain_id, 1, U53)
        check_address("body.registry", self.registry)


@dataclass(frozen=True)
class UpdateBody(Body):
    """A member's sealed update; the payload is the CID of its manifest of ciphertext chunks.

    Attributes:
        weight_ppm: declared weight of eq. 19 by which the update was scaled before sealing, 1 … 1,000,000.
        samples: images the member says it trained on, 1 … 2^32 - 1.
        slots: slots of work the member took (s_i of eq. 19), 1 … 65,535.
        commitment: sha2-256 of a domain prefix and a secret (32 bytes) that the member reveals later in the round, for the seed.
        parameter_set: id (16 bytes) of the encryption parameters the ciphertexts are under.
        layout: digest (32 bytes) of the layout manifest: names, shapes and scales of the packed parameters.
    """

    weight_ppm: int
    samples: int
    slots: int
    commitment: bytes
    parameter_set: bytes
    layout: bytes

    kind: ClassVar[Kind] = Kind.UPDATE
    carries_payload: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_integer("body.weight_ppm", self.weight_ppm, 1, PPM)
        check_integer("body.samples", self.samples, 1, U32)
        check_integer("body.slots", self.slots, 1, 2**16 - 1)
        check_digest("body.commitment", self.commitment)
        check_bytes("body.parameter_set", self.parameter_set, 16)
        check_digest("body.layout", self.layout)


@dataclass(frozen=True)
class AcknowledgementBody(Body):
    """Approves its parents' past; may close the round's list of updates for its issuer, or open the issuer's commitment.

    Attributes:
        reveal: the secret (32 bytes) behind the commitment in the issuer's update of this round, or None.
        close: whether the issuer counts no further update of this round; said once a round (`dag.closing`), and not
            together with a reveal, which has to come after a quorum of closes.
    """

    reveal: bytes | None
    close: bool = False

    kind: ClassVar[Kind] = Kind.ACKNOWLEDGEMENT
    carries_payload: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if self.reveal is not None:
            check_digest("body.reveal", self.reveal)
        if not isinstance(self.close, bool):
            raise MalformedTransaction("body.close", "expected true or false")
        if self.close and self.reveal is not None:
            raise MalformedTransaction("body.close", "one acknowledgement cannot both close and reveal: post two")


@dataclass(frozen=True)
class ProposalBody(Body):
    """A leader's proposal of which updates are added up, in which groups.

    Attributes:
        updates: ids of the update transactions, ascending, one an issuer; each confirmed inside the proposal's past cone.
        reveals: ids of acknowledgements that open these updates' commitments, ascending; they feed the next seed.
        groups: positions in `updates`, ascending in each group; section by section of the model, as many groups in each, no
            position twice in one. Who is in none was left out of the sums.
        sums: CID of each group's manifest of summed ciphertexts, in the groups' order.
        openers: indices of the members asked to open the sums, ascending.
        attempt: 0 for the first proposal of the round's first leader, then counting fail-overs, ≤ 255.
        updates_root: Merkle root over `updates`; the chain stores it.
        sums_root: Merkle root over `blob_leaf(sum)` of `sums`; the chain stores it.
    """

    updates: tuple[bytes, ...]
    reveals: tuple[bytes, ...]
    groups: tuple[tuple[int, ...], ...]
    sums: tuple[str, ...]
    openers: tuple[int, ...]
    attempt: int
    updates_root: bytes
    sums_root: bytes

    kind: ClassVar[Kind] = Kind.PROPOSAL
    carries_payload: ClassVar[bool] = False

    def __post_init__(self) -> None:
        _check_digests("body.updates", self.updates, 1)
        _check_digests("body.reveals", self.reveals, 0)
        check_tuple("body.groups", self.groups, 1, MAX_MEMBERS)
        for number, group in enumerate(self.groups):
            _check_indices(f"body.groups[{number}]", group, len(self.updates) - 1)
        check_tuple("body.sums", self.sums, 1, MAX_MEMBERS)
        for number, cid in enumerate(self.sums):
            check_blob(f"body.sums[{number}]", cid)
        _check_indices("body.openers", self.openers, MAX_MEMBERS - 1)
        check_integer("body.attempt", self.attempt, 0, 255)
        check_digest("body.updates_root", self.updates_root)
        check_digest("body.sums_root", self.sums_root)

    @property
    def sections(self) -> int:
        """Of how many sections the groups are: as often the position stands in them that does most often."""
        return max(Counter(position for group in self.groups for position in group).values())

    def to_map(self) -> dict[str, Any]:
        """The body as a map; the sums are links, so that an IPFS node can walk to them."""
        return super().to_map() | {"sums": tuple(codec.link(blob_link(cid)) for cid in self.sums)}

    @classmethod
    def _thaw(cls, content: dict[str, Any]) -> dict[str, Any]:
        groups = as_tuple("body.groups", content["groups"])
        return content | {
            "updates": as_tuple("body.updates", content["updates"]),
            "reveals": as_tuple("body.reveals", content["reveals"]),
            "groups": tuple(as_tuple(f"body.groups[{number}]", group) for number, group in enumerate(groups)),
            "sums": tuple(
                _thaw_cid(f"body.sums[{number}]", value)
                for number, value in enumerate(as_tuple("body.sums", content["sums"]))
            ),
            "openers": as_tuple("body.openers", content["openers"]),
        }


@dataclass(frozen=True)
class ShareBody(Body):
    """A member's partial openings of a proposal's sums; the payload is the CID of their manifest, sealed to members.

    Attributes:
        proposal: id of the proposal whose sums are opened.
        member: the issuer's member index, 0 … 255; one of the proposal's openers.
    """

    proposal: bytes
    member: int

    kind: ClassVar[Kind] = Kind.SHARE
    carries_payload: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_digest("body.proposal", self.proposal)
        check_integer("body.member", self.member, 0, MAX_MEMBERS - 1)


@dataclass(frozen=True)
class VerdictBody(Body):
    """A member's scores of a proposal's opened sums on its own held-out images.

    Attributes:
        proposal: id of the proposal that is scored.
        scores_ppm: accuracy of base plus each group's sum, in the groups' order, 0 … 1,000,000.
        base_ppm: accuracy of the base model on the same images, 0 … 1,000,000.
        accept: whether each group should enter the model, in the groups' order.
        samples: held-out images scored, 1 … 2^32 - 1.
        alignment_ppm: how far each group's sum points where the member's own update points, (1 + cosine) / 2 in the groups'
            order, 0 … 1,000,000; left out of the bytes where it is not stated (empty).
        descent_ppm: how far each points where the loss of the member's own images falls, likewise; stated with the former
            or not at all.
    """

    proposal: bytes
    scores_ppm: tuple[int, ...]
    base_ppm: int
    accept: tuple[bool, ...]
    samples: int
    alignment_ppm: tuple[int, ...] = ()
    descent_ppm: tuple[int, ...] = ()

    kind: ClassVar[Kind] = Kind.VERDICT
    carries_payload: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check_digest("body.proposal", self.proposal)
        check_tuple("body.scores_ppm", self.scores_ppm, 1, MAX_MEMBERS)
        for number, score in enumerate(self.scores_ppm):
            check_integer(f"body.scores_ppm[{number}]", score, 0, PPM)
        check_integer("body.base_ppm", self.base_ppm, 0, PPM)
        check_tuple("body.accept", self.accept, 1, MAX_MEMBERS)
        for number, vote in enumerate(self.accept):
            if not isinstance(vote, bool):
                raise MalformedTransaction(f"body.accept[{number}]", "expected true or false")
        if len(self.accept) != len(self.scores_ppm):
            raise MalformedTransaction("body.accept", f"{len(self.accept)} votes for {len(self.scores_ppm)} scores")
        check_integer("body.samples", self.samples, 1, U32)
        for name in POINTING:
            stated = getattr(self, name)
            check_tuple(f"body.{name}", stated, 0, MAX_MEMBERS)
            for number, value in enumerate(stated):
                check_integer(f"body.{name}[{number}]", value, 0, PPM)
            if len(stated) not in (0, len(self.scores_ppm)):
                raise MalformedTransaction(f"body.{name}", f"{len(stated)} values for {len(self.scores_ppm)} scores")
        if len(self.alignment_ppm) != len(self.descent_ppm):
            raise MalformedTransaction("body.descent_ppm", "expected with alignment_ppm, or neither")

    def to_map(self) -> dict[str, Any]:
        """The body as a map, without what is not stated of where the sums point."""
        return {name: value for name, value in super().to_map().items() if name not in POINTING or value}

    @classmethod
    def from_map(cls, value: object) -> Body:
        """As `Body.from_map`; what is not stated is absent and never empty: one verdict has one form."""
        content = as_map("body", value)
        for name in POINTING:
            if content.get(name, True) in ((), []):
                raise MalformedTransaction(f"body.{name}", "empty: leave it out")
        return super().from_map({**{name: [] for name in POINTING}, **content})

    @classmethod
    def _thaw(cls, content: dict[str, Any]) -> dict[str, Any]:
        names = ("scores_ppm", "accept", *POINTING)
        return content | {name: as_tuple(f"body.{name}", content[name]) for name in names}


@dataclass(frozen=True)
class CheckpointBody(Body):
    """A member's agreement to a round's outcome; the payload is the CID of the statement.

    Attributes:
        proposal: id of the proposal that the outcome follows from.
        model: hash (32 bytes) of the new global model's bytes.
        statement: sha2-256 of the statement's bytes.
        outcome_signature: the member's EIP-712 signature (65 bytes) over the outcome, as the chain will check it.
        statement_signature: the member's signature (65 bytes) over the statement itself, for its DSSE envelope; of the form
            of a transaction's: r ‖ s ‖ v with s ≤ n/2 and v in {0, 1}. The ledger has no statement to check it against.
        root: Merkle root over the ids of the round's transactions in the proposal's past cone (`Ledger.round_root`).
    """

    proposal: bytes
    model: bytes
    statement: bytes
    outcome_signature: bytes
    statement_signature: bytes
    root: bytes

    kind: ClassVar[Kind] = Kind.CHECKPOINT
    carries_payload: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_digest("body.proposal", self.proposal)
        check_digest("body.model", self.model)
        check_digest("body.statement", self.statement)
        check_bytes("body.outcome_signature", self.outcome_signature, SIGNATURE_BYTES)
        check_bytes("body.statement_signature", self.statement_signature, SIGNATURE_BYTES)
        check_digest("body.root", self.root)


BODIES: Final[dict[Kind, type[Body]]] = {
    body.kind: body
    for body in (GenesisBody, UpdateBody, AcknowledgementBody, ProposalBody, ShareBody, VerdictBody, CheckpointBody)
}


def commit(reveal: bytes) -> bytes:
    """The commitment (32 bytes) to a secret: sha2-256 of `medweave/reveal` and the secret."""
    return sha256(REVEAL_DOMAIN + reveal)


def proposal_roots(updates: tuple[bytes, ...], sums: tuple[str, ...]) -> tuple[bytes, bytes]:
    """The two Merkle roots of a proposal: over the updates' ids, and over the sums' blob leaves."""
    return merkle.root(updates), merkle.root(tuple(blob_leaf(cid) for cid in sums))


def _check_digests(field: str, value: object, low: int) -> None:
    check_tuple(field, value, low, MAX_MEMBERS)
    digests: tuple[object, ...] = value  # type: ignore[assignment]
    for number, digest in enumerate(digests):
        check_digest(f"{field}[{number}]", digest)
    check_ascending(field, digests)


def _check_indices(field: str, value: object, high: int) -> None:
    check_tuple(field, value, 1, MAX_MEMBERS)
    indices: tuple[object, ...] = value  # type: ignore[assignment]
    for number, index in enumerate(indices):
        check_integer(f"{field}[{number}]", index, 0, high)
    check_ascending(field, indices)


def _thaw_cid(field: str, value: object) -> str:
    try:
        return blob_cid(codec.linked(field, value))
    except MalformedIdentifier as error:
        raise MalformedTransaction(field, str(error)) from None
