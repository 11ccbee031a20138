"""Proof files: one transaction, or one log's growth, provable years later with a list of members and nothing else.

A *transaction proof* holds the transaction, its path to the round's root, the round's checkpoint, and, where a witnessed
head of the log was at hand, the round's path to the log and that head:

    medweave/proof@v1
    transaction <base64 of the transaction's canonical bytes>
    index <position among the round's ids>
    <base64 of a digest>                    one line a step, from the leaf upwards
    …
                                            one empty line
    <the round's checkpoint: text, empty line, signatures>
                                            one empty line, then, in a proof with the log:
    index <position among the log's rounds>
    <base64 of a digest>
    …

    <the log's checkpoint: text, empty line, signatures>

A *consistency proof* shows that one witnessed head of the log is a prefix of another:

    medweave/consistency@v1
    <base64 of a digest>                    in the order of RFC 6962, section 2.1.2
    …

    <the older checkpoint>

    <the newer checkpoint>

The layout follows C2SP `tlog-proof`. Nothing in a file is believed but what the members' keys sign.
Source: https://c2sp.org/tlog-proof
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from dag.errors import MalformedNote, ProofFailed
from dag.ids import ID_BYTES
from dag.proofs.checkpoint import (
    RoundRecord,
    log_witnesses,
    parse_log_head,
    round_witnesses,
    verify_quorum,
)
from dag.proofs.merkle import ConsistencyProof, Proof, verify_consistency, verify_inclusion
from dag.proofs.notes import Note, decode_text, parse_base64, parse_decimal
from dag.transaction import Transaction

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dag.proofs.witnesses import Witnesses

MAX_FILE_BYTES: Final = 4 << 20
PROOF_HEADER: Final = "medweave/proof@v1"
CONSISTENCY_HEADER: Final = "medweave/consistency@v1"
_MAX_PATH: Final = 128


@dataclass(frozen=True)
class LogPart:
    """Where a round stands in a witnessed log.

    Attributes:
        index: position of the round among the finalised rounds, from 0.
        path: sibling digests (32 bytes each) from the round's leaf upwards.
        note: the log's checkpoint with cosignatures.
    """

    index: int
    path: tuple[bytes, ...]
    note: Note


@dataclass(frozen=True)
class TransactionProof:
    """That a transaction is part of a finalised round.

    Attributes:
        raw: the transaction's canonical bytes.
        index: its position among the round's ids.
        path: sibling digests (32 bytes each) from the transaction's leaf upwards.
        note: the round's checkpoint, signed by members' checkpoint transactions.
        log: the round's place in the log, if the proof reaches that far.
    """

    raw: bytes
    index: int
    path: tuple[bytes, ...]
    note: Note
    log: LogPart | None = None

    @property
    def transaction(self) -> Transaction:
        """The transaction. Raises MalformedTransaction."""
        return Transaction.decode(self.raw)

    @property
    def record(self) -> RoundRecord:
        """What the round's checkpoint says. Raises MalformedNote."""
        return RoundRecord.parse(self.note.text)

    def render(self) -> bytes:
        """The file."""
        head = f"{PROOF_HEADER}\ntransaction {base64.b64encode(self.raw).decode()}\n"
        parts = [head + _path(self.index, self.path), self.note.render()]
        if self.log is not None:
            parts += [_path(self.log.index, self.log.path), self.log.note.render()]
        return "\n".join(parts).encode()

    @classmethod
    def parse(cls, raw: bytes) -> TransactionProof:
        """The proof in a file from anybody. Nothing is verified.

        Raises:
            MalformedNote: names the line that is wrong.
        """
        sections = _sections(raw, (3, 6))
        lines = sections[0].split("\n")
        if len(lines) < 3 or lines[0] != PROOF_HEADER or not lines[1].startswith("transaction "):
            raise MalformedNote("proof", f"expected the lines {PROOF_HEADER}, transaction, index")
        index, path = _parse_path("index", lines[2:])
        log = None
        if len(sections) == 6:
            where, steps = _parse_path("log index", sections[3].split("\n"))
            log = LogPart(where, steps, _note(sections[4:6]))
        transaction = parse_base64("transaction", lines[1].removeprefix("transaction "))
        return cls(transaction, index, path, _note(sections[1:3]), log)

    def verify(self, witnesses: Witnesses) -> None:
        """Demands that a quorum of these members finalised a round that holds the transaction.

        Raises:
            BadSignature: nobody signed the transaction.
            MalformedNote: a checkpoint's text is none.
            MalformedTransaction: the transaction is none.
            NotWitnessed: a checkpoint has no quorum, or a false signature.
            ProofFailed: a path does not lead to its root, or the parts speak of different things.
        """
        transaction, record = self.transaction, self.record
        if record.consortium != witnesses.consortium or transaction.consortium != witnesses.consortium:
            raise ProofFailed(f"the proof is not of consortium {witnesses.consortium.hex()}, whose members are given")
        if transaction.issuer not in witnesses.by_address:
            raise ProofFailed(f"issuer 0x{transaction.issuer.hex()} of the transaction is not among the members given")
        if transaction.round != record.round:
            raise ProofFailed(f"a transaction of round {transaction.round} under a checkpoint of round {record.round}")
        verify_inclusion(record.root, transaction.id, Proof(self.index, record.size, self.path))
        verify_quorum(record.head.origin, round_witnesses(self.note, witnesses), witnesses)
        if self.log is not None:
            head = parse_log_head(self.log.note.text, witnesses.consortium)
            verify_inclusion(head.root, record.leaf, Proof(self.log.index, head.size, self.log.path))
            verify_quorum(head.origin, log_witnesses(self.log.note, witnesses), witnesses)


