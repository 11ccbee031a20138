"""The same keepers on the real contract: followers read the events, one member dies once on the way."""

from __future__ import annotations

import numpy as np
import pytest
from eth_account import Account

from chain.anvil import Anvil, dev_account
from chain.client import Chain
from chain.deployment import deploy, fund
from crypto.opening import Opener, combine
from crypto.sealing import Sealer
from node.consortium.follower import Follower
from node.epochs import keeper as module
from node.epochs.keeper import Keeper
from node.epochs.start import open_refresh
from node.epochs.vault import Vault
from node.sealing.keys import EpochKeys
from node.storage import FileStore
from tests.epochs.support import MINIMAL, Network, digest


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


def test_a_refresh_on_anvil_with_a_restart_before_every_look(tmp_path, monkeypatch):
    """Members that forget everything but their disk at every turn still switch together, and what was sealed opens."""
    monkeypatch.setattr(module, "TURN_SECONDS", 0.0)
    monkeypatch.setattr(module, "SETTLE_SECONDS", 0.0)
    net = Network(tmp_path, members=3)
    with Anvil(None, tmp_path / "state.json") as anvil:
        hospitals = [member.hospital for member in net.members]
        deployment = deploy(anvil.url, dev_account(0), digest("consortium"), hospitals)
        fund(anvil.url, dev_account(0), [h.account for h in hospitals], 10)
        chain = Chain(anvil.url, deployment, Account.from_key(digest("account 0")))
        play(net, anvil.url, deployment, lambda view: view.active_epoch)
        keys = play(net, anvil.url, deployment, lambda _view: True)
        (sealed,) = Sealer(keys[0].joint).seal(np.arange(5))
        assert chain.epochs.get(1).generation == 0
        open_refresh(chain)
        assert chain.epochs.get(1).refreshing
        play(net, anvil.url, deployment, lambda view: view.epochs[1].generation)
        fresh = play(net, anvil.url, deployment, lambda _view: True)
        record = chain.epochs.get(1)
    assert (record.generation, record.refreshing, record.joint_key) == (1, False, fresh[0].joint.digest)
    assert [k.member.generation for k in (*keys, *fresh)] == [0, 0, 0, 1, 1, 1]
    partials = {k: Opener(fresh[k].member, (1, 2)).partial(sealed) for k in (1, 2)}
    assert (combine(sealed, partials, MINIMAL, 3)[:5] == np.arange(5)).all()
    for member in net.members:
        assert [path.name for path in member.home.secrets.iterdir()] == ["epoch-1.member-1.sealed"]


def play(net: Network, url: str, deployment, ended) -> list[EpochKeys]:
    """Let every member look, each time as if just started, until the chain shows an end; the keys they then hold."""
    held = []
    for _ in range(20):
        held = []
        for member in net.members:
            keeper, follower = start(net, member, url, deployment)
            follower.look()
            keeper.open_if_due(follower.view, "minimal", 2)
            keeper.step(follower.view)
            held.append(keeper.keys(1))
        if ended(follower.view):
            return held
    raise AssertionError("it did not end")


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
