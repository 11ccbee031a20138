"""The description of the API (OpenAPI 3.1): what FastAPI derives from the routes, made true where it is not.

Errors here are problem documents, of every route alike; FastAPI would announce others. Examples of whole answers are put
together from those of their fields.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from fastapi.openapi.utils import get_openapi

from node.api.asked import PROBLEM_TYPE
from node.api.shapes import Problem

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fastapi import FastAPI
    from fastapi.routing import APIRoute

_PROBLEM: Final = {PROBLEM_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
_ALWAYS: Final = {
    "401": "No credentials, or none that count.",
    "403": "Not for the caller's role.",
    "405": "The route has no such method.",
    "413": "The request is too long.",
    "429": "Too many calls; `Retry-After` says when.",
}
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
    for method, operation in _operations(found):
        _errors(operation)
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
    return {"boolean": True, "integer": 0, "number": 0.0, "null": None}.get(schema.get("type", ""), "text")


def _without_ref(schema: dict[str, Any]) -> dict[str, Any]:
    return {name: part for name, part in schema.items() if name != "$ref"}


def _operations(found: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for methods in found["paths"].values():
        for method, operation in methods.items():
            if isinstance(operation, dict) and "responses" in operation:
                yield method, operation


def _errors(operation: dict[str, Any]) -> None:
    responses = operation["responses"]
    for status, why in _ALWAYS.items():
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
