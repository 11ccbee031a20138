"""Whole rounds in one ledger, every member posting in turn: what proofs, pictures and commands are tried on."""

from __future__ import annotations

import random

from dag.bodies import AcknowledgementBody, CheckpointBody, Kind, ShareBody, VerdictBody
from dag.ids import sha256
from dag.ledger import Ledger
from dag.proofs.witnesses import Witness, Witnesses
from dag.transaction import address_of
from tests.dag.support import CONSORTIUM, create, key, proposal_body, secret, update_body

QUIET = AcknowledgementBody(None)


def witnesses(members: int = 4) -> Witnesses:
    return Witnesses(CONSORTIUM, tuple(Witness(m, f"Hospital {m}", address_of(key(m))) for m in range(members)))


def play(
    book: Ledger, members: int = 4, rounds: int = 2, seed: int = 7, *, checkpoints: int | None = None
) -> list[bytes]:
    """Plays rounds 1, 2, … and returns their proposals' ids.

    The last round gets checkpoints of its first `checkpoints` members only, if given.
    """
    rng = random.Random(seed)
    return [
        _round(book, number, members, rng, members if checkpoints is None or number < rounds else checkpoints)
        for number in range(1, rounds + 1)
    ]


def _round(book: Ledger, number: int, members: int, rng: random.Random, checkpoints: int) -> bytes:
    everyone = range(members)
    updates = tuple(sorted(create(book, m, update_body(m), number, rng.random()).id for m in everyone))
    for _ in range(3):
        for m in everyone:
            if book.unapproved(address_of(key(m)), number, Kind.UPDATE):
                create(book, m, QUIET, number, rng.random())
    for m in everyone:
        create(book, m, AcknowledgementBody(None, close=True), number, rng.random())
    reveals = tuple(sorted(create(book, m, AcknowledgementBody(secret(m)), number, rng.random()).id for m in everyone))
    create(book, 0, QUIET, number, rng.random())
    proposal = create(book, rng.choice(everyone), proposal_body(updates, reveals), number, rng.random()).id
    for m in (0, 1, 2):
        create(book, m, ShareBody(proposal, m), number, rng.random())
    for m in everyone:
        create(book, m, VerdictBody(proposal, (900_000,), 800_000, (True,), 40), number, rng.random())
    model, statement, root = sha256(b"model %d" % number), sha256(b"statement %d" % number), book.round_root(proposal)
    for m in range(checkpoints):
        create(book, m, CheckpointBody(proposal, model, statement, b"o" * 65, b"d" * 65, root), number, rng.random())
    return proposal
