"""Bytes of what a round leaves beside its ciphertexts, read off the real records."""

from __future__ import annotations

from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Final

import numpy as np

from dag import bodies
from dag.ids import RAW, cid_bytes, cid_text
from node.learning.layouts import layout_of, model_bytes, size_of
from node.rounds.records import ShareManifest, UpdateManifest
from node.rounds.statement import Group, Included, JointKeyRef, ModelRef, Predicate, Statement, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterator

ARCHITECTURE, CLASSES = "cnn-529k", 3
BLOB: Final = cid_text(cid_bytes(RAW, bytes(range(32))))
_HASH: Final = "ab" * 32
_ADDRESS: Final = "0x" + "ab" * 20
_LARGE: Final = 10**5


@cache
def parameters() -> int:
    """Of the network that all benchmarks of the encryption train: 529,347."""
    return size_of(layout_of(ARCHITECTURE, CLASSES))


@cache
def model_file_bytes() -> int:
    """Bytes of the model's file; sealed it is longer by an envelope, which is nothing beside it."""
    return len(model_bytes(np.zeros(parameters(), np.float32), ARCHITECTURE, CLASSES))


@cache
def update_manifest_bytes(chunks: int) -> int:
    """Bytes of the manifest of an update."""
    ids = (bytes(32), 1, 1, bytes(20), bytes(16), bytes(32))
    return len(UpdateManifest(*ids, parameters(), 0, (BLOB,) * chunks).to_bytes())


@cache
def share_manifest_bytes(chunks: int, groups: int) -> int:
    """Bytes of the manifest of one member's openings."""
    one, two = (
        len(ShareManifest(bytes(32), 1, 1, bytes(32), 1, ((BLOB,) * chunks,) * count).to_bytes()) for count in (1, 2)
    )
    return one + (groups - 1) * (two - one)


@cache
def statement_bytes(updates: int, groups: int, openers: int, verdicts: int) -> int:
    """Bytes of a round's statement; with more than 256 of anything a node would refuse it, and its length is extrapolated."""
    one = _statement(1, 1, 1, 1)
    return (
        one
        + (updates - 1) * (_statement(2, 1, 1, 1) - one)
        + (groups - 1) * (_statement(1, 2, 1, 1) - one)
        + (openers - 1) * (_statement(1, 1, 2, 1) - one)
        + (verdicts - 1) * (_statement(1, 1, 1, 2) - one)
    )


def _statement(updates: int, groups: int, openers: int, verdicts: int) -> int:
    included = Included(id=_HASH, issuer=_ADDRESS, weight_ppm=_LARGE, samples=100, manifest=BLOB)
    predicate = Predicate(
        consortium=_HASH,
        chain_id=31337,
        contract=_ADDRESS,
        round=1,
        epoch=1,
        seed=_HASH,
        plan=_HASH,
        base=_HASH,
        leader=_ADDRESS,
        proposal=_HASH,
        updates=(included,) * updates,
        reveals=(_HASH,) * updates,
        groups=(Group(updates=(100, 101, 102), sum=BLOB, accepted=True),) * groups,
        openers=(100,) * openers,
        shares=(_HASH,) * openers,
        verdicts=(Verdict(id=_HASH, issuer=_ADDRESS),) * verdicts,
        updates_root=_HASH,
        sums_root=_HASH,
        ledger_root=_HASH,
        segment=BLOB,
        seed_material=_HASH,
        joint_key=JointKeyRef(digest=_HASH, cid=BLOB),
        parameter_set="standard",
        min_group=3,
        colluders_tolerated=1,
        model=ModelRef(sha256=_HASH, sealed=BLOB),
        software="medweave",
    )
    return len(Statement.of(predicate).to_bytes())


@contextmanager
def bounds_lifted(members: int) -> Iterator[None]:
    """Lets the ledger's bodies speak of more members than the 256 that the contracts take, for as long as this lasts."""
    bounds = vars(bodies)
    before = bounds["MAX_MEMBERS"]
    bounds["MAX_MEMBERS"] = max(before, members)
    try:
        yield
    finally:
        bounds["MAX_MEMBERS"] = before
