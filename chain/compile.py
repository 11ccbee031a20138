"""Compiles the contracts into the checked-in artefacts (CHN-5): ``python -m chain.compile [--check]``.

py-solc-x drives npm's pinned solc through tools/solc-shim.js. Only developers need this: a node reads the artefacts.
The bytecode carries no metadata hash, so a changed comment changes the artefact's documentation but no deployed code.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chain.artifact import CONTRACTS
from chain.errors import ChainError, CompilationFailed, CompilerMissing
from chain.toolchain import NODE_MODULES, ROOT, node_first_path

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

SOURCES = ROOT / "contracts" / "src"
ARTIFACTS = Path(__file__).resolve().parent / "artifacts"
SHIM = ROOT / "tools" / "solc-shim.js"

SETTINGS: dict[str, Any] = {
    "evmVersion": "cancun",  # OpenZeppelin 5.7 needs mcopy; the compiler's own default is newer than many chains
    "optimizer": {"enabled": True, "runs": 200},
    "metadata": {"bytecodeHash": "none"},
    "remappings": ["@openzeppelin/=node_modules/@openzeppelin/"],
    "outputSelection": {"*": {"*": ["abi", "metadata", "evm.bytecode", "evm.deployedBytecode"]}},
}


def compile_contracts() -> dict[str, str]:
    """Compiles ``contracts/src``.

    Returns:
        For each of the four contracts the text of its artefact, which is the same on every machine.

    Raises:
        CompilerMissing: If Node.js, npm's solc or OpenZeppelin's contracts are not installed.
        CompilationFailed: With the compiler's own message.
    """
    compiled = _compile(SETTINGS)
    return {name: _artifact(name, compiled) for name in CONTRACTS}


def storage_layouts() -> list[tuple[str, int, int, str, str]]:
    """Where the four contracts keep their state.

    Returns:
        Contract, slot, offset in bytes from the slot's lower end, name and type of each variable, in order; members of a
        struct are named ``Struct.member``, with slots counted from the struct's own.

    Raises:
        CompilerMissing: As ``compile_contracts``.
        CompilationFailed: As ``compile_contracts``.
    """
    compiled = _compile({**SETTINGS, "outputSelection": {"*": {"*": ["storageLayout"]}}})
    rows = []
    for name in CONTRACTS:
        layout = compiled[f"contracts/src/{name}.sol"][name]["storageLayout"]
        types = layout["types"] or {}
        structs = sorted((t for t in types.values() if "members" in t), key=lambda t: str(t["label"]))
        for prefix, entries in [("", layout["storage"]), *((f"{_last(t['label'])}.", t["members"]) for t in structs)]:
            for entry in entries:
                place = (int(entry["slot"]), int(entry["offset"]))
                rows.append((name, *place, prefix + entry["label"], str(types[entry["type"]]["label"])))
    return rows


def stale(fresh: dict[str, str]) -> list[str]:
    """The names of artefacts on disk that differ from, or lack, their fresh compile.

    Args:
        fresh: What ``compile_contracts`` returned.
    """
    return [name for name, text in fresh.items() if _read(ARTIFACTS / f"{name}.json") != text]


def main(arguments: Sequence[str] | None = None) -> int:
    """Writes the artefacts, or with ``--check`` only compares them.

    Returns:
        0 if all is well, 1 if an artefact is stale, 2 if the contracts could not be compiled.
    """
    parser = argparse.ArgumentParser(prog="python -m chain.compile", description="Compile the contracts.")
    parser.add_argument("--check", action="store_true", help="compare with the artefacts on disk, write nothing")
    options = parser.parse_args(arguments)
    try:
        fresh = compile_contracts()
    except ChainError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    outdated = stale(fresh)
    if options.check:
        if outdated:
            sys.stderr.write(f"stale artefacts: {', '.join(outdated)}; run `python -m chain.compile`\n")
        return 1 if outdated else 0
    for name in outdated:
        (ARTIFACTS / f"{name}.json").write_text(fresh[name], "utf-8")
    sys.stdout.write(f"written: {', '.join(outdated) or 'nothing, all artefacts were fresh'}\n")
    return 0


def _compile(settings: dict[str, Any]) -> dict[str, Any]:
    """What the compiler made of ``contracts/src``, by source and contract."""
    for package in ("solc", "@openzeppelin/contracts"):
        if not (NODE_MODULES / package / "package.json").is_file():
            raise CompilerMissing(f"npm package {package}", str(NODE_MODULES))
    import solcx  # type: ignore[import-untyped, unused-ignore]  # a developer's tool: nodes run without it
    from solcx.exceptions import SolcError  # type: ignore[import-untyped, unused-ignore]

    sources = {
        path.relative_to(ROOT).as_posix(): {"content": path.read_text("utf-8")}
        for path in sorted(SOURCES.rglob("*.sol"))
    }
    job = {"language": "Solidity", "sources": sources, "settings": settings}
    with _node_on_path():
        try:
            output = solcx.compile_standard(job, base_path=ROOT, solc_binary=SHIM)
        except SolcError as error:
            raise CompilationFailed(str(error.message or error.stderr_data)) from error
    compiled: dict[str, Any] = output["contracts"]
    return compiled


def _last(label: str) -> str:
    """``struct TrainingRounds.Entry`` becomes ``Entry``."""
    return label.rpartition(".")[2]


def _artifact(name: str, contracts: dict[str, Any]) -> str:
    compiled = contracts[f"contracts/src/{name}.sol"][name]
    evm = compiled["evm"]
    references = evm["deployedBytecode"].get("immutableReferences", {})
    immutables = sorted([place["start"], place["length"]] for places in references.values() for place in places)
    metadata = json.loads(compiled["metadata"])
    record = {
        "contract": name,
        "compiler": metadata["compiler"]["version"],
        "evmVersion": metadata["settings"]["evmVersion"],
        "abi": compiled["abi"],
        "bytecode": evm["bytecode"]["object"],
        "runtime": evm["deployedBytecode"]["object"],
        "immutables": immutables,
        "metadata": metadata,
    }
    return json.dumps(record, indent=1, ensure_ascii=False, sort_keys=True) + "\n"


def _read(path: Path) -> str | None:
    return path.read_text("utf-8") if path.is_file() else None


@contextmanager
def _node_on_path() -> Iterator[None]:
    # py-solc-x takes no environment of its own, so the process's is changed for as long as it runs.
    before = os.environ.get("PATH")
    os.environ["PATH"] = node_first_path()
    try:
        yield
    finally:
        if before is None:
            del os.environ["PATH"]
        else:
            os.environ["PATH"] = before


if __name__ == "__main__":
    sys.exit(main())
