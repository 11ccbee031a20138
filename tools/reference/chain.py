"""Every event and every custom error of the contracts, with what their interfaces say of them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from tools.reference.markdown import code, table
from tools.reference.markdown import page as markdown

ROOT = Path(__file__).resolve().parents[2]
INTERFACES = ROOT / "contracts" / "src" / "interfaces"
INTRODUCTION = """What the contracts tell and why they refuse, as the interfaces in contracts/src/interfaces have it. `medweave chain watch` prints
events as they come; a refusal arrives as `ContractReverted` with the name and values below."""

_SAID = re.compile(r"((?:^ *///[^\n]*\n)+) *(event|error) (\w+)\(([^)]*)\)", re.MULTILINE)


@dataclass(frozen=True)
class Said:
    """An event or error of a contract.

    Attributes:
        kind: `event` or `error`.
        name: Its name.
        fields: Its parameters as declared.
        notice: What its comment says.
    """

    kind: str
    name: str
    fields: str
    notice: str


def interfaces() -> dict[str, list[Said]]:
    """By interface, what it declares, in order."""
    return {path.stem: _declared(path.read_text(encoding="utf-8")) for path in sorted(INTERFACES.glob("*.sol"))}


def _declared(text: str) -> list[Said]:
    return [
        Said(kind, name, " ".join(fields.split()), _notice(comment))
        for comment, kind, name, fields in _SAID.findall(text)
    ]


def _notice(comment: str) -> str:
    """A NatSpec comment's notice, without its parameters."""
    plain = " ".join(line.strip().removeprefix("///").strip() for line in comment.strip().splitlines())
    return re.split(r"@(?:param|dev|return)", plain.replace("@notice", ""))[0].strip()


def page() -> str:
    """docs/reference/chain.md."""
    parts = [INTRODUCTION]
    for name, declared in interfaces().items():
        parts.append(f"## {name}")
        for kind in ("event", "error"):
            rows = [(code(f"{s.name}({s.fields})"), s.notice) for s in declared if s.kind == kind]
            if rows:
                parts.append(table((kind, "meaning"), rows))
    return markdown("Events and errors of the contracts", *parts)
