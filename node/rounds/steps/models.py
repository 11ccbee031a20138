"""Global models in this hospital's store: always sealed to the members, found by their hash."""

from __future__ import annotations

from typing import TYPE_CHECKING

from node.errors import LyingPeer, RoundProblem
from node.learning.parameters import initial, model_bytes, model_hash, parse_model
from node.sealing.models import open_model, seal_model

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from node.rounds.plan import Plan
    from node.rounds.ports import Ports


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

    Raises:
        RoundProblem: This hospital never held it; its round has to be adopted first.
        LyingPeer: The stored bytes are another model.
    """
    held = ports.journal.model(wanted)
    if held is None:
        raise RoundProblem(f"model {wanted.hex()[:16]}… is not here yet; waiting to adopt the round that made it")
    epoch, round_number, sealed = held
    data = open_model(ports.keys.member, epoch, round_number, ports.blobs.obtain(sealed))
    if model_hash(data) != wanted:
        raise LyingPeer(f"blob {sealed} is not model {wanted.hex()[:16]}…", cid=sealed, model=wanted.hex())
    return parse_model(data).vector
