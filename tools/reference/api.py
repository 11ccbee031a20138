"""Every route of a node's API: who may call it, parameters, answers with an example; events and figures."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from node.api.app import create_app
from node.api.events import EVENTS
from node.api.metrics import FIGURES
from node.api.openapi import ALWAYS
from tools.reference.markdown import code, table
from tools.reference.markdown import page as markdown

if TYPE_CHECKING:
    from collections.abc import Iterator

INTRODUCTION = """What every route has in common (credentials, pages, entity tags, problem documents, the event stream) is in
[../api.md](../api.md). The same in a machine's form: `GET /openapi.json` of a node. Examples are put together from the fields'
own; objects shown as `{}` have fields that depend on what they are about."""
MOST_LINES = 40
"""Of an example; what is longer is cut."""


def described() -> dict[str, Any]:
    """The API's OpenAPI document; no node is needed for it."""
    bare = SimpleNamespace(config=SimpleNamespace(hospital=SimpleNamespace(name="a hospital")), access=None)
    return create_app(bare).openapi()  # type: ignore[arg-type]  # (nothing of the node is touched before a call)


def operations(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """`METHOD /path` and what the document says of it, by subject."""
    found = [
        (f"{method.upper()} {path}", operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]
    return iter(sorted(found, key=lambda one: (one[1].get("tags", [""])[0], one[0].partition(" ")[2], one[0])))


def page() -> str:
    """docs/reference/api.md."""
    document = described()
    parts, subject = [INTRODUCTION, "Every route may also answer: " + _common()], ""
    for name, operation in operations(document):
        (tag, *_) = operation.get("tags") or ["other"]
        if tag != subject:
            subject = tag
            parts.append(f"## {tag[:1].upper()}{tag[1:]}")
        parts += _route(name, operation, document["components"]["schemas"])
    parts.append("## Fields")
    for name, schema in sorted(document["components"]["schemas"].items()):
        if rows := [_field(*one) for one in schema.get("properties", {}).items()]:
            parts += [
                f"### {name}",
                schema.get("description", "").partition("\n")[0],
                table(("field", "value", "meaning"), rows),
            ]
    parts += [
        "## Events",
        table(("event", "told when, with which fields"), ((code(name), text) for name, text in EVENTS.items())),
        "## Figures",
        table(("figure", "says"), ((code(name), text) for name, text in FIGURES.items())),
        "Beside them the figures of the process, `process_…`: memory, processor time, open files, start.",
    ]
    return markdown("API", *parts)


def _common() -> str:
    return "; ".join(f"{status} {text.rstrip('.')}" for status, text in ALWAYS.items()) + "."


def _route(name: str, operation: dict[str, Any], schemas: dict[str, Any]) -> list[str]:
    who = ", ".join(operation.get("x-roles", ["anyone"]))
    parts = [f"### `{name}`", f"{operation['summary']}. For: {who}. Operation `{operation['operationId']}`."]
    rows = [_parameter(one) for one in operation.get("parameters", ())]
    if rows:
        parts.append(table(("parameter", "where", "value", "meaning"), rows))
    body = operation.get("requestBody", {}).get("content", {})
    if body:
        parts.append("Body: " + ", ".join(map(code, body)) + ".")
    shown = [_answer(status, one) for status, one in operation["responses"].items() if _own(status, one)]
    parts.append(table(("answer", "form", "meaning"), shown))
    return parts + list(_examples(operation, schemas))


def _own(status: str, response: dict[str, Any]) -> bool:
    """Whether an answer is this route's own, not one of those all have."""
    return status not in {"304", "422"} and response.get("description") != ALWAYS.get(status)


def _answer(status: str, response: dict[str, Any]) -> tuple[str, str, str]:
    forms = []
    for kind, media in response.get("content", {}).items():
        shape = media.get("schema", {}).get("$ref", "").rpartition("/")[2]
        forms.append(code(kind) + (f" {shape}" if shape and shape != "Problem" else ""))
    said = response.get("description", "")
    return status, ", ".join(forms), "As asked." if said == "Successful Response" else said


def _parameter(parameter: dict[str, Any]) -> tuple[str, str, str, str]:
    schema = parameter["schema"]
    said = parameter.get("description") or schema.get("description", "")
    return code(parameter["name"]), parameter["in"], _kind(schema), said


def _field(name: str, schema: dict[str, Any]) -> tuple[str, str, str]:
    parts = [schema, *schema.get("anyOf", ())]
    return code(name), _value(schema), next((part["description"] for part in parts if part.get("description")), "")


def _value(schema: dict[str, Any]) -> str:
    """What a field holds, in words."""
    if "$ref" in schema:
        return str(schema["$ref"]).rpartition("/")[2]
    if "anyOf" in schema:
        return " or ".join(_value(part) for part in schema["anyOf"])
    if "enum" in schema or "const" in schema:
        return " or ".join(code(str(value)) for value in schema.get("enum", [schema.get("const")]))
    if schema.get("type") == "array":
        return f"list of {_value(schema.get('items', {}))}"
    words = {
        "string": "text",
        "integer": "whole number",
        "number": "number",
        "boolean": "true or false",
        "null": "null",
    }
    return words.get(schema.get("type", ""), "object")


def _kind(schema: dict[str, Any]) -> str:
    one = next((part for part in schema.get("anyOf", [schema]) if part.get("type") != "null"), schema)
    if "$ref" in one or "enum" in one:
        values = one.get("enum", [])
        text = " or ".join(code(str(value)) for value in values) or "a kind of transaction"
    else:
        text = {"string": "text", "integer": "whole number", "boolean": "true or false"}.get(
            one.get("type", ""), "text"
        )
        if "minimum" in one and "maximum" in one:
            text += f", {one['minimum']:g} to {one['maximum']:g}"
    default = schema.get("default")
    shown = str(default).lower() if isinstance(default, bool) else str(default)
    return text if default is None else f"{text}; default {code(shown)}"


def _examples(operation: dict[str, Any], schemas: dict[str, Any]) -> Iterator[str]:
    for status, response in operation["responses"].items():
        media = response.get("content", {}).get("application/json", {})
        if status.startswith("2") and media.get("example") is not None and schemas:
            lines = json.dumps(media["example"], indent=2, ensure_ascii=False).split("\n")
            cut = [*lines[:MOST_LINES], "…"] if len(lines) > MOST_LINES else lines
            yield "```json\n" + "\n".join(cut) + "\n```"
