"""What the ledger's tests share: members, a context, bodies, and graphs drawn as text."""

from __future__ import annotations

import random
import re
from dataclasses import replace

from dag.bodies import (
    AcknowledgementBody,
    Body,
    CheckpointBody,
    Kind,
    ProposalBody,
    ShareBody,
    UpdateBody,
    VerdictBody,
    commit,
    proposal_roots,
)
from dag.ids import DAG_PB, RAW, cid_bytes, cid_text, sha256
from dag.ledger import Ledger
from dag.rules import Context, Member, RoundTerms
from dag.store.sqlite import Store
from dag.tangle import Tangle
from dag.transaction import Transaction, Unsigned, address_of, sign
from dag.weights import contribution_weight

CONSORTIUM = sha256(b"test consortium")
PARAMETERS = b"p" * 16
LAYOUT = sha256(b"layout")
CAP, SLOTS = 500, 4


def key(member: int) -> bytes:
    return sha256(f"member {member}".encode())


def blob(name: str, codec: int = RAW) -> str:
    return cid_text(cid_bytes(codec, sha256(name.encode())))


def terms(**changes) -> RoundTerms:
    return replace(RoundTerms(1, 3, PARAMETERS, CAP, SLOTS, 2, LAYOUT), **changes)


def context(members: int = 4, rounds: int = 3, **changes) -> Context:
    base = Context(
        consortium=CONSORTIUM,
        chain_id=31337,
        registry=b"r" * 20,
        members={address_of(key(index)): Member(index, 400) for index in range(members)},
        quorum=-(-2 * members // 3),
        rounds={number: terms() for number in range(1, rounds + 1)},
    )
    return replace(base, **changes)


def ledger(path=":memory:", members: int = 4, **options) -> Ledger:
    return Ledger(Store(path), lambda: context(members), **options)


def secret(member: int) -> bytes:
    return sha256(f"secret of {member}".encode())


def update_body(member: int = 0, samples: int = 100, slots: int = 2) -> UpdateBody:
    weight = contribution_weight(samples, 400, CAP, slots, SLOTS)
    return UpdateBody(weight, samples, slots, commit(secret(member)), PARAMETERS, LAYOUT)


def proposal_body(updates: tuple[bytes, ...], reveals: tuple[bytes, ...] = (), groups=None, **changes) -> ProposalBody:
    groups = groups or (tuple(range(len(updates))),)
    sums = tuple(blob(f"sum {number}", DAG_PB) for number in range(len(groups)))
    roots = proposal_roots(updates, sums)
    return replace(ProposalBody(updates, reveals, groups, sums, (0, 1, 2), 0, *roots), **changes)


def sample_body(kind: Kind) -> Body:
    """Some valid body of each kind."""
    updates = tuple(sorted(sha256(bytes([number])) for number in range(5)))
    return {
        Kind.UPDATE: update_body(),
        Kind.ACKNOWLEDGEMENT: AcknowledgementBody(secret(0)),
        Kind.PROPOSAL: proposal_body(updates, (sha256(b"reveal"),), ((0, 3), (1, 2, 4))),
        Kind.SHARE: ShareBody(updates[0], 2),
        Kind.VERDICT: VerdictBody(updates[0], (900_000, 0), 1_000_000, (True, False), 80),
        Kind.CHECKPOINT: CheckpointBody(updates[0], updates[1], updates[2], b"s" * 65, b"t" * 65, updates[3]),
    }[kind]


def post(
    parents: tuple[bytes, bytes],
    body: Body,
    member: int = 0,
    sequence: int = 0,
    round_: int = 1,
    payload: str | None = None,
    **changes,
) -> Transaction:
    """A signed transaction made by hand, around the ledger's own care."""
    payload = payload or (blob("payload") if body.carries_payload else None)
    unsigned = Unsigned(body.kind, CONSORTIUM, 1, round_, sequence, parents, payload, body)
    return sign(replace(unsigned, **changes), key(member))


def create(book: Ledger, member: int, body: Body, round_: int = 1, seed: int = 0, **options) -> Transaction:
    payload = blob(f"{body.kind} of {member} in {round_}") if body.carries_payload else None
    rng = random.Random(seed)
    return book.create(body.kind, round_, 1, body, payload, key(member), rng, **options)


def close(book: Ledger, member: int, round_: int = 1, seed: int = 0) -> Transaction:
    """The member counts no further update of the round."""
    return create(book, member, AcknowledgementBody(None, close=True), round_, seed)


def reveal(book: Ledger, member: int, round_: int = 1, seed: int = 0) -> Transaction:
    """The member opens its commitment."""
    return create(book, member, AcknowledgementBody(secret(member)), round_, seed)


def name_id(name: str) -> bytes:
    return sha256(name.encode())


def draw(text: str, quorum: int = 3) -> Tangle:
    """A graph from text: `A1:[G]; B1:[G]; A2:[A1,B1]`. The letter is the issuer (A is member 0), G is genesis.

    `A1@2` belongs to round 2; `A1@2!` is a checkpoint of it.
    """
    tangle = Tangle(quorum)
    tangle.attach(name_id("G"), (), None, 0, Kind.GENESIS)
    for item in filter(None, (part.strip() for part in text.split(";"))):
        name, round_, mark, parents = re.fullmatch(r"([A-Z]\d+)(?:@(\d+))?(!?):\[([^\]]*)\]", item).groups()
        above = tuple(name_id(parent.strip()) for parent in parents.split(","))
        kind = Kind.CHECKPOINT if mark else Kind.ACKNOWLEDGEMENT
        tangle.attach(name_id(name), (above * 2)[:2], ord(name[0]) - 65, int(round_ or 1), kind)
    return tangle
