"""A consortium's history, made up to be audited: real contracts, keys, ciphertexts, ledger and signatures; no training.

Updates are noise, scores are made up, a model is the one before plus noise, and the partial openings are bytes of the right
length (making real ones takes longer than all the rest, and what they hold is sealed to an auditor anyway). All that an audit
can check is as it would be: it finds nothing wrong.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from eth_account import Account

from benchmarks.errors import NotMeasured
from chain.anvil import dev_account
from chain.client import Chain
from chain.deployment import deploy, fund
from chain.leader import ranking
from chain.outcome import sign_outcome
from chain.records import Hospital
from crypto.ceremony import Dealer, ReceivedShare, Terms, finish, receive
from crypto.locking import UpdateLock
from crypto.sealing import add, chunk_bytes
from crypto.secrets import BoxKey
from dag.bodies import (
    AcknowledgementBody,
    Body,
    ProposalBody,
    ShareBody,
    UpdateBody,
    VerdictBody,
    commit,
    proposal_roots,
)
from dag.proofs.merkle import root
from dag.transaction import Transaction, Unsigned, address_of, genesis, sign
from node.learning.modelfile import model_hash, parse_model
from node.learning.parameters import model_bytes
from node.rounds.groups import draw_groups, group_seed, seed_material, tolerated_colluders
from node.rounds.plan import Plan
from node.rounds.records import ShareManifest, SumManifest, UpdateManifest
from node.rounds.segment import pack_segment
from node.rounds.statement import Group, Included, JointKeyRef, ModelRef, Predicate, Statement, Verdict
from node.rounds.steps.conclude import outcome_of, software
from node.rounds.steps.models import genesis_model
from node.sealing.models import seal_model
from node.sealing.quantising import QuantisedUpdate, plan_layout
from node.sealing.updates import sealer_of
from node.storage import blob_cid

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from crypto.keys import JointKey, MemberKey
    from crypto.parameters import ParameterSet

IMAGES: Final = 100
"""Data size that every hospital declares."""
CLASSES: Final = ("normal", "pneumonia", "covid")
SCORE: Final = 900_000
ENVELOPE: Final = 45
"""Bytes that sealing adds to an opening."""
HEADER: Final = 80
"""Bytes of a partial opening before its coefficients."""


@dataclass(frozen=True)
class Size:
    """How large a history is."""

    members: int
    rounds: int
    architecture: str
    min_group: int = 3

    @property
    def threshold(self) -> int:
        """Members that open a sum together, ⌈2N/3⌉."""
        return -(-2 * self.members // 3)


class Blobs:
    """Writes blobs where `node.storage.FileStore` looks for them; not made to survive a crash."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.bytes = 0

    def put(self, data: bytes) -> str:
        """Store a blob; its CID."""
        cid = blob_cid(data)
        path = self._directory / cid[-3:-1] / cid
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        self.bytes += len(data)
        return cid


class Keys:
    """A key epoch's ceremony, done in this process; what of it is public is kept."""

    def __init__(self, params: ParameterSet, consortium: bytes, size: Size, blobs: Blobs) -> None:
        self.boxes = [BoxKey(_digest(f"box {index}")) for index in range(size.members)]
        terms = Terms(params, consortium, 1, size.threshold, tuple(box.public for box in self.boxes))
        self.dealers = [Dealer.resume(terms, index, _digest(f"dealer {index}")) for index in range(size.members)]
        self.headers = [dealer.dealing().header.to_bytes() for dealer in self.dealers]
        finished = finish([self._received(dealer, 0) for dealer in self.dealers])
        self.member: MemberKey = finished[0]
        self.joint: JointKey = finished[1]
        for dealer, header in zip(self.dealers, self.headers, strict=True):
            blobs.put(header)
            blobs.put(dealer.dealing().public)
        self.cid = blobs.put(self.joint.to_bytes())

    def _received(self, dealer: Dealer, receiver: int) -> ReceivedShare:
        found = dealer.dealing()
        return receive(
            found.header,
            found.public,
            found.shares[receiver],
            self.boxes[receiver],
            terms=dealer.terms,
            commitment=dealer.commitment,
            dealer=dealer.index,
            receiver=receiver,
        )


