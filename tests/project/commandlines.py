"""Command lines of ours that documents and deployment files show: found, and checked against the commands themselves."""

from __future__ import annotations

import re
import shlex

import click

from node.cli.main import cli

LINE = re.compile(r"^(?:    )?(?:[$>] )?(?:sudo (?:-u \w+ )?)?(medweave [a-z][^\n]*)$", re.MULTILINE)
IN_CONTAINER = re.compile(
    r"^ *docker compose .*?(?:run --rm (?:-v \S+ )?(?:node|hospital-\w)|exec hospital-\w medweave) (.*)$", re.MULTILINE
)
INLINE = re.compile(r"`(medweave [a-z][^`]*)`")


def shown(text):
    """Command lines that a page shows: in code blocks and inline."""
    blocks = re.findall(r"^```\w*\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    indented = re.findall(r"(?:^    [^\n]*\n)+", text, re.MULTILINE)
    joined = [re.sub(r"\s*\\\s*\n\s*", " ", block) for block in (*blocks, *indented)]
    lines = [line for block in joined for line in LINE.findall(block)]
    inside = [f"medweave {line}" for block in joined for line in IN_CONTAINER.findall(block)]
    return [*lines, *inside, *INLINE.findall(text)]


def fault(line):
    """What is wrong with a command line that people are shown; None where it parses. Values may be placeholders."""
    line = re.split(r"\s{2,}(?!-)| #|\s[|>]\s|…|; ", re.sub(r"\\\s*\n", " ", line))[0].replace("[", "").replace("]", "")
    try:
        words = shlex.split(line)[1:]
    except ValueError as error:
        return str(error)
    return fault_of(words)


def fault_of(words):
    """What is wrong with the words after `medweave`."""
    words = list(words)
    command = cli
    while words and isinstance(command, click.Group):
        if words[0].startswith("-"):
            break
        group, alternatives = command, words.pop(0).rstrip(",").split("|")
        for name in alternatives:
            command = group.get_command(click.Context(group), name)
            if command is None:
                return f"there is no command {name!r}"
    known = options_of(command)
    for word in words:
        option = word.split("=")[0].rstrip(",")
        if option.startswith("-") and option not in {*known, "--help", "-h", "--version", "-"}:
            return f"there is no option {option}"
    return None


def options_of(command):
    """A command's options; of a group those of all its commands, which a sentence may name together."""
    own = {opt for p in command.params for opt in (*p.opts, *p.secondary_opts) if opt.startswith("-")}
    return own.union(*(options_of(child) for child in getattr(command, "commands", {}).values()))


def lacking(words):
    """Options that a complete command line would have to have."""
    command, words = cli, list(words)
    while isinstance(command, click.Group):
        command = command.get_command(click.Context(command), words.pop(0))
    required = [p for p in command.params if isinstance(p, click.Option) and p.required]
    return [p.opts[0] for p in required if not set(p.opts) & {word.split("=")[0] for word in words}]
