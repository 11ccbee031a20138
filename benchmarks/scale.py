"""What a round asks of one hospital as a consortium grows to 10, 100 and 1,000: bytes, processor time, gas.

Sizes are exact (`crypto`'s formats); unit costs are measured here on one core: a sample of chunks of an update of
529,347 parameters is sealed, added, opened and combined, transactions are verified, rounds are run on a local chain. The
rest is counting, as the protocol stands (docs/spec):

    updates    every member fetches, hashes, unlocks, checks and adds every update: it recomputes the sums
    openings   each of T = two thirds of the members opens every sum; every member fetches and combines them all
    ledger     every member receives and verifies every transaction, 8.5 a member and round
    gas        a round's three transactions; each signature of a quorum costs
    ceremony   once an epoch: a member receives every dealer's public part and its own share

The number of groups is the plan's: `min_group` 3, the default, makes N/3 of them; `min_group` N/10 makes ten. Training, scoring
the sums and waiting are not in it. The contracts take at most 256 members: what is said of 1,000 is arithmetic, no network.
"""

from __future__ import annotations

import hashlib
import math
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from eth_account import Account

from benchmarks import harness
from benchmarks.errors import NotMeasured
from benchmarks.gas import measure_consortium, slope
from benchmarks.harness import Result, Row, Target, median
from benchmarks.streams import ceremony, restrict
from chain.errors import ChainError
from crypto.ceremony import Dealer
from crypto.locking import UpdateLock, locked_bytes
from crypto.opening import Opener, partial_bytes
from crypto.parameters import STANDARD
from crypto.sealing import Sealer, chunk_bytes
from crypto.secrets import BoxKey
from crypto.streaming import add_stream, combine_stream, open_stream
from dag.bodies import AcknowledgementBody
from dag.transaction import Transaction, Unsigned, sign
from node.learning.layouts import layout_of, size_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from benchmarks.gas import Cost

MEMBERS: Final = (10, 100, 1000)
MEASURED_GAS: Final = (4, 10, 50)
"""Consortia whose rounds run on a chain; the line through them gives the others."""
MOST_MEMBERS: Final = 256
"""The contracts' bound."""
SAMPLE_CHUNKS: Final = 16
DEALT_AMONG: Final = (4, 64)
TRANSACTIONS_A_MEMBER: Final = 8.5
TRANSACTION_BYTES: Final = 379
"""Both of a round of `medweave demo` with four hospitals: 34 transactions, 12,888 bytes."""
MIN_GROUP: Final = 3
FEW_GROUPS: Final = 10
LOGARITHMIC: Final = 1.5
"""(1 + ln 1000) / (1 + ln 100) = 1.41: what ten times as many members may multiply a hospital's bytes by, with a little room."""

AS_BUILT: Final = "a hospital in a round, by members: groups of three (the default)"
TEN_GROUPS: Final = "a hospital in a round, by members: ten groups (min_group = N/10)"


@dataclass(frozen=True, slots=True)
class Units:
    """What one of each costs, for one vector of the model's size on one core."""

    chunks: int
    """Chunks of a vector."""
    seal: float
    """Seconds: encrypt one update."""
    unlock: float
    """Seconds: decrypt the envelope of one update, whose key its sender revealed."""
    add: float
    """Seconds: parse, check and add one update."""
    digest: float
    """Seconds: SHA-256 over one byte of a blob that arrived."""
    partial: float
    """Seconds: one member's opening of one sum."""
    combine: float
    """Seconds: one opener's share in combining one sum."""
    verify: float
    """Seconds: parse one transaction and recover who signed it."""
    dealing_fixed: float
    """Bytes that a member receives of each dealer, whatever N."""
    dealing_member: float
    """Bytes more of each dealer for each member of the consortium."""

    @property
    def update_bytes(self) -> int:
        """One sealed update."""
        return self.chunks * locked_bytes(STANDARD)

    @property
    def share_bytes(self) -> int:
        """One member's opening of one sum."""
        return self.chunks * partial_bytes(STANDARD)


@dataclass(frozen=True, slots=True)
class Load:
    """What a round asks of one hospital, the mean over all; what all receive, somebody sends: as much leaves as arrives."""

    updates_bytes: float
    openings_bytes: float
    ledger_bytes: float
    seconds: float
    """Of one core."""
    ceremony_bytes: float
    """Once an epoch."""

    @property
    def bytes(self) -> float:
        """Everything that arrives in a round."""
        return self.updates_bytes + self.openings_bytes + self.ledger_bytes


