"""Who sent a wrong opening: told from which sets of openers opened a sum and which did not.

A complete set of well-formed openings that does not add up holds a wrong one, and nothing in it says whose: openings are masked
against each other. Another set then opens the same sum. Who was in the set that failed and not in the one that opened is a
suspect; the suspects common to all rounds in which that happened are named when one is left, and asked last until then.
It is no proof: a member may lie in one set and not in the next, and let others be suspected. So no fault is signed for it.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from node.rounds.journal import Journal

FACT: Final = "failed_openings"
"""The journal's name for a round's sets of openers that failed, and the one that opened."""
REMEMBERED_ROUNDS: Final = 16


def note_failure(journal: Journal, number: int, openers: Iterable[int]) -> None:
    """Remember that a complete set of well-formed openings did not open a sum; again changes nothing."""
    known = journal.recall(number, FACT) or {"failed": [], "opened": None}
    listed = sorted(openers)
    if listed not in known["failed"]:
        journal.remember(number, FACT, {**known, "failed": [*known["failed"], listed]})


def note_success(journal: Journal, number: int, openers: Iterable[int]) -> None:
    """Remember who opened the sums of a round in which others had failed to."""
    known = journal.recall(number, FACT)
    if known is not None:
        journal.remember(number, FACT, {**known, "opened": sorted(openers)})


def suspects(failed: Sequence[frozenset[int]], opened: frozenset[int]) -> frozenset[int]:
    """Who was in every set that failed and not in the one that opened the same sums; empty where several must have lied."""
    return frozenset.intersection(*failed) - opened if failed else frozenset()


def recent_suspects(journal: Journal, number: int) -> Counter[int]:
    """In how many of the rounds before this one, and in this one, each member was a suspect."""
    found: Counter[int] = Counter()
    for earlier in range(max(1, number - REMEMBERED_ROUNDS), number + 1):
        known = journal.recall(earlier, FACT)
        if known is not None and known["opened"] is not None:
            found.update(suspects([frozenset(each) for each in known["failed"]], frozenset(known["opened"])))
    return found


def named(found: Counter[int]) -> int | None:
    """The one member that is suspected most often, if there is one."""
    ranked = found.most_common(2)
    if not ranked or (len(ranked) == 2 and ranked[0][1] == ranked[1][1]):
        return None
    return ranked[0][0]
