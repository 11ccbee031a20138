"""Checkpoints that outsiders can keep: what a round held and how rounds follow each other, with hospitals as witnesses.

Two trees, both of RFC 6962 (`dag.proofs.merkle`), each with a checkpoint in the form of `dag.proofs.notes`:

| tree | leaves | origin of its checkpoint | who signs |
|---|---|---|---|
| round | ids of the round's transactions in the accepted proposal's past cone | `medweave/<consortium>/round/<R>` | nobody anew: the members' checkpoint transactions are the signatures |
| log | one a finalised round, in order: what the round's checkpoint says | `medweave/<consortium>/log` | members as witnesses, when asked (`cosign`) |

A round's checkpoint has three extension lines: proposal, model and statement, which each member's checkpoint transaction
repeats and signs. So the ledger's own traffic witnesses every round, and no further message is needed. A log's head covers
all rounds at once; its cosignature says that the witness saw this log at that time and that it contains every log it
signed before.

Signature types, both under 0xff as C2SP has no byte for them; the key is the member's address (20 bytes), the key's name
`medweave/0x<address>`:

| type | signature bytes |
|---|---|
| `medweave/checkpoint-transaction/1` | the canonical bytes of a checkpoint transaction (`dag.transaction`) |
| `medweave/cosignature/1` | Unix seconds (8 bytes, big-endian) ‖ r ‖ s ‖ v, ECDSA on secp256k1 over sha2-256 of `medweave/cosignature/1`, newline, `time <seconds>`, newline, text |

Source: https://c2sp.org/tlog-checkpoint, https://c2sp.org/tlog-cosignature
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import coincurve
from eth_utils.crypto import keccak

from dag.bodies import SIGNATURE_BYTES, CheckpointBody
from dag.errors import LedgerError, MalformedNote, NotWitnessed
from dag.fields import U53
from dag.ids import ID_BYTES, sha256
from dag.proofs.merkle import root
from dag.proofs.notes import UNREGISTERED_TYPE, Note, SignatureLine, TreeHead, key_id, parse_decimal
from dag.transaction import Transaction, address_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from dag.proofs.witnesses import Witness, Witnesses

TRANSACTION_TYPE: Final = UNREGISTERED_TYPE + b"medweave/checkpoint-transaction/1"
COSIGNATURE_TYPE: Final = UNREGISTERED_TYPE + b"medweave/cosignature/1"
COSIGNATURE_HEADER: Final = b"medweave/cosignature/1\n"
LEAF_DOMAIN: Final = b"medweave/log-entry/1\x00"

_TIME_BYTES: Final = 8
_HALF_ORDER: Final = 0x7FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF5D576E7357A4501DDFE92F46681B20A0  # secp256k1's n // 2
_EXTENSIONS: Final = ("proposal", "model", "statement")


@dataclass(frozen=True)
class RoundRecord:
    """What a round's checkpoint says.

    Attributes:
        consortium: id (32 bytes) of the consortium.
        round: the round, ≥ 1.
        size: transactions under `root`, ≥ 1. Checkpoint transactions do not sign it; the log's entry commits to it.
        root: Merkle root (32 bytes) over the ascending ids of the round's transactions in the proposal's past cone.
        proposal: id (32 bytes) of the proposal the outcome follows from.
        model: hash (32 bytes) of the model the round made.
        statement: sha2-256 of the round's statement.
    """

    consortium: bytes
    round: int
    size: int
    root: bytes
    proposal: bytes
    model: bytes
    statement: bytes

    @property
    def head(self) -> TreeHead:
        """The record as a checkpoint's text."""
        said = tuple(f"{name} {getattr(self, name).hex()}" for name in _EXTENSIONS)
        return TreeHead(f"medweave/{self.consortium.hex()}/round/{self.round}", self.size, self.root, said)

    @property
    def leaf(self) -> bytes:
        """The log's leaf (32 bytes): sha2-256 of `medweave/log-entry/1`, a zero byte and the text."""
        return sha256(LEAF_DOMAIN + self.head.render().encode())

    @classmethod
    def parse(cls, text: str) -> RoundRecord:
        """The record in a round note's text.

        Raises:
            MalformedNote: names the line that is wrong.
        """
        head = TreeHead.parse(text)
        place = head.origin.split("/")
        if len(place) != 4 or place[0] != "medweave" or place[2] != "round":
            raise MalformedNote(
                "origin", f"{head.origin[:120]!r} is no round; expected medweave/<consortium>/round/<R>"
            )
        number = parse_decimal("origin", place[3])
        if number < 1 or head.size < 1:
            raise MalformedNote("size" if number else "origin", "rounds count from 1 and hold a transaction at least")
        if len(head.extensions) != len(_EXTENSIONS):
            raise MalformedNote("text", f"expected the lines {', '.join(_EXTENSIONS)} after the root")
        said = [_named(name, line) for name, line in zip(_EXTENSIONS, head.extensions, strict=True)]
        return cls(parse_digest("origin", place[1]), number, head.size, head.root, *said)

    def agrees(self, transaction: Transaction) -> bool:
        """Whether a transaction is a checkpoint that signs just this, `size` aside."""
        body = transaction.body
        return (
            isinstance(body, CheckpointBody)
            and (transaction.consortium, transaction.round) == (self.consortium, self.round)
            and (body.root, body.proposal) == (self.root, self.proposal)
            and (body.model, body.statement) == (self.model, self.statement)
        )


