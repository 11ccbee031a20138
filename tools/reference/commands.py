"""Every command with its arguments and options."""

from __future__ import annotations

import re
from importlib import import_module
from typing import TYPE_CHECKING, Any

import click

from node.cli.main import COMMANDS, SUMMARIES
from tools.reference.markdown import code, table
from tools.reference.markdown import page as markdown

if TYPE_CHECKING:
    from collections.abc import Iterator

INTRODUCTION = """`medweave --help` lists the commands, `medweave COMMAND --help` shows one. Where `--json` is offered, standard output is JSON
and everything for people goes to standard error. Exit codes: [errors.md](errors.md)."""


def commands() -> Iterator[tuple[str, click.Command]]:
    """Every command that does something, by its full name, in the order of `medweave --help`."""
    for name, module in COMMANDS.items():
        yield from _below(f"medweave {name}", import_module(module).command)


def _below(name: str, command: click.Command) -> Iterator[tuple[str, click.Command]]:
    yield name, command
    if isinstance(command, click.Group):
        for child, below in command.commands.items():
            yield from _below(f"{name} {child}", below)


def options(command: click.Command) -> list[click.Option]:
    """A command's options, hidden ones aside."""
    return [p for p in command.params if isinstance(p, click.Option) and not p.hidden]


def page() -> str:
    """docs/reference/commands.md."""
    index = table(("command", "does"), ((code(f"medweave {name}"), SUMMARIES[name]) for name in COMMANDS))
    return markdown("Commands", INTRODUCTION, index, *(_section(name, command) for name, command in commands()))


def _section(name: str, command: click.Command) -> str:
    level = "##" if name.count(" ") == 1 else "###"
    arguments = [p for p in command.params if isinstance(p, click.Argument)]
    usage = " ".join([name, *(f"{p.make_metavar(_context(command))}" for p in arguments)])
    parts = [f"{level} {name}"]
    if arguments:
        parts.append(code(usage))
    parts.append(_help(command))
    if shown := options(command):
        rows = ((_names(option), _value(option), option.help or "") for option in shown)
        parts.append(table(("option", "value", "meaning"), rows))
    return "\n\n".join(part for part in parts if part)


def _help(command: click.Command) -> str:
    """A command's help as paragraphs."""
    paragraphs = re.split(r"\n\s*\n", (command.help or "").replace("\b", "").strip())
    return "\n\n".join(re.sub(r"\s+", " ", text).strip() for text in paragraphs)


def _names(option: click.Option) -> str:
    return ", ".join(code(name) for name in (*option.opts, *option.secondary_opts))


def _value(option: click.Option) -> str:
    if option.is_flag:
        return ""
    if isinstance(option.type, click.Choice):
        kind = " or ".join(code(str(choice)) for choice in option.type.choices)
    else:
        kind = code(option.make_metavar(_context(click.Command("x"))))
        if bounds := _bounds(option.type):
            kind += f" {bounds}"
    if option.required:
        return f"{kind}, required"
    if option.multiple:
        return f"{kind}, repeatable"
    default = option.default
    plain = isinstance(default, (str, int, float)) and default != "" and not callable(default)
    return f"{kind}, default {code(str(default))}" if plain else kind


def _bounds(kind: click.ParamType[Any]) -> str:
    """The range of a number, for instance `1 to 256`."""
    if not isinstance(kind, (click.IntRange, click.FloatRange)):
        return ""
    low, high = kind.min, kind.max
    above, below = "more than " if kind.min_open else "", "less than " if kind.max_open else ""
    if low is not None and high is not None:
        return f"{above}{low} to {below}{high}"
    return (
        f"{above or 'at least '}{low}"
        if low is not None
        else f"{below or 'at most '}{high}"
        if high is not None
        else ""
    )


def _context(command: click.Command) -> click.Context:
    return click.Context(command)
