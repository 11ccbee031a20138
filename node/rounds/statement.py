"""The statement of a finalised round: an in-toto Statement v1 whose predicate says where the model came from.

Its canonical bytes (JSON, sorted keys, no white space) are what the members' EIP-712 signatures commit to, by digest; the
chain stores that digest. A statement stays below 256 KiB, so its CID is `raw` and the digest alone finds it.
Source: in-toto attestation framework, Statement v1.
"""

from __future__ import annotations

import hashlib
import json
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from dag.errors import MalformedIdentifier
from dag.ids import blob_link
from node.errors import LyingPeer

MAX_STATEMENT_BYTES = 256 * 1024

Hash = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Address = Annotated[str, Field(pattern=r"^0x[0-9a-f]{40}$")]


def _one_form(text: str) -> str:
    """A CID has one canonical text; another is no name of a blob, and is refused before anything is looked for by it."""
    try:
        blob_link(text)
    except MalformedIdentifier as error:
        raise ValueError(str(error)) from None
    return text


Cid = Annotated[str, Field(pattern=r"^b[a-z2-7]{50,70}$"), AfterValidator(_one_form)]


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=False)


class Included(_Record):
    """One included update."""

    id: Hash = Field(description="Ledger transaction id.")
    issuer: Address = Field(description="Hospital that posted it.")
    weight_ppm: int = Field(ge=1, le=1_000_000, description="Declared weight (eq. 19), parts per million.")
    samples: int = Field(ge=1, description="Training images it declares.")
    manifest: Cid = Field(description="CID of the update manifest.")


class Group(_Record):
    """One opened sum."""

    updates: tuple[int, ...] = Field(min_length=1, description="Indices into `updates`, ascending.")
    sum: Cid = Field(description="CID of the sum manifest.")
    accepted: bool = Field(description="Whether the quorum of verdicts let it into the model.")


class Verdict(_Record):
    """One member's scores of the opened sums."""

    id: Hash = Field(description="Ledger transaction id.")
    issuer: Address = Field(description="Hospital that scored.")


class JointKeyRef(_Record):
    """The key the updates are encrypted under."""

    digest: Hash = Field(description="Digest the chain activated the epoch with.")
    cid: Cid = Field(description="CID of the public key's bytes.")


class ModelRef(_Record):
    """The model this round made."""

    sha256: Hash = Field(description="Digest of the model file.")
    sealed: Cid = Field(description="CID of the model encrypted under the epoch's content key.")


class Predicate(_Record):
    """Everything needed to recompute the round; all of it is public."""

    consortium: Hash
    chain_id: int = Field(ge=1)
    contract: Address = Field(description="TrainingRounds that finalised the round.")
    round: int = Field(ge=1)
    epoch: int = Field(ge=1)
    seed: Hash = Field(description="Round seed the chain gave.")
    plan: Hash
    base: Hash = Field(description="Digest of the model trained from.")
    leader: Address
    proposal: Hash = Field(description="Ledger id of the proposal; its past cone proves which updates were confirmed.")
    updates: tuple[Included, ...] = Field(min_length=1, max_length=256, description="Included updates, sorted by id.")
    reveals: tuple[Hash, ...] = Field(max_length=256, description="Ledger ids of the reveals that made the group seed.")
    groups: tuple[Group, ...] = Field(min_length=1, max_length=256)
    openers: tuple[int, ...] = Field(min_length=1, max_length=256, description="Member indices that opened the sums.")
    shares: tuple[Hash, ...] = Field(max_length=256, description="Ledger ids of the partial openings used.")
    verdicts: tuple[Verdict, ...] = Field(min_length=1, max_length=256, description="Verdicts counted, sorted by id.")
    updates_root: Hash = Field(description="Merkle root over the included update ids.")
    sums_root: Hash = Field(description="Merkle root over the digests of the sum manifests.")
    ledger_root: Hash = Field(description="Merkle root over this round's transactions in the proposal's past cone.")
    segment: Cid = Field(description="CID of the ledger segment: the transactions that prove all of this.")
    seed_material: Hash = Field(description="What this round adds to the next seed.")
    joint_key: JointKeyRef
    parameter_set: str = Field(max_length=40)
    min_group: int = Field(
        ge=1, le=256, description="Fewest updates in an opened sum; 1 means single updates were open."
    )
    colluders_tolerated: int = Field(ge=0, description="Members that may collude in the smallest group: its size - 2.")
    model: ModelRef
    software: str = Field(max_length=80)


class Subject(_Record):
    """The in-toto subject."""

    name: str = Field(max_length=120)
    digest: dict[Literal["sha256"], Hash]


class Statement(_Record):
    """An in-toto Statement v1 about one round's model."""

    type_: Literal["https://in-toto.io/Statement/v1"] = Field(default="https://in-toto.io/Statement/v1", alias="_type")
    subject: tuple[Subject, ...] = Field(min_length=1, max_length=1)
    predicate_type: Literal["urn:medweave:round:v1"] = Field(default="urn:medweave:round:v1", alias="predicateType")
    predicate: Predicate

    @classmethod
    def of(cls, predicate: Predicate) -> Statement:
        """Wrap a predicate; the subject is its model."""
        subject = Subject(name=f"medweave-model-round-{predicate.round}", digest={"sha256": predicate.model.sha256})
        return cls(subject=(subject,), predicate=predicate)

    def to_bytes(self) -> bytes:
        """Canonical bytes: JSON with sorted keys and no white space."""
        fields = self.model_dump(mode="json", by_alias=True)
        return json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()

    @property
    def digest(self) -> bytes:
        """The sha2-256 of `to_bytes`, as signed and stored on chain."""
        return hashlib.sha256(self.to_bytes()).digest()

    @classmethod
    def from_bytes(cls, data: bytes) -> Statement:
        """Parse canonical bytes.

        Raises:
            LyingPeer: Too long, not a statement, not canonical, or its subject is not its model.
        """
        if len(data) > MAX_STATEMENT_BYTES:
            raise LyingPeer(f"statement: {len(data)} bytes, at most {MAX_STATEMENT_BYTES} are accepted")
        try:
            statement = cls.model_validate_json(data)
        except ValidationError as e:
            first = e.errors()[0]
            raise LyingPeer(f"statement: {'.'.join(map(str, first['loc']))}: {first['msg']}") from None
        if statement.to_bytes() != data:
            raise LyingPeer("statement: not in canonical form")
        if statement.subject[0].digest["sha256"] != statement.predicate.model.sha256:
            raise LyingPeer("statement: its subject is not the model its predicate describes")
        return statement
