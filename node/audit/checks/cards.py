"""Data cards that were shown: each is the one its hospital had on chain, and says as many images as its update declares.

A card is a blob under the digest on chain, and stays with its hospital unless it is shown: given to the audit, or kept in a
bundle. So where no card is at hand nothing is amiss, and a note says how many there were.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from node.consortium.view import address_bytes
from node.images.errors import BadCard
from node.images.shown import card_from_bytes
from node.storage import raw_cid

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from node.audit.chainside import ChainFacts
    from node.audit.dossier import Dossier
    from node.audit.notes import Link
    from node.images.card import DataCard
    from node.rounds.statement import Included


@dataclass
class Tally:
    """What was seen of cards so far, over all rounds."""

    updates: int = 0
    """Updates that counted."""
    on_chain: int = 0
    """Those of hospitals that had a card on chain."""
    shown: int = 0
    """Those whose sample count was held against a card."""
    same: set[tuple[int, ...]] = field(default_factory=set)
    """Seats that had one and the same card on chain in a round."""
    read: dict[bytes, int | None] = field(default_factory=dict)
    """Images by digest of the cards that were looked for; None where none is at hand. A card is of many rounds, and nodes are asked once."""

    def remarks(self) -> Iterator[str]:
        """What a reader should know, a sentence each."""
        if self.on_chain:
            yield (
                f"data cards: {self.on_chain} of {self.updates} counted updates are of hospitals that had a card on chain, "
                f"{self.shown} of these cards were at hand"
            )
        for seats in sorted(self.same):
            listed = ", ".join(map(str, seats))
            yield f"data cards: seats {listed} registered one and the same: the same images, or a copied digest"


def check(dossier: Dossier, tally: Tally, link: Link) -> int:
    """Hold the counted updates of a round against the cards of their hospitals, as far as these are at hand.

    A hospital's cards of a round are the one on chain when it was opened and those registered until it ended: images may be
    exchanged meanwhile, and the card follows them.

    Args:
        dossier: The round.
        tally: Takes what is counted.
        link: Takes the notes.

    Returns:
        How many updates were held against a card; 0 where no card is at hand.
    """
    if dossier.predicate is None:
        return 0
    here, shown = dossier.here, 0
    for included in dossier.predicate.updates:
        seat = here.seats.get(address_bytes(included.issuer))
        tally.updates += 1
        tally.on_chain += seat is not None and seat in here.row.cards
        shown += _check_one(dossier, included, seat, tally, link)
    tally.shown += shown
    tally.same.update(_shared(dossier))
    return shown


def check_known(facts: ChainFacts, cards: Iterable[DataCard], link: Link) -> None:
    """Each card that was given to the audit is one that some hospital had on chain.

    Args:
        facts: The chain.
        cards: The cards.
        link: Takes the notes.
    """
    tables = [facts.view.cards, *(row.cards for row in facts.view.rounds.values())]
    known = {digest for table in tables for digests in table.values() for digest in digests}
    for card in cards:
        if card.digest not in known:
            link.falsified(
                f"data card {card.digest.hex()}", "no hospital had it on chain in any round, and none has now"
            )


def _check_one(dossier: Dossier, included: Included, seat: int | None, tally: Tally, link: Link) -> bool:
    """Whether the update could be held against its hospital's card."""
    digests = () if seat is None else dossier.here.row.cards.get(seat, ())
    for digest in digests:
        if digest not in tally.read:
            tally.read[digest] = _images(dossier, seat, digest, link)
    images = [tally.read[digest] for digest in digests]
    known = {count for count in images if count is not None}
    if not known or (None in images and included.samples not in known):
        return False  # it may have been trained on the images of a card that is not shown
    if included.samples not in known:
        said = " or ".join(map(str, sorted(known)))
        detail = f"declares {included.samples} samples, the data card that seat {seat} had on chain says {said} images"
        link.falsified(f"update {included.id}", detail)
    return True


def _images(dossier: Dossier, seat: int | None, digest: bytes, link: Link) -> int | None:
    """How many images a card says; None where it is not at hand, or is none, which is noted."""
    data = dossier.reader.peek(raw_cid(digest), f"data card of seat {seat}", link)
    if data is None:
        return None
    try:
        return card_from_bytes(data).images
    except BadCard as error:
        link.falsified(f"data card {digest.hex()}", f"seat {seat} registered it: {error}")
        return None


def _shared(dossier: Dossier) -> set[tuple[int, ...]]:
    """Seats of the round that had the same card."""
    held: dict[bytes, set[int]] = {}
    for seat, digests in dossier.here.row.cards.items():
        for digest in digests:
            held.setdefault(digest, set()).add(seat)
    return {tuple(sorted(seats)) for seats in held.values() if len(seats) > 1}
