"""What can be done to a bundle with a text editor: each stored artefact flipped, dropped, replayed, reordered.

An independent verifier is held against the same table (`BUNDLED`): it names link and round, and needs nothing of ours but
the CIDs, which `names` gives.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

import rlp

from node.audit.bundle.form import BLOBS, BLOCKS, ENVELOPES, MANIFEST, MODEL, canonical
from node.rounds.records import UpdateManifest
from node.rounds.segment import unpack_segment
from node.storage import raw_cid
from tests.audit.zipped import change_blocks

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.audit.conftest import Run

    Entries = dict[str, bytes]

ROUND, OTHER = 2, 1
ENVELOPE = f"{ENVELOPES}{ROUND}.json"


@dataclass(frozen=True)
class Bundled:
    """One thing done to a bundle, and what every verifier has to say of it."""

    artefact: str
    manipulation: str
    act: Callable[[Entries, Run], None]
    link: str
    round: int | None
    subjects: Callable[[Run], tuple[str, ...]]
    """What the first broken finding is about, or a part of it; any of these, where it depends on the order of a draw."""
    verdict: str = "falsified"

    @property
    def name(self) -> str:
        return f"{self.artefact}-{self.manipulation}".replace(" ", "_")


def names(run: Run, number: int) -> dict[str, str]:
    """The CID of one artefact of each kind of a round."""
    predicate = run.predicate(number)
    updates = [UpdateManifest.from_bytes(run.read(update.manifest)) for update in predicate.updates]
    shares = {tx.id.hex(): tx for tx in unpack_segment(run.read(predicate.segment))}
    row = run.facts.finalised[number].row
    epoch = run.facts.finalised[number].epoch
    header = raw_cid(epoch.dealings[epoch.members[1]])
    return {
        "statement": raw_cid(row.statement),
        "plan": raw_cid(row.plan),
        "joint key": predicate.joint_key.cid,
        "dealing": header,
        "segment": predicate.segment,
        "update manifest": predicate.updates[1].manifest,
        "another's manifest": predicate.updates[2].manifest,
        "chunk": updates[1].chunks[0],
        "next chunk": updates[1].chunks[1],
        "another's chunk": updates[2].chunks[0],
        "sum manifest": predicate.groups[0].sum,
        "another sum": predicate.groups[1].sum,
        "share manifest": shares[predicate.shares[0]].payload,
        "another's share": shares[predicate.shares[1]].payload,
    }


def _named(*what: str) -> Callable[[Run], tuple[str, ...]]:
    return lambda run: tuple(names(run, ROUND)[name] for name in what)


def _flip(what: str) -> Callable[[Entries, Run], None]:
    def act(entries: Entries, run: Run) -> None:
        entry = BLOBS + names(run, ROUND)[what]
        entries[entry] = flipped(entries[entry])

    return act


def _drop(what: str) -> Callable[[Entries, Run], None]:
    return lambda entries, run: entries.__delitem__(BLOBS + names(run, ROUND)[what])


def _replay(what: str) -> Callable[[Entries, Run], None]:
    """The other round's bytes in this round's place."""

    def act(entries: Entries, run: Run) -> None:
        entries[BLOBS + names(run, ROUND)[what]] = entries[BLOBS + names(run, OTHER)[what]]

    return act


def _exchange(what: str, other: str) -> Callable[[Entries, Run], None]:
    """Two blobs of one round in each other's place."""

    def act(entries: Entries, run: Run) -> None:
        one, two = (BLOBS + names(run, ROUND)[name] for name in (what, other))
        entries[one], entries[two] = entries[two], entries[one]

    return act


def flipped(data: bytes, at: int = -1) -> bytes:
    changed = bytearray(data)
    changed[at] ^= 1
    return bytes(changed)


def _model_of_another_round(entries: Entries, run: Run) -> None:
    entries[MODEL] = entries[MODEL][:-4] + bytes(4)


# ---- the chain -----------------------------------------------------------------------------------------------------


def place_of(run: Run, number: int, event: str) -> int:
    """Where among the blocks a round's event stands."""
    row = run.facts.finalised[number].row
    block = {"opened": row.opened_in, "proposed": row.proposals[0].block, "finalised": row.ended_in}[event]
    return block - run.facts.deployment.block


