"""Error feedback (optional in the plan): what a counted update lost to rounding and clipping is added to the next one.

What is carried over says something about this hospital's images, so it lies in the journal only under a key of the
hospital's own. It advances only when an update has counted: what a round that failed, or a refused group, would have lost
was never missing from the model.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from crypto import envelope
from crypto.envelope import Binding
from crypto.feedback import Feedback
from crypto.secrets import ContentKey
from node.rounds.statement import Statement
from node.storage import raw_cid

if TYPE_CHECKING:
    from crypto.layout import Layout
    from node.rounds.ports import Ports
    from node.rounds.state import RoundState


def lost_before(ports: Ports, state: RoundState, layout: Layout) -> Feedback:
    """What this hospital's counted updates have lost so far, in the units of a weighted update; zeros to begin with.

    Raises:
        StorageError: Whether the last update counted cannot be told yet, its round's statement is out of reach.
    """
    journal, pending = ports.journal, ports.journal.lost(counted=False)
    if pending is not None and pending[0] < state.facts.round:
        journal.settle_lost(counted=_counted(ports, pending[0], state.facts.base))
    known = journal.lost(counted=True)
    if known is None:
        return Feedback.none(layout.size)
    number, sealed = known
    digest, values = _split(envelope.open(_key(ports), _binding(ports, number), sealed))
    if digest != layout.digest:  # another network or range: what was lost has no place in it
        return Feedback.none(layout.size)
    return Feedback(np.frombuffer(values, "<f4"))


def keep_lost(ports: Ports, state: RoundState, layout: Layout, lost: Feedback) -> None:
    """Note what this round's update has lost; durable before the update is posted."""
    number = state.facts.round
    data = layout.digest + lost.lost.astype("<f4", copy=False).tobytes()
    ports.journal.keep_lost(number, envelope.seal(_key(ports), _binding(ports, number), data))


def _counted(ports: Ports, number: int, base: bytes) -> bool:
    """Whether this hospital's update of a round is in the model that is trained from now."""
    held = ports.journal.model(base)
    adopted, promised = ports.journal.recall(number, "adopted"), ports.journal.promised(number, "signed")
    digest = bytes.fromhex(adopted) if adopted else promised
    if held is None or held[1] != number or digest is None:
        return False
    predicate = Statement.from_bytes(ports.blobs.obtain(raw_cid(digest))).predicate
    if predicate.model.sha256 != base.hex():
        return False
    included = [predicate.updates[i].issuer for group in predicate.groups if group.accepted for i in group.updates]
    return f"0x{ports.address.hex()}" in included


def _key(ports: Ports) -> ContentKey:
    return ContentKey(ports.secret_for(b"feedback"))


def _binding(ports: Ports, number: int) -> Binding:
    return Binding("feedback", 0, number, ports.address)  # kept across key epochs


def _split(data: bytes) -> tuple[bytes, bytes]:
    return data[:32], data[32:]
