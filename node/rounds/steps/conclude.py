"""Steps 9 and 10: decide, state, sign, finalise, adopt."""

from __future__ import annotations

import logging
import time
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

from chain.records import Outcome
from dag.bodies import AcknowledgementBody, CheckpointBody, Kind
from node.errors import LyingPeer, RoundProblem
from node.rounds.decision import accepted_groups
from node.rounds.dsse import Signature, verify_signature
from node.rounds.errors import BadStatementSignature
from node.rounds.groups import seed_material, tolerated_colluders
from node.rounds.ports import Electorate
from node.rounds.segment import pack_segment
from node.rounds.state import Adopted, Ended, Ending, Endorsed
from node.rounds.statement import Group, Included, JointKeyRef, ModelRef, Predicate, Statement, Verdict
from node.rounds.steps.aggregate import revealed_values
from node.rounds.steps.models import keep_model, load_model
from node.rounds.steps.opening import derive_vector, model_file, open_sums
from node.rounds.steps.shape import sections_of
from node.storage import raw_cid

if TYPE_CHECKING:
    from node.rounds.effects import Adopt
    from node.rounds.plan import Plan
    from node.rounds.ports import Ports
    from node.rounds.state import Checkpoint, Event, Proposal, RoundState, Share
    from node.rounds.state import Verdict as Judged

log = logging.getLogger("medweave.rounds")


def software() -> str:
    """Name and version of what wrote a statement."""
    try:
        return f"medweave {version('medweave')}"
    except PackageNotFoundError:
        return "medweave (not installed)"


def write_statement(
    ports: Ports, state: RoundState, proposal: Proposal, verdicts: tuple[bytes, ...]
) -> tuple[Event, ...]:
    """Decide by the verdicts, derive the model, store both, promise to sign this statement and no other.

    What was promised before a crash is what is endorsed after it, even if more verdicts have arrived since.
    """
    promised = ports.journal.promised(state.facts.round, "signed")
    if promised is not None:
        return (Endorsed(promised),)
    shares = state.shares_for(proposal)
    statement = build_statement(ports, state, proposal, verdicts, shares, software())
    ports.blobs.store.put(statement.to_bytes())
    _build_on(ports, state, (*(share.id for share in shares), *verdicts))
    return _endorse(ports, state, statement)


def _build_on(ports: Ports, state: RoundState, named: tuple[bytes, ...]) -> None:
    """Acknowledge what a statement or its envelope is made of.

    Of a member that contradicted itself others may hold the other half; this one they take in once another built on it.
    """
    epoch, number, body = state.facts.epoch, state.facts.round, AcknowledgementBody(reveal=None)
    parents = ports.ledger.gather(named, epoch=epoch, round_number=number)
    ports.ledger.post(Kind.ACKNOWLEDGEMENT, body, epoch=epoch, round_number=number, parents=parents)


def check_statement(ports: Ports, state: RoundState, digest: bytes, proposal: Proposal) -> tuple[Event, ...]:
    """Derive the same statement from what this hospital holds and compare.

    Raises:
        LyingPeer: The statement says something else than this hospital derives.
        RoundProblem: A verdict or share it names has not arrived yet; ask again.
    """
    statement = Statement.from_bytes(ports.blobs.obtain(raw_cid(digest)))
    counted = _named_verdicts(state, statement, proposal)
    shares = _named_shares(state, statement, proposal)
    mine = build_statement(ports, state, proposal, counted, shares, statement.predicate.software)
    if mine.to_bytes() != statement.to_bytes():
        theirs, ours = statement.predicate.model_dump(), mine.predicate.model_dump()
        wrong = next((name for name in ours if ours[name] != theirs[name]), "bytes")
        raise LyingPeer(f"statement {digest.hex()[:16]}…: {wrong} is not what this hospital derives", field=wrong)
    return _endorse(ports, state, statement)


