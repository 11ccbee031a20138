"""Steps 6 and 7: add the listable updates in groups; recompute another leader's sums byte for byte."""

from __future__ import annotations

import logging
import time
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

from crypto.errors import CryptoError
from crypto.grouping import verify_grouping
from dag.bodies import AcknowledgementBody, Kind, ProposalBody, proposal_roots
from dag.errors import LedgerError
from node.errors import LyingPeer, MedweaveError, RoundProblem
from node.rounds import blame
from node.rounds.groups import choose_openers, draw_partitions, group_seed
from node.rounds.history import drawing, results_of
from node.rounds.records import SumManifest
from node.rounds.sections import parts
from node.rounds.state import Anchor, Anchored, ProposalVerified
from node.rounds.steps.shape import sections_of
from node.rounds.steps.unlocking import locked_update, problem_of, seen_update
from node.rounds.suspicion import suspicion
from node.sealing.updates import add_updates

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from dag.proposing import ProposalBasis
    from node.rounds.effects import Propose
    from node.rounds.plan import Plan
    from node.rounds.ports import Ports
    from node.rounds.sections import Section
    from node.rounds.state import Event, Proposal, RoundState


log = logging.getLogger("medweave.rounds")


def propose(ports: Ports, state: RoundState, effect: Propose) -> tuple[Event, ...]:
    """Attach a proposal over the listable updates and anchor it on chain.

    The ledger attaches the proposal only where its past cone shows each update closed by a quorum and revealed; which updates
    those are is read back from that cone, so that nobody can be left out unseen.
    """
    plan, facts = state.plan, state.facts
    mine = next((p for p in state.proposals.values() if p.leader == state.members.me), None)
    if plan is None:
        return ()
    if mine is None:
        started = time.monotonic()
        basis = _basis(ports, state, effect)
        updates, reveals = basis.updates, basis.reveals
        seed = _seed(ports, state, updates, reveals)
        groups = _draw(ports, state, plan, seed, updates)
        sums = tuple(_sums(ports, state, plan, updates, groups))
        updates_root, sums_root = proposal_roots(updates, sums)
        body = ProposalBody(
            updates=updates,
            reveals=reveals,
            groups=groups,
            sums=sums,
            openers=_openers(ports, state, seed, (updates_root, sums_root)),
            attempt=effect.attempt,
            updates_root=updates_root,
            sums_root=sums_root,
        )
        ports.journal.note(facts.round, "aggregate_seconds", time.monotonic() - started)
        posted = ports.ledger.post(
            Kind.PROPOSAL, body, epoch=facts.epoch, round_number=facts.round, parents=basis.parents
        )
        anchor = Anchor(state.members.me, posted.id, updates_root, sums_root)
    else:
        anchor = Anchor(state.members.me, mine.id, mine.updates_root, mine.sums_root)
    gas = ports.chain.propose(facts.round, anchor.proposal, anchor.updates_root, anchor.sums_root)
    if not gas:  # this member has proposed before; what stands on chain, the chain's own event says
        return ()
    ports.journal.note(facts.round, "gas_propose", gas)
    return (Anchored(anchor),)


def foresee(ports: Ports, state: RoundState) -> None:
    """Add the sums that follow where every member's update is listed, once all are unlocked: the proposal is on its way meanwhile.

    It changes what later steps take and nothing else: who proposes, or recomputes a proposal, finds its sums in `Ports.sums`.
    Where the proposal lists something else, that is added then.
    """
    plan, updates = state.plan, tuple(sorted(update.id for update in state.updates))
    if plan is None or not len(updates) == len(state.reveals) == state.members.count >= plan.min_group:
        return
    if any(ports.unlocked.get(update, "not looked at") for update in updates):
        return
    reveals = tuple(tx_id for tx_id, _, _ in state.reveals)
    try:
        groups = _draw(ports, state, plan, _seed(ports, state, updates, reveals), updates)
        for cid in _sums(ports, state, plan, updates, groups):
            log.debug("round %d: added ahead: %s", state.facts.round, cid)
    except (MedweaveError, CryptoError, LedgerError) as error:
        log.debug("round %d: no sum was added ahead: %s", state.facts.round, error)


