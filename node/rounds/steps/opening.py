"""Steps 7 and 8: release partial openings once per round, combine T of them, score each group's sum."""

from __future__ import annotations

import logging
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING

from crypto.errors import CryptoError, OpeningFailed
from dag.bodies import Kind, ShareBody, VerdictBody
from dag.ids import sha256
from node.errors import LyingPeer, RoundProblem
from node.learning.layouts import model_bytes
from node.learning.modelfile import model_hash
from node.rounds import blame
from node.rounds.decision import PPM, acceptable, sectioned_model
from node.rounds.records import ShareManifest, SumManifest
from node.rounds.sections import parts
from node.rounds.state import Scored, Scores
from node.rounds.steps.judging import over_bound, pointing
from node.rounds.steps.models import load_model
from node.rounds.steps.shape import sections_of, steps_of
from node.sealing.openings import OpeningContext, open_sum, release_openings, verify_openings

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from node.rounds.plan import Plan
    from node.rounds.ports import Ports
    from node.rounds.state import Event, Proposal, RoundState, Share


log = logging.getLogger("medweave.rounds")


def partition_digest(proposal: Proposal) -> bytes:
    """What a member promises to open only one of in a round: exactly these groups of exactly these updates."""
    return sha256(proposal.updates_root + proposal.sums_root)


def release_share(ports: Ports, state: RoundState, proposal: Proposal) -> tuple[Event, ...]:
    """Post this member's partial openings of every sum, sealed to the members.

    The promise is durable first: in one round a member opens one partition of the updates into groups and no other, so
    no two opened sums can differ by fewer than `min_group` updates, across retries, leaders and crashes.

    All openings of a proposal are made with shares of the generation that was in force when the chain recorded it. Whose
    share was refreshed since cannot take part any more; the next leader's proposal is opened with the new shares.

    Raises:
        PolicyRefusal: Another partition was opened in this round.
        RoundProblem: This member's share is of another generation than the proposal asks for.
    """
    facts, share = state.facts, ports.keys.member
    asked = ports.generation_at(facts.round, proposal.id)
    if asked not in {None, share.generation}:
        raise RoundProblem(
            f"proposal {proposal.id.hex()[:16]}… was recorded under generation {asked} of epoch {facts.epoch}'s shares, "
            f"this hospital's is of generation {share.generation}; the next leader's proposal will be opened"
        )
    ports.journal.promise(facts.round, "opened", partition_digest(proposal))
    started = time.monotonic()
    groups = []
    sent = 0
    for number, cid in enumerate(proposal.sums):
        chunks = SumManifest.from_bytes(ports.blobs.obtain(cid)).chunks
        context = share_context(ports, state, proposal, ports.me, number)
        openers = [ports.consortium.position(member) for member in proposal.openers]
        cids, size = release_openings(chunks, share, openers, context, ports.blobs)
        groups.append(cids)
        sent += size
    manifest = ShareManifest(
        consortium=ports.consortium.id,
        epoch=facts.epoch,
        round=facts.round,
        proposal=proposal.id,
        member=ports.me,
        groups=tuple(groups),
    )
    payload = ports.blobs.store.put(manifest.to_bytes())
    ports.journal.note(facts.round, "share_bytes", sent)
    ports.journal.note(facts.round, "share_seconds", time.monotonic() - started)
    body = ShareBody(proposal=proposal.id, member=ports.me)
    ports.ledger.post(Kind.SHARE, body, epoch=facts.epoch, round_number=facts.round, payload=payload)
    return ()


def share_context(ports: Ports, state: RoundState, proposal: Proposal, member: int, group: int) -> OpeningContext:
    """What a member's openings of one of a proposal's sums are bound to."""
    issuer = ports.consortium.addresses[member]
    return OpeningContext(state.facts.epoch, state.facts.round, proposal.id, group, issuer)


