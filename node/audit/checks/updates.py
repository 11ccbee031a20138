"""The included updates: signed, weighed by eq. 19, under the root on chain, closed by a quorum and revealed; none left out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dag.bodies import Kind, ProposalBody, UpdateBody
from dag.errors import ProofFailed
from dag.proofs import merkle
from dag.weights import contribution_weight
from node.audit.cone import Cone
from node.audit.dossier import missing
from node.audit.locks import is_malformed, revealed
from node.audit.notes import short

if TYPE_CHECKING:
    from crypto.layout import Layout
    from node.audit.chainside import Finalised
    from node.audit.dossier import Dossier, Ledger
    from node.audit.notes import Link
    from node.rounds.plan import Plan
    from node.rounds.statement import Included, Predicate


def check(dossier: Dossier, link: Link) -> None:
    """Every included update for itself, then all of them together."""
    predicate, ledger = dossier.predicate, dossier.ledger
    if missing(link, statement=predicate, segment=ledger) or predicate is None or ledger is None:
        return
    issuers: set[str] = set()
    for included in predicate.updates:
        if included.issuer in issuers:
            link.falsified(f"update {included.id}", f"a second update of {included.issuer}")
        issuers.add(included.issuer)
        _check_one(dossier, ledger, included, link)
    _check_root(dossier.here, predicate, link)
    _check_listed(dossier, ledger, link)


def _check_one(dossier: Dossier, ledger: Ledger, included: Included, link: Link) -> None:
    """The signed transaction says what the statement says of it, and declares the weight that eq. 19 gives."""
    name, tx_id = f"update {included.id}", bytes.fromhex(included.id)
    found = ledger.transactions.get(tx_id)
    if found is None or not isinstance(found.body, UpdateBody):
        link.falsified(name, "the ledger segment does not hold this update")
        return
    body = found.body
    for what, stated, signed in (
        ("round", dossier.here.number, found.round),
        ("issuer", included.issuer, f"0x{found.issuer.hex()}"),
        ("weight_ppm", included.weight_ppm, body.weight_ppm),
        ("samples", included.samples, body.samples),
        ("manifest", included.manifest, found.payload),
    ):
        link.equal(name, what, stated, signed)
    if dossier.plan is None:
        link.unchecked(name, "its weight: the plan could not be read")
        return
    _check_terms(dossier.plan, dossier.layout, name, body, link)
    _check_weight(dossier.here, dossier.plan, name, body, ledger.issuers[tx_id], link)


def _check_terms(plan: Plan, layout: Layout | None, name: str, body: UpdateBody, link: Link) -> None:
    if layout is not None:
        link.equal(name, "layout", body.layout, layout.digest)
    if body.slots > plan.epochs:
        link.falsified(name, f"declares {body.slots} slots, the plan allows {plan.epochs}")


def _check_weight(here: Finalised, plan: Plan, name: str, body: UpdateBody, issuer: int, link: Link) -> None:
    slots, size = min(body.slots, plan.epochs), here.row.sizes[issuer]
    largest = max(here.row.sizes[seat] for seat in here.row.standing.members)
    weight = contribution_weight(body.samples, size, largest, slots, plan.epochs)
    link.equal(name, f"weight_ppm (eq. 19: {body.samples} samples, {size} registered)", body.weight_ppm, weight)


def _check_root(here: Finalised, predicate: Predicate, link: Link) -> None:
    """An inclusion proof for each update against the root that the leader put on chain."""
    if here.proposed is None:
        link.unchecked("", "inclusion: the chain records no such proposal")
        return
    ids = [bytes.fromhex(update.id) for update in predicate.updates]
    for position, tx_id in enumerate(ids):
        try:
            merkle.verify_inclusion(here.proposed.updates_root, tx_id, merkle.inclusion_proof(ids, position))
        except ProofFailed as error:
            link.falsified(f"update {tx_id.hex()}", f"is not under the updates root on chain: {error}")


def _check_listed(dossier: Dossier, ledger: Ledger, link: Link) -> None:
    """Every included update may be listed by the proposal's past cone, and every sound update that may be is included.

    A fail-over proposal may repeat others of the round word for word: that one of them obeyed this rule is enough.
    """
    here = dossier.here
    earlier = _repeated(here, ledger)
    if any(_obeys(dossier, ledger, cone, link) for cone in (ledger.cone, *earlier)):
        return
    basis = next(iter(earlier), ledger.cone)
    left_out, slipped_in = _difference(basis, ledger, here.quorum)
    for tx_id in slipped_in:
        link.falsified(
            f"update {tx_id.hex()}",
            f"no quorum of {here.quorum} closed above it inside the proposal's past cone, or it is not revealed there",
        )
    for tx_id in left_out:
        name = f"update {tx_id.hex()}"
        if basis.head == ledger.cone.head and _repeats_unseen(here, ledger):
            link.unchecked(name, "left out by a repeated proposal whose first form is not in the segment")
            continue
        malformed = is_malformed(dossier, tx_id, link)
        if malformed is None:
            link.unchecked(name, "left out; whether what it locked is an update could not be told")
        elif not malformed:
            link.falsified(name, f"could be listed and was left out of proposal {short(basis.head)}")


def _difference(cone: Cone, ledger: Ledger, quorum: int) -> tuple[list[bytes], list[bytes]]:
    """(may be listed but is not included, included but may not be listed), by one proposal's cone."""
    known = tuple(
        sorted(
            tx_id
            for tx_id, transaction in ledger.transactions.items()
            if transaction.kind is Kind.UPDATE and transaction.round == cone.round
        )
    )
    closing, opened = cone.closing(known), revealed(ledger, cone)
    may_be = {tx_id for tx_id in known if tx_id in opened and len(closing[tx_id]) >= quorum}
    included = set(ledger.proposal.updates)
    return sorted(may_be - included), sorted(included - may_be)


def _obeys(dossier: Dossier, ledger: Ledger, cone: Cone, link: Link) -> bool:
    """Whether the listed updates are all that may be listed by a cone, but for what is no update."""
    left_out, slipped_in = _difference(cone, ledger, dossier.here.quorum)
    return not slipped_in and all(is_malformed(dossier, tx_id, link) for tx_id in left_out)


def _repeated(here: Finalised, ledger: Ledger) -> list[Cone]:
    """The cones of the proposals on chain, in this one's cone, that list the same: it may repeat each of them."""
    recorded = {row.proposal for row in here.row.proposals}
    found = []
    for tx_id in ledger.cone.round_ids:
        body = ledger.body(tx_id)
        if tx_id in recorded - {ledger.cone.head} and isinstance(body, ProposalBody) and _same(body, ledger.proposal):
            found.append(Cone(ledger.transactions, ledger.issuers, tx_id))
    return found


def _same(one: ProposalBody, other: ProposalBody) -> bool:
    return one.updates == other.updates and one.reveals == other.reveals


def _repeats_unseen(here: Finalised, ledger: Ledger) -> bool:
    """Whether the chain records an earlier proposal of this round with the same updates that the segment lacks."""
    own = here.proposed
    return own is not None and any(
        earlier.updates_root == own.updates_root and earlier.proposal not in ledger.transactions
        for earlier in here.row.proposals[: here.row.proposals.index(own)]
    )
