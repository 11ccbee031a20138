"""Who may call what: one row a route. A route without a row is not served, and the node refuses to start with one.

The key is the method and the path's template as the application has it. The table is also what finds the row of a request,
so that nothing the router would match in another way can slip through.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from fastapi.routing import iter_route_contexts

from dag.sync import MAX_MESSAGE_BYTES
from node.api.access.errors import NoSuchRoute, UnguardedRoute
from node.api.access.roles import PEOPLE, Role
from node.membership.motion import MAX_MESSAGE_BYTES as MAX_MOTIONS_BYTES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fastapi import FastAPI

KIB: Final = 1024
MIB: Final = 1024 * 1024
FILE_COST: Final = 0.1
"""Of a file of the dashboard: it lies in memory, says nothing of the hospital, and comes with two dozen others."""
MAX_IMAGE_BYTES: Final = 64 * MIB
"""Of an image that a model is asked about, with its form's fields."""


@dataclass(frozen=True)
class Rule:
    """One row of the table.

    Attributes:
        who: Roles that may call; `ANYONE` lets everybody in.
        body: Most bytes of the request's body.
        quiet: Whether what went well is counted in the access log, a line a minute, instead of written one by one: for what
            machines ask every second.
        cost: What it takes from the caller's bucket of requests; less for the dashboard's files, of which a browser asks for
            dozens at once.
    """

    who: frozenset[Role]
    body: int = 0
    quiet: bool = False
    cost: float = 1.0


def _rule(*who: Role, body: int = 0, quiet: bool = False, cost: float = 1.0) -> Rule:
    return Rule(frozenset(who), body, quiet, cost)


_RECORDS = (Role.OPERATOR, Role.SCIENTIST, Role.AUDITOR, Role.MEMBER)
"""What the consortium has on record: every member has it anyhow."""
_LOCAL = (Role.OPERATOR, Role.SCIENTIST, Role.AUDITOR)
"""What this hospital knows of its own doing."""
_LINEAGE = (*_RECORDS, Role.CLINICIAN)
"""What tells a clinician's system which models there are."""

_SERVICE = {
    "GET /v1/health": _rule(Role.ANYONE, quiet=True),
    "GET /v1/ready": _rule(Role.ANYONE, quiet=True),
    "GET /": _rule(Role.ANYONE, quiet=True, cost=FILE_COST),
    "GET /ui/{file:path}": _rule(Role.ANYONE, quiet=True, cost=FILE_COST),
    "GET /v1/join": _rule(Role.ANYONE),
    "POST /v1/join": _rule(Role.ANYONE, body=4 * KIB),
    "GET /openapi.json": _rule(*PEOPLE, Role.MEMBER),
    "HEAD /openapi.json": _rule(*PEOPLE, Role.MEMBER),
    "GET /metrics": _rule(Role.OPERATOR, Role.AUDITOR, quiet=True),
    "GET /v1/session": _rule(*PEOPLE),
    "POST /v1/session": _rule(*PEOPLE),
    "DELETE /v1/session": _rule(*PEOPLE),
    "GET /v1/status": _rule(*PEOPLE, Role.MEMBER, quiet=True),
    "GET /v1/events": _rule(*_LOCAL),
    "GET /v1/storage": _rule(*_LOCAL),
    "POST /v1/audits": _rule(*_LOCAL, body=64 * KIB),
    "GET /v1/audits": _rule(*_LOCAL),
    "GET /v1/audits/{number}": _rule(*_LOCAL, quiet=True),
}

_MEMBERSHIP = {
    "GET /v1/members": _rule(*_RECORDS),
    "GET /v1/members/{index}": _rule(*_RECORDS),
    "GET /v1/epochs": _rule(*_RECORDS),
    "GET /v1/epochs/{number}": _rule(*_RECORDS),
    "GET /v1/motions": _rule(*_LOCAL),
    "GET /v1/requests": _rule(*_LOCAL),
    "POST /v1/motions": _rule(Role.MEMBER, body=MAX_MOTIONS_BYTES, quiet=True),
    "POST /v1/notices": _rule(Role.MEMBER, body=128 * KIB, quiet=True),
    "POST /v1/gossip": _rule(Role.MEMBER, body=MAX_MESSAGE_BYTES, quiet=True),
}

_LEDGER = {
    "GET /v1/transactions": _rule(*_RECORDS),
    "GET /v1/transactions/tips": _rule(*_RECORDS),
    "GET /v1/transactions/{cid}": _rule(*_RECORDS),
    "GET /v1/transactions/{cid}/raw": _rule(*_RECORDS, quiet=True),
    "GET /v1/transactions/{cid}/cone": _rule(*_RECORDS),
    "GET /v1/transactions/{cid}/proof": _rule(*_RECORDS),
    "GET /v1/checkpoint": _rule(*_RECORDS, quiet=True),
    "GET /v1/log": _rule(*_RECORDS),
    "GET /v1/log/consistency": _rule(*_RECORDS),
    "GET /v1/blobs/{cid}": _rule(*_RECORDS, quiet=True),
    "HEAD /v1/blobs/{cid}": _rule(*_RECORDS, quiet=True),
}