def open_and_score(ports: Ports, state: RoundState, proposal: Proposal) -> tuple[Event, ...]:
    """Combine the shares, apply each group's mean to the base, measure on this hospital's held-out images.

    A group's sum is one of its section alone: beside it, all sums of the other sections that are not too long are applied.
    """
    plan = state.plan
    if plan is None:
        return ()
    started = time.monotonic()
    shares = state.shares_for(proposal)
    sums = _opened_or_noted(ports, state, proposal, shares)
    ports.journal.note(state.facts.round, "open_seconds", time.monotonic() - started)
    started = time.monotonic()
    base = load_model(ports, state.facts.base)
    before = ports.learner.score(plan, base)
    base_ppm = round(before.accuracy * PPM)
    broken = over_bound(ports, state, plan, proposal, sums)
    scores = []
    for number in range(len(proposal.groups)):
        if broken[number]:
            scores.append(0)
            continue
        accepted = _tried(number, broken, len(sections_of(plan, ports.keys.joint.params)))
        candidate = derive_vector(ports, state, proposal, sums, accepted, base)
        scores.append(round(ports.learner.score(plan, candidate).accuracy * PPM))
    accept = tuple(acceptable(base_ppm, score, float(plan.tolerance)) for score in scores)
    ports.journal.note(state.facts.round, "score_seconds", time.monotonic() - started)
    ids = tuple(share.id for share in shares)
    where = pointing(ports, state, plan, proposal, sums, base, broken)
    return (Scored(Scores(proposal.id, ids, base_ppm, tuple(scores), accept, before.n, *where)),)


def _tried(number: int, broken: tuple[bool, ...], sections: int) -> tuple[bool, ...]:
    """Which sums make the model by which one of them is scored: it alone in its section, and all others' that are not too long."""
    return tuple(
        group == number if number in part else not broken[group]
        for part in parts(range(len(broken)), sections)
        for group in part
    )


def _opened_or_noted(
    ports: Ports, state: RoundState, proposal: Proposal, shares: tuple[Share, ...]
) -> tuple[NDArray[np.int64], ...]:
    """`open_sums`; which openers failed, and which then did not, is remembered: `node.rounds.blame`."""
    number = state.facts.round
    try:
        sums = open_sums(ports, state, proposal, shares)
    except OpeningFailed:
        blame.note_failure(ports.journal, number, proposal.openers)
        raise
    blame.note_success(ports.journal, number, proposal.openers)
    found = blame.recent_suspects(ports.journal, number)
    if ports.journal.recall(number, blame.FACT) is not None:
        name = blame.named(found)
        said = f"member {name}" if name is not None else f"one of the members {sorted(found)}"
        log.warning("round %d: an opening was wrong: %s sent it, if one member alone lies", number, said)
    return sums


def open_sums(
    ports: Ports, state: RoundState, proposal: Proposal, shares: tuple[Share, ...]
) -> tuple[NDArray[np.int64], ...]:
    """The opened integer sum of every group, int64 [length of its section] each.

    Raises:
        LyingPeer: A share's manifest is not the one its transaction is about, or what it points to is no opening; the
            evidence names the share.
        CryptoError: The openings do not open the sums, and none of them is malformed.
    """
    if proposal.sums_root in ports.opened:
        return ports.opened[proposal.sums_root]
    with ThreadPoolExecutor(max(1, len(shares)), thread_name_prefix="fetch") as pool:
        found = list(pool.map(lambda share: _fetched(ports, state, proposal, share), shares))
    manifests = {share.member: manifest for share, manifest in zip(shares, found, strict=True)}
    opened = []
    for number, cid in enumerate(proposal.sums):
        chunks = SumManifest.from_bytes(ports.blobs.obtain(cid)).chunks
        place = ports.consortium.position
        sealed = {place(member): manifest.groups[number] for member, manifest in manifests.items()}
        contexts = {place(member): share_context(ports, state, proposal, member, number) for member in manifests}
        makers = {place(member): _maker(ports, member) for member in manifests}
        fetched = partial(_stream, ports, sealed, makers)
        try:
            opened.append(open_sum(chunks, sealed, contexts, ports.keys.member, ports.blobs, fetched))
        except CryptoError:
            for share in shares:
                _verify_share(ports, share, chunks, sealed, contexts)
            raise
    ports.opened[proposal.sums_root] = tuple(opened)
    return ports.opened[proposal.sums_root]


