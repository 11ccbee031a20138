"""Models opened with this hospital's keys, for the routes that hand them out or ask them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi import HTTPException

from crypto.errors import CryptoError
from node.learning.modelfile import model_hash
from node.sealing.models import OWN, open_model, open_own

if TYPE_CHECKING:
    from node.api.service import Service


def opened(service: Service, model: bytes) -> bytes:
    """A model's bytes, opened with the epoch's content key, or with this hospital's own where it rested, and checked.

    Raises:
        HTTPException: 404 where it is not here, 503 where what lies here is another model.
    """
    held = service.journal.model(model)
    keys = None if held is None else service.keeper.keys(held[0])
    if held is None or (keys is None and held[0] != OWN):
        raise HTTPException(404, f"this hospital does not hold model {model.hex()}, or no keys to open it")
    try:
        sealed = service.store.get(held[2])
        data = (
            open_own(service.own_models, held[1], sealed)
            if keys is None
            else open_model(keys.member, held[0], held[1], sealed)
        )
    except CryptoError:
        raise HTTPException(503, f"blob {held[2]} does not open as model {model.hex()}") from None
    if model_hash(data) != model:
        raise HTTPException(503, f"blob {held[2]} is not model {model.hex()}")
    return data
