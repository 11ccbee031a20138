"""What the parts of a round cost on one core, measured on real ciphertexts, transactions and dealings."""

from __future__ import annotations

import hashlib
import math
import os
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from eth_account import Account

from benchmarks.harness import median
from benchmarks.scaling.counting import Units
from benchmarks.streams import ceremony, restrict
from crypto.ceremony import Dealer
from crypto.locking import UpdateLock
from crypto.opening import Opener
from crypto.parameters import STANDARD
from crypto.sealing import Sealer, chunk_bytes
from crypto.secrets import BoxKey
from crypto.streaming import add_stream, combine_stream, open_stream
from dag.bodies import AcknowledgementBody
from dag.transaction import Transaction, Unsigned, sign
from node.learning.layouts import layout_of, size_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SAMPLE_CHUNKS: Final = 16
DEALT_AMONG: Final = (4, 64)


def measure_units(repeats: int) -> Units:
    """Measure on one core of this process."""
    with _one_core():
        return _measured(repeats)


@contextmanager
def _one_core() -> Iterator[None]:
    """What runs in it stays on one core; then this process may use all it had."""
    before = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set()
    restrict(1)
    try:
        yield
    finally:
        if before:
            os.sched_setaffinity(0, before)


def _measured(repeats: int) -> Units:
    chunks = STANDARD.chunks(size_of(layout_of("cnn-529k", 3)))
    whole = chunks / SAMPLE_CHUNKS
    small, large = _crypto(4, 3, repeats), _crypto(10, 7, repeats)
    few, many = (_dealing_bytes(members) for members in DEALT_AMONG)
    more = (many - few) / (DEALT_AMONG[1] - DEALT_AMONG[0])
    return Units(
        chunks=chunks,
        seal=whole * median([small.seal, large.seal]),
        unlock=whole * median([small.unlock, large.unlock]),
        digest=_digest_seconds(repeats),
        add=whole * (large.total - small.total) / (10 - 4),
        partial=whole * median([small.partial, large.partial]),
        combine=whole * (large.combine - small.combine) / (7 - 3),
        verify=_verify_seconds(repeats),
        dealing_fixed=few - DEALT_AMONG[0] * more,
        dealing_member=more,
    )


@dataclass(frozen=True, slots=True)
class _Crypto:
    """Seconds for the sample of chunks, with as many updates as members."""

    seal: float
    unlock: float
    total: float
    partial: float
    combine: float


def _crypto(members: int, threshold: int, repeats: int) -> _Crypto:
    joint, keys = ceremony(members, threshold)
    sealer = Sealer(joint)
    count = SAMPLE_CHUNKS * STANDARD.values_per_chunk
    values = np.random.default_rng(1).integers(-joint.value_limit, joint.value_limit, count)
    sealed = list(sealer.seal(values))
    updates = [
        [bytes(bytearray(chunk)) for chunk in sealed] for _ in range(members)
    ]  # as cold as updates of others are
    lock = UpdateLock.from_reveal(bytes(32), bytes(20), 1, 1)
    locked = [lock.lock(place, chunk) for place, chunk in enumerate(sealed)]
    openers = [Opener(key, range(threshold)) for key in keys[:threshold]]
    sums = list(add_stream(updates, STANDARD))
    partials = {k: list(open_stream(opener, sums)) for k, opener in enumerate(openers)}
    return _Crypto(
        seal=_best(lambda: list(sealer.seal(values)), repeats),
        unlock=_best(lambda: [lock.unlock(place, chunk) for place, chunk in enumerate(locked)], repeats),
        total=_best(lambda: list(add_stream(updates, STANDARD)), repeats),
        partial=_best(lambda: list(open_stream(openers[0], sums)), repeats),
        combine=_best(lambda: list(combine_stream(sums, partials, STANDARD, members)), repeats),
    )


def _best(work: Callable[[], object], repeats: int) -> float:
    """The shortest of several: other work on the machine only ever adds."""
    found = []
    for _ in range(repeats):
        started = time.perf_counter()
        work()
        found.append(time.perf_counter() - started)
    return min(found)


def _digest_seconds(repeats: int) -> float:
    data = bytes(chunk_bytes(STANDARD))
    return _best(lambda: hashlib.sha256(data).digest(), repeats) / len(data)


def _verify_seconds(repeats: int, count: int = 200) -> float:
    key = bytes(Account.create().key)
    parents = (bytes(32), bytes([1]) * 32)
    raws = [
        sign(
            Unsigned(AcknowledgementBody(None).kind, bytes(32), 1, 1, number, parents, None, AcknowledgementBody(None)),
            key,
        )
        for number in range(count)
    ]
    data = [raw.raw for raw in raws]
    return _best(lambda: [Transaction.decode(each).issuer for each in data], repeats) / count


def _dealing_bytes(members: int) -> int:
    """What a member receives of one dealer."""
    boxes = [BoxKey.generate().public for _ in range(members)]
    dealer, _ = Dealer.start(STANDARD, bytes(32), 1, 0, members, math.ceil(2 * members / 3), boxes)
    dealing = dealer.dealing()
    return len(dealing.header.to_bytes()) + len(dealing.public) + len(dealing.shares[-1])
