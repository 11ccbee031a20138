"""The round's plan: its bytes are what the chain names; encryption parameters and threshold are the key epoch's."""

from __future__ import annotations

from typing import TYPE_CHECKING

from crypto.errors import CryptoError
from crypto.parameters import parameter_set
from node.errors import BadPlan
from node.learning.errors import LearningError
from node.rounds.plan import Plan
from node.sealing.quantising import plan_layout

if TYPE_CHECKING:
    from crypto.layout import Layout
    from node.audit.dossier import Dossier
    from node.audit.notes import Link


def check(dossier: Dossier, link: Link) -> Plan | None:
    """Read the plan by the digest on chain; compare it with key epoch and statement."""
    here = dossier.here
    data = dossier.reader.read_digest(here.row.plan, f"the plan of round {here.number}", link)
    if data is None:
        return None
    name = f"plan {here.row.plan.hex()[:16]}…"
    try:
        plan = Plan.from_bytes(data)
    except BadPlan as error:
        link.falsified(name, str(error))
        return None
    if here.epoch is None:
        link.falsified(name, f"the round names key epoch {here.row.epoch}, which the chain does not have")
    else:
        wanted = parameter_set(plan.parameter_set, allow_minimal=True).id
        link.equal(name, "the key epoch's parameter set", here.epoch.parameter_set, wanted)
        link.equal(name, "threshold", plan.threshold_for(len(here.epoch.members)), here.epoch.threshold)
    if dossier.predicate is not None:
        link.equal(name, "min_group", plan.min_group, dossier.predicate.min_group)
        link.equal(name, "parameter_set", plan.parameter_set, dossier.predicate.parameter_set)
    return plan


def layout(plan: Plan, link: Link) -> Layout | None:
    """The layout manifest the plan implies; None where this software does not know its network."""
    try:
        return plan_layout(plan.architecture, len(plan.classes), plan.value_range)
    except (LearningError, CryptoError) as error:
        link.unchecked(plan.name, f"the layout of its updates cannot be derived: {error}")
        return None
