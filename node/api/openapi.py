"""The description of the API (OpenAPI 3.1): what FastAPI derives from the routes, made true where it is not.

Errors here are problem documents, of every route alike; FastAPI would announce others. Examples of whole answers are put
together from those of their fields.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from fastapi.openapi.utils import get_openapi

from node.api.access.roles import Role
from node.api.access.sessions import NAME
from node.api.access.table import TABLE
from node.api.asked import PROBLEM_TYPE
from node.api.shapes import Problem

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fastapi import FastAPI
    from fastapi.routing import APIRoute

    from node.api.access.table import Rule

_PROBLEM: Final = {PROBLEM_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
ALWAYS: Final = {
    "400": "What was named, or the request itself, is malformed.",
    "401": "No credentials, or none that hold.",
    "403": "Not for the caller's role.",
    "405": "The path has no such method; `Allow` says which it has.",
    "408": "The request did not arrive in time.",
    "413": "The body is too long.",
    "414": "The path or the query is too long.",
    "421": "The request names another host than this node.",
    "429": "Too many calls; `Retry-After` says when to come again.",
    "431": "Too many headers, or too long ones.",
    "503": "No time for that now; `Retry-After` says when to come again.",
}
"""What every route may answer beside its own."""
_SCHEMES: Final = {
    "token": {"type": "http", "scheme": "bearer", "description": "A person's token (`medweave token create`)."},
    "session": {
        "type": "apiKey",
        "in": "cookie",
        "name": NAME,
        "description": "A browser's session, had for a token at `POST /v1/session`.",
    },
    "member": {
        "type": "apiKey",
        "in": "header",
        "name": "Signature",
        "description": "A member's request, signed with its account (RFC 9421; docs/spec/access.md).",
    },
}
_PARAMETERS: Final = {
    "cid": "CID; of a transaction its id in hex does too.",
    "epoch": "Number of the key epoch.",
    "form": "In which form.",
    "index": "Seat of the hospital.",
    "seat": "Seat of the member it is sealed to.",
    "kind": "Only transactions of this kind.",
    "model": "The model's hash, hex.",
    "number": "Its number.",
    "round": "Only of this round.",
    "direction": "What it approves, or what approves it.",
    "if-none-match": "Entity tags the caller has.",
    "range": "One range of bytes (RFC 9110, section 14).",
}
"""What parameters mean that say nothing themselves."""
_TAG: Final = {"ETag": {"description": "Strong entity tag of the answer.", "schema": {"type": "string"}}}
_DROPPED: Final = ("HTTPValidationError", "ValidationError")


def operation_id(route: APIRoute) -> str:
    """The stable name of a route: its function's, so it must be unique among all routes."""
    return route.name


def describe(app: FastAPI) -> dict[str, Any]:
    """The document, made once.

    Args:
        app: The application.
    """
    if app.openapi_schema:
        return app.openapi_schema
    found = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
    schemas = found.setdefault("components", {}).setdefault("schemas", {})
    schemas["Problem"] = Problem.model_json_schema()
    for name in _DROPPED:
        schemas.pop(name, None)
    found["components"]["securitySchemes"] = _SCHEMES
    for method, path, operation in _operations(found):
        _access(operation, TABLE.get(f"{method.upper()} {path}"))
        _errors(operation)
        for parameter in operation.get("parameters", ()):
            parameter.setdefault("description", _PARAMETERS.get(parameter["name"].lower(), ""))
        _examples(method, operation, schemas)
    app.openapi_schema = found
    return found


def example(schema: dict[str, Any], schemas: dict[str, Any]) -> Any:
    """A value that fits a schema, put together from the examples of its parts.

    Args:
        schema: The schema.
        schemas: Those it may refer to, by name.
    """
    if "$ref" in schema:
        return example(schemas[schema["$ref"].rsplit("/", 1)[-1]] | _without_ref(schema), schemas)
    if schema.get("examples"):
        return schema["examples"][0]
    if "const" in schema or schema.get("enum"):
        return schema["const"] if "const" in schema else schema["enum"][0]
    if "anyOf" in schema:
        return example(schema["anyOf"][0], schemas)
    if schema.get("type") == "object":
        return {name: example(part, schemas) for name, part in schema.get("properties", {}).items()}
    if schema.get("type") == "array":
        return [example(schema["items"], schemas)] if "items" in schema else []
    least = schema.get("minimum", 0)
    return {"boolean": True, "integer": least, "number": float(least), "null": None}.get(schema.get("type", ""), "text")


def _without_ref(schema: dict[str, Any]) -> dict[str, Any]:
    return {name: part for name, part in schema.items() if name != "$ref"}


def _operations(found: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in found["paths"].items():
        for method, operation in methods.items():
            if isinstance(operation, dict) and "responses" in operation:
                yield method, path, operation


def _access(operation: dict[str, Any], rule: Rule | None) -> None:
    """Who may call, from the one table that decides it."""
    if rule is None:
        return
    operation["x-roles"] = sorted(map(str, rule.who))
    open_, member = Role.ANYONE in rule.who, Role.MEMBER in rule.who
    people: list[dict[str, list[str]]] = [] if open_ or rule.who == {Role.MEMBER} else [{"token": []}, {"session": []}]
    operation["security"] = people + ([{"member": []}] if member and not open_ else [])


def _errors(operation: dict[str, Any]) -> None:
    responses = operation["responses"]
    for status, why in ALWAYS.items():
        responses.setdefault(status, {"description": why, "content": _PROBLEM})
    if "422" in responses:
        responses["422"] = {"description": "A parameter or the body does not fit its schema.", "content": _PROBLEM}


def _examples(method: str, operation: dict[str, Any], schemas: dict[str, Any]) -> None:
    responses = operation["responses"]
    for status, response in responses.items():
        for media in response.get("content", {}).values():
            if media.get("schema", {}).get("$ref"):
                media.setdefault("example", example(media["schema"], schemas))
        if method == "get" and status == "200" and "text/event-stream" not in response.get("content", {}):
            response.setdefault("headers", {}).update(_TAG)
    if method == "get" and "200" in responses:
        responses.setdefault("304", {"description": "The caller has it (If-None-Match).", "headers": _TAG})
