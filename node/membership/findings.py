"""What a node has seen in rounds that ended and no chain sees, as findings that every member words alike.

A finding is about one member, and its evidence is the id of one ledger transaction, so all who saw the same sign the same
32 bytes. Whoever saw less signs less: a finding needs a quorum.

| fault | seen | evidence |
|---|---|---|
| BadUpdate | its unlocked ciphertexts are none | the update |
| Unrevealed | a quorum closed over its update, the round ended, no reveal came | the update |
| WrongProposal | its list is right, its groups, sums or openers are not | the proposal |
| WithheldShare | asked to open a proposal that was verified, and it was another that was opened | the proposal |
| SilentLeader | the round was led by a later one, and it put nothing on record | the proposal that was accepted |
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from chain.conduct import Fault
from chain.votes import Finding
from node.rounds.suspicion import WINDOW

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from node.consortium.records import RoundView
    from node.consortium.view import ConsortiumView
    from node.publishing.publisher import Publisher
    from node.rounds.runner import RoundRunner
    from node.rounds.state import RoundState


@dataclass(frozen=True)
class Seen:
    """What this node's own part in the rounds has shown it.

    Attributes:
        findings: Of rounds that ended.
        refused: Proposals that it found false.
        unsound: Updates whose unlocked ciphertexts are none: a leader is right to leave them out.
        left_out: In how many of the last `WINDOW` rounds suspicion kept each member's update out of the sums.
    """

    findings: tuple[Finding, ...] = ()
    refused: frozenset[bytes] = frozenset()
    unsound: frozenset[bytes] = frozenset()
    left_out: Mapping[int, int] = field(default_factory=dict)


def seen_in(runners: Mapping[int, RoundRunner], view: ConsortiumView, publisher: Publisher) -> Seen:
    """What the rounds that this node still holds in memory have shown it."""
    states = [runner.state for runner in list(runners.values())]
    known = [(state, view.rounds[state.facts.round]) for state in states if state.facts.round in view.rounds]
    return Seen(
        tuple(finding for state, row in known for finding in findings_of(state, row, publisher)),
        frozenset(proposal for state, _ in known for proposal in state.refused if proposal in state.proposals),
        frozenset(update for state, _ in known for update, problem in state.unlocked.items() if problem),
        _left_out(runners),
    )


def _left_out(runners: Mapping[int, RoundRunner]) -> Mapping[int, int]:
    """As this node derived it when it judged each round's proposal."""
    if not runners:
        return {}
    newest = max(runners)
    journal = runners[newest].ports.journal
    noted = (journal.recall(number, "suspected") for number in range(max(1, newest - WINDOW + 1), newest + 1))
    return Counter(seat for row in noted if row is not None for seat in row["left_out"])


def findings_of(state: RoundState, row: RoundView, publisher: Publisher) -> Iterator[Finding]:
    """What one ended round has shown this node.

    Args:
        state: What it knows of the round.
        row: What the chain says of it.
        publisher: Its ledger.
    """
    if row.open or state.ending is None:
        return
    for member, fault, evidence in (
        *_bad_updates(state),
        *_unrevealed(state, publisher),
        *_wrong_proposals(state, publisher),
        *_withheld(state, row),
        *_silent(state, row),
    ):
        yield Finding(round=row.round, fault=fault, members=1 << member, evidence=evidence)


def _bad_updates(state: RoundState) -> Iterator[tuple[int, Fault, bytes]]:
    for update in state.updates:
        if state.unlocked.get(update.id):
            yield update.issuer, Fault.BAD_UPDATE, update.id


def _unrevealed(state: RoundState, publisher: Publisher) -> Iterator[tuple[int, Fault, bytes]]:
    revealed = {member for _, member, _ in state.reveals}
    if len(state.closers) < state.members.quorum:
        return  # nobody has to reveal before
    for update in state.updates:
        if update.issuer not in revealed and publisher.closers(update.id) >= state.members.quorum:
            yield update.issuer, Fault.UNREVEALED, update.id


def _wrong_proposals(state: RoundState, publisher: Publisher) -> Iterator[tuple[int, Fault, bytes]]:
    """Refused proposals whose list is the one their past shows: then groups, sums or openers are wrong."""
    on_record = {anchor.proposal for anchor in state.anchors}
    bad = {update for update, problem in state.unlocked.items() if problem}
    for proposal in state.proposals.values():
        if proposal.id in state.refused and proposal.id in on_record:
            listable = set(publisher.listable_by(proposal.id).updates) - bad
            if set(proposal.updates) == listable:
                yield proposal.leader, Fault.WRONG_PROPOSAL, proposal.id


def _withheld(state: RoundState, row: RoundView) -> Iterator[tuple[int, Fault, bytes]]:
    if row.proposal is None or len({proposed.generation for proposed in row.proposals}) > 1:
        return  # shares were refreshed meanwhile: who could not open is not to blame
    for proposal in state.proposals.values():
        if proposal.id not in state.verified or proposal.id == row.proposal:
            continue
        opened = {share.member for share in state.shares if share.proposal == proposal.id}
        if opened:  # some did as asked, so it was asked of all
            yield from (
                (member, Fault.WITHHELD_SHARE, proposal.id) for member in proposal.openers if member not in opened
            )


def _silent(state: RoundState, row: RoundView) -> Iterator[tuple[int, Fault, bytes]]:
    accepted = state.proposals.get(row.proposal or b"")
    if accepted is None:
        return
    ranking = state.facts.ranking
    led = {anchor.leader for anchor in state.anchors}
    for member in ranking[: ranking.index(accepted.leader)]:
        if member not in led:
            yield member, Fault.SILENT_LEADER, accepted.id