@dataclass(frozen=True)
class LogGrowth:
    """That one witnessed head of the log is a prefix of another.

    Attributes:
        old: the older checkpoint.
        new: the newer checkpoint.
        path: digests (32 bytes each) in the order of RFC 6962, section 2.1.2.
    """

    old: Note
    new: Note
    path: tuple[bytes, ...]

    def render(self) -> bytes:
        """The file."""
        head = CONSISTENCY_HEADER + "\n" + "".join(f"{line}\n" for line in _encoded(self.path))
        return f"{head}\n{self.old.render()}\n{self.new.render()}".encode()

    @classmethod
    def parse(cls, raw: bytes) -> LogGrowth:
        """The proof in a file from anybody. Nothing is verified.

        Raises:
            MalformedNote: names the line that is wrong.
        """
        sections = _sections(raw, (5,))
        header, *steps = sections[0].split("\n")
        if header != CONSISTENCY_HEADER:
            raise MalformedNote("proof", f"expected the line {CONSISTENCY_HEADER}")
        return cls(_note(sections[1:3]), _note(sections[3:5]), _parse_digests("path", steps))

    def verify(self, witnesses: Witnesses) -> None:
        """Demands that a quorum of these members signed both heads and that the older is a prefix of the newer.

        Raises:
            MalformedNote: a checkpoint's text is none of this consortium's log.
            NotWitnessed: a checkpoint has no quorum, or a false signature.
            ProofFailed: the older log is no prefix of the newer.
        """
        old, new = (parse_log_head(note.text, witnesses.consortium) for note in (self.old, self.new))
        verify_consistency(old.root, new.root, ConsistencyProof(old.size, new.size, self.path))
        for note, head in ((self.old, old), (self.new, new)):
            verify_quorum(f"{head.origin} at size {head.size}", log_witnesses(note, witnesses), witnesses)


def _encoded(path: Sequence[bytes]) -> list[str]:
    return [base64.b64encode(digest).decode() for digest in path]


def _path(index: int, path: Sequence[bytes]) -> str:
    return "".join(f"{line}\n" for line in (f"index {index}", *_encoded(path)))


def _parse_path(field: str, lines: list[str]) -> tuple[int, tuple[bytes, ...]]:
    if not lines[0].startswith("index "):
        raise MalformedNote(field, "expected the line `index` and a number")
    return parse_decimal(field, lines[0].removeprefix("index ")), _parse_digests(field, lines[1:])


def _parse_digests(field: str, lines: list[str]) -> tuple[bytes, ...]:
    if len(lines) > _MAX_PATH:
        raise MalformedNote(field, f"a path of {len(lines)} digests, at most {_MAX_PATH} are accepted")
    digests = tuple(parse_base64(f"{field}, step {number}", line) for number, line in enumerate(lines))
    if any(len(digest) != ID_BYTES for digest in digests):
        raise MalformedNote(field, f"each step has {ID_BYTES} bytes")
    return digests


def _sections(raw: bytes, counts: tuple[int, ...]) -> list[str]:
    text = decode_text("proof", raw, MAX_FILE_BYTES)
    sections = text.removesuffix("\n").split("\n\n")
    if not text.endswith("\n") or len(sections) not in counts:
        expected = " or ".join(map(str, counts))
        raise MalformedNote("proof", f"{len(sections)} parts, expected {expected}, the last with a newline at its end")
    return sections


def _note(sections: list[str]) -> Note:
    text, signatures = sections
    return Note.parse(f"{text}\n\n{signatures}\n".encode())
