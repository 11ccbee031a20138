"""A deployed consortium of four, and the steps most tests take."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from chain.client import Chain
from chain.records import Hospital, Outcome

if TYPE_CHECKING:
    from eth_account.signers.local import LocalAccount

    from chain.anvil import Anvil
    from chain.deployment import Deployment

N = 4
PARAMETERS = b"parameter set id" + bytes(16)


def digest(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


@dataclass(frozen=True)
class Consortium:
    """Four members with funds on a chain of their own."""

    anvil: Anvil
    deployment: Deployment
    accounts: tuple[LocalAccount, ...]
    hospitals: tuple[Hospital, ...]

    @property
    def url(self) -> str:
        return self.anvil.url

    def client(self, index: int | None = None, url: str | None = None, **options: float) -> Chain:
        account = None if index is None else self.accounts[index]
        return Chain(url or self.url, self.deployment, account, **options)

    def activate_epoch(self) -> int:
        clients = [self.client(index) for index in range(N)]
        clients[0].epochs.open(PARAMETERS, 3, clients[0].now() + 1000)
        epoch = clients[0].epochs.latest()
        for index, client in enumerate(clients):
            client.epochs.announce(epoch, digest(f"box {epoch} {index}"))
        for step in ("commit", "deal", "test", "confirm"):
            for client in clients:
                getattr(client.epochs, step)(epoch, digest(step))
        return epoch

    def start_lineage(self) -> bytes:
        self.activate_epoch()
        self.client(0).rounds.genesis(digest("genesis"), digest("plan"))
        return digest("genesis")

    def outcome(self, number: int, base: bytes, model: bytes, leader: int) -> Outcome:
        return Outcome(
            round=number,
            base=base,
            model=model,
            plan=digest("plan"),
            leader=self.accounts[leader].address,
            proposal=digest("proposal"),
            updates_root=digest("updates"),
            sums_root=digest("sums"),
            statement=digest("statement"),
            seed_material=digest("material"),
        )

    def open_and_propose(self, base: bytes, leader: int) -> int:
        client = self.client(leader)
        client.rounds.open(digest("plan"), base, 60, 300)
        number = client.rounds.current()
        client.rounds.propose(number, digest("proposal"), digest("updates"), digest("sums"))
        return number
