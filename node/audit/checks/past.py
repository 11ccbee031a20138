"""What rounds before this one say of their sums, from the statements the chain names: who may be left out follows from it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from node.audit.chainside import seats_of
from node.errors import LyingPeer
from node.rounds.history import result_of
from node.rounds.segment import unpack_segment
from node.rounds.statement import Statement
from node.rounds.suspicion import WINDOW

if TYPE_CHECKING:
    from node.audit.chainside import Finalised
    from node.audit.dossier import Dossier
    from node.audit.notes import Link
    from node.rounds.suspicion import RoundResult


def results_before(dossier: Dossier, link: Link) -> tuple[RoundResult, ...] | None:
    """The results of the finalised rounds before this one, oldest first; None, with the reason noted, where one is out of reach."""
    numbers = [number for number in sorted(dossier.facts.finalised) if number < dossier.here.number][-WINDOW:]
    found = [_result(dossier, dossier.facts.finalised[number], link) for number in numbers]
    known = [result for result in found if result is not None]
    return tuple(known) if len(known) == len(found) else None


def _result(dossier: Dossier, past: Finalised, link: Link) -> RoundResult | None:
    name = f"round {past.number}, whose results decide who is summed in this one"
    statement = dossier.reader.read_digest(past.row.statement or bytes(32), f"the statement of {name}", link)
    if statement is None:
        return None
    try:
        predicate = Statement.from_bytes(statement).predicate
        every = range(len(predicate.updates))
        if any(position not in every for group in predicate.groups for position in group.updates):
            link.falsified(name, f"its groups hold an update that is not one of its {len(every)}")
            return None
        segment = dossier.reader.read(predicate.segment, f"the ledger segment of {name}", link)
        if segment is None:
            return None
        result = result_of(predicate, {tx.id: tx.body for tx in unpack_segment(segment)}, seats_of(past.row))
    except LyingPeer as error:
        link.falsified(name, str(error))
        return None
    if len(result.groups) % result.sections:
        link.falsified(name, f"its {len(result.groups)} groups are not as many in each of {result.sections} sections")
        return None
    return result