def round_note(record: RoundRecord, checkpoints: Sequence[Transaction]) -> Note:
    """A round's checkpoint with members' checkpoint transactions as its signatures.

    Raises:
        NotWitnessed: one of them signs something else.
    """
    lines = []
    for transaction in sorted(checkpoints, key=lambda said: said.issuer):
        if not record.agrees(transaction):
            raise NotWitnessed(
                f"transaction {transaction.id.hex()} is no checkpoint of {record.head.origin} as recorded"
            )
        name = key_name(transaction.issuer)
        lines.append(SignatureLine(name, key_id(name, TRANSACTION_TYPE, transaction.issuer), transaction.raw))
    return Note(record.head.render(), tuple(lines))


def log_head(consortium: bytes, records: Sequence[RoundRecord]) -> TreeHead:
    """The head of the log that holds these rounds; in ascending order of their numbers, gaps where rounds were aborted."""
    return TreeHead(f"medweave/{consortium.hex()}/log", len(records), root([record.leaf for record in records]))


def parse_log_head(text: str, consortium: bytes) -> TreeHead:
    """The head in a log note's text.

    Raises:
        MalformedNote: no checkpoint of this consortium's log; one with extension lines is none.
    """
    head = TreeHead.parse(text)
    expected = f"medweave/{consortium.hex()}/log"
    if head.origin != expected:
        raise MalformedNote("origin", f"{head.origin[:120]!r}, expected {expected}")
    if head.extensions:
        raise MalformedNote("text", "a log's checkpoint has three lines")
    return head


def cosign(head: TreeHead, private_key: bytes, seconds: int) -> SignatureLine:
    """A witness's signature under a log's head. The caller has checked that the log contains the last one it signed.

    Args:
        head: the log's head.
        private_key: the member's secp256k1 key (32 bytes).
        seconds: Unix time, 0 … 2^53 - 1.
    """
    address = address_of(private_key)
    signature = coincurve.PrivateKey(private_key).sign_recoverable(_digest(head.render(), seconds), hasher=None)
    name = key_name(address)
    payload = seconds.to_bytes(_TIME_BYTES, "big") + signature
    return SignatureLine(name, key_id(name, COSIGNATURE_TYPE, address), payload)