def _basis(ports: Ports, state: RoundState, effect: Propose) -> ProposalBasis:
    """What to propose: all that the cone the proposal will have allows, or an earlier proposal's again, above that one.

    Raises:
        RoundProblem: The closes that are here do not cover an update that is waited for, or too few; ask again.
    """
    shown = (*(tx_id for tx_id, _ in state.closes), *(tx_id for tx_id, _, _ in state.reveals))
    if effect.repeats:  # whoever gets the repeat has what it repeats, and so has its audit
        shown += tuple(p.id for p in _same(state, effect.updates, effect.reveals) if p.id in state.verified)
    parents = ports.ledger.gather(shown, epoch=state.facts.epoch, round_number=state.facts.round)
    basis = ports.ledger.proposal_basis(state.facts.round, parents)
    if not set(basis.updates) <= {update.id for update in state.updates}:
        raise RoundProblem("an update has entered the ledger and is not known here yet")
    if not set(effect.updates) <= set(basis.updates):
        raise RoundProblem("fewer than a quorum have closed above some revealed update; waiting for more closes")
    if effect.repeats:
        return replace(basis, updates=effect.updates, reveals=effect.reveals)
    basis = _sound(ports, state, basis)
    least = state.plan.min_group if state.plan else 1
    if len(basis.updates) < least:
        raise RoundProblem(f"{len(basis.updates)} updates may be listed, the plan sums at least {least}")
    return basis


def _sound(ports: Ports, state: RoundState, basis: ProposalBasis) -> ProposalBasis:
    """The basis without the updates whose unlocked ciphertexts are none; every member leaves out the same."""
    bad = [update for update in basis.updates if problem_of(ports, state, update)]
    if not bad:
        return basis
    issuers = {seen_update(state, update).issuer for update in bad}
    dropped = {tx_id for tx_id, member, _ in state.reveals if member in issuers}
    return replace(
        basis,
        updates=tuple(update for update in basis.updates if update not in bad),
        reveals=tuple(tx_id for tx_id in basis.reveals if tx_id not in dropped),
    )


def check_proposal(ports: Ports, state: RoundState, proposal: Proposal) -> tuple[Event, ...]:
    """Recompute a proposal: its updates, groups and every sum, byte for byte; store the sums.

    Raises:
        LyingPeer: Something differs; the evidence names it.
    """
    plan, facts = state.plan, state.facts
    if plan is None:
        return ()
    started = time.monotonic()
    verify_inclusion(ports, state, proposal)
    if len(proposal.updates) < plan.min_group:
        raise LyingPeer(
            f"proposal {proposal.id.hex()[:16]}… sums {len(proposal.updates)} updates, the plan asks for {plan.min_group}"
        )
    seed = _seed(ports, state, proposal.updates, proposal.reveals)
    groups = _draw(ports, state, plan, seed, proposal.updates)
    if groups != proposal.groups:
        raise LyingPeer(
            f"proposal {proposal.id.hex()[:16]}…: its groups are not those of the round's seed and the ledger's past"
        )
    sections = len(sections_of(plan, ports.keys.joint.params))
    for part in parts(groups, sections):  # what is in one section is in no sum of another
        verify_grouping([{proposal.updates[i] for i in group} for group in part], plan.min_group)
    for number, cid in enumerate(_sums(ports, state, plan, proposal.updates, groups)):
        if cid != proposal.sums[number]:
            raise LyingPeer(
                f"proposal {proposal.id.hex()[:16]}…: sum of group {number} is {proposal.sums[number]}, recomputed {cid}",
                proposal=proposal.id.hex(),
                proposed=proposal.sums[number],
                recomputed=cid,
            )
    openers = plan.threshold_for(state.members.count)
    if len(set(proposal.openers)) != openers or not state.members.seats.issuperset(proposal.openers):
        raise LyingPeer(f"proposal {proposal.id.hex()[:16]}…: openers {proposal.openers} are not {openers} members")
    ports.journal.note(facts.round, "verify_seconds", time.monotonic() - started)
    return (ProposalVerified(proposal.id),)


