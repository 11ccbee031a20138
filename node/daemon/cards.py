"""Putting this hospital's data card on record: its digest goes on chain once the images are there, and whenever they changed."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from chain.errors import ContractReverted

if TYPE_CHECKING:
    from chain.client import Chain
    from node.consortium.view import ConsortiumView
    from node.planning.images import ImageWatch

log = logging.getLogger("medweave.plans")

ON_RECORD = "SameCard"
"""The contract's refusal of a card that it has already: an earlier try arrived after all."""


class CardRegistrar:
    """Call `step` from one thread at a time; it waits for the chain, so from none that a round waits for.

    Nothing is kept here: what is on record the chain says, what was sent and is not mined yet the client's book does. So a
    crash at any moment neither loses a card nor registers it twice.

    Args:
        me: This hospital's seat.
        images: Its images.
        chain: The contracts, with its account.
        wanted: Whether cards are registered at all (`[data] register_card`).
    """

    def __init__(self, me: int, images: ImageWatch, chain: Chain, *, wanted: bool = True) -> None:
        self._me = me
        self._images = images
        self._chain = chain
        self._wanted = wanted
        self._done: bytes | None = None

    def step(self, view: ConsortiumView) -> None:
        """Register the card of the images that are there now, unless it is the one on record.

        Args:
            view: What the chain said so far.

        Raises:
            ChainError: The chain does not answer, or asks for more than may be paid; call it again.
        """
        if not self._wanted or self._me not in view.members:
            return
        held = self._images.look()
        if held is None or held.digest == view.card_of(self._me):
            self._done = None  # the view has caught up, or the images are gone
            return
        if held.digest == self._done and self._chain.registry.card_of(self._me) == held.digest:
            return  # mined, and not in the view yet
        self._register(held.images, held.digest)
        self._done = held.digest

    def _register(self, images: int, digest: bytes) -> None:
        try:
            receipt = self._chain.registry.register_card(digest)
        except ContractReverted as error:
            if error.name != ON_RECORD:
                raise
            log.info("data card is on record: %d images, digest %s", images, digest.hex())
        else:
            log.info("data card registered: %d images, digest %s, block %d", images, digest.hex(), receipt.block)
