"""The outcome: a quorum of members signed it (EIP-712), recovered here, and its seed material follows from the ledger."""

from __future__ import annotations

from typing import TYPE_CHECKING

from chain.errors import BadArgument
from chain.outcome import recover_outcome_signer
from chain.records import bitmap_members
from node.rounds.groups import seed_material

if TYPE_CHECKING:
    from chain.records import Outcome
    from node.audit.calls import Signed
    from node.audit.chainside import Finalised
    from node.audit.dossier import Dossier
    from node.audit.notes import Link


def check(dossier: Dossier, link: Link) -> None:
    """Recover every signer of what the finalising transaction carried, and compare it with what the chain made of it."""
    here = dossier.here
    if here.signed is None:
        link.unchecked(f"transaction 0x{here.tx.hex()}", f"its signatures cannot be verified: {here.why}")
        return
    _check_event(here, here.signed.outcome, link)
    _check_signatures(dossier, here.signed, link)
    _check_material(dossier, here.signed.outcome, link)


def _check_event(here: Finalised, outcome: Outcome, link: Link) -> None:
    """The contract recorded what was signed."""
    row = here.row
    for what, recorded, signed in (
        ("round", row.round, outcome.round),
        ("base", row.base, outcome.base),
        ("model", row.model, outcome.model),
        ("plan", row.plan, outcome.plan),
        ("leader", row.leader, outcome.leader),
        ("proposal", row.proposal, outcome.proposal),
        ("statement", row.statement, outcome.statement),
        ("signers", tuple(sorted(bitmap_members(row.signers))), here.signed.signers if here.signed else ()),
    ):
        link.equal(f"transaction 0x{here.tx.hex()}", f"the recorded {what}", recorded, signed)


def _check_signatures(dossier: Dossier, signed: Signed, link: Link) -> None:
    here = dossier.here
    valid: set[int] = set()
    for index, signature in zip(signed.signers, signed.signatures, strict=True):
        name = f"signature of member {index}"
        if index not in here.signatories.members:
            link.falsified(name, f"nobody had seat {index} when the round was finalised")
            continue
        try:
            signer = recover_outcome_signer(signed.outcome, signature, dossier.facts.deployment)
        except BadArgument as error:
            link.falsified(name, str(error))
            continue
        if link.equal(name, "its signer", signer.lower(), here.signatories.accounts[index].lower()):
            valid.add(index)
    if len(valid) < here.signing_quorum:
        link.falsified("signatures", f"{len(valid)} members signed this outcome, a quorum is {here.signing_quorum}")


def _check_material(dossier: Dossier, outcome: Outcome, link: Link) -> None:
    if dossier.reveals is None or dossier.ledger is None:
        link.unchecked("seed_material", "the reveals or the ledger segment could not be established")
        return
    expected = seed_material(dossier.reveals, dossier.ledger.cone.root)
    link.equal("seed_material", "what the round adds to the next seed", outcome.seed_material, expected)