def verify_inclusion(ports: Ports, state: RoundState, proposal: Proposal) -> None:
    """Every sound update that the closes of a quorum cover and that is revealed in the proposal's past cone is in it, no other.

    A fail-over proposal may instead repeat, word for word, the updates and reveals of one that did so: then its sums are
    the same and nothing new is opened. That one stands on chain; whether it was judged here yet does not matter, or who
    is slow would call an honest leader a liar.

    Raises:
        LyingPeer: An update was left out or slipped in; the evidence names it.
    """
    others = [other for other in _same(state, proposal.updates, proposal.reveals) if other.id != proposal.id]
    if any(other.id in state.verified for other in others):
        return
    try:
        _verify_by_cone(ports, state, proposal)
    except LyingPeer:
        if not any(state.anchored(other) and _obeys(ports, state, other) for other in others):
            raise


def _same(state: RoundState, updates: tuple[bytes, ...], reveals: tuple[bytes, ...]) -> list[Proposal]:
    """The proposals that list these very updates and reveals."""
    return [known for known in state.proposals.values() if (known.updates, known.reveals) == (updates, reveals)]


def _obeys(ports: Ports, state: RoundState, proposal: Proposal) -> bool:
    """Whether a proposal lists what may be listed by its own past cone."""
    try:
        _verify_by_cone(ports, state, proposal)
    except LyingPeer:
        return False
    return True


def _verify_by_cone(ports: Ports, state: RoundState, proposal: Proposal) -> None:
    """Demand that a proposal lists all that may be listed by its own past cone, and nothing else.

    Raises:
        LyingPeer: It does not; the evidence names the update.
    """
    revealed_values(ports, proposal.reveals)
    listable = ports.ledger.listable_by(proposal.id)
    sound = _sound(ports, state, listable)
    for missing in sorted(set(sound.updates) - set(proposal.updates)):
        raise LyingPeer(
            f"proposal {proposal.id.hex()[:16]}… leaves out listable update {missing.hex()[:16]}…",
            proposal=proposal.id.hex(),
            update=missing.hex(),
        )
    for spare in sorted(set(proposal.updates) - set(sound.updates)):
        malformed = spare in listable.updates and problem_of(ports, state, spare)
        why = f"what it locked is no update: {malformed}" if malformed else "not closed by a quorum, or not revealed"
        raise LyingPeer(
            f"proposal {proposal.id.hex()[:16]}… includes update {spare.hex()[:16]}… ({why})",
            proposal=proposal.id.hex(),
            update=spare.hex(),
        )
    if proposal.reveals != sound.reveals:
        raise LyingPeer(
            f"proposal {proposal.id.hex()[:16]}… lists other reveals than its past cone holds: its leader chose the seed",
            proposal=proposal.id.hex(),
        )


def _draw(
    ports: Ports, state: RoundState, plan: Plan, seed: bytes, updates: tuple[bytes, ...]
) -> tuple[tuple[int, ...], ...]:
    """The groups of all sections that follow from the seed and from what earlier rounds' ledgers say of the members."""
    seats = [seen_update(state, update).issuer for update in updates]
    past = results_of(ports.past(), ports.blobs.obtain, ports.results) if plan.defence != "votes" else ()
    drawn = drawing(past, frozenset(state.members.seats), frozenset(seats), plan.min_group, plan.defence)
    if drawn.left_out:
        blame = {
            str(seat): value for seat, value in suspicion(past, frozenset(state.members.seats)).items() if value > 0
        }
        ports.journal.remember(state.facts.round, "suspected", {"left_out": sorted(drawn.left_out), "suspicion": blame})
        log.warning(
            "round %d: members %s are listed and not summed: %s", state.facts.round, sorted(drawn.left_out), blame
        )
    positions = frozenset(position for position, seat in enumerate(seats) if seat in drawn.left_out)
    sections = len(sections_of(plan, ports.keys.joint.params))
    return draw_partitions(seed, len(updates), plan.min_group, positions, rest=drawn.rest, sections=sections)


