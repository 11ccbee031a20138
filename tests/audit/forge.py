"""Rounds that a whole quorum lied about: everything signed again by the members' own keys, and recorded on chain.

Only what such a round claims is false; every digest, signature and root agrees. So a check that rests on digests alone
would pass it.
"""

from __future__ import annotations

import hashlib
from contextlib import suppress
from dataclasses import dataclass, field, fields, replace
from types import MappingProxyType
from typing import TYPE_CHECKING

from eth_account import Account
from eth_utils.crypto import keccak

from chain.outcome import sign_outcome
from crypto.errors import CryptoError
from crypto.locking import UpdateLock
from crypto.sealing import add
from dag.bodies import AcknowledgementBody, ProposalBody, ShareBody, UpdateBody, VerdictBody, proposal_roots
from dag.ids import sha256
from dag.transaction import Transaction, Unsigned, sign
from node.audit.calls import Signed
from node.audit.cone import Cone
from node.audit.evidence import Directories, Sighting, blob_directories
from node.rounds.decision import accepted_groups
from node.rounds.groups import draw_groups, group_seed, seed_material, tolerated_colluders
from node.rounds.records import ShareManifest, SumManifest, UpdateManifest
from node.rounds.segment import pack_segment, unpack_segment
from node.rounds.state import Verdict
from node.rounds.statement import Group, Included, Statement
from node.rounds.statement import Verdict as Counted
from node.rounds.steps.conclude import outcome_of
from node.storage import blob_cid
from tests.audit.network import MINIMAL

if TYPE_CHECKING:
    from collections.abc import Callable

    from node.audit.chainside import ChainFacts
    from node.rounds.statement import Predicate
    from tests.audit.conftest import Run

SEED = 3
STRANGER = hashlib.sha256(b"stranger").digest()


def member_key(index: int) -> bytes:
    return hashlib.sha256(b"member" + bytes([SEED, index])).digest()


@dataclass
class Overlay:
    """Blobs made up beside those of a run."""

    run: Run
    blobs: dict[str, bytes] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.directory = Directories(blob_directories(self.run.root)[:1])

    def put(self, data: bytes) -> str:
        cid = blob_cid(data)
        self.blobs[cid] = data
        return cid

    def get(self, cid: str) -> bytes:
        data = self.look(cid).data
        assert data is not None
        return data

    def envelope(self, number: int) -> bytes | None:
        return None

    def look(self, cid: str) -> Sighting:
        if cid in self.blobs:
            return Sighting(self.blobs[cid])
        return self.directory.look(cid)


