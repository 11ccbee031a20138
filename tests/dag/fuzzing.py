"""Hostile bytes for every parser of the ledger: `python -m tests.dag.fuzzing [--count N] [--seed S]`.

Mutations know CBOR a little: lengths are inflated, nesting is piled up, items are repeated, dropped and spliced between
samples. A parser must either raise one of `dag.errors` or return a value that encodes to the very same bytes: two forms of
one thing would have two ids. Memory and the time of each case are bounded.
"""

from __future__ import annotations

import argparse
import io
import random
import sys
import time
import tracemalloc
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from dag.bodies import AcknowledgementBody, Kind
from dag.equivocation import EquivocationProof
from dag.errors import LedgerError
from dag.ids import sha256
from dag.store import archive
from dag.sync import messages
from dag.transaction import Transaction
from tests.dag.support import create, ledger, post, sample_body, update_body

PARENTS = (sha256(b"one"), sha256(b"two"))
MOST_SECONDS = 2.0
MOST_BYTES = 32 * 1024 * 1024
HEADS = bytes((0x00, 0x17, 0x18, 0x1B, 0x40, 0x58, 0x5B, 0x5F, 0x60, 0x7B, 0x80, 0x9B, 0x9F, 0xA0, 0xBB, 0xBF))
TAGS = bytes((0xC0, 0xC1, 0xC2, 0xC4, 0xD8, 0xDB, 0xE0, 0xF4, 0xF5, 0xF6, 0xF7, 0xF9, 0xFB, 0xFF, 0xFE, 0x1F))
BOMBS = (
    b"\x81" * 5000,
    b"\xa1\x60" * 3000,
    b"\xd8\x2a" * 3000,
    b"\x9b" + b"\xff" * 8,
    b"\x5b\x00\x00\x00\x7f\xff\xff\xff\xff",
    b"\xc2\x5a\x00\x0f\xff\xff",
    b"\xd8\x1c\x81\xd8\x1d\x00",
    b"\xbf\x61a" * 500,
    b"\xfb\x7f\xf8" + bytes(6),
)


@dataclass(frozen=True)
class Target:
    """A parser.

    Attributes:
        name: what it reads.
        corpus: good samples.
        again: parses bytes and returns the bytes of what was found.
    """

    name: str
    corpus: tuple[bytes, ...]
    again: Callable[[bytes], bytes]


@dataclass
class Outcome:
    """What came of many cases."""

    cases: int = 0
    accepted: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    slowest_seconds: float = 0.0


def targets() -> tuple[Target, ...]:
    """Transactions, proofs of equivocation, archives, messages between nodes."""
    signed = tuple(
        post(PARENTS, sample_body(kind), sequence=number, nonce=nonce)
        for number, kind in enumerate(kind for kind in Kind if kind is not Kind.GENESIS)
        for nonce in (None, bytes(8))
    )
    raws = tuple(tx.raw for tx in signed)
    proof = EquivocationProof.of(post(PARENTS, update_body()), post(PARENTS[::-1], update_body()))
    return (
        Target("transactions", raws, _transaction),
        Target("proofs of equivocation", (proof.encode(),), lambda raw: EquivocationProof.decode(raw).encode()),
        Target("archives", (_archive(),), _read_archive),
        Target("messages", _messages(raws), lambda raw: messages.parse(raw).encode()),
    )


def _transaction(raw: bytes) -> bytes:
    transaction = Transaction.decode(raw)
    transaction.__dict__.pop("raw")  # encode what was understood, not what was received
    again = transaction.encode()
    transaction.issuer  # noqa: B018  (recovering the signature is part of the door)
    return again


def _archive() -> bytes:
    book = ledger()
    for number in range(4):
        create(book, number % 3, AcknowledgementBody(None), seed=number)
    out = io.BytesIO()
    archive.export(book._store, out)
    return out.getvalue()


def _read_archive(raw: bytes) -> bytes:
    read = archive.Archive(io.BytesIO(raw))
    for _ in read.blocks():
        pass
    return raw  # the digest at its end vouches for every byte


def _messages(raws: tuple[bytes, ...]) -> tuple[bytes, ...]:
    ids = tuple(sorted(sha256(raw) for raw in raws))
    made = (
        messages.Announce(ids),
        messages.Push(raws),
        messages.Request(7, ids),
        messages.Answer(7, raws, ids[:1]),
        messages.Frontier(9, ids, True),
        messages.RangeRequest(7, ids[:3], ids[4]),
        messages.Range(7, raws, False),
    )
    return tuple(message.encode() for message in made)


def mutate(raw: bytes, corpus: tuple[bytes, ...], rng: random.Random) -> bytes:
    """One to four changes to a sample."""
    changed = bytearray(raw)
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        at = rng.randrange(len(changed) + 1)
        span = rng.randrange(1, 40)
        match rng.randrange(9):
            case 0:
                changed[at : at + 1] = bytes((rng.randrange(256),))
            case 1:
                changed[at : at + 1] = bytes((rng.choice(HEADS + TAGS),))
            case 2:
                changed[at : at + 1] = rng.choice(HEADS + TAGS).to_bytes(1, "big") + rng.randbytes(rng.randrange(9))
            case 3:
                del changed[at : at + span]
            case 4:
                changed[at:at] = changed[at : at + span]
            case 5:
                other = rng.choice(corpus)
                start = rng.randrange(len(other))
                changed[at : at + span] = other[start : start + span]
            case 6:
                changed[at:at] = rng.choice(BOMBS)
            case 7:
                del changed[at:]
            case _:
                if at < len(changed):
                    changed[at] ^= 1 << rng.randrange(8)
    return bytes(changed)


def attack(target: Target, count: int, rng: random.Random) -> Outcome:
    """Tries a parser on so many mutations.

    Raises:
        AssertionError: a second form was accepted, or a case took too long.
        Exception: whatever else the parser let through; the fault that is looked for.
    """
    outcome = Outcome()
    for _ in range(count):
        raw = mutate(rng.choice(target.corpus), target.corpus, rng)
        began = time.perf_counter()
        try:
            assert target.again(raw) == raw, f"{target.name}: two forms of one thing: {raw.hex()}"
            outcome.accepted += 1
        except LedgerError as error:
            outcome.refused[type(error).__name__] += 1
        outcome.slowest_seconds = max(outcome.slowest_seconds, time.perf_counter() - began)
        outcome.cases += 1
    assert outcome.slowest_seconds < MOST_SECONDS, f"{target.name}: {outcome.slowest_seconds:.2f} s for one case"
    return outcome


def attack_all(count: int, seed: int) -> dict[str, Outcome]:
    """Tries all parsers, `count` cases each, and watches memory over a part of them.

    Raises:
        AssertionError: see `attack`; or the parsers held on to, or took at once, more than `MOST_BYTES`.
    """
    outcomes = {}
    for target in targets():
        rng = random.Random(f"{seed} {target.name}")
        outcomes[target.name] = attack(target, count, rng)
        tracemalloc.start()
        attack(target, min(count, 500), rng)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < MOST_BYTES, f"{target.name}: {peak} bytes at once"
    return outcomes


def main(arguments: list[str]) -> int:
    """Prints what came of it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=50_000, help="cases for each parser")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(arguments)
    for name, outcome in attack_all(options.count, options.seed).items():
        reasons = ", ".join(f"{reason} {number}" for reason, number in outcome.refused.most_common())
        print(f"{name}: {outcome.cases} cases, {outcome.accepted} accepted, slowest {outcome.slowest_seconds:.3f} s")
        print(f"    refused: {reasons}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
