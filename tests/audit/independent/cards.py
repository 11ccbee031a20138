"""Data cards that were shown: link 17 (docs/spec/bundle.md, "What to check, link by link")."""

import re

from common import demand
from primitives import cid_text, uncbor

NUMBERS = {
    "patients": (1, 2**32 - 1), "height": (8, 4096), "width": (8, 4096), "mean_ppm": (0, 10**6), "deviation_ppm": (0, 10**6),
    "version": (1, 1),
}  # fmt: skip


def within(value, low, high):
    return type(value) is int and low <= value <= high


def images(data):
    """How many images a card says; raises ValueError for what is no card."""
    card = uncbor(data)
    demand(isinstance(card, dict), "a card is a map")
    cropped, rows = card.pop("cropped", None), card.get("classes")
    demand(set(card) == {*NUMBERS, "classes", "content", "synthetic"}, "a card has other fields")
    demand(all(within(card[name], *limits) for name, limits in NUMBERS.items()), "a number of a card is out of range")
    demand(isinstance(card["content"], bytes) and len(card["content"]) == 32, "content")
    demand(isinstance(card["synthetic"], bool), "synthetic")
    demand(cropped is None or (isinstance(cropped, str) and re.fullmatch("[0-9a-f]{64}", cropped)), "cropped")
    demand(isinstance(rows, list) and 2 <= len(rows) <= 64, "classes")
    for row in rows:
        demand(isinstance(row, list) and len(row) == 2, "a class has a name and a count")
        demand(isinstance(row[0], str) and len(row[0]) <= 256 and within(row[1], 0, 2**32 - 1), "a class")
    demand(len({name for name, _ in rows}) == len(rows), "a class twice")
    count = sum(number for _, number in rows)
    demand(card["patients"] <= count < 2**32, "as many images as patients, or more")
    return count


def shown(bundle, row):
    """Whether any card of a round is in the bundle."""
    return any(name(digest) in bundle.names for digests in row.cards.values() for digest in digests)


def name(digest):
    return f"blobs/{cid_text(bytes((1, 0x55, 0x12, 0x20)) + digest)}"


def check(bundle, row, statement):
    """Every update declares as many samples as a card says that its hospital had on chain, where all its cards are at hand."""
    seat = {"0x" + account.hex(): at for at, account in row.members.items()}
    for update in statement["updates"]:
        digests = row.cards.get(seat[update["issuer"]], [])
        held = [digest for digest in digests if name(digest) in bundle.names]
        counts = {images(bundle.named(digest)) for digest in held}
        whole = held and len(held) == len(digests)
        demand(not whole or update["samples"] in counts, f"update {update['id']} is not of the images on its card")