def round_witnesses(note: Note, witnesses: Witnesses) -> tuple[Witness, ...]:
    """The members whose checkpoint transactions are under a round's note, in index order.

    Raises:
        MalformedNote: the text is no round's checkpoint.
        NotWitnessed: a line under a member's key is false.
    """
    record = RoundRecord.parse(note.text)

    def check(witness: Witness, signature: bytes) -> None:
        try:
            transaction = Transaction.decode(signature)
            true = record.agrees(transaction) and transaction.issuer == witness.address
        except LedgerError as error:
            raise NotWitnessed(f"{record.head.origin}: under the name of {witness.name}: {error}") from None
        if not true:
            raise NotWitnessed(f"{record.head.origin}: the transaction under {witness.name} signs something else")

    return _signers(note, witnesses, TRANSACTION_TYPE, check)


def log_witnesses(note: Note, witnesses: Witnesses) -> tuple[Witness, ...]:
    """The members that cosigned a log's head, in index order.

    Raises:
        NotWitnessed: a line under a member's key is false.
    """

    def check(witness: Witness, signature: bytes) -> None:
        if len(signature) != _TIME_BYTES + SIGNATURE_BYTES or recover_cosigner(note.text, signature) != witness.address:
            raise NotWitnessed(f"the cosignature under the name of {witness.name} is false")

    return _signers(note, witnesses, COSIGNATURE_TYPE, check)


def verify_quorum(what: str, signed: Sequence[Witness], witnesses: Witnesses) -> None:
    """Demands that a quorum of the members signed.

    Args:
        what: names the checkpoint, for the error.
        signed: what `round_witnesses` or `log_witnesses` found.
        witnesses: all members.

    Raises:
        NotWitnessed: fewer did.
    """
    if len(signed) < witnesses.quorum:
        names = ", ".join(witness.name for witness in signed) or "nobody"
        raise NotWitnessed(
            f"{what} is signed by {len(signed)} of {len(witnesses.members)} members ({names}), {witnesses.quorum} are needed"
        )


def recover_cosigner(text: str, signature: bytes) -> bytes | None:
    """Address (20 bytes) that made a cosignature (73 bytes) under a text; None if nobody did."""
    seconds, made = int.from_bytes(signature[:_TIME_BYTES], "big"), signature[_TIME_BYTES:]
    if seconds > U53 or made[64] > 1 or int.from_bytes(made[32:64], "big") > _HALF_ORDER:
        return None
    try:
        key = coincurve.PublicKey.from_signature_and_message(made, _digest(text, seconds), hasher=None)
    except Exception:  # noqa: BLE001  (the library raises bare Exception for r or s out of range)
        return None
    # Yellow paper, eq. 318: the last 20 bytes of keccak-256 over the uncompressed key without its 0x04.
    return keccak(key.format(compressed=False)[1:])[-20:]


def key_name(address: bytes) -> str:
    """The key's name in signature lines."""
    return f"medweave/0x{address.hex()}"


def parse_digest(field: str, text: str) -> bytes:
    """32 bytes from 64 lower-case hex digits.

    Raises:
        MalformedNote: it is something else.
    """
    try:
        digest = bytes.fromhex(text)
    except ValueError:
        digest = b""
    if len(digest) != ID_BYTES or digest.hex() != text:
        raise MalformedNote(field, f"{text[:80]!r} is not {2 * ID_BYTES} lower-case hex digits")
    return digest


def _signers(
    note: Note, witnesses: Witnesses, signature_type: bytes, check: Callable[[Witness, bytes], None]
) -> tuple[Witness, ...]:
    keys = {}
    for witness in witnesses.members:
        name = key_name(witness.address)
        keys[name, key_id(name, signature_type, witness.address)] = witness
    found: dict[int, Witness] = {}
    for line in note.signatures:
        signer = keys.get((line.name, line.key_id))
        if signer is not None:
            check(signer, line.signature)
            found[signer.index] = signer
    return tuple(found[index] for index in sorted(found))


def _digest(text: str, seconds: int) -> bytes:
    return sha256(COSIGNATURE_HEADER + f"time {seconds}\n{text}".encode())


def _named(name: str, line: str) -> bytes:
    label, _, value = line.partition(" ")
    if label != name:
        raise MalformedNote("text", f"{line[:80]!r}, expected `{name}` and its digest")
    return parse_digest(name, value)
