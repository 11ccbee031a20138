"""Motions between nodes: one POST to a peer tells it ours, its answer tells us its own."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from node.calling import Dialer
from node.calling.swapping import swap
from node.errors import BadMotion
from node.membership.motion import MAX_MESSAGE_BYTES, pack, unpack

if TYPE_CHECKING:
    from collections.abc import Callable

    from chain.deployment import Deployment
    from node.consortium.view import ConsortiumView
    from node.membership.book import MotionBook
    from node.membership.motion import Motion

log = logging.getLogger("medweave.membership")

CALL_SECONDS = 5.0
MAX_REMEMBERED = 65_536
"""Signatures whose signer is known, so that hearing of them again costs nothing."""


class Exchange:
    """What a node knows of motions, told and heard.

    Args:
        book: Where motions are kept.
        deployment: The consortium's contracts.
        view: Gives the newest view of the chain.
        dialer: Makes the client that calls peers; says who calls.
    """

    def __init__(
        self,
        book: MotionBook,
        deployment: Deployment,
        view: Callable[[], ConsortiumView],
        dialer: Dialer | None = None,
    ) -> None:
        self._book = book
        self._deployment = deployment
        self._view = view
        self._dialer = dialer or Dialer()
        self._seen: set[tuple[bytes, bytes]] = set()

    def told(self) -> bytes:
        """What this node tells: live motions, with the signatures of present members."""
        members = {hospital.account for _, hospital in self._view().present}
        rows = []
        for motion in self._book.live():
            signatures = self._book.signatures(motion)
            rows.append((motion, [s for account, s in signatures.items() if account in members]))
        return pack(row for row in rows if row[1])

    def heard(self, message: bytes) -> bool:
        """Take in what a node tells. A signature of nobody who is a member is passed over: it may be of one admitted soon.

        Returns:
            Whether anything was new.

        Raises:
            BadMotion: The message is malformed; nothing of it was taken in.
        """
        new = [
            self._take(motion, signature) for motion, given in unpack(message, self._deployment) for signature in given
        ]
        return any(new)

    def _take(self, motion: Motion, signature: bytes) -> bool:
        known = (motion.id, signature)
        if known in self._seen:
            return False
        try:
            account = motion.signer(signature, self._deployment)
            if account not in {hospital.account for _, hospital in self._view().present}:
                return False
            new = self._book.add(motion, account, signature)
        except BadMotion as error:
            log.info("passed over: %s", error)
            return False
        if len(self._seen) > MAX_REMEMBERED:
            self._seen.clear()
        self._seen.add(known)
        return new

    def call(self, peers: tuple[str, ...]) -> bool:
        """Tell each peer what is known here and hear what it knows; who cannot be reached is called again next time.

        Returns:
            Whether anything was new.
        """
        with self._dialer.client(CALL_SECONDS) as http:
            return swap(http, (f"{peer}/v1/motions" for peer in peers), self.told(), self.heard, MAX_MESSAGE_BYTES)
