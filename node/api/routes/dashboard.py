"""The dashboard's files: read once from the package, served with a policy that lets nothing in from elsewhere.

The files hold no data of the hospital; whoever may load them must still sign in before `/v1` answers.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING, Annotated, Final

from fastapi import APIRouter, Header, HTTPException, Response

if TYPE_CHECKING:
    from collections.abc import Iterator
    from importlib.resources.abc import Traversable

    from node.api.service import Service

PACKAGE: Final = "node.dashboard"
MEDIA_TYPES: Final = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
"""The kinds of files that are served; nothing else of the package is."""
POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
)
"""Content-Security-Policy (CSP Level 3): no inline code or style, nothing from another origin, no markup made of strings."""
HEADERS: Final = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), usb=()",
    "Cache-Control": "no-cache",
}


@dataclass(frozen=True)
class Asset:
    """One file of the dashboard."""

    content: bytes
    media_type: str
    etag: str
    """Strong validator: a digest of the content, quoted (RFC 9110, section 8.8.3)."""


def read_assets() -> dict[str, Asset]:
    """Every file of the dashboard by its path below the package, such as `js/main.js`."""
    return dict(_assets(resources.files(PACKAGE), ""))


def _assets(folder: Traversable, prefix: str) -> Iterator[tuple[str, Asset]]:
    for entry in folder.iterdir():
        name = prefix + entry.name
        if entry.is_dir():
            yield from _assets(entry, name + "/")
        elif (kind := MEDIA_TYPES.get("." + entry.name.rpartition(".")[2])) is not None:
            content = entry.read_bytes()
            yield name, Asset(content, kind, f'"{hashlib.sha256(content).hexdigest()[:32]}"')


def router(_service: Service) -> APIRouter:
    """The dashboard's routes; they stand at the root, not under `/v1`."""
    routes = APIRouter(include_in_schema=False)
    assets = read_assets()

    def answer(name: str, known: str | None) -> Response:
        asset = assets.get(name)
        if asset is None:
            raise HTTPException(404, "the dashboard has no such file")
        headers = HEADERS | {"ETag": asset.etag}
        if known is not None and asset.etag in known:
            return Response(status_code=304, headers=headers)
        return Response(asset.content, media_type=asset.media_type, headers=headers)

    @routes.get("/", summary="The dashboard", response_class=Response)
    async def dashboard(if_none_match: Annotated[str | None, Header(max_length=4000)] = None) -> Response:
        return answer("index.html", if_none_match)

    @routes.get("/ui/{file:path}", summary="A file of the dashboard", response_class=Response)
    async def dashboard_file(
        file: str, if_none_match: Annotated[str | None, Header(max_length=4000)] = None
    ) -> Response:
        return answer(file, if_none_match)

    return routes
