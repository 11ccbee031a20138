"""The part of `benchmarks.ledger` that is on disk: durable transactions a second, a start from disk, against bare recovery.

Ten members post with five transactions under way, a hundred a round, ten of them updates; everything is signed, decoded,
verified, committed 256 at a time (SQLite, WAL, synchronous=FULL) and attached, in one thread. The baseline recovers the
same signatures to addresses and does nothing else; both take turns, a commit's worth each.
"""

from __future__ import annotations

import multiprocessing
import random
import tempfile
from collections import deque
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from time import perf_counter, thread_time
from typing import TYPE_CHECKING, Any, NamedTuple

import coincurve
from eth_utils.crypto import keccak

from benchmarks import harness
from benchmarks.errors import NotMeasured
from benchmarks.harness import Result, Row, Target
from dag.bodies import AcknowledgementBody, Body, UpdateBody, commit
from dag.ids import RAW, cid_bytes, cid_text, sha256
from dag.ledger import Ledger
from dag.rules import Context, Member, RoundTerms
from dag.store.sqlite import Store
from dag.transaction import Transaction, Unsigned, address_of, sign, signing_digest
from dag.weights import contribution_weight

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from dag.ledger import Received

SIZES = (10_000, 100_000, 1_000_000)
MEMBERS, QUORUM = 10, 7
IN_FLIGHT = 5
ROUND = 100
COMMIT = 256
SAMPLED = 20_000
"""The newest transactions of a ledger, whose ingest is timed."""
CONSORTIUM = sha256(b"benchmark")
PARAMETERS, LAYOUT = b"p" * 16, sha256(b"layout")
SAMPLES, SIZE, CAP, SLOTS = 100, 400, 500, 4


@dataclass(frozen=True)
class Sample:
    """What was measured of one ledger."""

    ingest: float
    """Signed transactions a second that became durable and attached."""
    recovery: float
    """Signatures a second that were recovered to addresses, and nothing else, in turn with that."""
    processor_share: float
    """Processor time of the latter as a share of the former's: what other programs and the disk take is in neither."""
    disk: float
    """Bytes a transaction, with indexes."""
    starts: tuple[float, ...]
    """Seconds of a start after a clean end, one a repeat."""
    unclean: float
    """Seconds of a start after an unclean end: every signature is recovered again."""


def key(member: int) -> bytes:
    """A member's private key; the same on every machine."""
    return sha256(f"benchmark {member}".encode())


def context(rounds: int) -> Context:
    """A consortium of ten with so many rounds open."""
    members = {address_of(key(index)): Member(index, SIZE) for index in range(MEMBERS)}
    terms = RoundTerms(1, QUORUM, PARAMETERS, CAP, SLOTS, 3, LAYOUT)
    return Context(CONSORTIUM, 1, b"r" * 20, members, QUORUM, dict.fromkeys(range(1, rounds + 1), terms))


def stream(start: bytes, seed: int = 1) -> Iterator[bytes]:
    """Signed transactions without end, as members post them, on a genesis."""
    rng = random.Random(seed)
    under_way = deque([start] * IN_FLIGHT)
    newest = deque([start], maxlen=IN_FLIGHT)
    sequences = [0] * MEMBERS
    weight = contribution_weight(SAMPLES, SIZE, CAP, SLOTS, SLOTS)
    update = UpdateBody(weight, SAMPLES, SLOTS, commit(key(0)), PARAMETERS, LAYOUT)
    quiet = AcknowledgementBody(None)
    number = 0
    while True:
        round_, place = 1 + number // ROUND, number % ROUND
        member = place % MEMBERS
        body: Body = update if place < MEMBERS else quiet
        payload = cid_text(cid_bytes(RAW, sha256(number.to_bytes(8, "big")))) if place < MEMBERS else None
        parents = (rng.choice(newest), rng.choice(newest))
        unsigned = Unsigned(body.kind, CONSORTIUM, 1, round_, sequences[member], parents, payload, body)
        posted = sign(unsigned, key(member))
        sequences[member] += 1
        number += 1
        under_way.append(posted.id)
        newest.append(under_way.popleft())
        yield posted.raw


class Spent(NamedTuple):
    """Seconds that some work took."""

    wall: float = 0.0
    processor: float = 0.0
    """Of this thread."""

    def plus(self, other: Spent) -> Spent:
        """Both together."""
        return Spent(self.wall + other.wall, self.processor + other.processor)


def _spent(work: Callable[[], Any]) -> Spent:
    began, processor = perf_counter(), thread_time()
    work()
    return Spent(perf_counter() - began, thread_time() - processor)


