"""The log of finalised rounds, read out of a ledger, and the proofs that it gives.

A round is finalised where a quorum of members posted checkpoint transactions that agree in everything: that is also what
the chain demands before it records a model. Rounds without one are not in the log. A round that had its quorum but missed
its deadline on chain looks finalised here; whoever knows the chain passes `anchored`, and a witness always does.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from dag.bodies import CheckpointBody, Kind
from dag.errors import NotWitnessed, ProofFailed
from dag.proofs.checkpoint import RoundRecord, log_head, parse_log_head, round_note
from dag.proofs.merkle import consistency_proof, inclusion_proof, root
from dag.proofs.proof import LogGrowth, LogPart, TransactionProof

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from dag.proofs.notes import Note, TreeHead
    from dag.proofs.witnesses import Witnesses
    from dag.tangle import Tangle
    from dag.transaction import Transaction


@dataclass(frozen=True)
class FinalisedRound:
    """One round of the log.

    Attributes:
        record: what its checkpoint says.
        ids: ascending ids of the transactions under its root.
        checkpoints: the members' checkpoint transactions that agree on it, a quorum at least.
    """

    record: RoundRecord
    ids: tuple[bytes, ...]
    checkpoints: tuple[Transaction, ...]

    @property
    def note(self) -> Note:
        """The round's checkpoint."""
        return round_note(self.record, self.checkpoints)


@dataclass(frozen=True)
class RoundLog:
    """The finalised rounds of one consortium, ascending.

    Attributes:
        witnesses: its members.
        rounds: the rounds.
    """

    witnesses: Witnesses
    rounds: tuple[FinalisedRound, ...]

    @classmethod
    def read(
        cls,
        tangle: Tangle,
        transactions: Iterable[Transaction],
        witnesses: Witnesses,
        anchored: Mapping[int, bytes] | None = None,
    ) -> RoundLog:
        """The log that a ledger holds.

        Args:
            tangle: the ledger's graph.
            transactions: its checkpoint transactions; others are skipped.
            witnesses: the members.
            anchored: round to id of the accepted proposal, as the chain says; None to go by quorums alone.

        Raises:
            NotWitnessed: a finalised round lacks its quorum here, or two outcomes of one round have one.
            ProofFailed: a quorum signed a root that is not the round's.
        """
        found: dict[int, list[FinalisedRound]] = {}
        for said in _agreeing(transactions, witnesses):
            body = said[0].body
            if not isinstance(body, CheckpointBody) or len(said) < witnesses.quorum:
                continue
            if anchored is None or anchored.get(said[0].round) == body.proposal:
                found.setdefault(said[0].round, []).append(_finalised(tangle, said, body))
        for number, outcomes in found.items():
            if len(outcomes) > 1:
                raise NotWitnessed(
                    f"round {number} has {len(outcomes)} outcomes with a quorum each; no honest members do"
                )
        if missing := sorted(set(anchored or ()) - set(found)):
            raise NotWitnessed(
                f"round {missing[0]} is final on chain, but {witnesses.quorum} checkpoints of it are not here yet"
            )
        return cls(witnesses, tuple(found[number][0] for number in sorted(found)))

    @property
    def head(self) -> TreeHead:
        """The log's head."""
        return log_head(self.witnesses.consortium, [one.record for one in self.rounds])

    def prove(self, transaction: Transaction, checkpoint: Note | None = None) -> TransactionProof:
        """The proof that a finalised round holds a transaction, with just a quorum of checkpoint transactions.

        Args:
            transaction: the transaction.
            checkpoint: a head of the log to reach as well, at the size it was signed at.

        Raises:
            ProofFailed: no finalised round holds it, or the head is not this log's.
        """
        place = next((at for at, one in enumerate(self.rounds) if transaction.id in one.ids), None)
        if place is None:
            raise ProofFailed(
                f"no finalised round's root covers {transaction.kind} {transaction.id.hex()} of round {transaction.round}; "
                "covered is what lies in an accepted proposal's past cone: updates, acknowledgements, the proposal"
            )
        one = self.rounds[place]
        step = inclusion_proof(one.ids, one.ids.index(transaction.id))
        enough = round_note(one.record, one.checkpoints[: self.witnesses.quorum])
        return TransactionProof(transaction.raw, step.index, step.path, enough, self._part(place, checkpoint))

    def grown(self, old: Note, new: Note) -> LogGrowth:
        """The proof that one head of this log is a prefix of another.

        Raises:
            ProofFailed: one of them is not this log's.
        """
        sizes = [self.verified_size(note) for note in (old, new)]
        if not 1 <= sizes[0] <= sizes[1]:
            raise ProofFailed(f"the older log has {sizes[0]} rounds, the newer {sizes[1]}")
        leaves = [one.record.leaf for one in self.rounds[: sizes[1]]]
        return LogGrowth(old, new, consistency_proof(leaves, sizes[0]).path)

    def verified_size(self, checkpoint: Note) -> int:
        """The size of a log's head, once it is known to be a prefix of this log.

        Raises:
            MalformedNote: no head of this consortium's log.
            ProofFailed: another log, or one with more rounds.
        """
        head = parse_log_head(checkpoint.text, self.witnesses.consortium)
        ours = root([one.record.leaf for one in self.rounds[: head.size]])
        if head.size > len(self.rounds) or head.root != ours:
            raise ProofFailed(
                f"the checkpoint of {head.size} rounds with root {head.root.hex()} is no prefix of this ledger's log of "
                f"{len(self.rounds)} rounds"
            )
        return head.size

    def _part(self, place: int, checkpoint: Note | None) -> LogPart | None:
        if checkpoint is None:
            return None
        size = self.verified_size(checkpoint)
        if place >= size:
            raise ProofFailed(
                f"the checkpoint covers {size} rounds; the transaction's is number {place + 1}. Ask for a newer checkpoint"
            )
        step = inclusion_proof([one.record.leaf for one in self.rounds[:size]], place)
        return LogPart(step.index, step.path, checkpoint)


def _agreeing(transactions: Iterable[Transaction], witnesses: Witnesses) -> Iterable[Sequence[Transaction]]:
    """Members' checkpoints that say the same, one a member, in lists."""
    groups: dict[tuple[object, ...], dict[bytes, Transaction]] = {}
    for said in transactions:
        body = said.body
        if said.kind is Kind.CHECKPOINT and isinstance(body, CheckpointBody) and said.issuer in witnesses.by_address:
            key = (said.round, body.proposal, body.root, body.model, body.statement)
            groups.setdefault(key, {}).setdefault(said.issuer, said)
    return [tuple(group.values()) for group in groups.values()]


def _finalised(tangle: Tangle, said: Sequence[Transaction], body: CheckpointBody) -> FinalisedRound:
    ids = tangle.round_cone(body.proposal)
    if root(ids) != body.root:
        raise ProofFailed(f"a quorum signed root {body.root.hex()} for round {said[0].round}, this ledger's is another")
    first = said[0]
    record = RoundRecord(first.consortium, first.round, len(ids), body.root, body.proposal, body.model, body.statement)
    return FinalisedRound(record, ids, tuple(sorted(said, key=lambda one: one.issuer)))
