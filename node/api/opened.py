"""Models opened with this hospital's keys, for the routes that hand them out or ask them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi import HTTPException

from crypto.errors import CryptoError
from node.learning.modelfile import model_hash
from node.sealing.models import open_model

if TYPE_CHECKING:
    from node.api.service import Service


def opened(service: Service, model: bytes) -> bytes:
    """A model's bytes, opened with this hospital's share of the epoch's content key and checked.

    Raises:
        HTTPException: 404 where it is not here, 503 where what lies here is another model.
    """
    held = service.journal.model(model)
    keys = None if held is None else service.keeper.keys(held[0])
    if held is None or keys is None:
        raise HTTPException(404, f"this hospital does not hold model {model.hex()}, or no keys to open it")
    try:
        data = open_model(keys.member, held[0], held[1], service.store.get(held[2]))
    except CryptoError:
        raise HTTPException(503, f"blob {held[2]} does not open as model {model.hex()}") from None
    if model_hash(data) != model:
        raise HTTPException(503, f"blob {held[2]} is not model {model.hex()}")
    return data
