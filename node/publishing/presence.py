"""Which members' nodes are there: a member of whom nothing was heard for ten seconds is silent.

Everything a peer says counts: a message it calls with, an answer to a call of ours. A peer of whom neither came for a while is
asked for its health. So a node that was killed, paused or cut off is named within `SILENT_SECONDS` and one look, and hospitals
that talk anyway cost no call at all.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING, Final

import httpx

from node.publishing.calls import UNREACHABLE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from node.calling import Dialer

log = logging.getLogger("medweave.presence")

LOOK_SECONDS: Final = 1.0
ASK_SECONDS: Final = 4.0
"""A peer that said nothing for so long is asked."""
SILENT_SECONDS: Final = 10.0
"""A peer that neither said nor answered anything for so long is silent."""
ANSWER_SECONDS: Final = 4.0
MAX_ASKED: Final = 32
"""Most peers asked at once."""
OWN_PAUSE_SECONDS: Final = 5.0
"""A node whose own looks are so far apart was asleep itself, and can say nothing of the others."""


class Presence:
    """What a node has heard of its peers, by base URL; all times are of one monotonic clock, seconds.

    Args:
        clock: That clock.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._heard: dict[str, float] = {}
        self._looked = clock()
        self.silent: frozenset[str] = frozenset()
        """Peers that are silent, as of the last look."""

    def heard(self, peer: str) -> None:
        """A peer said or answered something; names that are no peer's are passed over."""
        if peer in self._heard:
            self._heard[peer] = self._clock()

    def seconds_since(self, peer: str) -> float | None:
        """How long ago a peer was last heard; None of one that is not known."""
        at = self._heard.get(peer)
        return None if at is None else max(0.0, self._clock() - at)

    def look(self, peers: Iterable[str]) -> tuple[str, ...]:
        """Judge anew who is silent, and say so in the log.

        Args:
            peers: The members' base URLs as they stand now; new ones get the whole time from here on.

        Returns:
            Those that are due to be asked, longest silence first.
        """
        now = self._clock()
        asleep, self._looked = now - self._looked > OWN_PAUSE_SECONDS, now
        self._heard = {peer: now if asleep else self._heard.get(peer, now) for peer in peers}
        silent = frozenset(peer for peer, at in self._heard.items() if now - at > SILENT_SECONDS)
        if asleep:
            silent = self.silent & self._heard.keys()  # nothing new is known of anybody
        for peer in sorted(silent - self.silent):
            log.warning("%s is silent: nothing was heard of it for %.0f s", peer, now - self._heard[peer])
        for peer in sorted((self.silent - silent) & self._heard.keys()):
            log.info("%s is heard again", peer)
        self.silent = silent
        due = [(at, peer) for peer, at in self._heard.items() if now - at > ASK_SECONDS]
        return tuple(peer for _at, peer in sorted(due))


async def listen(presence: Presence, dialer: Dialer, peers: Callable[[], Iterable[str]]) -> None:
    """Look every second and ask those that are due, until cancelled.

    Args:
        presence: Where what is heard is kept.
        dialer: Makes the client that asks; says who calls.
        peers: The members' base URLs, newest knowledge at each call.
    """
    asked: dict[str, asyncio.Task[None]] = {}
    async with dialer.async_client(httpx.Timeout(ANSWER_SECONDS)) as http:
        try:
            while True:
                asked = {peer: task for peer, task in asked.items() if not task.done()}
                for peer in presence.look(peers()):
                    if peer not in asked and len(asked) < MAX_ASKED:
                        asked[peer] = asyncio.create_task(_ask(presence, http, peer))
                await asyncio.sleep(LOOK_SECONDS)
        finally:
            for task in asked.values():
                task.cancel()
            await asyncio.gather(*asked.values(), return_exceptions=True)


async def _ask(presence: Presence, http: httpx.AsyncClient, peer: str) -> None:
    """Whatever its node answers, it is there; the body is not read."""
    try:
        async with asyncio.timeout(ANSWER_SECONDS), http.stream("GET", f"{peer}/v1/health"):
            presence.heard(peer)
    except UNREACHABLE as error:
        log.debug("%s: %s", peer, error)
