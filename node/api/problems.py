"""Errors as RFC 9457 problem documents."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from dag.errors import LedgerError, UnknownTransaction
from node.errors import BadInput
from node.storage import BadCid, BlobCorrupt, BlobMissing, StorageError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fastapi import FastAPI, Request


def problem(status: int, detail: str, headers: Mapping[str, str] | None = None) -> JSONResponse:
    """A problem document.

    Args:
        status: HTTP status.
        detail: One line for a person.
        headers: Further headers, such as Allow or Retry-After.
    """
    body = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, "detail": detail}
    return JSONResponse(body, status, headers, "application/problem+json")


def install(app: FastAPI) -> None:
    """Answer every error of ours as a problem document."""

    @app.exception_handler(HTTPException)
    async def refused(_: Request, error: HTTPException) -> JSONResponse:
        return problem(error.status_code, str(error.detail), error.headers)

    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        return problem(422, f"{'.'.join(map(str, first['loc']))}: {first['msg']}")

    @app.exception_handler(StorageError)
    async def storage(_: Request, error: StorageError) -> JSONResponse:
        if isinstance(error, BadCid):
            return problem(400, str(error))
        if isinstance(error, BlobMissing):
            return problem(404, f"blob {error.cid} is not here")
        if isinstance(error, BlobCorrupt):
            return problem(503, f"blob {error.cid} is damaged here; ask another member")
        return problem(503, "the blob store cannot answer now")

    @app.exception_handler(LedgerError)
    async def ledger(_: Request, error: LedgerError) -> JSONResponse:
        return problem(404 if isinstance(error, UnknownTransaction) else 400, str(error))

    @app.exception_handler(BadInput)
    async def bad_input(_: Request, error: BadInput) -> JSONResponse:
        return problem(400, str(error))
