"""The encrypted sums: the listed updates unlocked and added again, chunk by chunk, and compared byte for byte (CRY-7).

A group's sum holds the chunks of its section alone: those of another would show values of its updates in a second sum.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from crypto.errors import CryptoError
from crypto.sealing import add, verify_chunk_of
from dag.bodies import UpdateBody
from dag.ids import blob_leaf
from dag.proofs import merkle
from node.audit.dossier import missing
from node.audit.locks import lock_of
from node.errors import LyingPeer
from node.rounds.records import SumManifest, UpdateManifest
from node.storage import blob_cid

if TYPE_CHECKING:
    from collections.abc import Sequence

    from crypto.locking import UpdateLock
    from crypto.parameters import ParameterSet
    from node.audit.dossier import Dossier
    from node.audit.notes import Link
    from node.rounds.statement import Group, Predicate

M = TypeVar("M", UpdateManifest, SumManifest)


@dataclass(frozen=True)
class Summand:
    """One update of a sum."""

    manifest: UpdateManifest
    lock: UpdateLock


@dataclass(frozen=True)
class Adding:
    """One group that is added again."""

    number: int
    """Its place among the groups of all sections."""
    group: Group
    updates: Sequence[UpdateManifest | None]
    section: int
    sections: int

    @property
    def name(self) -> str:
        """The sum, for people."""
        return f"sum of group {self.number}"

    def places(self, update: UpdateManifest) -> range:
        """Which of an update's chunks go into the sum: those of its section (`node.rounds.sections.cut`)."""
        first, end = (number * len(update.chunks) // self.sections for number in (self.section, self.section + 1))
        return range(first, end)


def check(dossier: Dossier, link: Link) -> None:
    """Every group's sum, and the root over all of them on chain."""
    predicate = dossier.predicate
    if missing(link, statement=predicate) or predicate is None:
        return
    _check_root(dossier, predicate, link)
    manifests = [_manifest(dossier, predicate, position, link) for position in range(len(predicate.updates))]
    _check_owners(predicate, manifests, link)
    sections = dossier.sections
    if missing(link, sections=sections) or sections is None:
        return
    each, rest = divmod(len(predicate.groups), sections)
    if rest:
        link.unchecked("", f"{len(predicate.groups)} groups are not as many in each of {sections} sections")
        return
    for number, group in enumerate(predicate.groups):
        if all(position < len(manifests) for position in group.updates):
            updates = [manifests[position] for position in group.updates]
            _check_group(dossier, predicate, Adding(number, group, updates, number // each, sections), link)


def _check_root(dossier: Dossier, predicate: Predicate, link: Link) -> None:
    proposed = dossier.here.proposed
    if proposed is None:
        link.unchecked("sums_root", "the chain records no such proposal")
        return
    root = merkle.root([blob_leaf(group.sum) for group in predicate.groups])
    link.equal("sums_root", "the root on chain", proposed.sums_root, root)


def _manifest(dossier: Dossier, predicate: Predicate, position: int, link: Link) -> UpdateManifest | None:
    """One update's manifest; where it is about something else that is noted, and its chunks are added all the same."""
    included = predicate.updates[position]
    name = f"manifest of update {included.id[:16]}…"
    manifest = _read(UpdateManifest, dossier, included.manifest, name, link)
    if manifest is None:
        return None
    expected = _here(dossier) | {"issuer": bytes.fromhex(included.issuer.removeprefix("0x"))}
    body = None if dossier.ledger is None else dossier.ledger.body(bytes.fromhex(included.id))
    if isinstance(body, UpdateBody):
        expected |= {"parameter_set": body.parameter_set, "layout": body.layout}
    if dossier.params is not None:
        expected["parameter_set"] = dossier.params.id
    if dossier.layout is not None:
        expected["size"] = dossier.layout.size
    for what, value in expected.items():
        link.equal(f"{name} ({included.manifest})", what, getattr(manifest, what), value)
    if dossier.params is not None:
        chunks = dossier.params.chunks(manifest.size)
        link.equal(f"{name} ({included.manifest})", "number of chunks", len(manifest.chunks), chunks)
    return manifest


def _read(kind: type[M], dossier: Dossier, cid: str, name: str, link: Link) -> M | None:
    """A manifest; where it is missing, or none, that is noted."""
    data = dossier.reader.read(cid, name, link)
    if data is None:
        return None
    try:
        return kind.from_bytes(data)
    except LyingPeer as error:
        link.falsified(cid, str(error))
        return None


def _here(dossier: Dossier) -> dict[str, object]:
    """What every manifest of this round says."""
    row = dossier.here.row
    return {"consortium": dossier.facts.deployment.consortium, "epoch": row.epoch, "round": dossier.here.number}


def _check_owners(predicate: Predicate, manifests: Sequence[UpdateManifest | None], link: Link) -> None:
    """No ciphertext occurs twice: re-posting another's would count it twice."""
    owners: dict[str, str] = {}
    for included, manifest in zip(predicate.updates, manifests, strict=True):
        for cid in manifest.chunks if manifest is not None else ():
            if cid in owners:
                link.falsified(
                    cid, f"this ciphertext is in update {owners[cid][:16]}… and again in {included.id[:16]}…"
                )
            owners[cid] = included.id


def _check_group(dossier: Dossier, predicate: Predicate, adding: Adding, link: Link) -> None:
    """Add one group again."""
    group, name = adding.group, adding.name
    stated = _sum_manifest(dossier, predicate, adding.number, group, link)
    if stated is None:
        return
    params = dossier.params
    if params is None:
        link.unchecked(name, "this software does not know the key epoch's parameter set")
        return
    if any(update is None for update in adding.updates):
        link.unchecked(name, "an update's manifest could not be established")
        return
    known = [update for update in adding.updates if update is not None]
    places = [adding.places(update) for update in known]
    if any(each != places[0] for each in places) or len(places[0]) != len(stated.chunks):
        counts = [len(each) for each in places]
        link.falsified(name, f"it has {len(stated.chunks)} chunks, its updates have {counts} in its section")
        return
    locks = [lock_of(dossier, bytes.fromhex(predicate.updates[position].id)) for position in group.updates]
    summands = [Summand(update, lock) for update, lock in zip(known, locks, strict=True) if lock is not None]
    if len(summands) != len(known):
        link.unchecked(name, "no reveal in the segment unlocks one of its updates")
        return
    for index, cid in zip(places[0], stated.chunks, strict=True):
        step, steps = adding.number * len(known[0].chunks) + index, len(predicate.groups) * len(known[0].chunks)
        dossier.progress(f"round {dossier.here.number}, adding", step, steps)
        names = [f"chunk {index} of update {predicate.updates[position].id[:16]}…" for position in group.updates]
        chunks = _column(dossier, summands, names, index, params, link)
        if chunks is not None:
            _check_chunk(f"chunk {index} of {name}", cid, chunks, params, link)
        dossier.reader.glance(cid, f"chunk {index} of {name}", link)


def _sum_manifest(dossier: Dossier, predicate: Predicate, number: int, group: Group, link: Link) -> SumManifest | None:
    name = f"manifest of sum {number}"
    manifest = _read(SumManifest, dossier, group.sum, name, link)
    if manifest is None:
        return None
    summed = tuple(bytes.fromhex(predicate.updates[position].id) for position in group.updates)
    expected = _here(dossier) | {"updates": summed}
    for what, value in expected.items():
        link.equal(f"{name} ({group.sum})", what, getattr(manifest, what), value)
    return manifest


def _column(
    dossier: Dossier, summands: Sequence[Summand], names: Sequence[str], index: int, params: ParameterSet, link: Link
) -> list[bytes] | None:
    """The updates' chunks at one position, unlocked, each the fresh ciphertext of its place; None where one is not to be had."""
    chunks: list[bytes] = []
    for summand, name in zip(summands, names, strict=True):
        cid = summand.manifest.chunks[index]
        locked = dossier.reader.read(cid, name, link)
        if locked is None:
            continue
        try:
            chunk = summand.lock.unlock(index, locked)
            verify_chunk_of(chunk, params, summand.lock.epoch, index, summand.manifest.size)
        except CryptoError as error:
            link.falsified(cid, f"{name}: {error}")
            continue
        chunks.append(chunk)
    return chunks if len(chunks) == len(summands) else None


def _check_chunk(name: str, cid: str, chunks: Sequence[bytes], params: ParameterSet, link: Link) -> None:
    try:
        total = add(chunks, params)
    except CryptoError as error:
        link.falsified(cid, f"{name}: the listed ciphertexts do not add up: {error}")
        return
    link.equal(name, "its CID on record", cid, blob_cid(total))
