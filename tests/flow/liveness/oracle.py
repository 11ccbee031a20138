"""What must hold of every round, whatever went wrong in it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dag.bodies import CheckpointBody, Kind, ShareBody, UpdateBody
from node.learning.parameters import model_bytes, model_hash, parse_model
from node.rounds.decision import next_model
from node.rounds.statement import Predicate, Statement
from node.rounds.steps.models import genesis_model
from node.rounds.steps.opening import partition_digest
from node.sealing.quantising import plan_layout, step_sizes
from node.storage import raw_cid

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.flow.liveness.network import Played

SLACK_SECONDS = 25.0
"""Beyond the slots that faulty leaders may use up: reveals, verification, two waits of two seconds a rank, lost messages."""


def judge(played: Played) -> list[str]:
    """Everything that is wrong with a round; empty where nothing is."""
    return [*_ended(played), *_agreed(played), *_kept_their_word(played), *_counted(played)]


def predicate_of(played: Played) -> Predicate:
    """The statement on chain."""
    cid = raw_cid(played.ending.statement)
    holder = next(node for node in played.net.nodes if node.blobs.store.has(cid))
    return Statement.from_bytes(holder.blobs.store.get(cid)).predicate


def honest(played: Played) -> list[Any]:
    """The members that follow the protocol."""
    return [node for node in played.net.nodes if node.index not in played.net.faulty]


def _ended(played: Played) -> Iterator[str]:
    """Finalised under the next slot, or aborted by its deadline."""
    net, schedule = played.net, played.net.schedule
    facts = net.chain.rounds[played.number]
    if played.ending is None:
        yield "the round did not end"
        return
    if not played.ending.finalised:
        if schedule.must_finalise:
            yield "the round was aborted although it could have been finalised"
        if played.head != facts.base:
            yield "an aborted round moved the head"
        if played.after is None or not played.after.finalised:
            yield "nothing carried over: the next round did not end with a model"
        return
    leader = net.addresses.index(bytes.fromhex(predicate_of(played).leader[2:]))
    if leader in net.faulty and not net.faulty[leader].usable:
        yield f"a proposal was opened whose leader lied (rank {facts.ranking.index(leader)})"
    bad = 0
    while facts.ranking[bad] in net.faulty:
        bad += 1
    latest = net.plan.collect_seconds + (bad + 1.5) * net.plan.slot_seconds + SLACK_SECONDS
    if schedule.must_finalise and played.seconds > latest:
        yield f"the round took {played.seconds:.1f} s, {bad} bad leaders explain {latest:.1f} s"


def _agreed(played: Played) -> Iterator[str]:
    """Every honest member holds the model that the chain recorded, under one name, and the same transactions."""
    ending = played.ending
    if ending is None:
        return
    for node in honest(played):
        state = played.states[node.index]
        if state.ending is None or (state.ending.finalised and not state.adopted):
            yield f"member {node.index} is not done with the round"
        elif ending.finalised and node.journal.model(ending.model) is None:
            yield f"member {node.index} does not hold the model"
    if ending.finalised:
        names = {node.journal.model(ending.model) for node in honest(played)}
        if len(names) > 1:
            yield f"members hold the model under {len(names)} names"


def _kept_their_word(played: Played) -> Iterator[str]:
    """Nobody honest opened two partitions or signed two statements; no two statements have a quorum."""
    net = played.net
    said = _transactions(played)
    proposals = {p.id: p for state in played.states for p in state.proposals.values()}
    opened: dict[bytes, set[bytes]] = {}
    for tx in said:
        if isinstance(tx.body, ShareBody):
            opened.setdefault(partition_digest(proposals[tx.body.proposal]), set()).add(tx.issuer)
    for address in _addresses(played):
        if sum(address in who for who in opened.values()) > 1:
            yield f"0x{address.hex()[:8]} opened two partitions of the updates"
    if sum(len(who) >= net.schedule.threshold for who in opened.values()) > 1:
        yield "two partitions of the updates can be opened"
    signers: dict[bytes, set[bytes]] = {}
    for tx in said:
        if isinstance(tx.body, CheckpointBody):
            signers.setdefault(tx.body.statement, set()).add(tx.issuer)
    for address in _addresses(played):
        if sum(address in who for who in signers.values()) > 1:
            yield f"0x{address.hex()[:8]} signed two statements"
    if sum(len(who) >= net.quorum for who in signers.values()) > 1:
        yield "two statements have a quorum of signatures"


def _counted(played: Played) -> Iterator[str]:
    """Nothing posted is lost, nothing is counted twice, and the model is the sum of exactly what is listed."""
    net = played.net
    posted: dict[bytes, set[bytes]] = {}
    for tx in _transactions(played):
        if isinstance(tx.body, UpdateBody):
            posted.setdefault(tx.issuer, set()).add(tx.id)
    for address in _addresses(played):
        if len(posted.get(address, ())) > 1:
            yield f"0x{address.hex()[:8]} posted {len(posted[address])} updates"
    for node in honest(played):
        mine = posted.get(net.addresses[node.index], set())
        for other in honest(played):
            lost = [tx_id for tx_id in mine if not other.publisher.knows(tx_id)]
            if lost and not net.schedule.beyond:
                yield f"member {other.index} never got the update of member {node.index}"
    if played.ending is None or not played.ending.finalised:
        return
    predicate = predicate_of(played)
    issuers = [update.issuer for update in predicate.updates]
    if len(set(issuers)) != len(issuers):
        yield "a member is counted twice"
    if played.ending.model != _sum_in_the_clear(played, predicate):
        yield "the model is not the base plus the mean of the listed updates"


def _sum_in_the_clear(played: Played, predicate: Predicate) -> bytes:
    """Hash of the model that the same quantised updates give when they are added without encryption."""
    net = played.net
    layout = plan_layout(net.plan.architecture, len(net.plan.classes), net.plan.value_range)
    steps = step_sizes(layout, net.nodes[0].ports.keys.joint.params, len(net.nodes))
    by_address = {"0x" + address.hex(): node for address, node in zip(net.addresses, net.nodes, strict=True)}
    groups = [[predicate.updates[i] for i in group.updates] for group in predicate.groups if group.accepted]
    sums = [sum(by_address[u.issuer].quantised[played.number] for u in group) for group in groups]
    weights = [sum(u.weight_ppm for u in group) for group in groups]
    base = parse_model(genesis_model(net.plan)).vector
    vector = next_model(base, sums, weights, steps)
    return model_hash(model_bytes(vector, net.plan.architecture, len(net.plan.classes)))


def _addresses(played: Played) -> set[bytes]:
    return {played.net.addresses[node.index] for node in honest(played)}


def _transactions(played: Played) -> list[Any]:
    """Every transaction of the round in any member's ledger."""
    kinds = (Kind.UPDATE, Kind.SHARE, Kind.CHECKPOINT)
    found = {}
    for node in played.net.nodes:
        for kind in kinds:
            rows = node.publisher.read(lambda ledger, k=kind: ledger.transactions(k, played.number, limit=500))
            found.update({tx.id: tx for tx in rows})
    return list(found.values())
