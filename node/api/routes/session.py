"""Signing in from a browser: a token is exchanged for a cookie that the page's scripts never see."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field

from node.api.access.errors import NotSignedIn
from node.api.access.sessions import cookie_in, set_cookie
from node.api.access.table import TABLE

if TYPE_CHECKING:
    from node.api.access.roles import Caller
    from node.api.service import Service


class Session(BaseModel):
    """Who is signed in, and what that lets one do."""

    name: str = Field(description="Name of the token.", examples=["Dr Ada"])
    role: str = Field(description="Its role.", examples=["auditor"])
    expires: int = Field(description="Unix time in seconds at which the credentials end.", examples=[1795280000])
    routes: list[str] = Field(
        description="Method and path of everything this role may call.", examples=[["GET /v1/status"]]
    )


def router(service: Service) -> APIRouter:
    """The routes over a node."""
    routes = APIRouter(tags=["session"])

    @routes.post("/session", status_code=201, summary="Exchange the token in `Authorization` for a session's cookie")
    def post_session(request: Request, response: Response) -> Session:
        caller: Caller = request.state.caller
        token = service.access.tokens.find(request.headers.get("authorization", "")[len("Bearer ") :].strip())
        if token is None or caller.by_cookie:
            raise NotSignedIn("send the token itself, as `Authorization: Bearer mw_…`")
        secret, ends = service.access.sessions.begin(token)
        response.headers["Set-Cookie"] = set_cookie(
            secret, max(0, ends - int(time.time())), secure=request.url.scheme == "https"
        )
        return _session(caller, ends)

    @routes.get("/session", summary="Who is signed in, and what that lets one do")
    def get_session(request: Request) -> Session:
        caller: Caller = request.state.caller
        return _session(caller, caller.expires or 0)

    @routes.delete("/session", status_code=204, summary="Sign out: the session ends, the cookie goes away")
    def delete_session(request: Request) -> Response:
        secret = cookie_in(request.headers.get("cookie", ""), secure=request.url.scheme == "https")
        if secret is not None:
            service.access.sessions.end(secret)
        gone = set_cookie("", 0, secure=request.url.scheme == "https")
        return Response(status_code=204, headers={"Set-Cookie": gone})

    return routes


def _session(caller: Caller, ends: int) -> Session:
    allowed = sorted(route for route, rule in TABLE.items() if caller.role in rule.who)
    return Session(name=caller.name, role=str(caller.role), expires=ends, routes=allowed)
