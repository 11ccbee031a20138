"""Who was summed with whom: drawn by seed and reveals, section by section, at least `min_group` together, and opened in one partition each."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from dag.bodies import AcknowledgementBody, ProposalBody, ShareBody, UpdateBody, commit
from node.audit.checks.past import results_before
from node.audit.dossier import missing
from node.rounds.groups import draw_partitions, group_seed
from node.rounds.history import Drawing, drawing
from node.rounds.sections import parts

if TYPE_CHECKING:
    from node.audit.dossier import Dossier, Ledger
    from node.audit.notes import Link
    from node.rounds.plan import Plan
    from node.rounds.statement import Predicate

    Partitions = tuple[tuple[int, ...], ...]


def check_reveals(dossier: Dossier, link: Link) -> tuple[bytes, ...] | None:
    """The revealed values in order of their transactions' ids; each opens the commitment in its issuer's update."""
    ledger = dossier.ledger
    if missing(link, segment=ledger) or ledger is None:
        return None
    commitments = {}
    for tx_id in ledger.proposal.updates:
        body = ledger.body(tx_id)
        if isinstance(body, UpdateBody):
            commitments[ledger.issuers[tx_id]] = body.commitment
    values = []
    for tx_id in ledger.proposal.reveals:
        name, body = f"reveal {tx_id.hex()}", ledger.body(tx_id)
        if not isinstance(body, AcknowledgementBody) or body.reveal is None:
            link.falsified(name, "the segment holds no acknowledgement of this id that reveals something")
            continue
        if tx_id not in ledger.cone.ids:
            link.falsified(name, "it is not in the proposal's past cone: it may have been made up afterwards")
        if commitments.get(ledger.issuers[tx_id]) != commit(body.reveal):
            link.falsified(
                name, f"it does not open a commitment of member {ledger.issuers[tx_id]} in an included update"
            )
        values.append(body.reveal)
    if len(ledger.proposal.reveals) != len(commitments):
        link.falsified(
            "reveals", f"{len(ledger.proposal.reveals)} for {len(commitments)} updates, expected one for each"
        )
    return tuple(values) if len(values) == len(ledger.proposal.reveals) else None


def check(dossier: Dossier, link: Link) -> None:
    """Draw the groups again from the round's seed, the updates' root and the reveals."""
    predicate, plan, ledger = dossier.predicate, dossier.plan, dossier.ledger
    reveals, sections = dossier.reveals, dossier.sections
    if missing(link, statement=predicate, plan=plan, segment=ledger, reveals=reveals):
        return
    if predicate is None or plan is None or ledger is None or reveals is None:
        return
    if not missing(link, sections=sections) and sections is not None:
        _check_sizes(predicate, plan, sections, link)
        _check_drawn(dossier, plan, ledger, reveals, sections, link)
    _check_differencing(dossier.here.number, ledger, link)


def _check_drawn(
    dossier: Dossier, plan: Plan, ledger: Ledger, reveals: tuple[bytes, ...], sections: int, link: Link
) -> None:
    """Draw every section's groups again, without those whom earlier rounds' results put under suspicion where the plan says so."""
    drawn_from = _drawing(dossier, plan, ledger, link)
    if drawn_from is None:
        return
    seats = [ledger.issuers.get(update) for update in ledger.proposal.updates]
    positions = frozenset(position for position, seat in enumerate(seats) if seat in drawn_from.left_out)
    seed = group_seed(dossier.here.row.seed, ledger.proposal.updates_root, reveals)
    try:
        drawn = draw_partitions(seed, len(seats), plan.min_group, positions, rest=drawn_from.rest, sections=sections)
    except ValueError as error:
        link.falsified("groups", str(error))
    else:
        _compare(ledger.proposal.groups, drawn, sections, link)


def _compare(proposed: Partitions, drawn: Partitions, sections: int, link: Link) -> None:
    """Name the sections whose groups are others."""
    if len(proposed) != len(drawn):
        link.equal("groups", "the partition proposed", proposed, drawn)
        return
    for number, (found, expected) in enumerate(zip(parts(proposed, sections), parts(drawn, sections), strict=True)):
        link.equal(_named(number, sections), "the partition proposed", found, expected)


def _named(section: int, sections: int) -> str:
    """The groups of a section, for people."""
    return "groups" if sections == 1 else f"groups of section {section}"


def _drawing(dossier: Dossier, plan: Plan, ledger: Ledger, link: Link) -> Drawing | None:
    if plan.defence == "votes":
        return Drawing()
    past = results_before(dossier, link)
    if past is None:
        link.unchecked("groups", "needs the results of earlier rounds, which could not be established")
        return None
    listed = frozenset(ledger.issuers[update] for update in ledger.proposal.updates if update in ledger.issuers)
    members = frozenset(dossier.here.row.standing.members)
    return drawing(past, members, listed, plan.min_group, plan.defence)


def unused_reveals(ledger: Ledger) -> int:
    """How many members whose update is included revealed inside the cone and were not used for the seed."""
    members = {ledger.issuers[tx_id] for tx_id in ledger.proposal.updates if tx_id in ledger.issuers}
    used = {ledger.issuers[tx_id] for tx_id in ledger.proposal.reveals if tx_id in ledger.issuers}
    revealed = set()
    for tx_id in ledger.cone.round_ids:
        body = ledger.body(tx_id)
        if isinstance(body, AcknowledgementBody) and body.reveal is not None:
            revealed.add(ledger.issuers[tx_id])
    return len((revealed & members) - used)


def _check_sizes(predicate: Predicate, plan: Plan, sections: int, link: Link) -> None:
    """In each section no update is in two groups, and no group is smaller than the plan allows: so no value of an update is in
    two sums. In one each, where nobody can be left out.
    """
    try:
        of_sections = parts(predicate.groups, sections)
    except ValueError as error:
        link.falsified("groups", str(error))
        of_sections = ()
    every = list(range(len(predicate.updates)))
    for section, groups in enumerate(of_sections):
        listed = sorted(position for group in groups for position in group.updates)
        name = _named(section, sections)
        if len(set(listed)) != len(listed) or not set(listed) <= set(every):
            link.falsified(name, f"they hold one of the {len(every)} updates twice, or one that is not listed")
        elif plan.defence == "votes" and listed != every:
            link.falsified(name, f"they do not hold each of the {len(every)} updates exactly once")
    for number, group in enumerate(predicate.groups):
        if len(group.updates) < plan.min_group:
            link.falsified(
                f"group {number}", f"it sums {len(group.updates)} updates, the plan demands at least {plan.min_group}"
            )


def _check_differencing(number: int, ledger: Ledger, link: Link) -> None:
    """No second partition of the round was opened: the difference of two sums could show fewer than `min_group`.

    A member that gave its share to one partition while the others opened another kept its promise, and below T shares
    nothing opens. Two of one member break the promise; T of another partition open it.
    """
    own = (ledger.proposal.updates_root, ledger.proposal.sums_root)
    opened: dict[int, set[tuple[bytes, bytes]]] = {}
    for tx_id, transaction in ledger.transactions.items():
        if transaction.round != number or not isinstance(transaction.body, ShareBody):
            continue
        proposal = ledger.body(transaction.body.proposal)
        if not isinstance(proposal, ProposalBody):
            continue
        member = ledger.issuers[tx_id]
        opened.setdefault(member, set()).add((proposal.updates_root, proposal.sums_root))
        if len(opened[member]) > 1:
            link.falsified(f"share {tx_id.hex()}", f"member {member} opened two partitions of this round's updates")
    needed = len(set(ledger.proposal.openers))
    for sums, count in Counter(each for of_one in opened.values() for each in of_one).items():
        if sums != own and count >= needed:
            link.falsified(f"sums {sums[1].hex()}", f"{count} members opened another partition of this round's updates")
