"""A finished run for audits: the simulation plays rounds, its chain is repeated on a real Anvil, its blobs are written out."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING
from unittest.mock import patch

from eth_account import Account

from chain.anvil import Anvil, dev_account
from chain.client import Chain
from chain.connection import Connection
from chain.deployment import Deployment, deploy, fund
from chain.records import Hospital
from crypto.ceremony import Dealer, Terms, finish, receive
from crypto.parameters import parameter_set
from crypto.secrets import BoxKey
from dag.bodies import Kind
from node.images.partition import partition
from node.images.phantom import generate
from node.provenance.envelopes import FACT
from node.rounds.dsse import Endorsement, Signature, gather_envelope
from node.rounds.journal import Journal
from node.rounds.statement import Statement
from node.rounds.steps.models import genesis_model
from node.sealing.models import open_model
from node.storage import FileStore, raw_cid
from tests.flow import simnet

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

MINIMAL = parameter_set("minimal", allow_minimal=True)
THRESHOLD = 3


def box(index: int) -> BoxKey:
    return BoxKey(hashlib.sha256(b"box" + bytes([index])).digest())


class AuditedNet(simnet.SimNet):
    """The simulation, with box keys that can be registered and a ceremony whose public part is kept."""

    def _ceremony(self, members: int, threshold: int):
        boxes = [box(k) for k in range(members)]
        terms = Terms(MINIMAL, self.deployment.consortium, 1, threshold, tuple(b.public for b in boxes))
        dealers = [Dealer.resume(terms, k, self.rng.randbytes(32)) for k in range(members)]
        self.dealings = [dealer.dealing() for dealer in dealers]
        self.commitments = [dealer.commitment for dealer in dealers]
        return [finish([self._received(terms, boxes, j, k) for j in range(members)]) for k in range(members)]

    def _received(self, terms, boxes, dealer, receiver):
        d = self.dealings[dealer]
        options = {"terms": terms, "commitment": self.commitments[dealer], "dealer": dealer, "receiver": receiver}
        return receive(d.header, d.public, d.shares[receiver], boxes[receiver], **options)


def write_run(
    root: Path,
    rounds: int,
    members: int = 4,
    seed: int = 3,
    before: Callable[[AuditedNet, int], None] | None = None,
    resting: int = 0,
    cards: Callable[[AuditedNet, list[Chain], int, str], None] = lambda *_: None,
    **plan_fields,
) -> AuditedNet:
    """Play rounds; leave a run directory: chain/state.json, consortium.json, hospitals/*/blobs, model.bin.

    So many hospitals more rest: the contract draws the others as a cohort, if `seed` is one that makes it. `before` is called with network and round before each is opened, to make things go wrong in it; `plan_fields` change the plan.
    `cards` is called with network, clients, round and "before" or "during", to register data cards around a round's opening.
    """
    accounts = [Account.from_key(hashlib.sha256(b"member" + bytes([seed, k])).digest()) for k in range(members)]
    sizes = [len(part) for part in partition(generate(12 * members, 32, seed), members, "by-patient", seed)]
    hospitals = [
        Hospital(account.address, box(k).public, sizes[k], f"Hospital {k}", "") for k, account in enumerate(accounts)
    ]
    hospitals += [
        Hospital(Account.from_key(bytes([k + 1]) * 32).address, box(members + k).public, 9, f"Resting {k}", "")
        for k in range(resting)
    ]
    consortium = hashlib.sha256(b"simulation" + bytes([seed])).digest()
    with Anvil(None, root / "chain" / "state.json") as anvil:
        smallest = members if resting else 0
        deployment = deploy(anvil.url, dev_account(0), consortium, hospitals, smallest_cohort=smallest)
        fund(anvil.url, dev_account(0), [account.address for account in accounts], 10)
        contracts = [deployment.registry, deployment.epochs, deployment.rounds, deployment.models]
        with patch.object(simnet, "CONTRACTS", contracts):
            net = AuditedNet(members, THRESHOLD, seed=seed, **{"min_group": 2} | plan_fields)
        for number in range(1, rounds + 1):
            if before:
                before(net, number)
            net.run(net.open_round())
        _repeat(net, anvil.url, deployment, smallest, cards)
    (root / "consortium.json").write_text(deployment.to_json())
    _write_blobs(net, root)
    (root / "model.bin").write_bytes(_model_file(net))
    return net


def _repeat(net: AuditedNet, url: str, deployment: Deployment, cohort: int, cards: Callable[..., None]) -> None:
    """Do on the real contracts what the simulation's members did on the simulated ones."""
    clients = [Chain(url, deployment, account) for account in net.accounts]
    joint = net.nodes[0].ports.keys.joint
    terms = MINIMAL.id + bytes(16), THRESHOLD, clients[0].now() + 1000
    if cohort:
        clients[0].epochs.open_cohort(*terms, cohort)
    else:
        clients[0].epochs.open(*terms)
    for k, client in enumerate(clients):
        client.epochs.announce(1, box(k).public)
    for k, client in enumerate(clients):
        client.epochs.commit(1, net.commitments[k])
    for k, client in enumerate(clients):
        client.epochs.deal(1, hashlib.sha256(net.dealings[k].header.to_bytes()).digest())
    for client in clients:
        client.epochs.test(1, hashlib.sha256(b"report").digest())
    for client in clients:
        client.epochs.confirm(1, joint.digest)
    clients[0].rounds.genesis(hashlib.sha256(genesis_model(net.plan)).digest(), net.plan.digest)
    for number, facts in net.chain.rounds.items():
        cards(net, clients, number, "before")
        clients[0].rounds.open(facts.plan, facts.base, net.plan.collect_seconds, net.plan.round_seconds)
        cards(net, clients, number, "during")
        for anchor in net.chain.anchors[number]:
            clients[anchor.leader].rounds.propose(number, anchor.proposal, anchor.updates_root, anchor.sums_root)
        if number in net.chain.outcomes:
            clients[0].rounds.finalise(*net.chain.outcomes[number])
        else:
            connection = Connection(url)
            connection.request("evm_increaseTime", net.plan.round_seconds + 10)
            connection.request("evm_mine")
            clients[0].rounds.abort(number)


def _write_blobs(net: AuditedNet, root: Path) -> None:
    for node in net.nodes:
        home = root / "hospitals" / f"hospital-{node.index}"
        store = FileStore(home)
        with patch("os.fsync", lambda _: None):
            for cid in node.blobs.store.iterate():
                store.put(node.blobs.store.get(cid))
            for dealing in net.dealings:
                store.put(dealing.header.to_bytes())
                store.put(dealing.public)
            _note_envelopes(net, node, store, Journal(home / "journal.sqlite"))


def _note_envelopes(net: AuditedNet, node: simnet.SimNode, store: FileStore, journal: Journal) -> None:
    """What a running node does on its own: `EnvelopeKeeper`."""
    for number, (outcome, signatures) in net.chain.outcomes.items():
        statement = Statement.from_bytes(store.get(raw_cid(outcome.statement)))
        points = node.publisher.read(lambda ledger, number=number: ledger.transactions(Kind.CHECKPOINT, number))
        given = [Endorsement(p.id, Signature(p.issuer, p.body.statement_signature)) for p in points]
        envelope, whole = gather_envelope(statement, given, [net.addresses[k] for k in signatures], net.quorum)
        fact = {
            "cid": store.put(envelope.to_bytes()),
            "statement": outcome.statement.hex(),
            "signers": 0,
            "whole": whole,
        }
        journal.remember(number, FACT, fact)
    journal.close()


def _model_file(net: AuditedNet) -> bytes:
    node = net.nodes[0]
    digest, epoch, number, sealed = node.journal.models()[-1]
    assert digest == net.chain.head
    return open_model(node.ports.keys.member, epoch, number, node.blobs.store.get(sealed))
