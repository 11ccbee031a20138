"""Every line the daemon may log, by its event name."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from pathlib import Path

from node.logs import FIELDS, event_of
from tools.reference.markdown import code, table
from tools.reference.markdown import page as markdown

ROOT = Path(__file__).resolve().parents[2]
LEVELS = ("debug", "info", "warning", "error", "exception", "critical", "log")
INTRODUCTION = f"""With `[log] format = "json"` each line is an object with `time`, `level`, `logger`, `event`, `message`, where they are known
{", ".join(code(field) for field in FIELDS)}, and `traceback`. `event` is the name below; `%s` and the like stand for what differs.
What to do about those that ask for attention stands in [operations.md](../operations.md)."""


@dataclass(frozen=True, order=True)
class Line:
    """A log call.

    Attributes:
        event: Its name.
        level: Its level; `various` where the code decides.
        logger: Whose it is.
        template: The literal message.
        module: Where it stands.
    """

    event: str
    level: str
    logger: str
    template: str
    module: str


def lines() -> list[Line]:
    """Every log call in the product whose message is literal."""
    found = set()
    for package in ("node", "chain", "dag"):
        for path in sorted((ROOT / package).rglob("*.py")):
            tree = ast.parse(path.read_text(encoding="utf-8"))
            logger = _logger(tree)
            if logger is not None:
                module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
                found |= {Line(*said, module) for said in _calls(tree, logger, path.stem)}
    return sorted(found)


def _logger(tree: ast.Module) -> str | None:
    """The name of a module's `log`."""
    for node in tree.body:
        match node:
            case ast.Assign(targets=[ast.Name(id="log")], value=ast.Call(args=[ast.Constant(value=str(name))])):
                return name
    return None


def _calls(tree: ast.Module, logger: str, module: str) -> list[tuple[str, str, str, str]]:
    found = []
    for function in ast.walk(tree):
        if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        for node in ast.walk(function):
            match node:
                case ast.Call(func=ast.Attribute(value=ast.Name(id="log"), attr=level), args=arguments) if (
                    level in LEVELS
                ):
                    template = _text(arguments[1:] if level == "log" else arguments)
                    if template is not None:
                        named = {"exception": "error", "log": "various"}.get(level, level)
                        found.append((event_of(template, module, function.name), named, logger, template))
    return found


def _text(arguments: list[ast.expr]) -> str | None:
    first = arguments[0] if arguments else None
    return first.value if isinstance(first, ast.Constant) and isinstance(first.value, str) else None


def page() -> str:
    """docs/reference/log.md."""
    rows = (
        (code(line.event), line.level, code(line.logger), code(line.template), code(line.module)) for line in lines()
    )
    return markdown("Log lines", INTRODUCTION, table(("event", "level", "logger", "message", "where"), rows))
