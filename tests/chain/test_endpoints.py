"""CHN-7: endpoints that mine otherwise, follow other rules or speak an older protocol serve as well as the default one."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
from eth_account import Account

from chain.anvil import Anvil, dev_account
from chain.client import Chain
from chain.connection import Connection
from chain.deployment import deploy, fund
from chain.events import RoundFinalised
from chain.records import Hospital, RoundStatus
from tests.chain.support import Consortium, N, digest

if TYPE_CHECKING:
    from pathlib import Path

FLAGS = {
    "a block every second": ("--block-time", "1"),
    "cancun": ("--hardfork", "cancun"),
    "osaka": ("--hardfork", "osaka"),
    "a high base fee": ("--base-fee", "50000000000"),
    "gas at a fixed price": ("--gas-price", "3000000000"),
}


class OtherAnvil(Anvil):
    """Anvil with further flags."""

    flags: tuple[str, ...] = ()

    def _options(self) -> list[str]:
        return [*super()._options(), *self.flags]


def consortium_on(anvil: Anvil) -> Consortium:
    accounts = tuple(Account.from_key(digest(f"member {index}")) for index in range(N))
    hospitals = tuple(Hospital(a.address, digest(f"box {k}"), 100, f"H{k}", "") for k, a in enumerate(accounts))
    deployment = deploy(anvil.url, dev_account(0), digest("consortium"), hospitals)
    fund(anvil.url, dev_account(0), [account.address for account in accounts], 10)
    return Consortium(anvil, deployment, accounts, hospitals)


def activate(clients: list[Chain]) -> None:
    """All members take each step at once: on a chain that mines by the clock they share a block."""
    clients[0].epochs.open(digest("parameters"), 3, clients[0].now() + 1000)
    with ThreadPoolExecutor(N) as pool:
        list(pool.map(lambda k: clients[k].epochs.announce(1, digest(f"box {k} 1")), range(N)))
        for step in ("commit", "deal", "test", "confirm"):
            list(pool.map(lambda client: getattr(client.epochs, step)(1, digest(step)), clients))  # noqa: B023


@pytest.mark.parametrize(
    "which", [pytest.param(which, marks=pytest.mark.slow if "second" in which else ()) for which in FLAGS]
)
def test_a_round_on_another_endpoint(tmp_path: Path, which: str) -> None:
    anvil = OtherAnvil(None, tmp_path / "state.json", chain_id=4217)
    anvil.flags = FLAGS[which]
    with anvil:
        net = consortium_on(anvil)
        clients = [net.client(index) for index in range(N)]
        clients[0].verify()
        activate(clients)
        clients[0].rounds.genesis(digest("genesis"), digest("plan"))
        number = net.open_and_propose(digest("genesis"), 1)
        outcome = net.outcome(number, digest("genesis"), digest("model"), 1)
        signatures = {index: client.rounds.sign_outcome(outcome) for index, client in enumerate(clients)}
        clients[2].rounds.finalise(outcome, signatures)
        assert clients[0].rounds.get(number).status is RoundStatus.FINALISED
        assert any(isinstance(event, RoundFinalised) for event in clients[3].cursor().look().events)
        with ThreadPoolExecutor(6) as pool:
            list(pool.map(lambda n: clients[0].registry.set_url(f"http://{n}"), range(6)))
        eth, account = Connection(anvil.url).w3.eth, net.accounts[0].address
        assert eth.get_transaction_count(account) == eth.get_transaction_count(account, "pending")


def test_a_chain_from_before_the_contracts_instructions_says_so(tmp_path: Path) -> None:
    """As Ganache 7.9.2, which stops at Shanghai: the contracts' code uses `mcopy` (EIP-5656, Cancun)."""
    from chain.errors import ChainError

    anvil = OtherAnvil(None, tmp_path / "state.json")
    anvil.flags = ("--hardfork", "shanghai")
    with anvil, pytest.raises(ChainError):
        consortium_on(anvil)
