"""Runs one round's machine: feeds it events, starts its effects, notes when phases ended.

`start` decides where an effect runs: the daemon uses threads, the simulation runs it inline.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from node.errors import BadEnvironment
from node.rounds.machine import apply
from node.rounds.phases import describe, finished, phase
from node.rounds.state import Members, RoundState

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from node.rounds.effects import Effect
    from node.rounds.ports import Ports
    from node.rounds.state import Event, RoundFacts

log = logging.getLogger("medweave.rounds")


class RoundRunner:
    """One member's part in one round; all calls from one thread (the event loop).

    Args:
        ports: What the hospital brings.
        facts: What the chain said when the round was opened.
        start: Starts an effect somewhere; its events must come back through `feed`.
        clock: Unix time in seconds.
    """

    def __init__(
        self,
        ports: Ports,
        facts: RoundFacts,
        start: Callable[[RoundRunner, Effect], None],
        clock: Callable[[], float],
    ) -> None:
        consortium = ports.consortium
        members = Members(consortium.addresses, ports.me, consortium.quorum, consortium.left)
        self.ports = ports
        self.state = RoundState(facts, members, now=clock())
        self._start = start
        self._clock = clock
        self._over: frozenset[str] = frozenset()
        if ports.journal.recall(facts.round, "marks") is None:
            ports.journal.note(facts.round, "marks", {"begin": clock()})
        self.progress: tuple[str, float] = ("", 0.0)
        """(what, share done in 0..1) of the long work under way."""

    def feed(self, events: Iterable[Event]) -> None:
        """Take events in, in order, and start what they call for."""
        for event in events:
            self.state, effects = apply(self.state, event)
            self._note_phases()
            for effect in effects:
                self._start(self, effect)

    @property
    def phase(self) -> str:
        """The name of the phase this member is in."""
        return phase(self.state)

    @property
    def doing(self) -> str:
        """One short line for a person."""
        what, share = self.progress
        if self.phase == "train" and what:
            return f"{what} {share:.0%}"
        return describe(self.state)

    @property
    def over(self) -> bool:
        """Whether nothing is left to do."""
        ending = self.state.ending
        return ending is not None and (self.state.adopted or not ending.finalised)

    def _note_phases(self) -> None:
        """Remember when each phase ended, once, for the report."""
        over = finished(self.state)
        fresh = over - self._over
        if not fresh:
            return
        journal, number = self.ports.journal, self.state.facts.round
        marks = journal.recall(number, "marks") or {}
        for name in fresh - marks.keys():
            marks[name] = self._clock()
        try:
            journal.note(number, "marks", marks)
        except BadEnvironment as error:  # times are for reports: the round must not wait for them
            log.warning("round %d: %s", number, error)
            return
        self._over = over
        log.info("round %d: %s", number, self.doing)
