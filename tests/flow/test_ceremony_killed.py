"""Anvil killed with -9 in the middle of a key ceremony and started from an older state: the epoch gets its key."""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from eth_account import Account

from chain.anvil import Anvil, dev_account
from chain.anvilstate import is_whole
from chain.client import Chain
from chain.connection import Connection
from chain.deployment import deploy, fund
from chain.errors import ChainError
from chain.intents import IntentBook
from crypto import secrets
from node.consortium.follower import Follower
from node.epochs import keeper as module
from node.epochs.keeper import Keeper
from node.epochs.vault import Vault
from node.storage import FileStore
from tests.epochs.support import Network, digest

MEMBERS = 3


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"MEMORY_KIB": 8, "PASSES": 1, "LANES": 1}.items():
        monkeypatch.setattr(secrets, name, value)
    monkeypatch.setattr(module, "TURN_SECONDS", 0.0)


class Ceremony:
    """Keepers on a real chain, each with its own account, intents and disk."""

    def __init__(self, folder: Path, anvil: Anvil) -> None:
        self.folder, self.anvil = folder, anvil
        self.net = Network(folder, members=MEMBERS)
        hospitals = [member.hospital for member in self.net.members]
        self.deployment = deploy(anvil.url, dev_account(0), digest("consortium"), hospitals)
        fund(anvil.url, dev_account(0), [h.account for h in hospitals], 10)
        self.seats = [self.seat(member) for member in self.net.members]
        self.went_back = 0

    def seat(self, member: Any) -> tuple[Keeper, Follower, Chain]:
        book = IntentBook(self.folder / f"intents-{member.index}")
        account = Account.from_key(digest(f"account {member.index}"))
        chain = Chain(self.anvil.url, self.deployment, account, attempts=2, book=book)
        member.store = store = FileStore(member.home.blobs)
        net = self.net

        class Blobs:
            @staticmethod
            def obtain(cid: str, first: str | None = None) -> bytes:
                return net.obtain(store, cid)

        Blobs.store = store  # type: ignore[attr-defined]
        vault = Vault(member.home, "password", store, allow_minimal=True)
        return Keeper(member.index, chain, Blobs, vault, allow_minimal=True), Follower(chain), chain  # type: ignore[arg-type]

    def look(self) -> None:
        for keeper, follower, chain in self.seats:
            try:
                follower.look()
                assert follower.news is not None
                self.went_back += follower.news.went_back is not None
                chain.watch(follower.news)
                keeper.open_if_due(follower.view, "minimal", 2)
                keeper.step(follower.view)
            except ChainError:
                time.sleep(0.05)

    def until(self, ready: Callable[[], Any], seconds: float = 60) -> None:
        end = time.monotonic() + seconds
        while not ready():
            assert time.monotonic() < end, [keeper.doing for keeper, _, _ in self.seats]
            self.look()

    def epoch(self) -> Any:
        """What the last member's view shows of the first epoch."""
        return self.seats[-1][1].view.epochs.get(1)

    def saved(self) -> Path:
        """A copy of the state file that holds everything mined so far."""
        file, now = self.anvil._state, time.time_ns()
        copy = self.folder / "copy.json"
        while True:
            time.sleep(0.05)
            if file.exists() and file.stat().st_mtime_ns > now + 10**9:
                shutil.copyfile(file, copy)
                if is_whole(copy):
                    return copy

    def kill(self, back_to: Path) -> None:
        assert self.anvil.pid is not None
        os.kill(self.anvil.pid, signal.SIGKILL)
        self.anvil.stop()
        self.look()
        shutil.copyfile(back_to, self.anvil._state)
        self.anvil.start()
        Connection(self.anvil.url).request("evm_increaseTime", 3)


@pytest.mark.slow
@pytest.mark.parametrize("phase", ["announcements", "commitments", "dealings", "reports", "confirmations"])
def test_a_ceremony_survives_a_killed_chain(tmp_path: Path, phase: str) -> None:
    """The chain forgets everything from the ceremony's opening on, however far it was."""
    with Anvil(None, tmp_path / "state.json") as anvil:
        ceremony = Ceremony(tmp_path, anvil)
        before = ceremony.saved()
        ceremony.until(lambda: ceremony.epoch() is not None and getattr(ceremony.epoch(), phase))
        ceremony.kill(before)
        ceremony.until(lambda: ceremony.went_back)
        ceremony.until(lambda: all(follower.view.active_epoch for _, follower, _ in ceremony.seats))
        chain = ceremony.seats[0][2]
        assert chain.epochs.latest() == chain.epochs.active() == 1, "opened again, not a second one"
        joints = {keeper.keys(1).joint.digest for keeper, _, _ in ceremony.seats}  # type: ignore[union-attr]
        assert joints == {chain.epochs.get(1).joint_key}
        eth = Connection(anvil.url).w3.eth
        for _, _, seat in ceremony.seats:
            assert eth.get_transaction_count(seat.account, "latest") == eth.get_transaction_count(
                seat.account, "pending"
            )  # type: ignore[arg-type]
