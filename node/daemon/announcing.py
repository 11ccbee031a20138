"""Telling peers of new data, and hearing of theirs: one POST to each, now and then, while the plan in force asks for it."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from node.calling.swapping import swap
from node.planning.notices import MAX_MESSAGE_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable

    import httpx
    from eth_account.signers.local import LocalAccount

    from node.planning.board import NoticeBoard
    from node.planning.images import ImageWatch
    from node.rounds.plan import Plan

log = logging.getLogger("medweave.plans")

CALL_SECONDS = 5.0
EVERY_SECONDS = 30.0
"""Between two calls of peers where nothing is new here."""


class Announcer:
    """Call `step` from one thread at a time.

    Args:
        board: What is known here.
        images: This hospital's.
        account: Its key.
        peers: The other members' base URLs.
        client: Makes the client that peers are called with.
        every: Seconds between two calls of peers where nothing is new here.
    """

    def __init__(
        self,
        board: NoticeBoard,
        images: ImageWatch,
        account: LocalAccount,
        peers: Callable[[], tuple[str, ...]],
        client: Callable[[], httpx.Client],
        every: float = EVERY_SECONDS,
    ) -> None:
        self._board = board
        self._images = images
        self._account = account
        self._peers = peers
        self._client = client
        self._every = every
        self._called = float("-inf")

    def step(self, plan: Plan | None) -> None:
        """Announce this hospital's images where they changed, and exchange notices with the peers; nothing unless a plan asks for it.

        Args:
            plan: The plan in force.
        """
        if plan is None or not plan.new_data_from:
            return
        held = self._images.look()
        if held is not None and self._board.announce(held.images, held.digest, self._account):
            log.info("new data announced: %d images", held.images)
            self._called = float("-inf")
        if time.monotonic() - self._called < self._every:
            return
        self._called = time.monotonic()
        if self._exchange():
            self._called = float("-inf")  # what is new here may be new to others

    def _exchange(self) -> bool:
        """Tell each peer what is known here and hear what it knows; whether anything was new."""
        urls = (f"{peer}/v1/notices" for peer in self._peers())
        with self._client() as http:
            return swap(http, urls, self._board.told(), self._board.heard, MAX_MESSAGE_BYTES)
