"""What earlier rounds' ledgers say of their opened sums: what suspicion follows from.

Read from the statements the chain names and the segments these name, so that every member, whoever joined later, and every
auditor reads the same. Rounds are read once: a statement's digest fixes what is read.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from dag.bodies import VerdictBody
from node.errors import LyingPeer
from node.rounds.groups import listed_seats
from node.rounds.sections import count_of
from node.rounds.segment import unpack_segment
from node.rounds.statement import Statement
from node.rounds.suspicion import WINDOW, GroupResult, RoundResult, excluded, rests
from node.storage import raw_cid

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from dag.bodies import Body
    from node.rounds.statement import Predicate


@dataclass(frozen=True)
class PastRound:
    """A finalised round as the chain tells it."""

    round: int
    statement: bytes
    """Digest of its statement."""
    seats: Mapping[bytes, int]
    """Seat by account (20 bytes), as they were in that round."""


@dataclass(frozen=True)
class Drawing:
    """How a round's updates are shared out, beside its seed: what follows from earlier rounds."""

    left_out: frozenset[int] = frozenset()
    """Seats under suspicion, whose updates are listed and not summed."""
    rest: bool = False
    """Whether a single group leaves out one more, that the seed chooses."""


def drawing(
    past: Sequence[RoundResult], members: frozenset[int], listed: frozenset[int], min_group: int, defence: str
) -> Drawing:
    """What earlier rounds say about who is summed in the next one.

    Args:
        past: Results of the finalised rounds before it, oldest first.
        members: Seats of its members.
        listed: Seats whose updates are listed.
        min_group: The plan's.
        defence: The plan's; with `votes` nobody is left out.
    """
    if defence == "votes":
        return Drawing()
    out = excluded(past, members, listed, min_group)
    return Drawing(out, rests(past, out))


def results_of(
    past: Sequence[PastRound], obtain: Callable[[str], bytes], known: dict[bytes, RoundResult]
) -> tuple[RoundResult, ...]:
    """The results of the newest finalised rounds, oldest first.

    Args:
        past: All finalised rounds before the one under way, oldest first.
        obtain: Gets a blob by its CID.
        known: What was read before, by digest of the statement; what is read now is added.

    Raises:
        StorageError: A statement or segment cannot be had yet.
        LyingPeer: It is not what a statement or segment is.
    """
    recent = list(past)[-WINDOW:]
    for row in recent:
        if row.statement not in known:
            predicate = Statement.from_bytes(obtain(raw_cid(row.statement))).predicate
            listed = unpack_segment(obtain(predicate.segment))
            known[row.statement] = result_of(predicate, {tx.id: tx.body for tx in listed}, row.seats)
    return tuple(known[row.statement] for row in recent)


def result_of(predicate: Predicate, bodies: Mapping[bytes, Body], seats: Mapping[bytes, int]) -> RoundResult:
    """What one finalised round says of its groups.

    Args:
        predicate: Its statement's.
        bodies: The bodies of its segment's transactions, by id.
        seats: Seat by account, as they were in that round.

    Raises:
        LyingPeer: The segment lacks a verdict that the statement counts, or the statement names no member.
    """
    issuers = [bytes.fromhex(update.issuer.removeprefix("0x")) for update in predicate.updates]
    by_position = [_seat(predicate.round, issuer, seats) for issuer in issuers]
    counted: list[VerdictBody] = []
    stating: list[int] = []
    for verdict in predicate.verdicts:
        body = bodies.get(bytes.fromhex(verdict.id))
        if not isinstance(body, VerdictBody) or len(body.scores_ppm) != len(predicate.groups):
            raise LyingPeer(
                f"round {predicate.round}: its segment lacks verdict {verdict.id[:16]}…", verdict=verdict.id
            )
        counted.append(body)
        if body.alignment_ppm:
            stating.append(_seat(predicate.round, bytes.fromhex(verdict.issuer.removeprefix("0x")), seats))
    groups = tuple(
        group_result(listed_seats(by_position, group.updates), group.accepted, number, counted)
        for number, group in enumerate(predicate.groups)
    )
    summed = {seat for group in groups for seat in group.members}
    sections = count_of(group.updates for group in predicate.groups)
    if len(groups) % sections:
        raise LyingPeer(f"round {predicate.round}: {len(groups)} groups are not as many in each of {sections} sections")
    return RoundResult(groups, tuple(stating), tuple(sorted(set(by_position) - summed)), sections)


def _seat(number: int, issuer: bytes, seats: Mapping[bytes, int]) -> int:
    if issuer not in seats:
        raise LyingPeer(f"round {number}: 0x{issuer.hex()} was no member", issuer=issuer.hex())
    return seats[issuer]


def group_result(members: tuple[int, ...], accepted: bool, number: int, verdicts: Sequence[VerdictBody]) -> GroupResult:
    """What a round's counted verdicts say of its group `number`."""
    return GroupResult(
        members,
        accepted,
        broken=2 * sum(body.scores_ppm[number] == 0 for body in verdicts) > len(verdicts),
        gains_ppm=tuple(body.scores_ppm[number] - body.base_ppm for body in verdicts),
        alignments_ppm=tuple(body.alignment_ppm[number] for body in verdicts if body.alignment_ppm),
        descents_ppm=tuple(body.descent_ppm[number] for body in verdicts if body.descent_ppm),
    )
