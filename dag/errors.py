# ruff: noqa: N818  (an error is named after what went wrong, without a suffix: `raise MissingParent` reads as it is)
"""Every error the ledger raises.

    LedgerError
    ├── MalformedIdentifier            a CID or digest that is not one
    ├── MalformedTransaction           bytes or fields that no transaction can have
    ├── RefusedTransaction             well formed, but the rules say no
    │   ├── BadSignature
    │   ├── NotAMember
    │   ├── WrongConsortium
    │   ├── WrongRound
    │   ├── WrongEpoch
    │   ├── WrongParameters
    │   ├── WrongWeight
    │   ├── WrongReveal
    │   ├── WrongWork                  too little proof of work, or one that nobody asked for
    │   ├── WrongReference             names a transaction that its past cone does not hold
    │   ├── WrongProposal              groups, sums, openers or roots disagree
    │   ├── Unconfirmed                proposes an update that a quorum has not approved
    │   ├── MissingParent              not refusable yet: fetch the parents first
    │   └── Equivocation               two transactions that no honest member signs both of
    │       └── DuplicateUpdate        two answers to the same question (update, share, verdict, checkpoint)
    ├── UnknownTransaction
    ├── AlreadyPosted                  this node's member has answered before; nothing was signed
    ├── WaitingFull                    too many transactions wait for parents
    ├── NoParents                      no two transactions cover what a new one must refer to
    ├── MalformedNote                  bytes that are no signed checkpoint, proof file or list of witnesses
    ├── ProofFailed                    a Merkle proof that does not prove
    │   └── NotWitnessed               a checkpoint that no quorum of members signed, or a false signature under it
    ├── PeerFault                      what a peer did against the protocol between nodes
    │   ├── MalformedMessage           bytes that are no message
    │   ├── Unsolicited                an answer that nobody asked for
    │   ├── Unanswered                 a request that ran out of time
    │   ├── Barren                     an answer without anything that was asked for
    │   └── FalsePayload               a transaction whose payload is not what it says
    ├── Pruned                         a payload that was let go below an anchored checkpoint
    ├── WorkCancelled                  the caller stopped the search for a proof of work
    ├── ArchiveDamaged                 a ledger archive that does not say what was exported
    └── StoreError
        ├── StoreCorrupt               a row that does not say what was written
        ├── WrongFormat                a file of another version of this program
        └── StoreFailed                the disk refused

Messages say what was wrong, where, what was expected and, where somebody can do something about it, what.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dag.equivocation import EquivocationProof


class LedgerError(Exception):
    """Base of every error in this package."""


class MalformedIdentifier(LedgerError):
    """A text or byte string that is not the identifier it should be."""


class MalformedTransaction(LedgerError):
    """Bytes or fields that no transaction can have.

    Attributes:
        field: dotted path of the offending field, such as `body.weight_ppm`; `bytes` for the whole encoding.
        reason: what was found and what was expected.
    """

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"transaction field {field}: {reason}")
        self.field = field
        self.reason = reason


class RefusedTransaction(LedgerError):
    """A well-formed transaction that the rules refuse.

    Attributes:
        tx_id: id (32 bytes) of the refused transaction.
    """

    def __init__(self, tx_id: bytes, reason: str) -> None:
        super().__init__(f"transaction {tx_id.hex()[:16]}… refused: {reason}")
        self.tx_id = tx_id
        self.reason = reason


class BadSignature(RefusedTransaction):
    """The signature is not a canonical recoverable secp256k1 signature."""


class NotAMember(RefusedTransaction):
    """The issuer recovered from the signature is no member of the consortium."""


class WrongConsortium(RefusedTransaction):
    """The transaction belongs to another consortium, or is a foreign genesis."""


class WrongRound(RefusedTransaction):
    """The round is not one that this node knows to be open or past; it may be known later."""


class WrongEpoch(RefusedTransaction):
    """The key epoch is not the one its round runs in."""


class WrongParameters(RefusedTransaction):
    """The encryption parameter set or the layout is not the one its round uses."""


class WrongWeight(RefusedTransaction):
    """The declared weight is not what eq. 19 gives for the declared samples and slots."""


class WrongReveal(RefusedTransaction):
    """The revealed secret does not open the commitment in the issuer's update."""


class WrongWork(RefusedTransaction):
    """The proof of work is weaker than the round's terms ask of this issuer now, or the terms ask for none."""


class WrongReference(RefusedTransaction):
    """The body names a transaction that is absent from the past cone, or of the wrong kind, round or issuer."""


class WrongProposal(RefusedTransaction):
    """The proposal contradicts itself or the round's terms."""


class Unconfirmed(RefusedTransaction):
    """The proposal lists an update that fewer than a quorum of members approve inside the proposal's past cone."""


class MissingParent(RefusedTransaction):
    """Parents have not arrived yet.

    Attributes:
        ids: the missing parents' ids, to be fetched from whoever sent the child.
    """

    def __init__(self, tx_id: bytes, ids: tuple[bytes, ...]) -> None:
        names = ", ".join(f"{parent.hex()[:16]}…" for parent in ids)
        super().__init__(tx_id, f"parents not in the ledger yet: {names}; fetch them from the sender")
        self.ids = ids


