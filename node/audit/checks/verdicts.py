"""The verdicts: a quorum of members scored these very sums, and the decision follows from their votes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dag.bodies import VerdictBody
from node.audit.dossier import missing
from node.rounds.decision import acceptable, accepted_groups
from node.rounds.state import Verdict

if TYPE_CHECKING:
    from node.audit.dossier import Dossier, Ledger
    from node.audit.notes import Link
    from node.rounds.plan import Plan
    from node.rounds.statement import Predicate


def check(dossier: Dossier, link: Link) -> tuple[VerdictBody, ...]:
    """Count the votes again; the verdicts that count."""
    predicate, ledger = dossier.predicate, dossier.ledger
    if missing(link, statement=predicate, segment=ledger) or predicate is None or ledger is None:
        return ()
    votes, bodies, issuers = [], [], set()
    for verdict in predicate.verdicts:
        tx_id = bytes.fromhex(verdict.id)
        body = _body(dossier, predicate, ledger, tx_id, verdict.issuer, link)
        if body is None:
            continue
        issuer = ledger.issuers[tx_id]
        if issuer in issuers:
            link.falsified(f"verdict {verdict.id}", f"a second verdict of member {issuer} is counted")
        issuers.add(issuer)
        votes.append(Verdict(tx_id, issuer, body.proposal, body.accept, body.alignment_ppm, body.descent_ppm))
        bodies.append(body)
    if len(issuers) < dossier.here.quorum:
        link.falsified("verdicts", f"{len(issuers)} members' verdicts hold, a quorum is {dossier.here.quorum}")
    stated = tuple(group.accepted for group in predicate.groups)
    if not missing(link, plan=dossier.plan) and dossier.plan is not None:
        compared_by = dossier.here.quorum if dossier.plan.defence == "suspicion" else None
        _check_decision(stated, votes, compared_by, dossier.sections, link)
    if not any(stated):
        link.equal("decision", "the model where no group was accepted", predicate.model.sha256, predicate.base)
    return tuple(bodies)


def _check_decision(
    stated: tuple[bool, ...], votes: list[Verdict], compared_by: int | None, sections: int | None, link: Link
) -> None:
    """Decide again; sums are compared with those of their own section."""
    if missing(link, sections=sections) or sections is None:
        return
    try:
        accepted = accepted_groups(votes, len(stated), compared_by, sections)
    except ValueError as error:
        link.falsified("decision", str(error))
        return
    link.equal("decision", "which groups entered the model", stated, accepted)


def contradicting(plan: Plan, bodies: tuple[VerdictBody, ...]) -> int:
    """How many votes are not what their own scores and the plan's tolerance give; the rules count them all the same."""
    tolerance = float(plan.tolerance)
    return sum(
        vote != acceptable(body.base_ppm, score, tolerance)
        for body in bodies
        for vote, score in zip(body.accept, body.scores_ppm, strict=True)
    )


def _body(
    dossier: Dossier, predicate: Predicate, ledger: Ledger, tx_id: bytes, issuer: str, link: Link
) -> VerdictBody | None:
    """One counted verdict, if it is a member's about these sums."""
    name, found = f"verdict {tx_id.hex()}", ledger.transactions.get(tx_id)
    if found is None or not isinstance(found.body, VerdictBody):
        link.falsified(name, "the ledger segment does not hold this verdict")
        return None
    good = link.equal(name, "issuer", issuer, f"0x{found.issuer.hex()}")
    good &= link.equal(name, "round", found.round, dossier.here.number)
    good &= link.equal(name, "votes", len(found.body.accept), len(predicate.groups))
    same_sums = {p.proposal for p in dossier.here.row.proposals if p.sums_root.hex() == predicate.sums_root}
    if found.body.proposal.hex() != predicate.proposal and found.body.proposal not in same_sums:
        link.falsified(name, f"it is about proposal {found.body.proposal.hex()}, whose sums are not these")
        good = False
    return found.body if good else None
