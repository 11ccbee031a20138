"""Error feedback (optional in the plan): what a counted update lost to rounding and clipping is added to the next one.

What is carried over says something about this hospital's images, so it lies in the journal only under a key of the
hospital's own. It advances only when an update has counted, and only in those sections of the model in which it has: what a
round that failed, or a refused group, would have lost was never missing from the model.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from crypto import envelope
from crypto.envelope import Binding
from crypto.feedback import Feedback
from crypto.parameters import parameter_set
from crypto.secrets import ContentKey
from node.rounds.sections import count_of, cut, parts
from node.rounds.statement import Statement
from node.storage import raw_cid

if TYPE_CHECKING:
    from crypto.layout import Layout
    from node.rounds.ports import Ports
    from node.rounds.state import RoundState
    from node.rounds.statement import Predicate


def lost_before(ports: Ports, state: RoundState, layout: Layout) -> Feedback:
    """What this hospital's counted updates have lost so far, in the units of a weighted update; zeros to begin with.

    Raises:
        StorageError: Whether the last update counted cannot be told yet, its round's statement is out of reach.
    """
    pending = ports.journal.lost(counted=False)
    if pending is not None and pending[0] < state.facts.round:
        _settle(ports, state, *pending)
    return _counted_lost(ports, layout.digest, layout.size)


def keep_lost(ports: Ports, state: RoundState, layout: Layout, lost: Feedback) -> None:
    """Note what this round's update has lost; durable before the update is posted."""
    _note(ports, state.facts.round, layout.digest, lost)


def _note(ports: Ports, number: int, digest: bytes, lost: Feedback) -> None:
    data = digest + lost.lost.astype("<f4", copy=False).tobytes()
    ports.journal.keep_lost(number, envelope.seal(_key(ports), _binding(ports, number), data))


def _counted_lost(ports: Ports, digest: bytes, size: int) -> Feedback:
    """What counted updates of a layout (its digest, its number of values) have lost; zeros where there are none."""
    known = ports.journal.lost(counted=True)
    if known is None:
        return Feedback.none(size)
    said, values = _split(envelope.open(_key(ports), _binding(ports, known[0]), known[1]))
    if said != digest:  # another network or range: what was lost has no place in it
        return Feedback.none(size)
    return Feedback(np.frombuffer(values, "<f4"))


def _settle(ports: Ports, state: RoundState, number: int, sealed: bytes) -> None:
    """Take what an earlier round's update has lost for what is missing now, in the values in which it counted.

    A crash between the two writes changes nothing: the same values are taken again.
    """
    predicate = _counted_in(ports, number, state.facts.base)
    entered = () if predicate is None else _sections_entered(predicate, f"0x{ports.address.hex()}")
    if predicate is not None and any(entered) and not all(entered):
        digest, values = _split(envelope.open(_key(ports), _binding(ports, number), sealed))
        lost = np.frombuffer(values, "<f4").copy()
        before = _counted_lost(ports, digest, lost.size).lost
        a_chunk = parameter_set(predicate.parameter_set, allow_minimal=True).values_per_chunk
        for section, counted in zip(cut(lost.size, a_chunk, len(entered)), entered, strict=True):
            if not counted:
                lost[section.values] = before[section.values]
        _note(ports, number, digest, Feedback(lost))
    ports.journal.settle_lost(counted=any(entered))


def _sections_entered(predicate: Predicate, account: str) -> tuple[bool, ...]:
    """For each section of a round, whether a sum that holds a hospital's update is in the model."""
    of_sections = parts(predicate.groups, count_of(group.updates for group in predicate.groups))
    return tuple(
        any(predicate.updates[at].issuer == account for group in part if group.accepted for at in group.updates)
        for part in of_sections
    )


def _counted_in(ports: Ports, number: int, base: bytes) -> Predicate | None:
    """What is said of a round, if it made the model that is trained from now."""
    held = ports.journal.model(base)
    adopted, promised = ports.journal.recall(number, "adopted"), ports.journal.promised(number, "signed")
    digest = bytes.fromhex(adopted) if adopted else promised
    if held is None or held[1] != number or digest is None:
        return None
    predicate = Statement.from_bytes(ports.blobs.obtain(raw_cid(digest))).predicate
    return predicate if predicate.model.sha256 == base.hex() else None


def _key(ports: Ports) -> ContentKey:
    return ContentKey(ports.secret_for(b"feedback"))


def _binding(ports: Ports, number: int) -> Binding:
    return Binding("feedback", 0, number, ports.address)  # kept across key epochs


def _split(data: bytes) -> tuple[bytes, bytes]:
    return data[:32], data[32:]