class Equivocation(RefusedTransaction):
    """The issuer signed two transactions that no honest member signs both of.

    Attributes:
        proof: both transactions; convinces anyone who knows the issuer's address.
    """

    def __init__(self, tx_id: bytes, reason: str, proof: EquivocationProof) -> None:
        super().__init__(tx_id, reason)
        self.proof = proof


class DuplicateUpdate(Equivocation):
    """A second answer where a member has only one: an update of a round; a share, verdict or checkpoint of a proposal."""


class UnknownTransaction(LedgerError):
    """An id that the ledger does not hold.

    Attributes:
        tx_id: the id asked for.
    """

    def __init__(self, tx_id: bytes) -> None:
        super().__init__(f"transaction {tx_id.hex()} is not in the ledger")
        self.tx_id = tx_id


class AlreadyPosted(LedgerError):
    """The member has posted its one update of the round, or its one share, verdict or checkpoint of the proposal.

    Attributes:
        tx_id: id (32 bytes) of the transaction that it posted.
    """

    def __init__(self, tx_id: bytes, what: str) -> None:
        super().__init__(f"the {what} was posted before, as {tx_id.hex()}; use that one")
        self.tx_id = tx_id


class WaitingFull(LedgerError):
    """The bounded table of transactions that wait for parents is full, for this issuer or altogether."""


class NoParents(LedgerError):
    """No two acceptable parents have everything in their past cones that the new transaction refers to."""


class MalformedNote(LedgerError):
    """Bytes that are no signed checkpoint, proof file or list of witnesses.

    Attributes:
        field: the line or key that is wrong, such as `size` or `members[2].account`.
        reason: what was found and what was expected.
    """

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"{field}: {reason}")
        self.field = field
        self.reason = reason


class ProofFailed(LedgerError):
    """A Merkle inclusion or consistency proof that does not lead to the given root."""


class NotWitnessed(ProofFailed):
    """A checkpoint that fewer than a quorum of members signed, or under which a known key's signature is false."""


class PeerFault(LedgerError):
    """What a peer did against the protocol between nodes; it costs the peer some of its standing."""


class MalformedMessage(PeerFault):
    """Bytes from a peer that are no message.

    Attributes:
        field: dotted path of the offending field, such as `ids[3]`; `bytes` for the whole message.
        reason: what was found and what was expected.
    """

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"message field {field}: {reason}")
        self.field = field
        self.reason = reason


class Unsolicited(PeerFault):
    """An answer to a question that was not asked, or was asked of somebody else."""


class Unanswered(PeerFault):
    """A question that a peer left without an answer until its time ran out."""


class Barren(PeerFault):
    """An answer that brings nothing of what was asked for and does not say that it is not there."""


class Pruned(LedgerError):
    """A payload that this node let go, because a checkpoint above it is anchored.

    Attributes:
        cid: the payload's CID.
        round: the round it belonged to.
    """

    def __init__(self, cid: str, round_: int) -> None:
        super().__init__(
            f"payload {cid} of round {round_} was pruned here; ask a member that keeps more rounds, the transaction "
            "itself and its proofs are still held"
        )
        self.cid = cid
        self.round = round_


class WorkCancelled(LedgerError):
    """The search for a proof of work was stopped by the caller; nothing was signed."""


class ArchiveDamaged(LedgerError):
    """A ledger archive with a byte that is not what was exported, or that ends early.

    Attributes:
        block: number of the block that is damaged, counting from 0; -1 where the header or trailer is.
        offset: byte of the file at which that block begins.
    """

    def __init__(self, block: int, offset: int, reason: str) -> None:
        where = f"block {block}" if block >= 0 else "header or trailer"
        super().__init__(f"archive, {where} at byte {offset}: {reason}; export it again, or import another copy")
        self.block = block
        self.offset = offset


class FalsePayload(PeerFault):
    """A transaction whose payload is not what it says; an honest peer would have checked it."""


class StoreError(LedgerError):
    """The ledger's file could not be read or written."""


class StoreCorrupt(StoreError):
    """A stored row no longer holds what was written.

    Attributes:
        row: arrival number of the row, or -1 where the damage is not inside one row.
    """

    def __init__(self, path: str, row: int, reason: str) -> None:
        where = f"row {row}" if row >= 0 else "file"
        super().__init__(
            f"ledger {path}, {where}: {reason}; move the file away and start again, peers send the ledger anew"
        )
        self.row = row


class WrongFormat(StoreError):
    """The file was written by another version of this program.

    Attributes:
        found: format number in the file.
        expected: the one that this version writes.
    """

    def __init__(self, path: str, found: int, expected: int) -> None:
        advice = "use the version that wrote it, or a newer one" if found > expected else "start the node on it once"
        super().__init__(f"ledger {path} has format {found}, this version uses {expected}: {advice}")
        self.found = found
        self.expected = expected


class StoreFailed(StoreError):
    """The disk refused a write (full, read-only, gone). Nothing was half-written; try again once it is mended."""
