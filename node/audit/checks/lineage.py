"""The model is recorded on chain, and its ancestors lead back to the genesis model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from node.audit.notes import short
from node.errors import BadPlan
from node.learning.errors import LearningError
from node.learning.modelfile import model_hash
from node.rounds.plan import Plan
from node.rounds.steps.models import genesis_model

if TYPE_CHECKING:
    from node.audit.chainside import ChainFacts
    from node.audit.notes import Link
    from node.audit.reader import Reader
    from node.consortium.records import ModelView

_NONE: Final = bytes(32)


def check(facts: ChainFacts, model: bytes, reader: Reader, link: Link) -> tuple[int, ...]:
    """Walk from a model to the genesis model.

    Returns:
        The rounds that made the models on the way, ascending; empty where the model is unknown.
    """
    rounds: list[int] = []
    row = facts.view.models.get(model)
    if row is None:
        link.falsified(model.hex(), f"no round of this consortium was finalised with this model; {_known(facts)}")
        return ()
    while row is not None and row.parent != _NONE:
        rounds.append(row.round)
        _check_step(facts, row, link)
        parent = facts.view.models.get(row.parent)
        if parent is None or parent.round >= row.round:
            link.falsified(row.model.hex(), f"its parent {row.parent.hex()} is not an earlier model of this chain")
            row = None
        else:
            row = parent
    if row is not None:
        _check_genesis(facts, row, reader, link)
    return tuple(reversed(rounds))


def _known(facts: ChainFacts) -> str:
    return f"{len(facts.view.models)} models are recorded, the newest is {facts.view.head.hex() if facts.view.head else 'none'}"


def _check_step(facts: ChainFacts, row: ModelView, link: Link) -> None:
    """One model: ModelLedger's record, its event and its round agree."""
    name = f"model {short(row.model)}"
    record, made = facts.records.get(row.model), facts.finalised.get(row.round)
    if made is None:
        link.falsified(name, f"recorded for round {row.round}, which was not finalised")
        return
    if record is None:
        link.unchecked(name, "what ModelLedger holds of it: the call that recorded it is out of sight")
        return
    proposed = made.proposed
    for what, found, expected in (
        ("the base of its round", made.row.base, row.parent),
        ("the model of its round", made.row.model, row.model),
        ("the recorded parent", record.parent, row.parent),
        ("the recorded round", record.round, row.round),
        ("the recorded plan", record.plan, made.row.plan),
        ("the recorded leader", record.leader, made.row.leader),
        ("the recorded proposal", record.proposal, made.row.proposal),
        ("the statement of its event", row.statement, made.row.statement),
        ("the recorded statement", record.statement, made.row.statement),
        ("the recorded updates root", record.updates_root, proposed.updates_root if proposed else None),
        ("the recorded sums root", record.sums_root, proposed.sums_root if proposed else None),
    ):
        link.equal(name, what, found, expected)


def _check_genesis(facts: ChainFacts, row: ModelView, reader: Reader, link: Link) -> None:
    """The first model belongs to no round, is the only one without a parent, and is what its plan's seed draws."""
    name = f"genesis model {short(row.model)}"
    link.equal(name, "its round", row.round, 0)
    link.equal(name, "the first model recorded", next(iter(facts.view.models)), row.model)
    if row.model not in facts.records:
        link.unchecked(name, "its plan: the call that recorded it is out of sight")
        return
    data = reader.read_digest(facts.records[row.model].plan, "the plan of the genesis model", link)
    if data is None:
        return
    try:
        drawn = model_hash(genesis_model(Plan.from_bytes(data)))
    except BadPlan as error:
        link.falsified(name, f"its plan: {error}")
    except LearningError as error:
        link.unchecked(name, f"this software cannot draw its plan's initial model: {error}")
    else:
        link.equal(name, "the model its plan's seed draws", drawn, row.model)
