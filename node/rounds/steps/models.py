"""Global models in this hospital's store: always sealed to the members, found by their hash.

A model is sealed under the key epoch in which it is needed next: when an epoch follows another, because a hospital joined or
left, each member that holds the model seals it anew. All get the same bytes, and who has just joined asks them for the CID. What a
hospital was given while it rested (`node.daemon.resting`) lies under its own key until it is drawn.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from crypto.errors import CryptoError
from node.errors import LyingPeer, RoundProblem
from node.learning.layouts import initial, model_bytes
from node.learning.modelfile import model_hash, parse_model
from node.sealing.models import OWN, open_model, open_own, own_key, seal_model
from node.storage import StorageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from node.rounds.plan import Plan
    from node.rounds.ports import Ports

log = logging.getLogger("medweave.rounds")


def keep_model(ports: Ports, data: bytes, round_number: int) -> str:
    """Seal a model's bytes to the members, store them, note them; returns the CID.

    Every member derives the same sealed bytes, so the CID is the same everywhere.
    """
    keys = ports.keys
    sealed = ports.blobs.store.put(seal_model(keys.member, keys.epoch, round_number, data))
    ports.journal.keep_model(model_hash(data), keys.epoch, round_number, sealed)
    return sealed


def keep_genesis(ports: Ports, plan: Plan, base: bytes) -> None:
    """Derive the plan's initial model where that is the round's base and it is not here yet.

    Every member draws it from the plan's seed, so it need not be sent, and a wrong one cannot be slipped in.
    """
    if ports.journal.model(base) is None:
        data = genesis_model(plan)
        if model_hash(data) == base:
            keep_model(ports, data, 0)


def genesis_model(plan: Plan) -> bytes:
    """The model file a plan starts from, the same at every member."""
    classes = len(plan.classes)
    return model_bytes(initial(plan.architecture, classes, plan.seed), plan.architecture, classes)


def load_model(ports: Ports, wanted: bytes) -> NDArray[np.float32]:
    """The parameters of a model by its hash, float32 [D].

    What was sealed under an earlier epoch lies sealed under the round's afterwards.

    Raises:
        RoundProblem: This hospital cannot read it yet: its round has to be adopted first, or a member to seal it anew.
        LyingPeer: The stored bytes are another model.
    """
    held = ports.journal.model(wanted)
    data = None if held is None else _open_held(ports, *held)
    if held is None or data is None:
        return parse_model(_model_of_peers(ports, wanted)).vector
    epoch, round_number, sealed = held
    if model_hash(data) != wanted:
        raise LyingPeer(f"blob {sealed} is not model {wanted.hex()[:16]}…", cid=sealed, model=wanted.hex())
    if epoch != ports.keys.epoch:
        keep_model(ports, data, round_number)
    return parse_model(data).vector


def _open_held(ports: Ports, epoch: int, round_number: int, sealed: str) -> bytes | None:
    """What lies sealed under an epoch's key, or under this hospital's own; None without the key."""
    if epoch == OWN:
        return open_own(own_key(ports.secret_for), round_number, ports.blobs.obtain(sealed))
    keys = ports.keys if epoch == ports.keys.epoch else ports.keys_of(epoch)
    return None if keys is None else open_model(keys.member, epoch, round_number, ports.blobs.obtain(sealed))


def _model_of_peers(ports: Ports, wanted: bytes) -> bytes:
    """A model that members of the epoch have sealed anew; whatever a peer names, its hash decides."""
    for round_number, sealed in ports.sealed_elsewhere(wanted, ports.keys.epoch):
        try:
            data = open_model(ports.keys.member, ports.keys.epoch, round_number, ports.blobs.obtain(sealed))
        except (CryptoError, StorageError) as error:
            log.info("model %s…: a peer's %s is of no use: %s", wanted.hex()[:16], sealed, error)
            continue
        if model_hash(data) == wanted:
            keep_model(ports, data, round_number)
            return data
        log.warning("model %s…: a peer's %s is another model", wanted.hex()[:16], sealed)
    raise RoundProblem(
        f"model {wanted.hex()[:16]}… is not here yet; waiting to adopt the round that made it, or for a member to seal it "
        f"under epoch {ports.keys.epoch}"
    )
