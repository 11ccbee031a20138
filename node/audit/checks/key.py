"""The joint key: its bytes have the digest the epoch was activated with, and say what the chain says of the epoch.

Where a cohort holds it, the cohort is drawn again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from chain.cohort import verify_cohort
from chain.errors import BadArgument, WrongCohort
from crypto.errors import CryptoError
from crypto.keys import JointKey
from dag.ids import sha256
from node.consortium.records import quorum_of

if TYPE_CHECKING:
    from node.audit.dossier import Dossier
    from node.audit.notes import Link
    from node.consortium.records import EpochView


def check(dossier: Dossier, link: Link) -> JointKey | None:
    """Read the joint key the statement names, compare it with the chain's epoch."""
    predicate, here = dossier.predicate, dossier.here
    epoch = here.epoch
    if epoch is None or epoch.joint_key is None:
        link.falsified(f"epoch {here.row.epoch}", "the chain has not activated this key epoch")
        return None
    _check_confirmations(epoch, link)
    _check_draw(dossier, epoch, link)
    if predicate is None:
        link.unchecked("", "the statement, which names the key's blob, could not be read")
        return None
    data = dossier.reader.read(predicate.joint_key.cid, f"the joint key of epoch {epoch.epoch}", link)
    if data is None:
        return None
    name = f"joint key {predicate.joint_key.cid}"
    if not link.equal(name, "its digest", sha256(data), epoch.joint_key):
        return None
    try:
        joint = JointKey.from_bytes(data, allow_minimal=True)
    except CryptoError as error:
        link.falsified(name, str(error))
        return None
    for what, found, expected in (
        ("consortium", joint.consortium, dossier.facts.deployment.consortium),
        ("epoch", joint.epoch, epoch.epoch),
        ("members", joint.members, len(epoch.members)),
        ("threshold", joint.threshold, epoch.threshold),
        ("parameter set", joint.params.id, epoch.parameter_set),
    ):
        link.equal(name, what, found, expected)
    return joint if link.clean else None


def _check_draw(dossier: Dossier, epoch: EpochView, link: Link) -> None:
    """A cohort that holds the key is the one that the rounds' seed draws; that seed, the lineage recomputes."""
    drawn, consortium = epoch.drawn, dossier.facts.deployment.consortium
    if drawn is None:
        return
    name = f"cohort of epoch {epoch.epoch}"
    seed = drawn.due_seed(consortium)
    link.equal(name, "the seed it was drawn by", drawn.seed, seed)
    try:
        verify_cohort(consortium, epoch.epoch, seed, drawn.candidates, epoch.seats)
    except (WrongCohort, BadArgument) as error:
        link.falsified(name, str(error))


def _check_confirmations(epoch: EpochView, link: Link) -> None:
    """At least T members and a quorum confirmed this very digest."""
    agreed = [m for m, digest in epoch.confirmations.items() if digest == epoch.joint_key and m in epoch.members]
    needed = max(epoch.threshold, quorum_of(len(epoch.members)))
    if len(agreed) < needed:
        link.falsified(f"epoch {epoch.epoch}", f"{len(agreed)} members confirmed the joint key, {needed} are needed")
