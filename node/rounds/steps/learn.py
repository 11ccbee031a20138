"""Steps 2 to 4: read the plan, train, seal, post."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from crypto.locking import UpdateLock
from crypto.parameters import parameter_set
from dag.bodies import AcknowledgementBody, Kind, UpdateBody, commit
from dag.weights import contribution_weight
from node.errors import PolicyRefusal, RoundProblem
from node.learning.clipping import clip_parts
from node.rounds.plan import Plan
from node.rounds.records import UpdateManifest
from node.rounds.state import PlanRead, Sealed, SealedUpdate
from node.rounds.steps.carrying import keep_lost, lost_before
from node.rounds.steps.models import keep_genesis, load_model
from node.rounds.steps.shape import sections_of
from node.sealing.quantising import QuantisedUpdate, plan_layout
from node.sealing.updates import seal_update
from node.storage import raw_cid

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from node.rounds.ports import Ports
    from node.rounds.state import Event, RoundFacts, RoundState


def read_plan(ports: Ports, state: RoundState) -> tuple[Event, ...]:
    """Fetch the plan by its digest and check it against this hospital's policy.

    Raises:
        BadPlan: The bytes are no plan.
        PolicyRefusal: The epoch's key is held by others than the round's members; the plan opens smaller sums than this
            hospital allows, wants insecure parameters, or contradicts the key epoch or the deadlines on chain.
    """
    holders, members = ports.consortium.holders, ports.consortium.members
    if holders is not None and holders != set(members):
        raise PolicyRefusal(
            f"round {state.facts.round}: the members when it was opened (seats {list(members)}) are not those who hold the key "
            f"of epoch {state.facts.epoch} (seats {sorted(holders)}): it needs a key of its own, this hospital waits for one"
        )
    plan = Plan.from_bytes(ports.blobs.obtain(raw_cid(state.facts.plan)))
    if plan.min_group < ports.policy.min_group:
        raise PolicyRefusal(
            f"round {state.facts.round}: its plan opens sums of {plan.min_group} updates, this hospital's policy "
            f"([rounds] min_group) asks for at least {ports.policy.min_group}"
        )
    if parameter_set(plan.parameter_set, allow_minimal=ports.policy.allow_minimal).id != ports.keys.joint.params.id:
        raise PolicyRefusal(
            f"round {state.facts.round}: its plan wants other parameters than epoch {state.facts.epoch} has"
        )
    openers = plan.threshold_for(ports.keys.joint.members)
    if openers != ports.keys.member.threshold:
        raise PolicyRefusal(
            f"round {state.facts.round}: its plan says any {openers} members open a sum, in epoch "
            f"{state.facts.epoch} it is {ports.keys.member.threshold}"
        )
    facts = state.facts
    if facts.finalise_by - facts.collect_by != plan.round_seconds - plan.collect_seconds:
        raise PolicyRefusal(f"round {facts.round}: it was opened with other deadlines than its plan's")
    keep_genesis(ports, plan, facts.base)
    return (PlanRead(plan),)


def reveal_for(ports: Ports, state: RoundState) -> bytes:
    """The value this member commits to in its update, locks it with, and reveals above the closes of a quorum.

    It follows from all that the chain said of the round when the update was sealed. A chain that went back may open the
    round again, with other deadlines: what was sealed before is revealed all the same, as closes and updates stay in the
    ledger, which takes one of each from a member a round. Were it another round of this number (another seed, plan or
    base), the value would be another one, so that none revealed in the first unlocks the second's update.
    """
    facts = state.facts
    sealed = ports.journal.recall(facts.round, "sealed")
    deadlines = facts.collect_by, facts.finalise_by
    if sealed is not None and sealed.get("opening") == _opening(facts):
        deadlines = tuple(sealed["deadlines"])
    times = b"".join(deadline.to_bytes(8, "big") for deadline in deadlines)
    return ports.secret_for(b"reveal" + facts.round.to_bytes(8, "big") + facts.seed + facts.plan + facts.base + times)


def _opening(facts: RoundFacts) -> str:
    """What makes a round the same one after the chain went back and opened it again."""
    return (facts.seed + facts.plan + facts.base).hex()


def train_and_seal(ports: Ports, state: RoundState) -> tuple[Event, ...]:
    """Train from the base, clip, weight (eq. 19), quantise, encrypt under the joint key, lock, store by CID.

    Raises:
        MedweaveError: The base model cannot be had, the images do not fit the plan, the disk is full.
    """
    plan, facts, known = state.plan, state.facts, ports.journal.recall(state.facts.round, "sealed")
    if plan is None:
        return ()
    if known is not None and known.get("opening", _opening(facts)) == _opening(facts):
        return (Sealed(_sealed_from(known)),)
    base = load_model(ports, facts.base)
    if ports.journal.recall(facts.round, "test_before") is None:
        before = ports.learner.report(plan, base)
        if before is not None:
            ports.journal.note(facts.round, "test_before", before.to_json())
    result = ports.learner.train(
        plan, base, facts.round, lambda progress: ports.progress("training", progress.step / progress.steps)
    )
    parts = [section.values for section in sections_of(plan, ports.keys.joint.params)]
    delta, norm = clip_parts(result.vector - base, float(plan.clip_norm), parts)
    ports.own.clear()
    ports.own[facts.round] = delta
    update, clipped = _seal(ports, state, plan, delta, result.samples)
    ports.journal.remember(
        facts.round,
        "training",
        {
            "seconds": result.seconds,
            "steps": result.steps,
            "samples": result.samples,
            "losses": [float(loss) for loss in result.losses],
            "update_norm": norm,
            "clipped_values": clipped,
            "largest": float(np.abs(delta).max(initial=0.0)),
        },
    )
    sealed_in = {"opening": _opening(facts), "deadlines": [facts.collect_by, facts.finalise_by]}
    ports.journal.remember(facts.round, "sealed", {**_sealed_json(update), **sealed_in})
    return (Sealed(update),)


def _seal(
    ports: Ports, state: RoundState, plan: Plan, delta: NDArray[np.float32], samples: int
) -> tuple[SealedUpdate, int]:
    """The stored update, and how many of its values were clipped."""
    facts, params = state.facts, ports.keys.joint.params
    layout = plan_layout(plan.architecture, len(plan.classes), plan.value_range)
    weight = own_weight(ports, plan, samples)
    seed = ports.secret_for(b"rounding" + facts.round.to_bytes(8, "big") + facts.base)
    limit = params.value_limit(state.members.count)
    carried = lost_before(ports, state, layout) if plan.error_feedback else None
    values = QuantisedUpdate(delta, weight, layout, limit, seed, carried)
    lock = UpdateLock.from_reveal(reveal_for(ports, state), ports.address, facts.epoch, facts.round)
    chunks, sent = seal_update(
        values, ports.keys.joint, lock, ports.blobs.store, lambda share: ports.progress("sealing", share)
    )
    if ports.policy.keep_quantised:
        again = QuantisedUpdate(delta, weight, layout, limit, seed, carried)
        ports.policy.keep_quantised(facts.round, np.concatenate(list(again)))
    if values.lost is not None:
        keep_lost(ports, state, layout, values.lost)
    manifest = UpdateManifest(
        consortium=ports.consortium.id,
        epoch=facts.epoch,
        round=facts.round,
        issuer=ports.address,
        parameter_set=params.id,
        layout=layout.digest,
        size=values.size,
        clipped=values.clipped,
        chunks=chunks,
    )
    data = manifest.to_bytes()
    ports.journal.note(facts.round, "upload_bytes", sent + len(data))
    update = SealedUpdate(
        manifest=ports.blobs.store.put(data),
        weight_ppm=weight,
        samples=samples,
        slots=plan.epochs,
        layout=layout.digest,
        parameter_set=params.id,
    )
    return update, values.clipped


def own_weight(ports: Ports, plan: Plan, samples: int) -> int:
    """This hospital's weight in parts per million (eq. 19); |d_i| is capped by the registered size."""
    sizes = ports.consortium.sizes
    cap = max(sizes[member] for member in ports.consortium.members)
    return contribution_weight(samples, sizes[ports.me], cap, plan.epochs, plan.epochs)