_ROUNDS = {
    "GET /v1/plan": _rule(*_LOCAL),
    "GET /v1/rounds": _rule(*_RECORDS),
    "GET /v1/rounds/{number}": _rule(*_LOCAL),
    "GET /v1/rounds/{number}/envelope": _rule(*_RECORDS),
    "GET /v1/verdicts": _rule(*_LOCAL),
    "GET /v1/training": _rule(Role.OPERATOR, Role.SCIENTIST),
    "GET /v1/models": _rule(*_LINEAGE),
    "GET /v1/models/{model}": _rule(*_LINEAGE),
    "GET /v1/models/{model}/card": _rule(*_LINEAGE),
    "GET /v1/models/{model}/provenance": _rule(*_RECORDS),
    "GET /v1/models/{model}/statement": _rule(*_RECORDS),
    "GET /v1/models/{model}/envelope": _rule(*_RECORDS),
    "GET /v1/models/{model}/sealed/{epoch}": _rule(*_RECORDS, quiet=True),
    "GET /v1/models/{model}/passed/{seat}": _rule(Role.MEMBER),
    "GET /v1/models/{model}/file": _rule(Role.OPERATOR, Role.SCIENTIST),
    "POST /v1/models/{model}/predict": _rule(Role.CLINICIAN, Role.SCIENTIST, Role.OPERATOR, body=MAX_IMAGE_BYTES),
}

TABLE: Final[Mapping[str, Rule]] = {**_SERVICE, **_MEMBERSHIP, **_LEDGER, **_ROUNDS}
"""Method and template to rule."""

_FIELD = re.compile(r"\{(\w+)(:path)?\}")


@dataclass(frozen=True)
class Match:
    """What a request asks for."""

    route: str
    """The row's key, such as `GET /v1/models/{model}`."""
    rule: Rule
    values: tuple[str, ...]
    """What stands in the path in place of the template's fields."""


class Router:
    """Finds a request's row.

    Args:
        table: Method and template to rule.
    """

    def __init__(self, table: Mapping[str, Rule] = TABLE) -> None:
        self._fixed: dict[str, dict[str, Match]] = {}
        self._templates: list[tuple[re.Pattern[str], dict[str, tuple[str, Rule]]]] = []
        patterns: dict[str, dict[str, tuple[str, Rule]]] = {}
        for route, rule in table.items():
            method, _, template = route.partition(" ")
            if "{" in template:
                patterns.setdefault(template, {})[method] = (route, rule)
            else:
                self._fixed.setdefault(template, {})[method] = Match(route, rule, ())
        for template, methods in patterns.items():
            self._templates.append((_pattern(template), methods))

    def find(self, method: str, path: str) -> Match:
        """The row of a request; a fixed path goes before a template.

        Args:
            method: In capitals.
            path: Decoded.

        Raises:
            NoSuchRoute: 404 where nothing is served, 405 where not by this method.
        """
        fixed = self._fixed.get(path)
        if fixed is not None:
            return fixed.get(method) or _wrong_method(fixed)
        for pattern, methods in self._templates:
            if (found := pattern.fullmatch(path)) is not None:
                if method not in methods:
                    _wrong_method(methods)
                route, rule = methods[method]
                return Match(route, rule, found.groups())
        raise NoSuchRoute("nothing is served at this path")


def verify_guarded(app: FastAPI, table: Mapping[str, Rule] = TABLE) -> None:
    """Check that every route of an application has its row.

    Raises:
        UnguardedRoute: Some have none; they are named.
    """
    bare = sorted(routes_of(app) - table.keys())
    if bare:
        raise UnguardedRoute(f"no row in node/api/access/table.py says who may call {', '.join(bare)}")


def routes_of(app: FastAPI) -> set[str]:
    """Every route an application serves, as the table's keys; of what has no methods (a mount, a socket), `* path`."""
    found = set()
    for context in iter_route_contexts(app.routes):
        found |= {f"{method} {context.path}" for method in context.methods or {"*"}}
    return found


def _pattern(template: str) -> re.Pattern[str]:
    parts, at = [], 0
    for field in _FIELD.finditer(template):
        parts += [re.escape(template[at : field.start()]), "(.+)" if field[2] else "([^/]+)"]
        at = field.end()
    return re.compile("".join([*parts, re.escape(template[at:])]), re.DOTALL)


def _wrong_method(methods: Mapping[str, object]) -> Match:
    allowed = ", ".join(sorted(methods))
    raise NoSuchRoute(f"this path answers {allowed} only", 405, {"Allow": allowed})
