"""Every key of node.toml and every environment variable."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args, get_origin

from node.config import NodeConfig
from tools.reference.markdown import code, paragraph, table
from tools.reference.markdown import page as markdown

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydantic.fields import FieldInfo

ROOT = Path(__file__).resolve().parents[2]
INTRODUCTION = """`node.toml` in a hospital's directory, validated when a command reads it; an unknown key is an error that names it. Every key is also
an environment variable, which wins. Paths are relative to the hospital's directory."""
VARIABLES = {
    "MEDWEAVE_PASSWORD": "Keystore password, where neither `--password-fd` nor `--password-file` is given.",
    "MEDWEAVE_TOKEN": "A person's tokens for nodes that commands read from: `URL TOKEN`, several with commas between them.",
    "MEDWEAVE_TOKEN_FILE": "File of such pairs, a line each.",
    "MEDWEAVE_ANVIL": "Path of the Anvil binary, for local chains.",
    "MEDWEAVE_IPFS": "Directory whose `node_modules` has js-ipfs, for faults of an IPFS node; default `.cache/ipfs` (`make ipfs`).",
    "MEDWEAVE_TESTING": "1 lets the insecure `minimal` parameters start; has no place in a real consortium.",
}
"""Variables that are no keys; a test finds every one that the code reads."""


def keys() -> Iterator[tuple[str, str, FieldInfo]]:
    """Section, key and field of everything in node.toml."""
    for section, model in NodeConfig.model_fields.items():
        fields: dict[str, FieldInfo] = getattr(model.annotation, "model_fields", {})
        for key, field in fields.items():
            yield section, key, field


def variables_read() -> set[str]:
    """Names of environment variables that the code mentions, those of keys aside."""
    found: set[str] = set()
    for package in ("node", "chain", "dag", "crypto"):
        for path in sorted((ROOT / package).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Constant) and isinstance(node.value, str):
                    found |= {node.value} if re.fullmatch(r"MEDWEAVE_[A-Z]+(_[A-Z]+)*", node.value) else set()
    return found - {f"MEDWEAVE_{section}_{key}".upper() for section, key, _ in keys()}


def page() -> str:
    """docs/reference/settings.md."""
    parts = [INTRODUCTION]
    for section, model in NodeConfig.model_fields.items():
        about = paragraph(getattr(model.annotation, "__doc__", "")).partition(": ")[2]
        rows = (
            (code(key), _kind(field), _default(field), field.description or "")
            for name, key, field in keys()
            if name == section
        )
        parts += [f"## [{section}]", about[:1].upper() + about[1:], table(("key", "value", "default", "meaning"), rows)]
    parts += [
        "## Environment",
        "`MEDWEAVE_SECTION_KEY` overrides a key, for instance `MEDWEAVE_CHAIN_RPC`. Besides:",
        table(("variable", "meaning"), ((code(name), meaning) for name, meaning in VARIABLES.items())),
    ]
    return markdown("Settings", *parts)


def _kind(field: FieldInfo) -> str:
    """What values a key takes."""
    annotation: Any = field.annotation
    if get_origin(annotation) is not None and not isinstance(annotation, type):
        return " or ".join(code(str(choice)) for choice in get_args(annotation))
    name = {str: "text", int: "whole number", float: "number", bool: "true or false"}.get(annotation, str(annotation))
    bounds = {type(rule).__name__: vars_of(rule) for rule in field.metadata}
    low = next(
        (f"{word}{b}" for kind, word in (("Ge", ""), ("Gt", "more than ")) if (b := bounds.get(kind)) is not None), ""
    )
    high = next((b for kind in ("Le", "Lt") if (b := bounds.get(kind)) is not None), "")
    if low and high:
        return f"{name}, {low} to {high}"
    return f"{name}, at least {low}" if low else name


def vars_of(rule: object) -> str | None:
    """The bound in a rule of pydantic's."""
    for name in ("ge", "gt", "le", "lt"):
        if hasattr(rule, name):
            value = getattr(rule, name)
            return f"{value:,.0f}".replace(",", " ") if value >= 10_000 else f"{value:g}"
    return None


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.get_default()
    if value in ("", (), []):
        return "empty"
    return code(str(value).lower() if isinstance(value, bool) else str(value))
