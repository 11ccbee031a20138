"""Three hospitals on a real chain with an active key; what their daemons do about plans is done by hand, in virtual time."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from chain.anvil import dev_account
from chain.client import Chain
from chain.connection import Connection
from chain.deployment import Deployment, deploy, fund
from chain.records import Hospital
from crypto.parameters import parameter_set
from node.config import ChainSection, NodeConfig, Rounds
from node.config import Hospital as HospitalSection
from node.consortium.follower import Follower
from node.daemon.planning import Planning
from node.daemon.plans import PlanBook
from node.home import Home, create_identity
from node.images.archive import save
from node.images.phantom import generate
from node.membership.book import MotionBook
from node.membership.council import Council
from node.membership.exchange import Exchange
from node.planning.board import NoticeBoard
from node.rounds.journal import Journal
from node.storage import BlobMissing, BlobUnavailable, FileStore
from tests.epochs.support import digest

PASSWORD = "correct horse"
MEMBERS = 3
PLAN = {
    "classes": ("clear", "opaque"),
    "architecture": "cnn",
    "parameter_set": "minimal",
    "min_group": 2,
    "collect_seconds": 60,
    "round_seconds": 120,
    "slot_seconds": 5,
}


class Blobs:
    """A store of one's own; what is missing comes from the others."""

    def __init__(self, net: PlannedNet, store: FileStore) -> None:
        self.net, self.store = net, store

    def obtain(self, cid: str, first: str | None = None) -> bytes:
        for site in (self, *(site.blobs for site in self.net.sites)):
            try:
                data = site.store.get(cid)
            except BlobMissing:
                continue
            self.store.put(data)
            return data
        raise BlobUnavailable(cid, ())


class Site:
    """One hospital's directory, and what its daemon would do about plans and motions."""

    def __init__(self, net: PlannedNet, k: int, **rounds: Any) -> None:
        self.net, self.k, self.home = net, k, Home(net.root / f"h{k}")
        self.identity = create_identity(self.home, PASSWORD)
        self.account = str(self.identity.account.address)
        section = HospitalSection(name=f"Hospital {k}", port=1, url=f"http://127.0.0.1:{8000 + k}")
        policy = Rounds(min_group=2, **rounds)
        self.config = NodeConfig(hospital=section, chain=ChainSection(rpc=net.rpc), rounds=policy)
        self.config.write(self.home.config_file)
        (self.home.root / "data").mkdir()
        save(generate(6, 32, k), self.home.file(self.config.data.train))
        self.blobs = Blobs(net, FileStore(self.home.blobs))

    def join(self, deployment: Deployment) -> None:
        (self.home.root / "consortium.json").write_text(deployment.to_json())
        self.chain = Chain(self.net.rpc, deployment, self.identity.account)
        self.follower = Follower(self.chain)
        self.book = MotionBook(self.home.motions, deployment)
        self.exchange = Exchange(self.book, deployment, lambda: self.view)
        self.council = Council(self.k, self.identity.account, self.chain, self.book, self.exchange, lambda: (), 0.0)
        self.board = NoticeBoard(self.home.notices, deployment, lambda: self.view)
        self.start()

    def start(self) -> None:
        """What the daemon makes when it starts."""
        plans = PlanBook(self.chain.deployment, self.blobs, allow_minimal=True)
        journal = Journal(self.home.journal)
        self.planning = Planning(
            self.home, self.config, self.k, self.chain, plans, self.blobs.store, journal, self.net.clock
        )

    @property
    def view(self) -> Any:
        return self.follower.view

    def step(self) -> None:
        """What the daemon's jobs do in a moment."""
        self.follower.look()
        self.council.step(self.view)
        self.planning.step(self.view, self.book.live(), self.board)
        self.follower.look()


class PlannedNet:
    """`ahead` seconds are added to the clock of nodes and chain by `later`."""

    def __init__(self, root: Path, rpc: str, **rounds: Any) -> None:
        self.root, self.rpc, self.ahead = root, rpc, 0.0
        self.sites = [Site(self, k, **rounds) for k in range(MEMBERS)]
        members = [Hospital(s.account, s.identity.box.public, 10, f"Hospital {s.k}", "") for s in self.sites]
        deployment = deploy(rpc, dev_account(0), digest("plans"), members)
        fund(rpc, dev_account(0), [site.account for site in self.sites], 10)
        for site in self.sites:
            site.join(deployment)

    def clock(self) -> float:
        return time.time() + self.ahead

    def later(self, seconds: float) -> None:
        connection = Connection(self.rpc)
        connection.request("evm_increaseTime", int(seconds))
        connection.request("evm_mine")
        self.ahead += seconds

    def daemons(self, times: int = 3) -> None:
        """Books and notices are exchanged, what is due is done, everybody sees it."""
        for _ in range(times):
            for site in self.sites:
                site.follower.look()
                for other in self.sites:
                    other.exchange.heard(site.exchange.told())
                    other.board.heard(site.board.told())
                site.step()
        for site in self.sites:
            site.follower.look()

    def make_key(self, threshold: int = 2) -> None:
        """An active key of all three; its polynomials do not matter here."""
        clients = [site.chain for site in self.sites]
        parameters = parameter_set("minimal", allow_minimal=True).id + bytes(16)
        clients[0].epochs.open(parameters, threshold, clients[0].now() + 1000)
        epoch = clients[0].epochs.latest()
        for k, client in enumerate(clients):
            client.epochs.announce(epoch, digest(f"box {epoch} {k}"))
        for step in ("commit", "deal", "test"):
            for client in clients:
                getattr(client.epochs, step)(epoch, step.encode().ljust(32))
        for client in clients:
            client.epochs.confirm(epoch, digest("joint"))
        for site in self.sites:
            site.follower.look()
