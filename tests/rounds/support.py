"""What the round's tests share: four members, signed transactions without a ledger, a round that was played."""

from __future__ import annotations

import hashlib
import itertools
from decimal import Decimal

from dag.bodies import (
    AcknowledgementBody,
    Body,
    CheckpointBody,
    ProposalBody,
    ShareBody,
    UpdateBody,
    VerdictBody,
    commit,
    proposal_roots,
)
from dag.ids import RAW, cid_bytes, cid_text
from dag.transaction import Transaction, Unsigned, address_of, sign
from node.rounds.plan import Plan
from node.rounds.state import Anchor, Members, RoundFacts, RoundState, SealedUpdate

N, QUORUM, ME = 4, 3, 1
OPENED_AT, COLLECT_BY, FINALISE_BY = 1000, 1600, 2200
RANKING = (2, 1, 0, 3)
"""Member 2 leads; this member (1) comes next."""


def digest(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


KEYS = tuple(digest(f"member {index}") for index in range(N))
ADDRESSES = tuple(address_of(key) for key in KEYS)
CONSORTIUM = digest("consortium")


def blob(name: str) -> str:
    return cid_text(cid_bytes(RAW, digest(name)))


def plan(**changes) -> Plan:
    fields = {
        "classes": ("a", "b"),
        "threshold": 2,
        "min_group": 2,
        "slot_seconds": 40,
        "collect_seconds": COLLECT_BY - OPENED_AT,
        "round_seconds": FINALISE_BY - OPENED_AT,
        "tolerance": Decimal("0.1"),
    }
    return Plan.create(**(fields | changes))


PLAN = plan()
FACTS = RoundFacts(7, 1, PLAN.digest, digest("base"), digest("seed"), RANKING, COLLECT_BY, FINALISE_BY)
SEALED = SealedUpdate(blob("manifest"), 5, 10, 1, digest("layout"), bytes(16))


def fresh(me: int = ME, **changes) -> RoundState:
    return RoundState(FACTS, Members(ADDRESSES, me, QUORUM), **({"now": float(OPENED_AT)} | changes))


def post(member: int, body: Body, sequence: int = 0, *, round_: int = FACTS.round, epoch: int = 1) -> Transaction:
    """A signed transaction on parents that are nowhere: the machine never looks at them."""
    payload = blob(f"payload of {member}") if body.carries_payload else None
    parents = (digest("left"), digest("right"))
    return sign(Unsigned(body.kind, CONSORTIUM, epoch, round_, sequence, parents, payload, body), KEYS[member])


def secret(member: int) -> bytes:
    return digest(f"secret {member}")


def update(member: int, **where) -> Transaction:
    return post(member, UpdateBody(100, 10, 1, commit(secret(member)), bytes(16), digest("layout")), **where)


def reveal(member: int, **where) -> Transaction:
    return post(member, AcknowledgementBody(secret(member)), **where)


def close(member: int, **where) -> Transaction:
    return post(member, AcknowledgementBody(None, close=True), 2, **where)


def proposal(
    leader: int, updates: tuple[bytes, ...], sums: tuple[str, ...], openers: tuple[int, ...], attempt: int = 0
) -> Transaction:
    ids = tuple(sorted(updates))
    cut = len(ids) // len(sums)
    bounds = [*range(0, cut * len(sums), cut), len(ids)]
    groups = tuple(tuple(range(a, b)) for a, b in itertools.pairwise(bounds))
    body = ProposalBody(ids, (), groups, sums, openers, attempt, *proposal_roots(ids, sums))
    return post(leader, body, 10 + attempt)


def anchor(tx: Transaction) -> Anchor:
    return Anchor(ADDRESSES.index(tx.issuer), tx.id, tx.body.updates_root, tx.body.sums_root)


def share(member: int, about: Transaction) -> Transaction:
    return post(member, ShareBody(about.id, member), 20)


def verdict(member: int, about: Transaction, accept: tuple[bool, ...]) -> Transaction:
    scores = tuple(900_000 if yes else 0 for yes in accept)
    return post(member, VerdictBody(about.id, scores, 900_000, accept, 9), 30)


def checkpoint(member: int, about: Transaction, statement: bytes) -> Transaction:
    signatures = (bytes([member]) * 65, bytes([member + 100]) * 65)
    return post(member, CheckpointBody(about.id, digest("model"), statement, *signatures, digest("root")), 40)