class Writer:
    """A ledger that grows in one line: every transaction has everything before it in its past cone."""

    def __init__(self, consortium: bytes, chain_id: int, registry: bytes, keys: Sequence[bytes]) -> None:
        first = genesis(consortium, chain_id, registry)
        self._consortium, self._keys = consortium, keys
        self._heads = (first.id, first.id)
        self._sequences = [0] * len(keys)
        self.made: dict[bytes, Transaction] = {}

    def post(self, member: int, number: int, body: Body, payload: str | None = None) -> Transaction:
        """One member's next transaction in a round of epoch 1."""
        unsigned = Unsigned(
            kind=body.kind,
            consortium=self._consortium,
            epoch=1,
            round=number,
            sequence=self._sequences[member],
            parents=self._heads,
            payload=payload,
            body=body,
        )
        made = sign(unsigned, self._keys[member])
        self._sequences[member] += 1
        self._heads = (made.id, self._heads[0])
        self.made[made.id] = made
        return made


class History:
    """Makes rounds one after the other.

    Args:
        url: A local chain's endpoint.
        blobs: Where all blobs go.
        size: How much to make.
        params: Encryption parameters.
    """

    def __init__(self, url: str, blobs: Blobs, size: Size, params: ParameterSet) -> None:
        self._size, self._params, self._blobs = size, params, blobs
        keys = [_digest(f"hospital {index}") for index in range(size.members)]
        self._accounts = [Account.from_key(key) for key in keys]
        self._addresses = [address_of(key) for key in keys]
        consortium = _digest("consortium")
        self._keys = Keys(params, consortium, size, blobs)
        self.deployment = deploy(url, dev_account(0), consortium, self._hospitals())
        fund(url, dev_account(0), [account.address for account in self._accounts], 10)
        self._clients = [Chain(url, self.deployment, account) for account in self._accounts]
        registry = bytes.fromhex(self.deployment.registry[2:])
        self._ledger = Writer(consortium, self.deployment.chain_id, registry, keys)
        self._plan = Plan.create(
            architecture=size.architecture,
            classes=CLASSES,
            epochs=1,
            parameter_set=params.name,
            threshold=size.threshold,
            min_group=size.min_group,
            value_range="0.05",
        )
        self._layout = plan_layout(self._plan.architecture, len(CLASSES), self._plan.value_range)
        self._plan_cid = blobs.put(self._plan.to_bytes())
        self.model = genesis_model(self._plan)
        self._ceremony_on_chain()
        self._clients[0].rounds.genesis(model_hash(self.model), self._plan.digest)
        self.seats = tuple(range(size.members))
        """Who takes part in the rounds to come."""

    @property
    def parameters(self) -> int:
        """D, the parameters of a model."""
        return self._layout.size

    def _hospitals(self) -> list[Hospital]:
        boxes = self._keys.boxes
        return [
            Hospital(account.address, boxes[index].public, IMAGES, f"Hospital {index}", "")
            for index, account in enumerate(self._accounts)
        ]

    def _ceremony_on_chain(self) -> None:
        first, keys = self._clients[0], self._keys
        first.epochs.open(self._params.id + bytes(16), self._size.threshold, first.now() + 3_600)
        digests = [hashlib.sha256(header).digest() for header in keys.headers]
        steps: tuple[Callable[[int, Chain], object], ...] = (
            lambda k, chain: chain.epochs.announce(1, keys.boxes[k].public),
            lambda k, chain: chain.epochs.commit(1, keys.dealers[k].commitment),
            lambda k, chain: chain.epochs.deal(1, digests[k]),
            lambda k, chain: chain.epochs.test(1, _digest(f"report {k}")),
            lambda _k, chain: chain.epochs.confirm(1, keys.joint.digest),
        )
        for step in steps:
            for index, client in enumerate(self._clients):
                step(index, client)

    def round(self, number: int) -> None:
        """Make one round, from its opening to its record on chain."""
        before = set(self._ledger.made)
        base, chain = model_hash(self.model), self._clients[0]
        seed = chain.rounds.seed()
        chain.rounds.open(self._plan.digest, base, 600, 3_000)
        proposal = self._propose(number, seed)
        # Every transaction so far is in the proposal's past cone; shares and verdicts come above it.
        ledger_root = root(sorted(set(self._ledger.made) - before))
        shares, verdicts = self._open_and_score(number, proposal)
        segment = pack_segment([self._ledger.made[i].raw for i in sorted(set(self._ledger.made) - before)])
        self.model = self._next_model(number)
        said = self._said(proposal) | {
            "seed": seed.hex(),
            "base": base.hex(),
            "shares": tuple(tx.id.hex() for tx in shares),
            "verdicts": tuple(Verdict(id=tx.id.hex(), issuer=_hex(tx.issuer)) for tx in verdicts),
            "ledger_root": ledger_root.hex(),
            "segment": self._blobs.put(segment),
            "seed_material": seed_material(self._secrets(number).values(), ledger_root).hex(),
            "model": ModelRef(
                sha256=model_hash(self.model).hex(),
                sealed=self._blobs.put(seal_model(self._keys.member, 1, number, self.model)),
            ),
        }
        self._finalise(Statement.of(Predicate.model_validate(said)), proposal.issuer)

    def _secrets(self, number: int) -> dict[int, bytes]:
        """What each member reveals in a round."""
        return {index: _digest(f"reveal {number} {index}") for index in self.seats}

    def _propose(self, number: int, seed: bytes) -> Transaction:
        """All updates, closes and reveals, and the leader's proposal above them, on chain too."""
        members, post, secrets = self.seats, self._ledger.post, self._secrets(number)
        updates = dict(self._update(number, index, secrets[index]) for index in members)
        for index in members:
            post(index, number, AcknowledgementBody(None, close=True))
        reveals = sorted(post(index, number, AcknowledgementBody(secrets[index])).id for index in members)
        leader = members[ranking(seed, [self._addresses[index] for index in members], [1] * len(members))[0]]
        body = self._proposal(number, seed, reveals, updates)
        proposal = post(leader, number, body)
        self._clients[leader].rounds.propose(number, proposal.id, body.updates_root, body.sums_root)
        return proposal

    def _open_and_score(self, number: int, proposal: Transaction) -> tuple[list[Transaction], list[Transaction]]:
        """The openers' shares and all members' verdicts."""
        body = _proposed(proposal)
        shares = [self._share(number, proposal, index) for index in body.openers]
        count = len(body.groups)
        verdict = VerdictBody(proposal.id, (SCORE,) * count, SCORE, (True,) * count, IMAGES)
        verdicts = [self._ledger.post(index, number, verdict) for index in self.seats]
        return shares, sorted(verdicts, key=lambda tx: tx.id)

    def _said(self, proposal: Transaction) -> dict[str, object]:
        """What a statement says of a proposal, and of what is the same in every round."""
        body = _proposed(proposal)
        return {
            "consortium": self.deployment.consortium.hex(),
            "chain_id": self.deployment.chain_id,
            "contract": self.deployment.rounds.lower(),
            "round": proposal.round,
            "epoch": 1,
            "plan": self._plan.digest.hex(),
            "leader": _hex(proposal.issuer),
            "proposal": proposal.id.hex(),
            "updates": tuple(_included(self._ledger.made[i]) for i in body.updates),
            "reveals": tuple(i.hex() for i in body.reveals),
            "groups": tuple(
                Group(updates=g, sum=s, accepted=True) for g, s in zip(body.groups, body.sums, strict=True)
            ),
            "openers": body.openers,
            "updates_root": body.updates_root.hex(),
            "sums_root": body.sums_root.hex(),
            "joint_key": JointKeyRef(digest=self._keys.joint.digest.hex(), cid=self._keys.cid),
            "parameter_set": self._params.name,
            "min_group": self._size.min_group,
            "colluders_tolerated": tolerated_colluders(len(group) for group in body.groups),
            "software": software(),
        }

    def _finalise(self, statement: Statement, leader: bytes) -> None:
        """Store the statement, sign the outcome by a bare quorum and record it."""
        self._blobs.put(statement.to_bytes())
        outcome = outcome_of(statement)
        signers = self.seats[: -(-2 * len(self.seats) // 3)]
        signatures = {k: sign_outcome(outcome, self.deployment, self._accounts[k]) for k in signers}
        self._clients[self._addresses.index(leader)].rounds.finalise(outcome, signatures)

    def _update(self, number: int, index: int, secret: bytes) -> tuple[bytes, list[bytes]]:
        """A member's sealed update, posted: its id, and its chunks before they were locked."""
        params, layout = self._params, self._layout
        noise = np.random.default_rng([number, index]).random(layout.size, np.float32)
        limit = params.value_limit(self._size.members)
        delta = (noise - np.float32(0.5)) * np.float32(0.08)
        values = QuantisedUpdate(delta, 10**6, layout, limit, _digest(f"{number} {index}"))
        chunks = list(sealer_of(self._keys.joint).seal(np.concatenate(list(values))))
        address = self._addresses[index]
        lock = UpdateLock.from_reveal(secret, address, 1, number)
        manifest = UpdateManifest(
            consortium=self.deployment.consortium,
            epoch=1,
            round=number,
            issuer=address,
            parameter_set=params.id,
            layout=layout.digest,
            size=layout.size,
            clipped=values.clipped,
            chunks=tuple(self._blobs.put(lock.lock(place, chunk)) for place, chunk in enumerate(chunks)),
        )
        body = UpdateBody(10**6, IMAGES, 1, commit(secret), params.id, layout.digest)
        return self._ledger.post(index, number, body, self._blobs.put(manifest.to_bytes())).id, chunks

    def _proposal(
        self, number: int, seed: bytes, reveals: list[bytes], chunks: dict[bytes, list[bytes]]
    ) -> ProposalBody:
        """What an honest leader proposes; `chunks` are the updates', by transaction id."""
        updates = sorted(chunks)
        secrets = [self._revealed(i) for i in reveals]
        updates_root = proposal_roots(tuple(updates), ())[0]
        groups = draw_groups(group_seed(seed, updates_root, secrets), len(updates), self._size.min_group)
        sums = []
        for group in groups:
            ids = tuple(updates[place] for place in group)
            columns = zip(*(chunks[i] for i in ids), strict=True)
            added = tuple(self._blobs.put(add(column, self._params)) for column in columns)
            sums.append(self._blobs.put(SumManifest(self.deployment.consortium, 1, number, ids, added).to_bytes()))
        updates_root, sums_root = proposal_roots(tuple(updates), tuple(sums))
        return ProposalBody(
            updates=tuple(updates),
            reveals=tuple(reveals),
            groups=groups,
            sums=tuple(sums),
            openers=self.seats[: self._size.threshold],
            attempt=0,
            updates_root=updates_root,
            sums_root=sums_root,
        )

    def _revealed(self, tx_id: bytes) -> bytes:
        body = self._ledger.made[tx_id].body
        if not isinstance(body, AcknowledgementBody) or body.reveal is None:
            raise NotMeasured("a reveal of the made-up history reveals nothing")
        return body.reveal

    def _share(self, number: int, proposal: Transaction, member: int) -> Transaction:
        """A share whose openings are of the right length and mean nothing."""
        length = HEADER + (chunk_bytes(self._params) - 40) // 2 + ENVELOPE
        noise, count = np.random.default_rng([number, member, 1]), len(_proposed(proposal).groups)
        chunks = self._params.chunks(self._layout.size)
        groups = tuple(tuple(self._blobs.put(noise.bytes(length)) for _ in range(chunks)) for _ in range(count))
        manifest = ShareManifest(self.deployment.consortium, 1, number, proposal.id, member, groups)
        return self._ledger.post(member, number, ShareBody(proposal.id, member), self._blobs.put(manifest.to_bytes()))

    def _next_model(self, number: int) -> bytes:
        noise = np.random.default_rng(number).random(self._layout.size, np.float32)
        vector = parse_model(self.model).vector + np.float32(0.001) * noise
        return model_bytes(vector.astype(np.float32), self._plan.architecture, len(CLASSES))


def _proposed(tx: Transaction) -> ProposalBody:
    if not isinstance(tx.body, ProposalBody):
        raise NotMeasured("a proposal of the made-up history is none")
    return tx.body


def _included(tx: Transaction) -> Included:
    body = tx.body
    if not isinstance(body, UpdateBody) or tx.payload is None:
        raise NotMeasured("an update of the made-up history is none")
    return Included(
        id=tx.id.hex(), issuer=_hex(tx.issuer), weight_ppm=body.weight_ppm, samples=body.samples, manifest=tx.payload
    )


def _hex(address: bytes) -> str:
    return f"0x{address.hex()}"


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()