def _verify_share(
    ports: Ports,
    share: Share,
    chunks: Sequence[str],
    sealed: Mapping[int, Sequence[str]],
    contexts: Mapping[int, OpeningContext],
) -> None:
    """Demand that a share's openings of one sum have the form of openings; whether they are right only the sum shows.

    Raises:
        LyingPeer: One has not; the evidence names the share.
    """
    place = ports.consortium.position(share.member)
    try:
        verify_openings(chunks, sealed[place], contexts[place], (place, tuple(sealed)), ports.keys.member, ports.blobs)
    except CryptoError as error:
        raise LyingPeer(
            f"share {share.id.hex()[:16]}… of member {share.member} holds no openings: {error}", share=share.id.hex()
        ) from error


def _fetched(ports: Ports, state: RoundState, proposal: Proposal, share: Share) -> ShareManifest:
    """A share's manifest, checked; asked of whoever made it first."""
    data = ports.blobs.obtain(share.manifest, _maker(ports, share.member))
    return _share_manifest(state, ports, proposal, share, data)


def _maker(ports: Ports, member: int) -> str | None:
    """Where a member's node is, which has what it made; None for this hospital's own."""
    return None if member == ports.me else ports.url_of(member)


def _stream(
    ports: Ports, sealed: Mapping[int, Sequence[str]], makers: Mapping[int, str | None], opener: int
) -> Iterator[bytes]:
    """One opener's sealed openings of a sum: combined while the next ones are on their way."""
    return ports.blobs.stream(sealed[opener], makers[opener])


def _share_manifest(state: RoundState, ports: Ports, proposal: Proposal, share: Share, data: bytes) -> ShareManifest:
    try:
        manifest = ShareManifest.from_bytes(data)
    except LyingPeer as error:
        raise LyingPeer(
            f"share {share.id.hex()[:16]}… of member {share.member}: {error}", share=share.id.hex()
        ) from error
    facts = state.facts
    expected = (ports.consortium.id, facts.epoch, facts.round, proposal.id, share.member, len(proposal.groups))
    found = (manifest.consortium, manifest.epoch, manifest.round, manifest.proposal, manifest.member)
    if (*found, len(manifest.groups)) != expected:
        raise LyingPeer(
            f"share {share.id.hex()[:16]}… of member {share.member}: its manifest is about something else",
            share=share.id.hex(),
            manifest=share.manifest,
        )
    return manifest


def derive_vector(
    ports: Ports,
    state: RoundState,
    proposal: Proposal,
    sums: tuple[NDArray[np.int64], ...],
    accepted: tuple[bool, ...],
    base: NDArray[np.float32],
) -> NDArray[np.float32]:
    """Base plus the weighted mean over each section's accepted groups; the same bytes at every member. float32 [D]."""
    plan = state.plan
    if plan is None:
        raise LyingPeer("a model cannot be derived before its plan is known")
    weights = {u.id: u.weight_ppm for u in state.updates}
    totals = [sum(weights[proposal.updates[i]] for i in group) for group in proposal.groups]
    params = ports.keys.joint.params
    steps = steps_of(plan, params, state.members.count)
    return sectioned_model(base, sums, totals, accepted, steps, sections_of(plan, params))


def model_file(plan: Plan, vector: NDArray[np.float32]) -> tuple[bytes, bytes]:
    """The canonical model file of a parameter vector and its hash."""
    data = model_bytes(vector, plan.architecture, len(plan.classes))
    return data, model_hash(data)


def post_verdict(ports: Ports, state: RoundState) -> tuple[Event, ...]:
    """Attach this hospital's scores to the ledger."""
    scores = state.scores
    if scores is None:
        return ()
    body = VerdictBody(
        proposal=scores.proposal,
        scores_ppm=scores.scores_ppm,
        base_ppm=scores.base_ppm,
        accept=scores.accept,
        samples=scores.samples,
        alignment_ppm=scores.alignment_ppm,
        descent_ppm=scores.descent_ppm,
    )
    ports.ledger.post(Kind.VERDICT, body, epoch=state.facts.epoch, round_number=state.facts.round)
    return ()
