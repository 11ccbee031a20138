"""The partial openings: one from each member asked, about these sums. What they hold is sealed to the members."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dag.bodies import ShareBody
from node.audit.dossier import missing
from node.errors import LyingPeer
from node.rounds.records import ShareManifest

if TYPE_CHECKING:
    from node.audit.dossier import Dossier, Ledger
    from node.audit.notes import Link
    from node.rounds.statement import Predicate


def check(dossier: Dossier, link: Link) -> None:
    """Exactly the openers' shares, in the openers' order."""
    predicate, ledger, plan = dossier.predicate, dossier.ledger, dossier.plan
    if missing(link, statement=predicate, segment=ledger) or predicate is None or ledger is None:
        return
    if plan is not None:
        needed = plan.threshold_for(len(dossier.here.row.standing.members))
        link.equal("openers", "how many were asked", len(set(predicate.openers)), needed)
    if not set(predicate.openers) <= dossier.here.row.standing.members:
        link.falsified("openers", f"{predicate.openers} are not all members of the round")
    opened = [_check_one(dossier, predicate, ledger, tx_id, link) for tx_id in predicate.shares]
    if None not in opened:
        link.equal("openers", "whose shares were used", tuple(opened), predicate.openers)


def _check_one(dossier: Dossier, predicate: Predicate, ledger: Ledger, share: str, link: Link) -> int | None:
    """One share; the member it is by."""
    name, tx_id = f"share {share}", bytes.fromhex(share)
    found = ledger.transactions.get(tx_id)
    if found is None or not isinstance(found.body, ShareBody):
        link.falsified(name, "the ledger segment does not hold this share")
        return None
    link.equal(name, "round", found.round, dossier.here.number)
    link.equal(name, "proposal", found.body.proposal.hex(), predicate.proposal)
    link.equal(name, "member", found.body.member, ledger.issuers[tx_id])
    data = dossier.reader.read(found.payload or "", f"manifest of share {share[:16]}…", link)
    if data is not None:
        _check_manifest(dossier, predicate, name, data, found.body, link)
    return found.body.member


def _check_manifest(
    dossier: Dossier, predicate: Predicate, name: str, data: bytes, body: ShareBody, link: Link
) -> None:
    try:
        manifest = ShareManifest.from_bytes(data)
    except LyingPeer as error:
        link.falsified(name, str(error))
        return
    for what, expected in (
        ("consortium", dossier.facts.deployment.consortium),
        ("epoch", dossier.here.row.epoch),
        ("round", dossier.here.number),
        ("proposal", body.proposal),
        ("member", body.member),
    ):
        link.equal(name, f"its manifest's {what}", getattr(manifest, what), expected)
    link.equal(name, "sums it opens", len(manifest.groups), len(predicate.groups))
    for number, group in enumerate(manifest.groups):
        for index, cid in enumerate(group):
            dossier.reader.glance(cid, f"sealed opening {index} of group {number} by member {body.member}", link)