def fill(path: str, size: int) -> tuple[float, float, float]:
    """Grows a ledger to `size`; returns ingest and bare recovery of its newest part, each a second, and the processor's share."""
    here = context(size // ROUND + 1 + -(-COMMIT // ROUND))
    with Store(path) as store:
        book = Ledger(store, lambda: here)
        source = stream(book.genesis_id)
        ours = baseline = Spent()
        timed = 0
        while len(book) <= size:
            raws = list(islice(source, COMMIT))
            due = size - len(book) < SAMPLED
            signed = [(tx.signature, signing_digest(tx)) for tx in map(Transaction.decode, raws)] if due else []
            took = _take(book, raws)
            if due:
                ours = ours.plus(took)
                baseline = baseline.plus(_spent(partial(_recover, signed)))
                timed += len(raws)
    return timed / ours.wall, timed / baseline.wall, baseline.processor / ours.processor


def _take(book: Ledger, raws: list[bytes]) -> Spent:
    """What one batch takes."""
    answers: list[Received] = []
    took = _spent(lambda: answers.append(book.receive_many(raws)))
    if len(answers[0].attached) != len(raws):
        raise NotMeasured(f"the ledger refused what it should take: {answers[0].refused[:1]}")
    return took


def _recover(signed: list[tuple[bytes, bytes]]) -> None:
    """Recovers signatures over digests to addresses; a known key's address is looked up, as the ledger does."""
    addresses: dict[bytes, bytes] = {}
    for signature, digest in signed:
        recovered = coincurve.PublicKey.from_signature_and_message(signature, digest, hasher=None)
        public = recovered.format(compressed=False)
        if public not in addresses:
            addresses[public] = keccak(public[1:])[-20:]


def start_once(path: str, size: int, *, unclean: bool = False) -> float:
    """Seconds from opening the file to a ledger that answers."""
    if unclean:
        Store(path)  # never closed: the mark of a process that died stays
    here = context(size // ROUND + 1 + -(-COMMIT // ROUND))
    began = perf_counter()
    store = Store(path)
    book = Ledger(store, lambda: here)
    took = perf_counter() - began
    if len(book) < size:
        raise NotMeasured(f"{len(book)} of {size} transactions came back")
    store.close()
    return took


def measure(size: int, repeats: int) -> Sample:
    """One ledger, filled and opened again; every step in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "ledger.db")
        ingest, recovery, processor_share = alone(fill, path, size)
        disk = Path(path).stat().st_size / size
        starts = tuple(alone(start_once, path, size) for _ in range(repeats))
        unclean = alone(start_once, path, size, unclean=True)
        return Sample(ingest, recovery, processor_share, disk, starts, unclean)


def alone(work: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
    """``work(*arguments, **options)`` in a fresh process."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(work, *arguments, **options).result()


# ---- what it says ----------------------------------------------------------------------------------------------------

INGEST = "ingest, durable, one thread"
START = "start from disk"


def benchmark(sizes: Sequence[int], repeats: int) -> Result:
    """Every size.

    Args:
        sizes: Transactions in each ledger.
        repeats: Starts of each.
    """
    samples = {size: measure(size, repeats) for size in sizes}
    rows = [row for size, sample in samples.items() for row in _rows(f"{size:,}", sample)]
    return Result(tuple(rows), tuple(promises(samples)), NOTES)


NOTES = (
    f"{MEMBERS} members, {IN_FLIGHT} transactions under way, {ROUND} a round; ingest of the newest {SAMPLED:,}, {COMMIT} a commit.",
    "share: of the rate at which the same signatures are recovered to addresses and nothing else is done, in turn.",
    "processor share: the same by this thread's processor time, without waiting for the disk and for other programs.",
    "start: row seals and ids are checked; after an unclean end every signature is recovered again, on all cores from 50,000.",
)


def _rows(name: str, sample: Sample) -> list[Row]:
    ingest = {
        "a_second": sample.ingest,
        "recoveries_a_second": sample.recovery,
        "share": sample.ingest / sample.recovery,
        "processor_share": sample.processor_share,
        "disk_a_transaction": sample.disk,
    }
    start = {**harness.spread("clean", sample.starts), "unclean_seconds": sample.unclean}
    return [Row(INGEST, name, ingest), Row(START, name, start)]


def promises(samples: dict[int, Sample]) -> list[Target]:
    """What the project promises of the largest ledger."""
    size = max(samples)
    sample = samples[size]
    return [
        Target(f"{size:,}: ingest, durable", sample.ingest, "/s", ">=", 5000),
        Target(f"{size:,}: share of bare recovery", sample.ingest / sample.recovery, "", ">=", 0.5),
        Target(f"{size:,}: start from disk", harness.median(sample.starts), "s", "<=", 10),
    ]
