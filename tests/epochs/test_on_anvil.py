"""The same keepers on the real contract: followers read the events, one member dies once on the way."""

from __future__ import annotations

import pytest
from eth_account import Account

from chain.anvil import Anvil, dev_account
from chain.client import Chain
from chain.deployment import deploy, fund
from node.consortium.follower import Follower
from node.epochs import keeper as module
from node.epochs.keeper import Keeper
from node.epochs.vault import Vault
from node.storage import FileStore
from tests.epochs.support import Network, digest


def test_a_ceremony_on_anvil_with_a_restart_in_the_middle(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "TURN_SECONDS", 0.0)
    net = Network(tmp_path)
    with Anvil(None, tmp_path / "state.json") as anvil:
        hospitals = [member.hospital for member in net.members]
        deployment = deploy(anvil.url, dev_account(0), digest("consortium"), hospitals)
        fund(anvil.url, dev_account(0), [h.account for h in hospitals], 10)
        keepers = [start(net, member, anvil.url, deployment) for member in net.members]
        seen = set()
        for number in range(20):
            for member, (keeper, follower) in zip(net.members, list(keepers), strict=True):
                follower.look()
                keeper.open_if_due(follower.view, "minimal", 2)
                keeper.step(follower.view)
                seen.add(keeper.doing.split(",")[0])
                if number == 1:
                    keepers[member.index] = start(net, member, anvil.url, deployment)
            if follower.view.active_epoch:
                break
        assert follower.view.active_epoch == 1
        assert Chain(anvil.url, deployment).epochs.active() == 1
        digests = {keeper.keys(1).joint.digest for keeper, _ in keepers}
        assert digests == {follower.view.epochs[1].joint_key}
        assert {"committing to a dealing", "dealing key shares", "checking dealings", "checking the self-test"} <= seen


def start(net: Network, member, url: str, deployment) -> tuple[Keeper, Follower]:
    """A member from its disk and the chain alone."""
    account = Account.from_key(digest(f"account {member.index}"))
    chain = Chain(url, deployment, account)
    member.store = FileStore(member.home.blobs)
    vault = Vault(member.home, "password", member.store, allow_minimal=True)

    class Blobs:
        store = member.store

        @staticmethod
        def obtain(cid, first=None):
            return net.obtain(member.store, cid)

    return Keeper(member.index, chain, Blobs, vault, allow_minimal=True), Follower(chain)


@pytest.fixture(autouse=True)
def quick_disk(monkeypatch):
    monkeypatch.setattr("os.fsync", lambda _: None)
