"""Following the chain: new events folded in as they come, and all of them anew when the chain took some back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from node.consortium.view import ConsortiumView, fold

if TYPE_CHECKING:
    from chain.cursor import EventCursor, News
    from chain.eventlog import EventLog
    from chain.events import Event


class Source(Protocol):
    """Where events come from: a `chain.client.Chain`."""

    def cursor(self, events: EventLog | None = None) -> EventCursor:
        """What reads them."""


class Follower:
    """Keeps a `ConsortiumView` up to date; call `look` as often as you like, from one thread at a time.

    Args:
        chain: The contracts.
        events: Where what was read is kept, so that a node reads the chain's history once; None for in memory.

    Raises:
        BadChainFile: `events` is damaged.
    """

    def __init__(self, chain: Source, events: EventLog | None = None) -> None:
        self._cursor = chain.cursor(events)
        self.view = fold(ConsortiumView(), self._cursor.replay())
        """The newest view; replaced whole, so reading it needs no lock."""
        self.news: News | None = None
        """What the last look found."""

    def look(self) -> bool:
        """Fold in what is new; True if anything was, or if the chain took something back.

        Raises:
            ChainUnreachable: The endpoint does not answer.
            ChainInFlux: The chain changed meanwhile; look again.
        """
        news = self._cursor.look()
        if news.went_back is not None:
            self.view = fold(ConsortiumView(), self._cursor.replay())
        elif news.events:
            self.view = fold(self.view, news.events)
        self.news = news
        return bool(news.events) or news.went_back is not None

    def events(self) -> tuple[Event, ...]:
        """Everything read and not taken back, in the chain's order."""
        return self._cursor.replay()