class Forgery:
    """One round made again. `change` may alter what any member signs, `tell` what the statement says.

    Args:
        run: The honest run.
        number: The round to make again.
        change: Called with (this, the honest transaction, the new one's fields plus `key`) before signing.
        tell: Called with the predicate's new fields.
        extra: Called before packing; may add transactions to `made`.
    """

    def __init__(self, run: Run, number: int, change=None, tell=None, extra=None) -> None:
        self.run, self.number = run, number
        self.evidence = Overlay(run)
        self.honest = run.predicate(number)
        self.here = run.facts.finalised[number]
        self.ids: dict[bytes, bytes] = {}
        self.made: dict[bytes, Transaction] = {}
        self._change = change or (lambda *_: None)
        listed = _ascending(unpack_segment(run.read(self.honest.segment)))
        row = self.here.row
        self.locks = [
            UpdateLock.from_reveal(tx.body.reveal, tx.issuer, row.epoch, row.round)
            for tx in listed
            if isinstance(tx.body, AcknowledgementBody) and tx.body.reveal
        ]
        for old in listed:
            self._again(old)
        if extra:
            extra(self)
        self.predicate = self._predicate(tell or (lambda _: None))
        self.facts = self._facts()

    @property
    def proposal(self) -> Transaction:
        return self.made[self.ids[bytes.fromhex(self.honest.proposal)]]

    def sign(self, values: dict) -> Transaction:
        key = values.pop("key")
        transaction = sign(Unsigned(**values), key)
        self.made[transaction.id] = transaction
        return transaction

    def _again(self, old: Transaction) -> None:
        values = {f.name: getattr(old, f.name) for f in fields(Unsigned)}
        values["parents"] = tuple(self.ids.get(parent, parent) for parent in old.parents)
        values["key"] = member_key(self.here.accounts.index(old.issuer))
        body = old.body
        if isinstance(body, ProposalBody):
            reveals = tuple(sorted(self.ids.get(i, i) for i in body.reveals))
            updates = tuple(sorted(self.ids.get(i, i) for i in body.updates))
            values["body"] = self.propose(body, updates, reveals)
        elif isinstance(body, ShareBody):
            values["body"] = replace(body, proposal=self.ids[body.proposal])
            values["payload"] = self._share_manifest(values)
        elif isinstance(body, VerdictBody):
            count = len(self.made[self.ids[body.proposal]].body.groups)
            votes = {"scores_ppm": body.scores_ppm[:count], "accept": body.accept[:count]}
            values["body"] = replace(body, proposal=self.ids[body.proposal], **votes)
        self._change(self, old, values)
        self.ids[old.id] = self.sign(values).id

    def propose(self, body: ProposalBody, updates: tuple[bytes, ...], reveals: tuple[bytes, ...]) -> ProposalBody:
        """What an honest leader proposes about these updates."""
        secrets = [self.made[i].body.reveal for i in reveals]
        root = proposal_roots(updates, ())[0]
        groups = draw_groups(group_seed(self.here.row.seed, root, secrets), len(updates), 2)
        sums = tuple(self.sum(tuple(updates[i] for i in group)) for group in groups)
        roots = dict(zip(("updates_root", "sums_root"), proposal_roots(updates, sums), strict=True))
        return replace(body, updates=updates, reveals=reveals, groups=groups, sums=sums, **roots)

    def sum(self, updates: tuple[bytes, ...]) -> str:
        rows = [UpdateManifest.from_bytes(self.evidence.get(self.made[i].payload)).chunks for i in updates]
        chunks = tuple(
            self.evidence.put(add([self.unlocked(index, cid) for cid in column], MINIMAL))
            for index, column in enumerate(zip(*rows, strict=True))
        )
        row = self.here.row
        manifest = SumManifest(self.run.facts.deployment.consortium, row.epoch, row.round, updates, chunks)
        return self.evidence.put(manifest.to_bytes())

    def unlocked(self, index: int, cid: str) -> bytes:
        """A chunk under whichever member's lock it is, at whichever place."""
        for place in (index, *range(8)):
            for lock in self.locks:
                with suppress(CryptoError):
                    return lock.unlock(place, self.evidence.get(cid))
        raise AssertionError(cid)

    def _share_manifest(self, values: dict) -> str:
        manifest = ShareManifest.from_bytes(self.evidence.get(values["payload"]))
        count = len(self.made[values["body"].proposal].body.groups)
        again = replace(manifest, proposal=values["body"].proposal, groups=manifest.groups[:count])
        return self.evidence.put(again.to_bytes())

    def _predicate(self, tell: Callable[[dict], None]) -> Predicate:
        """What the members state about the round as it is now."""
        head, body = self.proposal, self.proposal.body
        index = {address: k for k, address in enumerate(self.here.accounts)}
        issuers = {i: index.get(tx.issuer, 0) for i, tx in self.made.items()}
        root = Cone(self.made, issuers, head.id).root
        counted = sorted(self.ids[bytes.fromhex(v.id)] for v in self.honest.verdicts)
        votes = [Verdict(i, issuers[i], b"", self.made[i].body.accept) for i in counted]
        accepted = accepted_groups(votes, len(body.groups))
        secrets = [self.made[i].body.reveal for i in body.reveals]
        segment = pack_segment([self.made[i].raw for i in sorted(self.made)])
        said = {
            "leader": _hex(head.issuer),
            "proposal": head.id.hex(),
            "updates": tuple(self._included(i) for i in body.updates),
            "reveals": tuple(i.hex() for i in body.reveals),
            "groups": tuple(
                Group(updates=g, sum=s, accepted=a) for g, s, a in zip(body.groups, body.sums, accepted, strict=True)
            ),
            "openers": body.openers,
            "shares": tuple(self.ids[bytes.fromhex(i)].hex() for i in self.honest.shares),
            "verdicts": tuple(Counted(id=i.hex(), issuer=_hex(self.made[i].issuer)) for i in counted),
            "updates_root": body.updates_root.hex(),
            "sums_root": body.sums_root.hex(),
            "ledger_root": root.hex(),
            "segment": self.evidence.put(segment),
            "seed_material": seed_material(secrets, root).hex(),
            "colluders_tolerated": tolerated_colluders(len(g) for g in body.groups),
        }
        tell(said)
        return self.honest.model_copy(update=said)

    def _included(self, tx_id: bytes) -> Included:
        tx = self.made[tx_id]
        weight, samples = tx.body.weight_ppm, tx.body.samples
        return Included(id=tx_id.hex(), issuer=_hex(tx.issuer), weight_ppm=weight, samples=samples, manifest=tx.payload)

    def _facts(self) -> ChainFacts:
        """The chain as it would be had this round been finalised."""
        statement = Statement.of(self.predicate)
        self.evidence.put(statement.to_bytes())
        outcome = outcome_of(statement)
        accounts = [Account.from_key(member_key(k)) for k in range(len(self.here.accounts))]
        signatures = tuple(sign_outcome(outcome, self.run.facts.deployment, account) for account in accounts)
        head = self.proposal
        proposed = replace(
            self.here.row.proposals[0],
            leader=head.issuer,
            proposal=head.id,
            updates_root=head.body.updates_root,
            sums_root=head.body.sums_root,
        )
        row = replace(
            self.here.row,
            leader=outcome.leader,
            proposal=head.id,
            statement=statement.digest,
            proposals=(proposed, *self.here.row.proposals[1:]),
            signers=(1 << len(accounts)) - 1,
            next_seed=keccak(self.here.row.seed + outcome.seed_material + self.number.to_bytes(32, "big")),
        )
        signed = Signed(outcome, tuple(range(len(accounts))), signatures)
        return with_round(self.run.facts, replace(self.here, row=row, signed=signed))


