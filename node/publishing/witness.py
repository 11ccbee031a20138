"""This hospital as a witness of the log of finalised rounds: what it signs contains whatever it signed before.

The head is on disk before anybody sees it. Other members' lines under the same head are kept beside the own one, so that any
node can hand out a head that a quorum signed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dag.proofs.checkpoint import cosign, key_name, log_head, log_witnesses
from dag.proofs.notes import Note
from node.home import write_private

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from dag.proofs.roundlog import RoundLog


class Cosigner:
    """Signs heads of the log with one member's key.

    Args:
        path: File of the head that was signed last; need not exist yet.
        private_key: The member's secp256k1 key, 32 bytes.
    """

    def __init__(self, path: Path, private_key: bytes) -> None:
        self._path = path
        self._key = private_key

    def last(self) -> Note | None:
        """The head that was signed last, with whatever others signed under it.

        Raises:
            MalformedNote: The file holds something else.
        """
        try:
            return Note.parse(self._path.read_bytes())
        except FileNotFoundError:
            return None

    def sign(self, log: RoundLog, size: int, seconds: int, others: Iterable[Note] = ()) -> Note:
        """The log's head at a size with this member's line and the others'; durable, unless a larger one was signed before.

        Args:
            log: The log, derived from this hospital's own ledger and the chain.
            size: Rounds under the head, 1 … the log's.
            seconds: Unix time.
            others: Heads whose lines are taken over where their text is the same.

        Raises:
            MalformedNote: The file of the last head holds something else.
            NotWitnessed: A line under a member's key is false.
            ProofFailed: The log does not contain the head that was signed last: a split view, nothing is signed.
        """
        before = self.last()
        held = 0
        if before is not None:
            held = log.verified_size(before)
            log_witnesses(before, log.witnesses)
        head = log_head(log.witnesses.consortium, [one.record for one in log.rounds[:size]])
        own = cosign(head, self._key, seconds)
        notes = (*([before] if before is not None else []), *others)
        signed = with_lines(Note(head.render(), (own,)), log, notes)
        if held <= size:
            write_private(self._path, signed.render().encode())
        return signed

    def add(self, log: RoundLog, others: Iterable[Note]) -> Note | None:
        """The last head with the lines that others have under the same text, durable; None where nothing was signed yet.

        Raises:
            MalformedNote: The file of the last head holds something else.
            NotWitnessed: A line under a member's key is false.
        """
        before = self.last()
        if before is None:
            return None
        grown = with_lines(before, log, others)
        if grown != before:
            write_private(self._path, grown.render().encode())
        return grown


def with_lines(note: Note, log: RoundLog, others: Iterable[Note]) -> Note:
    """A note with the members' lines of others under the same text; its own stay, in the order of their names.

    Raises:
        NotWitnessed: A line under a member's key is false.
    """
    known = {key_name(address) for address in log.witnesses.by_address}
    lines = {line.name: line for line in note.signatures}
    for other in others:
        if other.text == note.text:
            log_witnesses(other, log.witnesses)
            lines = {line.name: line for line in other.signatures if line.name in known} | lines
    return Note(note.text, tuple(lines[name] for name in sorted(lines)))
