"""Every error class with the exit code a command ends with, and what each exit code asks for."""

from __future__ import annotations

import ast
import asyncio
import inspect
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

from fastapi import FastAPI

from node.api import problems
from node.cli.main import exit_code_of
from tools.reference.markdown import code, paragraph, table
from tools.reference.markdown import page as markdown

ROOT = Path(__file__).resolve().parents[2]
EXIT_CODES = {
    0: ("done; for `audit`, `verify`: verified", "nothing"),
    1: ("the thing checked is false, or the job failed", "read the message: it names what is false, with evidence"),
    2: ("it could not be checked, or the command line was wrong", "`--help`, or give it what it lacked"),
    3: ("bad input: a file, option, password or setting", "correct what the message names"),
    4: ("the machine lacks something: a free port, Anvil, disk space", "make room, install it, choose another port"),
    5: ("a peer or the chain is out of reach", "try again; if it stays, look at the network and the endpoint"),
    130: ("interrupted by Ctrl-C", "nothing"),
}
"""Exit code to (meaning, what to do)."""
INTRODUCTION = """A command that fails prints one line, `error: …`, that says what was wrong, where, what was expected and what to do, and ends with
the code below. The API answers with a problem document (RFC 9457), with the status below where one of these errors reaches a caller. An error not listed here is a fault of
the program and is shown with its traceback: please report it."""


def modules() -> list[str]:
    """Every module of errors that the product has."""
    found = [path for package in ("node", "dag", "crypto", "chain") for path in (ROOT / package).rglob("errors.py")]
    return sorted(".".join(path.relative_to(ROOT).with_suffix("").parts) for path in found)


def classes(module: str) -> list[type[Exception]]:
    """The error classes a module defines, in the order they stand in it."""
    loaded = import_module(module)
    tree = ast.parse(Path(inspect.getfile(loaded)).read_text(encoding="utf-8"))
    names = [node.name for node in tree.body if isinstance(node, ast.ClassDef)]
    found = [getattr(loaded, name) for name in names]
    return [one for one in found if isinstance(one, type) and issubclass(one, Exception)]


def page() -> str:
    """docs/reference/errors.md."""
    codes = table(("code", "meaning", "what to do"), ((str(n), *words) for n, words in EXIT_CODES.items()))
    parts = [INTRODUCTION, "## Exit codes", codes]
    for module in modules():
        rows = (
            (code(one.__name__), code(one.__bases__[0].__name__), _code(one), _status(one), paragraph(one.__doc__))
            for one in classes(module)
        )
        parts += [f"## {module}", table(("error", "is a", "exit code", "HTTP", "meaning"), rows)]
    return markdown("Errors and exit codes", *parts)


def _code(one: type[Exception]) -> str:
    number = exit_code_of(one)
    return "" if number is None else str(number)


def _status(one: type[Exception]) -> str:
    """The HTTP status that the API answers with; found by asking its handlers with an empty error of the class."""
    if isinstance(status := getattr(one, "status", None), int):
        return str(status)
    handlers = _handlers()
    handler = next((handlers[kind] for kind in one.__mro__ if kind in handlers), None)
    if handler is None:
        return ""
    error = one.__new__(one)
    for name in ("cid", "tx_id"):
        setattr(error, name, "")
    return str(asyncio.run(handler(None, error)).status_code)


@cache
def _handlers() -> dict[Any, Any]:
    """The API's own handlers by class of error."""
    plain, app = FastAPI(), FastAPI()
    problems.install(app)
    return {kind: h for kind, h in app.exception_handlers.items() if kind not in plain.exception_handlers}