def _named_verdicts(state: RoundState, statement: Statement, proposal: Proposal) -> tuple[bytes, ...]:
    """The verdicts that a statement counts: one a member, of a quorum, all here."""
    counted = tuple(bytes.fromhex(v.id) for v in statement.predicate.verdicts)
    found = state.verdicts_named(counted, proposal.sums_root)
    if missing := sorted({*counted} - {v.id for v in found}):
        raise RoundProblem(f"statement counts verdict {missing[0].hex()[:16]}…, which has not arrived yet")
    members = {v.issuer for v in found}
    if len(members) < max(state.members.quorum, len(counted)):
        raise LyingPeer(
            f"statement counts {len(counted)} verdicts of {len(members)} members, a quorum is {state.members.quorum}",
            field="verdicts",
        )
    return counted


def _named_shares(state: RoundState, statement: Statement, proposal: Proposal) -> tuple[Share, ...]:
    """The shares that a statement says opened the sums: one of each opener, in their order, all here."""
    here = {share.id: share for share in state.shares if share.proposal == proposal.id}
    named = tuple(bytes.fromhex(tx_id) for tx_id in statement.predicate.shares)
    if missing := [tx_id for tx_id in named if tx_id not in here]:
        raise RoundProblem(f"statement names share {missing[0].hex()[:16]}…, which has not arrived yet")
    if false := [tx_id for tx_id in named if tx_id in state.refused]:
        raise LyingPeer(f"statement names share {false[0].hex()[:16]}…: {state.refused[false[0]]}", field="shares")
    shares = tuple(here[tx_id] for tx_id in named)
    if tuple(share.member for share in shares) != proposal.openers:
        raise LyingPeer(
            f"statement names shares of members {[share.member for share in shares]}, the openers are {proposal.openers}",
            field="shares",
        )
    return shares


def _endorse(ports: Ports, state: RoundState, statement: Statement) -> tuple[Event, ...]:
    ports.journal.promise(state.facts.round, "signed", statement.digest)
    return (Endorsed(statement.digest),)


def build_statement(
    ports: Ports,
    state: RoundState,
    proposal: Proposal,
    verdicts: tuple[bytes, ...],
    shares: tuple[Share, ...],
    writer: str,
) -> Statement:
    """The statement that follows from a proposal, its openers' shares and the verdicts counted; stores the sealed model.

    Raises:
        RoundProblem: The plan is not known, or the shares are not those of all openers yet.
    """
    plan, facts = state.plan, state.facts
    if plan is None:
        raise RoundProblem("a statement cannot be derived before the plan is known")
    if tuple(share.member for share in shares) != proposal.openers:
        raise RoundProblem(f"{len(shares)} shares of {len(proposal.openers)} openers are here; waiting for the others")
    counted = state.verdicts_named(verdicts, proposal.sums_root)
    accepted = _decide(ports, state, plan, proposal, counted)
    model, sealed = _model(ports, state, proposal, shares, accepted)
    updates = {u.id: u for u in state.updates}
    root = ports.ledger.round_root(proposal.id)
    opened = tuple(share.id for share in shares)
    segment = pack_segment(ports.ledger.segment(proposal.id, (*opened, *(v.id for v in counted))))
    addresses = ports.consortium.addresses
    predicate = Predicate(
        consortium=ports.consortium.id.hex(),
        chain_id=ports.consortium.chain_id,
        contract=_hex(ports.consortium.contract),
        round=facts.round,
        epoch=facts.epoch,
        seed=facts.seed.hex(),
        plan=facts.plan.hex(),
        base=facts.base.hex(),
        leader=_hex(addresses[proposal.leader]),
        proposal=proposal.id.hex(),
        updates=tuple(
            Included(
                id=tx_id.hex(),
                issuer=_hex(addresses[updates[tx_id].issuer]),
                weight_ppm=updates[tx_id].weight_ppm,
                samples=updates[tx_id].samples,
                manifest=updates[tx_id].manifest,
            )
            for tx_id in proposal.updates
        ),
        reveals=tuple(tx_id.hex() for tx_id in proposal.reveals),
        groups=tuple(
            Group(updates=group, sum=cid, accepted=yes)
            for group, cid, yes in zip(proposal.groups, proposal.sums, accepted, strict=True)
        ),
        openers=proposal.openers,
        shares=tuple(tx_id.hex() for tx_id in opened),
        verdicts=tuple(Verdict(id=v.id.hex(), issuer=_hex(addresses[v.issuer])) for v in counted),
        updates_root=proposal.updates_root.hex(),
        sums_root=proposal.sums_root.hex(),
        ledger_root=root.hex(),
        segment=ports.blobs.store.put(segment),
        seed_material=seed_material(revealed_values(ports, proposal.reveals), root).hex(),
        joint_key=JointKeyRef(digest=ports.keys.joint.digest.hex(), cid=ports.keys.joint_cid),
        parameter_set=plan.parameter_set,
        min_group=plan.min_group,
        colluders_tolerated=tolerated_colluders(len(group) for group in proposal.groups),
        model=ModelRef(sha256=model.hex(), sealed=sealed),
        software=writer,
    )
    return Statement.of(predicate)