def _in_block(event: str, change: Callable[[list, int], object]) -> Callable[[Entries, Run], None]:
    return lambda entries, run: change_blocks(lambda blocks: change(blocks, place_of(run, ROUND, event)))(entries)


def _block(event: str, later: int = 0) -> Callable[[Run], tuple[str, ...]]:
    return lambda run: (f"block {place_of(run, ROUND, event) + run.facts.deployment.block + later}",)


def _edit(blocks: list, place: int, part: str, at: int = -9) -> None:
    text = blocks[place][part][0]
    digit = "1" if text[at] != "1" else "2"
    blocks[place][part][0] = text[:at] + digit + text[at:][1:]


def _edit_header(blocks: list, place: int) -> None:
    fields = rlp.decode(bytes.fromhex(blocks[place]["header"][2:]))
    fields[12] = b"changed"
    blocks[place]["header"] = f"0x{rlp.encode(fields).hex()}"


def _replay_call(blocks: list, place: int, run: Run) -> None:
    """The transaction that finalised the round before, with its receipt, once more."""
    blocks[place] |= {part: blocks[place_of(run, OTHER, "finalised")][part] for part in ("transactions", "receipts")}


def _exchange_blocks(blocks: list, place: int) -> None:
    blocks[place - 1], blocks[place] = blocks[place], blocks[place - 1]


def _forged_event(entries: Entries, run: Run) -> None:
    """Another signers' bitmap in the receipt, the header's root left as it was."""
    change_blocks(lambda blocks: _edit(blocks, place_of(run, ROUND, "finalised"), "receipts", -70))(entries)


def _other(field: str, value: object) -> Callable[[Entries, Run], None]:
    def act(entries: Entries, _run: Run) -> None:
        content = json.loads(entries[MANIFEST])
        content["deployment"][field] = value
        entries[MANIFEST] = json.dumps(content, sort_keys=True, separators=(",", ":")).encode()

    return act


def _fewer_signatures(entries: Entries, _run: Run) -> None:
    """All but one signature are taken out, so that no quorum is left."""
    content = json.loads(entries[ENVELOPE])
    content["signatures"] = content["signatures"][:1]
    entries[ENVELOPE] = canonical(content)


def _fixed(text: str) -> Callable[[Run], tuple[str, ...]]:
    return lambda _run: (text,)


