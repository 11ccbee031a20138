"""A ceremony among keepers with real keys, vaults and blobs; the contract is simulated so that it can fail anywhere."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import TYPE_CHECKING

import numpy as np
from eth_account import Account

from chain import events as ev
from chain.deployment import Deployment
from chain.errors import ContractReverted
from chain.records import Hospital
from crypto.opening import Opener, combine
from crypto.parameters import parameter_set
from crypto.sealing import Sealer
from crypto.secrets import BoxKey
from node.consortium.view import ConsortiumView, address_bytes, fold
from node.epochs.keeper import Keeper
from node.epochs.vault import Vault
from node.home import Home
from node.storage import BlobMissing, BlobUnavailable, FileStore

if TYPE_CHECKING:
    from pathlib import Path

MINIMAL = parameter_set("minimal", allow_minimal=True)
STEPS = ("announce", "commit", "deal", "test", "confirm")
EVENTS = (ev.Announced, ev.Committed, ev.Dealt, ev.Tested, ev.Confirmed)


VAULT = (
    "keep",
    "keep_box",
    "keep_dealer_seed",
    "keep_next_share",
    "switch",
    "erase_older",
    "forget_dealing",
    "forget_refresh",
)
"""What a member does to its disk; `net.killer` may raise before or after each."""


class Killed(BaseException):
    """The process dies here; nothing after this line happens."""


def digest(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


class Epochs:
    """The KeyEpochs contract, in memory: refuses what the real one refuses, records what it records."""

    def __init__(self, hospitals: tuple[Hospital, ...]) -> None:
        self.accounts = [hospital.account for hospital in hospitals]
        self.events: list[ev.Event] = []
        for index, h in enumerate(hospitals):
            self.record(ev.HospitalAdmitted, index, h.account, h.box_key, h.data_size, h.name, h.url)
        self.done: dict[tuple[int, int, str], dict[str, bytes]] = {}
        self.running = self.latest = self.threshold = 0
        self.refreshing = 0
        self.keys: set[bytes] = set()
        self.complaints: list[tuple[str, str]] = []

    def record(self, kind, *values) -> None:
        names = [name for name in kind.__dataclass_fields__ if name not in {"block", "log_index", "tx"}]
        block = len(self.events) + 1
        self.events.append(kind(block=block, log_index=0, tx=bytes(32), **dict(zip(names, values, strict=True))))

    @property
    def view(self) -> ConsortiumView:
        return fold(ConsortiumView(), self.events)

    def refuse(self, name: str) -> None:
        raise ContractReverted("KeyEpochs", name, {})

    def open(self, sender: str, parameters: bytes, threshold: int, deadline: int) -> None:
        if self.running:
            self.refuse("CeremonyRunning")
        self.latest += 1
        self.refreshing = 0
        self.running, self.threshold = self.latest, threshold
        self.record(ev.EpochOpened, self.latest, parameters, threshold, deadline, sender)

    def refresh(self, sender: str, deadline: int) -> None:
        if self.running:
            self.refuse("CeremonyRunning")
        view = self.view
        if not view.active_epoch:
            self.refuse("NothingToRefresh")
        epoch = view.epochs[view.active_epoch]
        self.running, self.refreshing = epoch.epoch, len(epoch.refreshes) + 1
        self.record(ev.RefreshOpened, epoch.epoch, self.refreshing, epoch.generation + 1, deadline, sender)

    def step(self, name: str, sender: str, epoch: int, value: bytes) -> None:
        if epoch != self.running:
            self.refuse("CeremonyNotRunning")
        before = STEPS[: STEPS.index(name)]
        members = len(self.view.epochs[epoch].members)
        if any(len(self.done.get((epoch, self.refreshing, earlier), ())) < members for earlier in before):
            self.refuse("PhaseIncomplete")
        rows = self.done.setdefault((epoch, self.refreshing, name), {})
        if sender in rows:
            self.refuse("AlreadyDone")
        if name == "announce":
            if value in self.keys:
                self.refuse("BoxKeyUsed")
            self.keys.add(value)
        rows[sender] = value
        self.record(EVENTS[STEPS.index(name)], epoch, sender, value)
        if name == "confirm":
            self.confirmed(epoch, value, sum(v == value for v in rows.values()))

    def confirmed(self, epoch: int, value: bytes, votes: int) -> None:
        known = self.view.epochs[epoch]
        if self.refreshing:
            if value == known.joint_key and votes == len(known.members):
                self.running = 0
                self.record(ev.RefreshActivated, epoch, self.refreshing, known.generation + 1)
        elif votes == max(self.threshold, self.quorum(epoch)):
            self.running = 0
            self.record(ev.EpochActivated, epoch, value)

    def abort(self, sender: str, epoch: int) -> None:
        if epoch != self.running:
            self.refuse("CeremonyNotRunning")
        self.running = 0
        if self.refreshing:
            self.record(ev.RefreshAborted, epoch, self.refreshing, 0)
        else:
            self.record(ev.EpochAborted, epoch, 0)

    def complain(self, sender: str, epoch: int, offender: str, evidence: bytes) -> None:
        if epoch != self.running:
            self.refuse("CeremonyNotRunning")
        if any(c.member == address_bytes(sender) and c.offender == address_bytes(offender) for c in self.filed(epoch)):
            self.refuse("AlreadyDone")
        self.complaints.append((sender, offender))
        self.record(ev.Complained, epoch, sender, offender, evidence)
        if len({c.member for c in self.filed(epoch)}) >= self.quorum(epoch):
            self.abort(sender, epoch)

    def quorum(self, epoch: int) -> int:
        """Two thirds of all, or of the cohort."""
        known = self.view.epochs[epoch]
        return -(-2 * len(known.members if known.drawn else self.accounts) // 3)

    def filed(self, epoch: int):
        known = self.view.epochs[epoch]
        return (known.refreshes[-1] if self.refreshing else known).complaints


@dataclass
class Member:
    """One hospital: what lies on its disk, and a keeper that can die and be started again from it."""

    index: int
    hospital: Hospital
    box: BoxKey
    home: Home
    net: Network
    plot: list[str] = field(default_factory=list)
    """Names of what this member did, in order; `net.killer` may raise at any of them."""
    keeper: Keeper | None = None

    def start(self) -> None:
        store = FileStore(self.home.blobs)
        vault = Vault(self.home, f"password {self.index}", store, allow_minimal=True)
        for name in VAULT:
            setattr(vault, name, self.fragile(f"vault.{name}", getattr(vault, name)))
        put = store.put
        store.put = self.fragile("blobs.put", put)
        epochs = SimpleNamespace(
            open=self.fragile("open", lambda *a: self.net.epochs.open(self.hospital.account, *a)),
            refresh=self.fragile("refresh", lambda deadline: self.net.epochs.refresh(self.hospital.account, deadline)),
            abort=self.fragile("abort", lambda epoch: self.net.epochs.abort(self.hospital.account, epoch)),
            complain=self.fragile("complain", lambda *a: self.net.epochs.complain(self.hospital.account, *a)),
            **{name: self.step(name) for name in STEPS},
        )
        chain = SimpleNamespace(deployment=self.net.deployment, epochs=epochs, now=lambda: 0)
        blobs = SimpleNamespace(store=store, obtain=lambda cid, first=None: self.net.obtain(store, cid))
        self.keeper = Keeper(self.index, chain, blobs, vault, allow_minimal=True)
        self.vault, self.store, self.chain = vault, store, chain

    def step(self, name: str):
        return self.fragile(name, lambda epoch, value: self.net.epochs.step(name, self.hospital.account, epoch, value))

    def fragile(self, name: str, act):
        def doing(*arguments):
            self.net.killer(self, f"before {name}")
            result = act(*arguments)
            self.net.killer(self, f"after {name}")
            return result

        return doing


class Network:
    """N members; `run` lets each look at the chain in turn until an epoch is active."""

    def __init__(self, root: Path, members: int = 2, threshold: int = 2) -> None:
        self.threshold = threshold
        accounts = [Account.from_key(digest(f"account {k}")) for k in range(members)]
        boxes = [BoxKey(digest(f"box {k}")) for k in range(members)]
        hospitals = tuple(
            Hospital(account.address, box.public, 10, f"Hospital {k}", "")
            for k, (account, box) in enumerate(zip(accounts, boxes, strict=True))
        )
        contracts = ["0x" + f"{k}" * 40 for k in range(1, 5)]
        self.deployment = Deployment(31337, digest("consortium"), *contracts, 0)
        self.epochs = Epochs(hospitals)
        self.killer = lambda member, where: None
        self.members = [Member(k, hospitals[k], boxes[k], Home(root / f"h{k}"), self) for k in range(members)]
        for member in self.members:
            member.start()

    def obtain(self, store: FileStore, cid: str) -> bytes:
        for place in [store, *(member.store for member in self.members)]:
            try:
                return place.get(cid)
            except BlobMissing:
                continue
        raise BlobUnavailable(cid, ())

    def look(self, member: Member) -> None:
        """What the daemon does once a poll; a kill restarts the member from its disk."""
        try:
            member.keeper.open_if_due(self.epochs.view, "minimal", self.threshold)
            member.keeper.step(self.epochs.view)
        except Killed:
            member.start()

    def run(self, looks: int = 30) -> int:
        """The active epoch, 0 if there is none after that many looks of everybody."""
        for _ in range(looks):
            for member in self.members:
                self.look(member)
            if self.epochs.view.active_epoch:
                break
        return self.epochs.view.active_epoch

    def opens(self, epoch: int = 1) -> bool:
        """Whether all members hold parts of one key: a vector sealed under it opens."""
        keys = [member.vault.keys(epoch) for member in self.members]
        assert len({k.joint.digest for k in keys}) == 1
        assert self.epochs.view.epochs[epoch].joint_key == keys[0].joint.digest
        values = np.arange(-5, 6, dtype=np.int64)
        (chunk,) = Sealer(keys[0].joint).seal(values)
        openers = tuple(range(self.threshold))
        partials = {k: Opener(keys[k].member, openers).partial(chunk) for k in openers}
        return bool((combine(chunk, partials, MINIMAL, len(keys))[: values.size] == values).all())
