"""A process that takes a feed into a ledger and says what is durable: what tests kill. `python -m tests.dag.ingesting`.

The feed is what peers send on a bad day: transactions in any order, twice, broken, by strangers, contradicting each other. A
line on standard output means that what it names must survive: `B n` the feed's batch n, `C id` an own transaction, `S id`
that it left the outbox.
"""

from __future__ import annotations

import pickle
import random
import sys
from dataclasses import dataclass
from pathlib import Path

from dag.bodies import AcknowledgementBody
from dag.ids import sha256
from dag.ledger import Ledger
from dag.store.sqlite import Store
from tests.dag.support import blob, context, create, ledger, post, update_body

MEMBERS, OWN, STRANGER = 5, 4, 9
QUIET = AcknowledgementBody(None)


@dataclass(frozen=True)
class Feed:
    """What is sent, in batches.

    Attributes:
        batches: bytes as they arrive.
        good: ids of what may enter; of contradicting halves either may.
        sure: of each batch the ids that must be attached or wait once the batch is acknowledged.
    """

    batches: list[list[bytes]]
    good: frozenset[bytes]
    sure: list[list[bytes]]


def the_context():
    return context(members=MEMBERS, rounds=40)


def make_feed(seed: int, size: int = 3000, batch: int = 32) -> Feed:
    """A feed of valid transactions by members 0 … 3, shuffled in windows, with a fifth of bad ones mixed in."""
    rng = random.Random(seed)
    honest, halves = _history(rng, size)
    sent = [(rng.uniform(0, 90) + at, tx.raw, tx.id) for at, tx in enumerate(honest)]
    sent += [(rng.uniform(0, size), tx.raw, None) for tx in halves]
    sent += [(rng.uniform(0, size), raw, None) for raw in _junk(rng, honest, size // 5)]
    sent.sort(key=lambda item: item[0])
    groups = [sent[start : start + batch] for start in range(0, len(sent), batch)]
    return Feed(
        [[raw for _, raw, _ in group] for group in groups],
        frozenset(tx.id for tx in honest + halves) | {ledger(members=MEMBERS).genesis_id},
        [[tx_id for _, _, tx_id in group if tx_id] for group in groups],
    )


def _history(rng: random.Random, size: int):
    start = Ledger(Store(":memory:"), the_context).genesis_id
    recent, sequences, honest = [start], [0] * 3, []
    for number in range(size):
        member = number % 3  # members 0 … 2 are honest, member 3 contradicts itself
        round_ = 1 + number // 100
        body = update_body(member) if number % 100 < 3 else QUIET
        payload = blob(f"payload {number}") if body.carries_payload else None
        parents = (rng.choice(recent), rng.choice(recent))
        posted = post(parents, body, member, sequences[member], round_, payload)
        sequences[member] += 1
        honest.append(posted)
        recent = [*recent[-4:], posted.id]
    base = honest[size // 4].id
    halves = [post((base, other.id), QUIET, 3, sequence=0) for other in rng.sample(honest[: size // 4], 2)]
    return honest, halves


def _junk(rng: random.Random, honest: list, count: int) -> list[bytes]:
    made = []
    for number in range(count):
        tx = rng.choice(honest)
        changed = bytearray(tx.raw)
        match number % 4:
            case 0:
                changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
                made.append(bytes(changed))
            case 1:
                changed[-45 - 10] ^= 1  # inside the signature: another issuer, or none
                made.append(bytes(changed))
            case 2:
                made.append(post(tx.parents, QUIET, STRANGER, sequence=number).raw)
            case _:
                made.append(post((sha256(rng.randbytes(8)),) * 2, QUIET, 2, 10**6 + number, 99).raw)  # no such round
    return made


def main(path: str, feed_file: str, seed: int) -> None:
    """Ingests until killed."""
    feed: Feed = pickle.loads(Path(feed_file).read_bytes())  # noqa: S301  (written by the test a moment ago)
    book = Ledger(Store(path), the_context)
    say("R")
    rng = random.Random(seed)
    for number, batch in enumerate(feed.batches):
        book.receive_many(batch)
        say(f"B {number}")
        if rng.random() < 0.3:
            say(f"C {create(book, OWN, QUIET, seed=rng.random()).id.hex()}")
        if rng.random() < 0.1 and (waiting := book.outbox()):
            book.sent(waiting[0])
            say(f"S {waiting[0].hex()}")
    while True:
        say(f"C {create(book, OWN, QUIET, seed=rng.random()).id.hex()}")


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