def _seed(ports: Ports, state: RoundState, updates: tuple[bytes, ...], reveals: tuple[bytes, ...]) -> bytes:
    values = revealed_values(ports, reveals)
    return group_seed(state.facts.seed, proposal_roots(updates, ())[0], values)


def revealed_values(ports: Ports, reveals: tuple[bytes, ...]) -> list[bytes]:
    """The values that the named acknowledgements reveal, in the order of their ids.

    Raises:
        LyingPeer: One of them reveals nothing.
    """
    values = []
    for tx_id in reveals:
        body = ports.ledger.get(tx_id).body
        if not isinstance(body, AcknowledgementBody) or body.reveal is None:
            raise LyingPeer(f"transaction {tx_id.hex()[:16]}… is named as a reveal and reveals nothing")
        values.append(body.reveal)
    return values


def _sums(
    ports: Ports, state: RoundState, plan: Plan, updates: tuple[bytes, ...], groups: tuple[tuple[int, ...], ...]
) -> Iterator[str]:
    """The CIDs of the sums of all sections' groups, in the groups' order, each added when it is asked for."""
    sections = sections_of(plan, ports.keys.joint.params)
    for section, part in zip(sections, parts(groups, len(sections)), strict=True):
        for group in part:
            yield _sum(ports, state, updates, group, section)


def _sum(ports: Ports, state: RoundState, updates: tuple[bytes, ...], group: Sequence[int], section: Section) -> str:
    """Unlock and add one group's ciphertexts of one section, chunk by chunk; store sum and manifest; the manifest's CID."""
    chosen = tuple(updates[i] for i in group)
    key = (section.chunks.start, section.chunks.stop, chosen)
    known = ports.sums.get(key)
    if known is not None and ports.blobs.store.has(known):
        return known
    updates_of_group = [locked_update(ports, state, seen_update(state, tx_id)) for tx_id in chosen]
    manifest = SumManifest(
        consortium=ports.consortium.id,
        epoch=state.facts.epoch,
        round=state.facts.round,
        updates=chosen,
        chunks=add_updates(updates_of_group, ports.keys.joint.params, ports.blobs, section.chunks),
    )
    ports.sums[key] = ports.blobs.store.put(manifest.to_bytes())
    return ports.sums[key]


def _openers(ports: Ports, state: RoundState, seed: bytes, partition: tuple[bytes, bytes]) -> tuple[int, ...]:
    """T members to open: those seen alive, then the rest, then who was asked before and gave nothing of use.

    Last of all who gave a share of another partition: an honest member opens no second one, so asking it is in vain.

    Only verified proposals ask: to a false one every honest member is silent. Where all shares of a proposal came, none of
    them malformed, and they did not open it, one is wrong and nobody can say which: who took part in fewer such failures
    comes first; so does, of later rounds, who was not among the suspects then.
    """
    threshold = state.plan.threshold_for(state.members.count) if state.plan else 1
    asking = [proposal for proposal in state.proposals.values() if proposal.id in state.verified]
    given = {proposal.id: {share.member for share in state.shares_for(proposal)} for proposal in asking}
    silence = Counter(member for p in asking for member in p.openers if member not in given[p.id])
    failures = Counter(member for p in asking if len(given[p.id]) == len(p.openers) for member in p.openers)
    failures.update(blame.recent_suspects(ports.journal, state.facts.round))
    alive = {member for _, member, _ in state.reveals}.union(*given.values())
    promised = dict(state.promised)
    bound = frozenset[int]().union(*promised.values()) - promised.get(partition, frozenset())

    def rank(member: int) -> tuple[bool, int, bool, int]:
        return member in bound, silence[member], member not in alive, failures[member]

    ranks = sorted({rank(member) for member in state.members.seats})
    return choose_openers(seed, ([m for m in state.members.seats if rank(m) == r] for r in ranks), threshold)
