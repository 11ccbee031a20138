"""Blobs by CID: ciphertexts, manifests, statements, plans, public keys. All of it is public or sealed."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Final

from fastapi import APIRouter, Header, Response
from fastapi.responses import StreamingResponse

from node.api.asked import answers, problems
from node.api.etags import has_it
from node.api.problems import problem

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

    from node.api.service import Service

PIECE_BYTES = 1 << 18
WHOLE_BYTES = 1 << 20
"""A blob up to this size, such as a ciphertext chunk, is sent in one piece."""
_BYTES: Final = "application/octet-stream"
_RANGE: Final = re.compile(r"bytes=(?P<first>[0-9]{0,15})-(?P<last>[0-9]{0,15})")


def router(service: Service) -> APIRouter:
    """The routes over a node."""
    routes = APIRouter(tags=["blobs"])

    @routes.get(
        "/blobs/{cid}",
        summary="A blob's bytes, or a range of them",
        response_class=StreamingResponse,
        responses=answers(_BYTES, "The whole blob.")
        | {206: {"description": "The range asked for.", "content": {_BYTES: {}}}}
        | problems(400, 404, 416, 503),
    )
    def get_blob(
        cid: str,
        range_: Annotated[str | None, Header(alias="Range", max_length=200)] = None,
        if_none_match: Annotated[str | None, Header(max_length=4000)] = None,
    ) -> Response:
        size = service.store.size(cid)
        headers = _headers(cid)
        if has_it(if_none_match, f'"{cid}"'):
            return Response(status_code=304, headers=headers)
        wanted = _range(range_, size)
        if wanted is None:
            return _body(service, cid, slice(0, size), headers, 200)
        if wanted.start >= wanted.stop:
            return problem(416, f"the blob has {size} bytes", {"Content-Range": f"bytes */{size}"})
        headers["Content-Range"] = f"bytes {wanted.start}-{wanted.stop - 1}/{size}"
        return _body(service, cid, wanted, headers, 206)

    @routes.head(
        "/blobs/{cid}",
        summary="Whether a blob is here, and its size",
        response_class=StreamingResponse,
        responses=answers(_BYTES, "It is; Content-Length is its size.") | problems(400, 404, 503),
    )
    def head_blob(cid: str) -> StreamingResponse:
        headers = _headers(cid) | {"Content-Length": str(service.store.size(cid))}
        return StreamingResponse(iter(()), media_type=_BYTES, headers=headers)

    return routes


def _headers(cid: str) -> dict[str, str]:
    return {"ETag": f'"{cid}"', "Cache-Control": "private, max-age=31536000, immutable", "Accept-Ranges": "bytes"}


def _body(service: Service, cid: str, wanted: slice, headers: dict[str, str], status: int) -> Response:
    count = wanted.stop - wanted.start
    headers = headers | {"Content-Length": str(count)}
    file = service.store.open(cid)  # checks the whole blob, whatever part of it is asked for
    file.seek(wanted.start)
    if count <= WHOLE_BYTES:
        with file:
            return Response(file.read(count), status, headers, _BYTES)
    return StreamingResponse(_pieces(file, count), status, headers, _BYTES)


def _pieces(file: BinaryIO, left: int) -> Iterator[bytes]:
    with file:
        while left and (piece := file.read(min(PIECE_BYTES, left))):
            left -= len(piece)
            yield piece


def _range(header: str | None, size: int) -> slice | None:
    """What a `Range` header asks for (RFC 9110, section 14.2); None for the whole blob, an empty slice for what cannot be had.

    One range of bytes is understood; several at once, and anything else, is answered whole, as the RFC allows.
    """
    found = _RANGE.fullmatch(header.strip()) if header else None
    if found is None or not (found["first"] or found["last"]):
        return None
    if not found["first"]:
        return slice(max(0, size - int(found["last"])), size)
    first, last = int(found["first"]), int(found["last"] or size - 1)
    if found["last"] and last < first:
        return None
    return slice(first, min(last + 1, size))
