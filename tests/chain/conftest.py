"""One Anvil a session; every test starts from the same snapshot of a deployed consortium of four."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from eth_account import Account

from chain.anvil import Anvil, dev_account
from chain.connection import Connection
from chain.deployment import deploy, fund
from chain.records import Hospital
from tests.chain.support import Consortium, N, digest

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Consortium]:
    with Anvil(None, tmp_path_factory.mktemp("chain") / "state.json") as anvil:
        # Not the accounts of Anvil's mnemonic: a member's funds must come from `fund`.
        accounts = tuple(Account.from_key(digest(f"member {index}")) for index in range(N))
        hospitals = tuple(
            Hospital(
                account.address, digest(f"box {index}"), 100 + index, f"Hôpital {index}", f"http://127.0.0.1:{index}"
            )
            for index, account in enumerate(accounts)
        )
        deployment = deploy(anvil.url, dev_account(0), digest("consortium"), hospitals, smallest_cohort=3)
        fund(anvil.url, dev_account(0), [account.address for account in accounts], 10)
        yield Consortium(anvil, deployment, accounts, hospitals)


@pytest.fixture
def consortium(deployed: Consortium) -> Iterator[Consortium]:
    connection = Connection(deployed.url)
    snapshot = connection.request("evm_snapshot")
    yield deployed
    connection.request("evm_revert", snapshot)