def load_of(units: Units, members: int, groups: int) -> Load:
    """Count what the protocol asks.

    Args:
        units: Unit costs.
        members: N; T is two thirds of it, rounded up.
        groups: Sums that are opened.
    """
    openers = math.ceil(2 * members / 3)
    transactions = TRANSACTIONS_A_MEMBER * members
    seconds = (
        units.seal
        + members * (units.unlock + units.add)
        + (members - 1) * units.update_bytes * units.digest
        + groups * openers * units.share_bytes * units.digest
        + groups * units.partial * openers / members
        + groups * openers * units.combine
        + transactions * units.verify
    )
    return Load(
        updates_bytes=(members - 1) * units.update_bytes,
        openings_bytes=groups * openers * (1 - 1 / members) * units.share_bytes,
        ledger_bytes=transactions * TRANSACTION_BYTES * (1 - 1 / members),
        seconds=seconds,
        ceremony_bytes=(members - 1) * (units.dealing_fixed + members * units.dealing_member),
    )


# ---- unit costs ------------------------------------------------------------------------------------------------------


def measure_units(repeats: int) -> Units:
    """Measure on one core of this process."""
    restrict(1)
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


# ---- tables ----------------------------------------------------------------------------------------------------------


def summarise(units: Units, costs: Sequence[Cost]) -> Result:
    """Tables and targets from unit costs and measured gas."""
    each = slope(costs)
    fixed = median(cost.round - each * cost.members for cost in costs)
    rows = [Row("unit costs, one core, 529,347 parameters", "measured", _unit_figures(units, each))]
    targets = []
    for table, most in ((AS_BUILT, None), (TEN_GROUPS, FEW_GROUPS)):
        groups = {members: min(members // MIN_GROUP, most or members) for members in MEMBERS}
        loads = {members: load_of(units, members, groups[members]) for members in MEMBERS}
        for members, load in loads.items():
            gas = round(fixed + each * members)
            rows.append(Row(table, _named(members), _figures(load, groups[members], gas)))
        tenfold = loads[MEMBERS[2]].bytes / loads[MEMBERS[1]].bytes
        name = f"bytes a hospital, from 100 to 1,000 members, {table.partition(': ')[2]}"
        targets.append(Target(name, tenfold, "x", "<=", LOGARITHMIC))
    return Result(
        tuple(rows),
        tuple(targets),
        (
            f"CRYPTOGRAPHY SAMPLED, the rest counted: no network ran. * More than the {MOST_MEMBERS} members that the contracts take.",
            "seconds: of one core, without training, scoring and waiting; a machine's cores share them.",
            "Targets: bytes that grow with the logarithm of N would be multiplied by 1.41.",
        ),
    )


def _named(members: int) -> str:
    return f"{members:,}" + ("" if members <= MOST_MEMBERS else " *")


def _unit_figures(units: Units, gas: float) -> dict[str, float | int]:
    return {
        "seal_ms": 1e3 * units.seal,
        "unlock_ms": 1e3 * units.unlock,
        "add_ms": 1e3 * units.add,
        "partial_ms": 1e3 * units.partial,
        "combine_ms": 1e3 * units.combine,
        "verify_ms": 1e3 * units.verify,
        "update_bytes": float(units.update_bytes),
        "share_bytes": float(units.share_bytes),
        "gas_a_member": round(gas),
    }


def _figures(load: Load, groups: int, gas: int) -> dict[str, float | int]:
    return {
        "groups": groups,
        "updates_bytes": load.updates_bytes,
        "openings_bytes": load.openings_bytes,
        "ledger_bytes": load.ledger_bytes,
        "all_bytes": load.bytes,
        "core_seconds": load.seconds,
        "gas": gas,
        "ceremony_bytes": load.ceremony_bytes,
    }


def measure(repeats: int) -> Result:
    """Measure unit costs and gas, then count.

    Raises:
        NotMeasured: A chain did not run or refused a step.
    """
    try:
        costs = [measure_consortium(size, 1) for size in MEASURED_GAS]
    except ChainError as error:
        raise NotMeasured(f"the local chain: {error}") from error
    return summarise(measure_units(repeats), costs)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print."""
    options = harness.parser(__doc__ or "", repeats=5).parse_args(arguments)
    return harness.run(lambda: measure(options.repeats), options.json)


if __name__ == "__main__":
    sys.exit(main())
