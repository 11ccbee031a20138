"""Blobs by CID: ciphertexts, manifests, statements, plans, public keys. All of it is public or sealed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi import APIRouter, Response
from fastapi.responses import StreamingResponse

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

    from node.api.service import Service

PIECE_BYTES = 1 << 18
WHOLE_BYTES = 1 << 20
"""A blob up to this size, such as a ciphertext chunk, is sent in one piece."""


def router(service: Service) -> APIRouter:
    """The routes over a node."""
    routes = APIRouter(tags=["blobs"])

    @routes.get("/blobs/{cid}", summary="A blob's bytes", response_class=StreamingResponse)
    def blob(cid: str) -> Response:
        size = service.store.size(cid)
        headers = {
            "Content-Length": str(size),
            "ETag": f'"{cid}"',
            "Cache-Control": "public, max-age=31536000, immutable",
        }
        if size <= WHOLE_BYTES:
            return Response(service.store.get(cid), media_type="application/octet-stream", headers=headers)
        return StreamingResponse(
            _pieces(service.store.open(cid)), media_type="application/octet-stream", headers=headers
        )

    @routes.head("/blobs/{cid}", summary="Whether a blob is here, and its size", response_class=StreamingResponse)
    def blob_size(cid: str) -> StreamingResponse:
        headers = {"Content-Length": str(service.store.size(cid)), "ETag": f'"{cid}"'}
        return StreamingResponse(iter(()), media_type="application/octet-stream", headers=headers)

    return routes


def _pieces(file: BinaryIO) -> Iterator[bytes]:
    with file:
        while piece := file.read(PIECE_BYTES):
            yield piece