def post_update(ports: Ports, state: RoundState) -> tuple[Event, ...]:
    """Attach this hospital's update; the ledger announces it."""
    update = state.sealed
    if update is None:
        return ()
    body = UpdateBody(
        weight_ppm=update.weight_ppm,
        samples=update.samples,
        slots=update.slots,
        commitment=commit(reveal_for(ports, state)),
        parameter_set=update.parameter_set,
        layout=update.layout,
    )
    ports.ledger.post(
        Kind.UPDATE, body, epoch=state.facts.epoch, round_number=state.facts.round, payload=update.manifest
    )
    return ()


def approve(ports: Ports, state: RoundState, update: bytes) -> tuple[Event, ...]:
    """Attach an acknowledgement whose past cone holds an update this hospital checked."""
    body = AcknowledgementBody(reveal=None)
    ports.ledger.post(
        Kind.ACKNOWLEDGEMENT, body, epoch=state.facts.epoch, round_number=state.facts.round, approve=update
    )
    return ()


def close(ports: Ports, state: RoundState) -> tuple[Event, ...]:
    """Attach the acknowledgement that ends this member's list of updates, above all it has checked."""
    updates = [update.id for update in state.updates]
    ports.ledger.post_close(updates, epoch=state.facts.epoch, round_number=state.facts.round)
    return ()


def reveal(ports: Ports, state: RoundState) -> tuple[Event, ...]:
    """Attach an acknowledgement that reveals what this member committed to, if its update can still be listed.

    Raises:
        RoundProblem: Fewer than a quorum have closed above this member's update: revealing would show it in vain.
    """
    mine = next(update for update in state.updates if update.issuer == state.members.me)
    covered = ports.ledger.closers(mine.id)
    if covered < state.members.quorum:
        raise RoundProblem(
            f"the closes of {covered} members cover this hospital's update, {state.members.quorum} are needed"
        )
    body = AcknowledgementBody(reveal=reveal_for(ports, state))
    ports.ledger.post(Kind.ACKNOWLEDGEMENT, body, epoch=state.facts.epoch, round_number=state.facts.round)
    return ()


def _sealed_json(update: SealedUpdate) -> dict[str, object]:
    return {
        "manifest": update.manifest,
        "weight_ppm": update.weight_ppm,
        "samples": update.samples,
        "slots": update.slots,
        "layout": update.layout.hex(),
        "parameter_set": update.parameter_set.hex(),
    }


def _sealed_from(known: dict[str, object]) -> SealedUpdate:
    return SealedUpdate(
        manifest=str(known["manifest"]),
        weight_ppm=int(str(known["weight_ppm"])),
        samples=int(str(known["samples"])),
        slots=int(str(known["slots"])),
        layout=bytes.fromhex(str(known["layout"])),
        parameter_set=bytes.fromhex(str(known["parameter_set"])),
    )
