"""A blob from a node to a file: streamed, hashed on the way, taken up again where it broke off."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final
from urllib.parse import quote

from node.client.errors import NodeBusy, NodeUnreachable, WrongBytes
from node.storage import CidHasher, parse_blob_cid

if TYPE_CHECKING:
    from node.client.transport import Transport

PIECE_BYTES: Final = 1 << 18
PARTIAL: Final = 206


def save_blob(transport: Transport, cid: str, path: Path) -> int:
    """Fetch a blob into a file, which appears once it is whole and is the blob; returns its length.

    Args:
        transport: Calls the node.
        cid: The blob.
        path: The file; its directory must exist.

    Raises:
        BadCid: The text is no blob's CID.
        NodeUnreachable: The node does not answer, however often it is asked.
        Refused: It answers with a problem.
        WrongBytes: The bytes are another blob's; nothing is kept.
        OSError: The file cannot be written.
    """
    parse_blob_cid(cid)
    hasher = CidHasher()
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=path.name, suffix=".part")
    part = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            size = _fetch(transport, cid, file, hasher)
        if hasher.cid() != cid:
            raise WrongBytes(transport.url, f"the {size} bytes sent for blob {cid} are another blob's")
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    return size


def _fetch(transport: Transport, cid: str, file: BinaryIO, hasher: CidHasher) -> int:
    have, where = 0, f"/v1/blobs/{quote(cid, safe='')}"
    pauses = transport.pauses()
    while True:
        before = have
        try:
            headers = {"Range": f"bytes={have}-"} if have else {}
            with transport.opened("GET", where, headers=headers, also=frozenset({PARTIAL})) as response:
                if have and response.status_code != PARTIAL:
                    raise WrongBytes(transport.url, f"the rest of blob {cid} was asked for and all of it sent")
                for piece in response.iter_bytes(PIECE_BYTES):
                    file.write(piece)
                    hasher.update(piece)
                    have += len(piece)
        except (NodeUnreachable, NodeBusy) as error:
            if have > before:
                pauses = transport.pauses()
            transport.wait(error, next(pauses, None))
        else:
            return have