BUNDLED: tuple[Bundled, ...] = (
    # flip: one bit of the bytes
    Bundled("statement", "flip", _flip("statement"), "statement", ROUND, _named("statement")),
    Bundled("plan", "flip", _flip("plan"), "lineage", None, _named("plan")),
    Bundled("joint key", "flip", _flip("joint key"), "key", OTHER, _named("joint key")),
    Bundled("dealing", "flip", _flip("dealing"), "key", OTHER, _named("dealing")),
    Bundled("segment", "flip", _flip("segment"), "segment", ROUND, _named("segment")),
    Bundled("update manifest", "flip", _flip("update manifest"), "sums", ROUND, _named("update manifest")),
    Bundled("locked chunk", "flip", _flip("chunk"), "sums", ROUND, _named("chunk")),
    Bundled("sum manifest", "flip", _flip("sum manifest"), "sums", ROUND, _named("sum manifest")),
    Bundled("share manifest", "flip", _flip("share manifest"), "openings", ROUND, _named("share manifest")),
    Bundled("model file", "flip", lambda e, _: e.update({MODEL: flipped(e[MODEL])}), "model", None, _fixed("model file")),
    # drop: it is not there any more
    Bundled("statement", "drop", _drop("statement"), "statement", ROUND, _named("statement"), "could-not-check"),
    Bundled("plan", "drop", _drop("plan"), "lineage", None, _named("plan"), "could-not-check"),
    Bundled("joint key", "drop", _drop("joint key"), "key", OTHER, _named("joint key"), "could-not-check"),
    Bundled("segment", "drop", _drop("segment"), "segment", ROUND, _named("segment"), "could-not-check"),
    Bundled("update manifest", "drop", _drop("update manifest"), "sums", ROUND, _named("update manifest"), "could-not-check"),
    Bundled("locked chunk", "drop", _drop("chunk"), "sums", ROUND, _named("chunk"), "could-not-check"),
    Bundled("sum manifest", "drop", _drop("sum manifest"), "sums", ROUND, _named("sum manifest"), "could-not-check"),
    Bundled("share manifest", "drop", _drop("share manifest"), "openings", ROUND, _named("share manifest"), "could-not-check"),
    # swap between rounds: what was true a round ago
    Bundled("statement", "swap between rounds", _replay("statement"), "statement", ROUND, _named("statement")),
    Bundled("segment", "swap between rounds", _replay("segment"), "segment", ROUND, _named("segment")),
    Bundled("update manifest", "swap between rounds", _replay("update manifest"), "sums", ROUND, _named("update manifest")),
    Bundled("locked chunk", "swap between rounds", _replay("chunk"), "sums", ROUND, _named("chunk")),
    Bundled("sum manifest", "swap between rounds", _replay("sum manifest"), "sums", ROUND, _named("sum manifest")),
    Bundled("share manifest", "swap between rounds", _replay("share manifest"), "openings", ROUND, _named("share manifest")),
    # reorder: within the round
    Bundled("locked chunk", "reorder", _exchange("chunk", "next chunk"), "sums", ROUND, _named("chunk", "next chunk")),
    Bundled("locked chunk", "swap between members", _exchange("chunk", "another's chunk"), "sums", ROUND, _named("chunk", "another's chunk")),
    Bundled("update manifest", "reorder", _exchange("update manifest", "another's manifest"), "sums", ROUND, _named("update manifest", "another's manifest")),
    Bundled("sum manifest", "reorder", _exchange("sum manifest", "another sum"), "sums", ROUND, _named("sum manifest", "another sum")),
    Bundled("share manifest", "reorder", _exchange("share manifest", "another's share"), "openings", ROUND, _named("share manifest", "another's share")),
    Bundled("model file", "swap for another", _model_of_another_round, "model", None, _fixed("model file")),
    # the envelope: where one is carried it has to be true
    Bundled("envelope", "flip", lambda e, _: e.update({ENVELOPE: flipped(e[ENVELOPE], 40)}), "envelope", ROUND, _fixed("envelope")),
    Bundled("envelope", "swap between rounds", lambda e, _: e.update({ENVELOPE: e[f"{ENVELOPES}{OTHER}.json"]}), "envelope", ROUND, _fixed("envelope")),
    Bundled("envelope", "forge", _fewer_signatures, "envelope", ROUND, _fixed("envelope")),
    # the chain
    Bundled("header", "flip", _in_block("opened", _edit_header), "chain", None, _block("opened", 1)),
    Bundled("header", "drop", _in_block("opened", lambda b, at: b.pop(at)), "chain", None, _block("opened")),
    Bundled("header", "reorder", _in_block("opened", _exchange_blocks), "chain", None, _block("opened", -1)),
    Bundled("header", "replay", _in_block("opened", lambda b, at: b.insert(at, b[at])), "chain", None, _block("opened", 1)),
    Bundled("finalise call", "flip", _in_block("finalised", lambda b, at: _edit(b, at, "transactions")), "chain", None, _block("finalised")),
    Bundled("finalise call", "drop", _in_block("finalised", lambda b, at: [b[at][part].clear() for part in ("transactions", "receipts")]), "chain", None, _block("finalised")),
    Bundled("finalise call", "replay", lambda e, run: change_blocks(lambda b: _replay_call(b, place_of(run, ROUND, "finalised"), run))(e), "chain", None, _block("finalised")),
    Bundled("event", "forge", _forged_event, "chain", None, _block("finalised")),
    Bundled("event", "drop", _in_block("proposed", lambda b, at: [b[at].pop(part) for part in ("transactions", "receipts")]), "chain", None, _block("proposed")),
    Bundled("lineage", "truncate at its end", lambda e, _: change_blocks(lambda b: b.pop())(e), "chain", None, _fixed(MANIFEST)),
    Bundled("lineage", "truncate at its beginning", lambda e, _: change_blocks(lambda b: b.pop(0))(e), "chain", None, _fixed("block 1")),
    Bundled("deployment record", "wrong chain", _other("chain_id", 1), "chain", None, _fixed(MANIFEST)),
    Bundled("deployment record", "wrong consortium", _other("consortium", "0x" + "11" * 32), "chain", None, _fixed(MANIFEST)),
    Bundled("blocks", "drop", lambda e, _: e.__delitem__(BLOCKS), "chain", None, _fixed(BLOCKS)),
)  # fmt: skip
