"""A transaction: a frozen record with one canonical byte form.

The id is sha2-256 of the signed bytes, so it commits to everything below, the signature included. Parents, payload and
group sums are CID links (DAG-CBOR tag 42): an IPFS node can walk the ledger. The signature covers sha2-256 of
`SIGNING_DOMAIN` and the canonical bytes of the same map without its `signature`; the issuer's address is recovered from
it. Only one signature form is accepted (low s, recovery id 0 or 1), so nobody else can give a transaction a second id.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any, Final, Self

import coincurve
from eth_utils.crypto import keccak

from dag import codec
from dag.bodies import BODIES, SIGNATURE_BYTES, Body, GenesisBody, Kind
from dag.errors import BadSignature, MalformedIdentifier, MalformedTransaction
from dag.fields import (
    U53,
    as_map,
    as_tuple,
    check_blob,
    check_bytes,
    check_digest,
    check_integer,
    check_keys,
    check_tuple,
)
from dag.forms import NONCE_BYTES, Frame, read_frame
from dag.ids import DAG_CBOR, NO_ISSUER, blob_cid, blob_link, cid_bytes, sha256

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

MAX_BYTES: Final = 64 * 1024
SIGNING_DOMAIN: Final = b"medweave/transaction/1\x00"
FORMAT: Final = 1

# secp256k1's n // 2, big-endian, as a signature holds s.
_HALF_ORDER: Final = bytes.fromhex("7FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF5D576E7357A4501DDFE92F46681B20A0")


@dataclass(frozen=True)
class Unsigned:
    """Everything a transaction says before it is signed.

    Attributes:
        kind: what the transaction is for; decides the body's type.
        consortium: id (32 bytes) of the consortium; a transaction copied to another consortium is refused there.
        epoch: key epoch the round runs in, ≥ 1 (0 for genesis).
        round: round the transaction belongs to, ≥ 1 (0 for genesis).
        sequence: the issuer's own counter from 0; two transactions with one issuer and sequence prove equivocation.
        parents: ids of the two approved transactions in the order they were chosen; none for genesis. They are equal
            only where the ledger had a single tip.
        payload: CID of the blob that belongs to the transaction, or None for kinds without one.
        body: what the kind says.
        nonce: proof of work (8 bytes, `dag.work`), or None where the plan asks for none; the key is then left out.
    """

    kind: Kind
    consortium: bytes
    epoch: int
    round: int
    sequence: int
    parents: tuple[bytes, ...]
    payload: str | None
    body: Body
    nonce: bytes | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        if not isinstance(self.kind, Kind):
            raise MalformedTransaction("kind", f"expected a Kind, found {type(self.kind).__name__}")
        if type(self.body) is not BODIES[self.kind]:
            raise MalformedTransaction("body", f"{type(self.body).__name__} is not the body of kind {self.kind}")
        genesis = self.kind is Kind.GENESIS
        check_digest("consortium", self.consortium)
        least, most = (0, 0) if genesis else (1, U53)
        check_integer("epoch", self.epoch, least, most)
        check_integer("round", self.round, least, most)
        check_integer("sequence", self.sequence, 0, most)
        check_tuple("parents", self.parents, 0 if genesis else 2, 0 if genesis else 2)
        for number, parent in enumerate(self.parents):
            check_digest(f"parents[{number}]", parent)
        if self.body.carries_payload:
            check_blob("payload", self.payload)
        elif self.payload is not None:
            raise MalformedTransaction("payload", f"kind {self.kind} has none")
        if self.nonce is not None:
            if genesis:
                raise MalformedTransaction("nonce", "a genesis has none")
            check_bytes("nonce", self.nonce, NONCE_BYTES)

    def to_map(self) -> dict[str, Any]:
        """The record as a map that `dag.codec.encode` takes."""
        content = {
            "format": FORMAT,
            "kind": str(self.kind),
            "consortium": self.consortium,
            "epoch": self.epoch,
            "round": self.round,
            "sequence": self.sequence,
            "parents": tuple(codec.link(cid_bytes(DAG_CBOR, parent)) for parent in self.parents),
            "payload": None if self.payload is None else codec.link(blob_link(self.payload)),
            "body": self.body.to_map(),
        }
        return content if self.nonce is None else content | {"nonce": self.nonce}


@dataclass(frozen=True)
class Transaction(Unsigned):
    """A signed transaction, as peers exchange and the ledger stores it.

    Attributes:
        signature: r ‖ s ‖ v (65 bytes) over the signing digest, with s ≤ n/2 and v in {0, 1}; empty for genesis.
    """

    signature: bytes

    def __post_init__(self) -> None:
        super().__post_init__()
        expected = 0 if self.kind is Kind.GENESIS else SIGNATURE_BYTES
        if not isinstance(self.signature, bytes) or len(self.signature) != expected:
            raise MalformedTransaction("signature", f"kind {self.kind} is signed with {expected} bytes")

    @cached_property
    def raw(self) -> bytes:
        """The canonical bytes."""
        return codec.encode(self.to_map() | {"signature": self.signature})

    @cached_property
    def id(self) -> bytes:
        """sha2-256 of the canonical bytes."""
        return sha256(self.raw)

    @cached_property
    def issuer(self) -> bytes:
        """The signer's address (20 bytes); twenty zero bytes for genesis, which nobody signs.

        Raises:
            BadSignature: not a canonical recoverable signature.
        """
        return NO_ISSUER if self.kind is Kind.GENESIS else _recover(self)

    def encode(self) -> bytes:
        """The canonical bytes, at most 64 KiB.

        Raises:
            MalformedTransaction: the record is larger than that.
        """
        if len(self.raw) > MAX_BYTES:
            raise MalformedTransaction("bytes", f"{len(self.raw)} bytes, at most {MAX_BYTES} are accepted")
        return self.raw

    @classmethod
    def decode(cls, raw: bytes) -> Self:
        """The transaction in bytes from a hostile sender. Checks form, not signature or truth.

        Raises:
            MalformedTransaction: names the field that is wrong.
        """
        frame = read_frame(raw)
        transaction = cls._of_map(raw) if frame is None else cls._of_frame(frame)
        transaction.__dict__["raw"] = raw  # what was proved to be the canonical form
        return transaction

    @classmethod
    def _of_frame(cls, frame: Frame) -> Self:
        """Without `__post_init__`: the pattern has proved every length and type, so what is left are the ranges."""
        check_integer("epoch", frame.epoch, 1, U53)
        check_integer("round", frame.round, 1, U53)
        check_integer("sequence", frame.sequence, 0, U53)
        values = frame._asdict()
        if frame.payload is not None:
            values["payload"] = blob_cid(frame.payload)
        transaction = cls.__new__(cls)
        transaction.__dict__.update(values)
        return transaction

    @classmethod
    def _of_map(cls, raw: bytes) -> Self:
        content = as_map("bytes", codec.decode(raw, MAX_BYTES))
        check_keys("", content, _KEYS | (content.keys() & {"nonce"}))
        if content["format"] != FORMAT or isinstance(content["format"], bool):
            raise MalformedTransaction("format", f"this node reads format {FORMAT}; a newer version may read this one")
        if content.get("nonce", b"") is None:
            raise MalformedTransaction("nonce", "leave the key out where there is none")
        kind = _kind(content["kind"])
        parents = as_tuple("parents", content["parents"])
        names = ("consortium", "epoch", "round", "sequence", "signature", "nonce")
        values = {name: content[name] for name in names if name in content}
        return cls(
            kind=kind,
            parents=tuple(transaction_link(f"parents[{number}]", parent) for number, parent in enumerate(parents)),
            payload=_payload(content["payload"]),
            body=BODIES[kind].from_map(content["body"]),
            **values,  # type: ignore[arg-type]  # __post_init__ checks every type
        )


def identified(transaction: Transaction, tx_id: bytes) -> Transaction:
    """The same transaction, told its id by whoever hashed its bytes before it was decoded."""
    transaction.__dict__["id"] = tx_id
    return transaction


def recover_issuers(transactions: Iterable[Transaction]) -> None:
    """Recovers signatures one after the other, which is faster than each at its turn; signers are kept by the transactions.

    A signature that is none is left for the rules to refuse.
    """
    for transaction in transactions:
        kept = transaction.__dict__
        if "issuer" in kept or transaction.kind is Kind.GENESIS:
            continue
        try:
            kept["issuer"] = _recover(transaction)
        except BadSignature:
            continue


def restore(raw: bytes, issuer: bytes, decode: Callable[[bytes], Transaction] = Transaction.decode) -> Transaction:
    """The transaction in bytes whose signature was verified before, when its issuer was stored beside it.

    Args:
        raw: the canonical bytes.
        issuer: address (20 bytes) that was recovered from the signature then.
        decode: what turns bytes into a transaction.

    Raises:
        MalformedTransaction: the bytes are no transaction.
    """
    transaction = decode(raw)
    transaction.__dict__["issuer"] = issuer
    return transaction


def signing_digest(unsigned: Unsigned) -> bytes:
    """What the issuer signs: sha2-256 of the domain prefix and the canonical bytes without a signature."""
    kept = unsigned.__dict__
    raw = kept.get("raw")
    if raw is None or len(kept["signature"]) != SIGNATURE_BYTES:
        return sha256(SIGNING_DOMAIN + codec.encode(Unsigned.to_map(unsigned)))
    # Only `consortium` sorts after `signature`: cutting that entry out and counting one key less is the unsigned form.
    head, tail = raw[: -_SIGNATURE_ENTRY - _CONSORTIUM_ENTRY], raw[-_CONSORTIUM_ENTRY:]
    return sha256(b"%b%c%b%b" % (SIGNING_DOMAIN, head[0] - 1, head[1:], tail))


def sign(unsigned: Unsigned, private_key: bytes) -> Transaction:
    """The transaction signed with a secp256k1 key (32 bytes); deterministic (RFC 6979).

    Raises:
        MalformedTransaction: a genesis, which nobody signs, or a record beyond 64 KiB.
    """
    if unsigned.kind is Kind.GENESIS:
        raise MalformedTransaction("kind", "nobody signs a genesis; derive it with genesis()")
    signature = coincurve.PrivateKey(private_key).sign_recoverable(signing_digest(unsigned), hasher=None)
    values = {field.name: getattr(unsigned, field.name) for field in fields(Unsigned)}
    transaction = Transaction(**values, signature=signature)
    transaction.encode()
    return transaction


def genesis(consortium: bytes, chain_id: int, registry: bytes) -> Transaction:
    """The first transaction of a consortium's ledger, the same on every node.

    Raises:
        MalformedTransaction: an argument is out of range.
    """
    return Transaction(
        kind=Kind.GENESIS,
        consortium=consortium,
        epoch=0,
        round=0,
        sequence=0,
        parents=(),
        payload=None,
        body=GenesisBody(chain_id, registry),
        signature=b"",
    )


def address_of(private_key: bytes) -> bytes:
    """The address (20 bytes) whose transactions a secp256k1 key (32 bytes) signs."""
    return _address(coincurve.PrivateKey(private_key).public_key.format(compressed=False))


@lru_cache(maxsize=1024)
def _address(public_key: bytes) -> bytes:
    # Yellow paper, eq. 318: the last 20 bytes of keccak-256 over the uncompressed key without its 0x04.
    return keccak(public_key[1:])[-20:]


def _recover(transaction: Transaction) -> bytes:
    """Address (20 bytes) of the key that made the signature. Raises BadSignature."""
    signature = transaction.signature
    if signature[64] > 1:
        raise BadSignature(transaction.id, f"signature ends in v = {signature[64]}, expected 0 or 1")
    if signature[32:64] > _HALF_ORDER:
        raise BadSignature(transaction.id, "signature has a high s; only the lower of the two forms is accepted")
    try:
        key = coincurve.PublicKey.from_signature_and_message(signature, signing_digest(transaction), hasher=None)
    except Exception as error:  # noqa: BLE001  (the library raises bare Exception for r or s out of range)
        raise BadSignature(transaction.id, f"no public key recovers from the signature: {error}") from None
    return _address(key.format(compressed=False))


def _kind(value: object) -> Kind:
    try:
        return Kind(value)  # type: ignore[arg-type]
    except ValueError:
        raise MalformedTransaction("kind", f"{str(value)[:40]!r} is none of {', '.join(Kind)}") from None


def transaction_link(field: str, value: object) -> bytes:
    """The transaction id (32 bytes) that a decoded link names.

    Raises:
        MalformedTransaction: it is no link, or one to something else; names the field.
    """
    binary = codec.linked(field, value)
    if len(binary) != 36 or binary[:4] != _PARENT_PREFIX:
        raise MalformedTransaction(field, "expected a link to a dag-cbor block with sha2-256")
    return binary[4:]


def _payload(value: object) -> str | None:
    if value is None:
        return None
    try:
        return blob_cid(codec.linked("payload", value))
    except MalformedIdentifier as error:
        raise MalformedTransaction("payload", str(error)) from None


_SIGNATURE_ENTRY: Final = len(b"\x69signature\x58\x41") + SIGNATURE_BYTES
_CONSORTIUM_ENTRY: Final = len(b"\x6aconsortium\x58\x20") + 32
_PARENT_PREFIX: Final = bytes((1, DAG_CBOR, 0x12, 0x20))
_KEYS: Final = frozenset(
    ("format", "kind", "consortium", "epoch", "round", "sequence", "parents", "payload", "body", "signature")
)