def _decide(
    ports: Ports, state: RoundState, plan: Plan, proposal: Proposal, counted: tuple[Judged, ...]
) -> tuple[bool, ...]:
    """Which groups enter the model, and in the log which of them the votes alone would have let in."""
    voted = accepted_groups(counted, len(proposal.groups))
    if plan.defence == "votes":
        return voted
    sections = len(sections_of(plan, ports.keys.joint.params))
    accepted = accepted_groups(counted, len(proposal.groups), state.members.quorum, sections)
    for number, (kept, yes) in enumerate(zip(voted, accepted, strict=True)):
        if kept and not yes:
            log.info("round %d: sum %d lags behind the best one and stays out of the model", state.facts.round, number)
    return accepted


def _model(
    ports: Ports, state: RoundState, proposal: Proposal, shares: tuple[Share, ...], accepted: tuple[bool, ...]
) -> tuple[bytes, str]:
    """Hash of the round's model and CID of its sealed bytes; the base's own where no group was accepted."""
    held = ports.journal.model(state.facts.base)
    if not any(accepted) and held is not None:
        return state.facts.base, held[2]
    if state.plan is None:
        raise RoundProblem("a model cannot be derived before its plan is known")
    sums = open_sums(ports, state, proposal, shares)
    vector = derive_vector(ports, state, proposal, sums, accepted, load_model(ports, state.facts.base))
    data, digest = model_file(state.plan, vector)
    return digest, keep_model(ports, data, state.facts.round)


def _hex(address: bytes) -> str:
    return "0x" + address.hex()


def outcome_of(statement: Statement) -> Outcome:
    """What the members sign (EIP-712) and the chain stores of a statement."""
    p = statement.predicate
    return Outcome(
        round=p.round,
        base=bytes.fromhex(p.base),
        model=bytes.fromhex(p.model.sha256),
        plan=bytes.fromhex(p.plan),
        leader=p.leader,
        proposal=bytes.fromhex(p.proposal),
        updates_root=bytes.fromhex(p.updates_root),
        sums_root=bytes.fromhex(p.sums_root),
        statement=statement.digest,
        seed_material=bytes.fromhex(p.seed_material),
    )


def post_checkpoint(ports: Ports, state: RoundState, digest: bytes) -> tuple[Event, ...]:
    """Attach this member's signatures under the endorsed statement and under the outcome that commits to it."""
    cid = raw_cid(digest)
    statement = Statement.from_bytes(ports.blobs.obtain(cid))
    outcome = outcome_of(statement)
    body = CheckpointBody(
        proposal=outcome.proposal,
        model=outcome.model,
        statement=digest,
        outcome_signature=ports.chain.sign(outcome),
        statement_signature=ports.sign_statement(statement.to_bytes()),
        root=bytes.fromhex(statement.predicate.ledger_root),
    )
    ports.ledger.post(Kind.CHECKPOINT, body, epoch=state.facts.epoch, round_number=state.facts.round, payload=cid)
    return ()


