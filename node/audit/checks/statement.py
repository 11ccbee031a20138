"""The round's statement: its bytes are what the chain names, and each of its fields that the chain knows agrees."""

from __future__ import annotations

from typing import TYPE_CHECKING

from node.errors import LyingPeer
from node.rounds.groups import tolerated_colluders
from node.rounds.statement import Predicate, Statement

if TYPE_CHECKING:
    from collections.abc import Iterator

    from node.audit.dossier import Dossier
    from node.audit.notes import Link


def check(dossier: Dossier, link: Link) -> Predicate | None:
    """Read the statement by the digest on chain and compare it with the chain, field by field."""
    row = dossier.here.row
    if row.statement is None:
        link.falsified("", "the chain names no statement")
        return None
    data = dossier.reader.read_digest(row.statement, f"the statement of round {row.round}", link)
    if data is None:
        return None
    try:
        statement = Statement.from_bytes(data)
    except LyingPeer as error:
        link.falsified(row.statement.hex(), str(error))
        return None
    predicate = statement.predicate
    name = f"statement {row.statement.hex()[:16]}…"
    link.equal(name, "subject name", statement.subject[0].name, f"medweave-model-round-{row.round}")
    for field, expected in _expected(dossier):
        found = predicate
        for part in field.split("."):
            found = getattr(found, part)
        link.equal(name, field, found, expected)
    _check_itself(predicate, name, link)
    return predicate


def _expected(dossier: Dossier) -> Iterator[tuple[str, object]]:
    """Every field that the chain knows, with what it says."""
    here, deployment = dossier.here, dossier.facts.deployment
    row, proposed, epoch = here.row, here.proposed, here.epoch
    yield "consortium", deployment.consortium.hex()
    yield "chain_id", deployment.chain_id
    yield "contract", deployment.rounds.lower()
    yield "round", row.round
    yield "epoch", row.epoch
    yield "seed", row.seed.hex()
    yield "plan", row.plan.hex()
    yield "base", row.base.hex()
    yield "leader", (row.leader or "").lower()
    yield "proposal", (row.proposal or b"").hex()
    yield "model.sha256", (row.model or b"").hex()
    if proposed is not None:
        yield "updates_root", proposed.updates_root.hex()
        yield "sums_root", proposed.sums_root.hex()
    if here.signed is not None:
        yield "seed_material", here.signed.outcome.seed_material.hex()
    if epoch is not None and epoch.joint_key is not None:
        yield "joint_key.digest", epoch.joint_key.hex()
    if dossier.params is not None:
        yield "parameter_set", dossier.params.name


def _check_itself(predicate: Predicate, name: str, link: Link) -> None:
    """What follows from the statement's own lists."""
    ids = [update.id for update in predicate.updates]
    if ids != sorted(set(ids)):
        link.falsified(name, "its updates are not in ascending order of id, each once")
    verdicts = [verdict.id for verdict in predicate.verdicts]
    if verdicts != sorted(set(verdicts)):
        link.falsified(name, "its verdicts are not in ascending order of id, each once")
    tolerated = tolerated_colluders(len(group.updates) for group in predicate.groups)
    link.equal(name, "colluders_tolerated", predicate.colluders_tolerated, tolerated)
