"""The API over a real ledger, journal and blob store, filled by one round of the simulation."""

from __future__ import annotations

import time
from types import SimpleNamespace

import pytest
import torch
from eth_utils.address import to_checksum_address
from fastapi.testclient import TestClient

from chain import events as ev
from chain.client import Chain
from node.api.app import create_app
from node.calling import Dialer, MemberAuth
from node.consortium.view import ConsortiumView, fold
from node.daemon.planning import Planning
from node.daemon.plans import PlanBook
from node.epochs.keeper import Keeper
from node.epochs.vault import Vault
from node.home import Home
from node.membership.book import MotionBook
from node.planning.board import NoticeBoard
from node.publishing.gossip import Gossip
from node.storage import FileStore
from tests.api.access.support import access_over, bearer, config_for
from tests.flow.simnet import SimNet

torch.set_num_threads(1)


def events(net: SimNet) -> list[ev.Event]:
    """What the chain would have said of the simulated round."""
    where = {"block": 1, "log_index": 0, "tx": bytes(32)}
    accounts = [account.address for account in net.accounts]
    rows: list[ev.Event] = [
        ev.HospitalAdmitted(
            index=k,
            account=account,
            box_key=bytes([k] * 32),
            data_size=len(net.parts[k]),
            name=f"Hospital {k}",
            url=f"http://node-{k}",
            **where,
        )
        for k, account in enumerate(accounts)
    ]
    joint = net.nodes[0].ports.keys.joint
    rows += [
        ev.EpochOpened(
            epoch=1, parameter_set=joint.params.id + bytes(16), threshold=3, deadline=9, opener=accounts[0], **where
        ),
        ev.Committed(epoch=1, member=accounts[1], commitment=bytes(32), **where),
        ev.EpochActivated(epoch=1, joint_key=joint.digest, **where),
        ev.ModelRecorded(model=net.chain.rounds[1].base, parent=bytes(32), round=0, statement=bytes(32), **where),
    ]
    for number, facts in net.chain.rounds.items():
        ending = net.chain.endings[number]
        times = {"collect_by": facts.collect_by, "finalise_by": facts.finalise_by}
        rows.append(
            ev.RoundOpened(
                round=number,
                epoch=1,
                plan=facts.plan,
                base=facts.base,
                seed=facts.seed,
                opener=accounts[0],
                **times,
                **where,
            )
        )
        for a in net.chain.anchors[number]:
            roots = {"updates_root": a.updates_root, "sums_root": a.sums_root}
            rows.append(ev.Proposed(round=number, leader=accounts[a.leader], proposal=a.proposal, **roots, **where))
        outcome, signatures = net.chain.outcomes[number]
        signers = sum(1 << k for k in signatures)
        rows += [
            ev.RoundFinalised(
                round=number,
                model=ending.model,
                leader=to_checksum_address(outcome.leader),
                base=facts.base,
                proposal=outcome.proposal,
                statement=ending.statement,
                signers=signers,
                seed=net.chain.seed,
                **where,
            ),
            ev.ModelRecorded(model=ending.model, parent=facts.base, round=number, statement=ending.statement, **where),
        ]
    return rows


@pytest.fixture(scope="session")
def net() -> SimNet:
    network = SimNet(4, 3, min_group=2, seed=6)
    network.play(1)
    return network


@pytest.fixture(scope="session")
def service(net, tmp_path_factory):
    """What the API needs of the daemon, without its loops."""
    home = Home(tmp_path_factory.mktemp("home"))
    store = FileStore(home.blobs)
    node = net.nodes[0]
    for cid in node.blobs.store.iterate():
        store.put(node.blobs.store.get(cid))
    home.secrets.mkdir()
    home.box_file.write_bytes(b"a sealed secret")
    chain = Chain("http://127.0.0.1:1", net.deployment)
    vault = Vault(home, "password", store, allow_minimal=True)
    view = fold(ConsortiumView(), events(net))
    config = config_for("http://node-0")
    plans = PlanBook(net.deployment, node.blobs, allow_minimal=True)
    planning = Planning(home, config, 0, chain, plans, store, node.journal)
    planning.in_force.look(view)
    return SimpleNamespace(
        me=0,
        planning=planning,
        notices=NoticeBoard(home.notices, net.deployment, lambda: view),
        started=time.time(),
        config=config,
        access=access_over(view, net.deployment.consortium, "http://node-0", home.root),
        chain=chain,
        keeper=Keeper(0, chain, node.blobs, vault),
        publisher=node.publisher,
        gossip=Gossip(node.publisher, Dialer(), lambda: (), lambda *_: None),
        journal=node.journal,
        store=store,
        conductor=SimpleNamespace(runners={1: node.runner}),
        view=view,
        home=home,
        book=MotionBook(":memory:", net.deployment),
        witness=SimpleNamespace(log=None),
    )


@pytest.fixture(scope="session")
def client(service):
    """A server error is an answer here, not an exception: no request may lead to one."""
    return TestClient(create_app(service), raise_server_exceptions=False, headers=bearer(service.access))


@pytest.fixture(scope="session")
def member(service, net):
    """The same node as hospital 1's calls it."""
    auth = MemberAuth(bytes(net.accounts[1].key), net.deployment.consortium)
    found = TestClient(create_app(service), raise_server_exceptions=False, base_url="http://node-0")
    found.auth = auth
    return found


@pytest.fixture(autouse=True)
def quick_disk(monkeypatch):
    monkeypatch.setattr("os.fsync", lambda _: None)
