"""Consortia made of plain values, and what members put to the vote in them."""

from __future__ import annotations

import hashlib

from eth_account import Account

from chain.deployment import Deployment
from chain.records import Hospital
from node.consortium.view import ConsortiumView
from node.membership.book import MotionBook
from node.membership.exchange import Exchange

N = 4
LATER = 2**33
DEPLOYMENT = Deployment(31337, hashlib.sha256(b"consortium").digest(), *(f"0x{digit * 40}" for digit in "1234"), 0)


def digest(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


ACCOUNTS = [Account.from_key(digest(f"member {k}")) for k in range(N + 2)]


def hospital(k: int, **changes: object) -> Hospital:
    fields = {
        "account": ACCOUNTS[k].address,
        "box_key": digest(f"box {k}"),
        "data_size": 10 + k,
        "name": f"Hospital {k}",
    }
    return Hospital(**({"url": f"http://node-{k}", **fields} | changes))


def founded(members: int = N) -> ConsortiumView:
    return ConsortiumView.of([hospital(k) for k in range(members)])


class Peer:
    """One hospital's book and exchange; a message is handed over as bytes."""

    def __init__(self, k: int, view: ConsortiumView | None = None) -> None:
        self.account = ACCOUNTS[k]
        self.view = view or founded()
        self.book = MotionBook(":memory:", DEPLOYMENT)
        self.exchange = Exchange(self.book, DEPLOYMENT, lambda: self.view)

    def call(self, other: Peer) -> None:
        """What one POST does."""
        other.exchange.heard(self.exchange.told())
        self.exchange.heard(other.exchange.told())
