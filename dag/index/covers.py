"""Whose updates of a round a transaction approves: a guide for choosing parents, kept for the newest rounds only."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

KEPT_ROUNDS: Final = 8
"""Rounds that covers are kept for: more than ever run side by side, so what is dropped is not asked for any more."""


class Covers:
    """A bit mask of members for each transaction of the newest rounds, found on paths through its round alone."""

    def __init__(self) -> None:
        self._rounds: dict[int, dict[int, int]] = {}
        self._approved: dict[int, tuple[int, int]] = {}

    def add(self, at: int, above: Sequence[int], issuer: int, round_: int, is_update: bool) -> None:
        """Enters a transaction below its parents.

        Args:
            at: its place.
            above: its parents' places.
            issuer: member index; -1 for genesis.
            round_: its round.
            is_update: whether it is its issuer's update.
        """
        covers = self._rounds.get(round_)
        if covers is None:
            covers = self._open(round_)
        cover = is_update << issuer if issuer >= 0 else 0
        for parent in above:
            cover |= covers.get(parent, 0)
        if cover:
            covers[at] = cover
        if issuer >= 0:
            before, approved = self._approved.get(issuer, (round_, 0))
            if before <= round_:
                self._approved[issuer] = (round_, cover | (approved if before == round_ else 0))

    def of(self, at: int, round_: int) -> int:
        """The mask of a transaction of that round; 0 if it is of another, or of one long past."""
        return self._rounds.get(round_, {}).get(at, 0)

    def news(self, at: int, issuer: int, round_: int) -> int:
        """The mask less what the member's own transactions of the round approve."""
        newest, approved = self._approved.get(issuer, (round_, 0))
        return self.of(at, round_) & ~(approved if newest == round_ else 0)

    def _open(self, round_: int) -> dict[int, int]:
        """A place for a new round's covers; a round older than those kept gets one that nobody keeps."""
        covers: dict[int, int] = {}
        if len(self._rounds) == KEPT_ROUNDS:
            oldest = min(self._rounds)
            if round_ < oldest:
                return covers
            del self._rounds[oldest]
        self._rounds[round_] = covers
        return covers