def finalise(ports: Ports, state: RoundState, digest: bytes) -> tuple[Event, ...]:
    """Send the outcome with the collected signatures; whoever comes second finds it done.

    Only a member that signed the statement too counts, so whatever the chain records has an envelope that convinces.

    Raises:
        RoundProblem: Fewer than a quorum of members signed both.
    """
    statement = Statement.from_bytes(ports.blobs.obtain(raw_cid(digest)))
    outcome, addresses = outcome_of(statement), ports.consortium.addresses
    now = ports.electorate() or Electorate(dict(enumerate(addresses)), state.members.quorum)
    signed: dict[int, Checkpoint] = {}
    for point in sorted((c for c in state.checkpoints if c.statement == digest), key=lambda c: c.id):
        if now.addresses.get(point.issuer) != addresses[point.issuer]:
            continue  # it has left, or answers to another account: the chain does not take this signature any more
        if point.issuer not in signed and _signed_both(ports, outcome, statement, point):
            signed[point.issuer] = point
    if len(signed) < (quorum := max(state.members.quorum, now.quorum)):
        raise RoundProblem(f"{len(signed)} valid signatures of present members, a quorum is {quorum}")
    gas = ports.chain.finalise(outcome, {index: point.signature for index, point in signed.items()})
    if not gas:  # somebody else ended the round; how, the chain's own event says
        return ()
    ports.journal.remember(state.facts.round, "gas_finalise", gas)
    _build_on(ports, state, tuple(point.id for point in signed.values()))
    return (Ended(Ending(finalised=True, model=outcome.model, statement=digest)),)


def _signed_both(ports: Ports, outcome: Outcome, statement: Statement, point: Checkpoint) -> bool:
    address = ports.consortium.addresses[point.issuer]
    if not ports.chain.signed_by(outcome, point.signature, address):
        return False
    try:
        verify_signature(statement.to_bytes(), Signature(address, point.statement_signature))
    except BadStatementSignature as error:
        log.warning("round %d: member %d: %s", outcome.round, point.issuer, error)
        return False
    return True


def abort(ports: Ports, state: RoundState) -> tuple[Event, ...]:
    """End a round whose deadline has passed."""
    gas = ports.chain.abort(state.facts.round)
    if not gas:
        return ()
    ports.journal.remember(state.facts.round, "gas_abort", gas)
    return (Ended(Ending(finalised=False, model=state.facts.base, statement=bytes(32))),)


def adopt(ports: Ports, state: RoundState, effect: Adopt) -> tuple[Event, ...]:
    """Bring the finalised model here, from what this hospital derived or from a peer; report it on the test images.

    Raises:
        LyingPeer: The statement on chain is not about this model, or its sealed bytes are not this model.
    """
    ports.journal.remember(state.facts.round, "adopted", effect.statement.hex())
    if ports.journal.model(effect.model) is None:
        predicate = Statement.from_bytes(ports.blobs.obtain(raw_cid(effect.statement))).predicate
        if predicate.model.sha256 != effect.model.hex():
            raise LyingPeer(f"statement {effect.statement.hex()[:16]}… is not about model {effect.model.hex()[:16]}…")
        ports.journal.keep_model(effect.model, predicate.epoch, predicate.round, predicate.model.sealed)
    ports.ledger.anchored(state.facts.round, effect.statement)
    vector = load_model(ports, effect.model)
    if state.plan is not None:
        started = time.monotonic()
        metrics = ports.learner.report(state.plan, vector)
        if metrics is not None:
            ports.journal.remember(state.facts.round, "test", metrics.to_json())
        ports.journal.remember(state.facts.round, "report_seconds", time.monotonic() - started)
    return (Adopted(),)