def with_round(facts: ChainFacts, here) -> ChainFacts:
    """The same chain with another round in place of its own."""
    number, row = here.number, here.row
    view, proposed = facts.view, here.proposed
    models, records = dict(view.models), dict(facts.records)
    if row.model in models:
        models[row.model] = replace(models[row.model], statement=row.statement)
        roots = {"updates_root": proposed.updates_root, "sums_root": proposed.sums_root} if proposed else {}
        records[row.model] = replace(
            records[row.model], statement=row.statement, leader=row.leader, proposal=row.proposal, **roots
        )
    return replace(
        facts,
        view=replace(view, rounds=MappingProxyType({**view.rounds, number: row}), models=MappingProxyType(models)),
        finalised={**facts.finalised, number: here},
        records=records,
    )


def updates_of(forgery: Forgery) -> list[bytes]:
    return [i for i, tx in forgery.made.items() if isinstance(tx.body, UpdateBody)]


def _ascending(transactions: tuple[Transaction, ...]) -> list[Transaction]:
    """Parents before children."""
    waiting, done, order = {tx.id: tx for tx in transactions}, set(), []
    while waiting:
        ready = [tx for tx in waiting.values() if not any(parent in waiting for parent in tx.parents)]
        for tx in sorted(ready, key=lambda tx: tx.id):
            order.append(tx)
            done.add(tx.id)
            del waiting[tx.id]
    return order


def _hex(address: bytes) -> str:
    return f"0x{address.hex()}"


__all__ = ["STRANGER", "Forgery", "member_key", "sha256", "updates_of", "with_round"]
