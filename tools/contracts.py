"""What is measured of the contracts besides their tests, for developers; needs `make dev`.

    python -m tools.contracts gas [--write]     # gas of each step against contracts/gas-snapshot.json
    python -m tools.contracts coverage          # lines and branches of contracts/src that the tests run
    python -m tools.contracts analyse           # slither, answered in contracts/FINDINGS.md; needs slither-analyzer

Exit codes: 0 all is well, 1 a bound is broken, 2 it could not be measured.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from chain.errors import ChainError
from chain.forge import run_forge
from chain.toolchain import NODE_MODULES, ROOT, find_forge, node_first_path

if TYPE_CHECKING:
    from collections.abc import Mapping

SNAPSHOT = ROOT / "contracts" / "gas-snapshot.json"
FINDINGS = ROOT / "contracts" / "FINDINGS.md"
TOLERANCE = 0.02
"""A step may drift by this part of its gas."""
LEAST_COVERAGE = 0.95
"""Of the lines, and of the branches, of all of contracts/src together."""
FINE, BROKEN, NOT_MEASURED = 0, 1, 2


@dataclass(frozen=True)
class Covered:
    """How much of one source the tests ran: (hit, all)."""

    lines: tuple[int, int]
    branches: tuple[int, int]


# ---- gas -------------------------------------------------------------------------------------------------------------


def measured_gas() -> dict[str, int]:
    """Gas of each step of contracts/test/Gas.t.sol, by name, without the 21,000 of a transaction and its calldata.

    Raises:
        ChainError: Forge is not installed.
        ValueError: The tests fail, with forge's words.
    """
    done = run_forge("test", ["--match-contract", "^GasTest$", "--color", "never"])
    if done.returncode:
        raise ValueError(done.stdout[-3000:])
    written = ROOT / "contracts" / "cache" / "snapshots" / "contracts.json"
    return {name: int(gas) for name, gas in json.loads(written.read_text("utf-8")).items()}


def drifts(before: Mapping[str, int], now: Mapping[str, int]) -> list[str]:
    """The steps that came, went, or drifted beyond the tolerance, a line each.

    Args:
        before: Gas by step as committed.
        now: Gas by step as measured.
    """
    lines = []
    for name in sorted({*before, *now}):
        old, new = before.get(name), now.get(name)
        if old is None or new is None:
            lines.append(f"{name}: {old} -> {new}, {'new' if old is None else 'gone'}")
        elif abs(new - old) > TOLERANCE * old:
            lines.append(f"{name}: {old:,} -> {new:,}, {100 * (new - old) / old:+.1f} %")
    return lines


def gas(*, write: bool) -> int:
    """Compares with the committed snapshot, or replaces it."""
    now = measured_gas()
    if write:
        SNAPSHOT.write_text(json.dumps(now, indent=1, sort_keys=True) + "\n", "utf-8")
    found = drifts(json.loads(SNAPSHOT.read_text("utf-8")), now)
    for name, value in sorted(now.items()):
        print(f"{name:40}{value:>10,}")
    for line in found:
        print(f"drift: {line}")
    return BROKEN if found else FINE


# ---- coverage --------------------------------------------------------------------------------------------------------


def measured_coverage() -> dict[str, Covered]:
    """Coverage of each file of contracts/src by name.

    Forge takes a contract with a function called `test` for a test and leaves it out, and KeyEpochs has one. So a
    copy is measured in which that function has another name; nothing else differs.

    Raises:
        ChainError: Forge is not installed.
        ValueError: The tests fail, with forge's words.
    """
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        shutil.copytree(ROOT / "contracts", root / "contracts", ignore=shutil.ignore_patterns("out", "cache"))
        shutil.copy(ROOT / "foundry.toml", root)
        (root / "tools").symlink_to(ROOT / "tools")
        (root / "node_modules").symlink_to(NODE_MODULES)
        for source in (root / "contracts").rglob("*.sol"):
            source.write_text(renamed(source.read_text("utf-8")), "utf-8")
        options = [
            "--report",
            "lcov",
            "--report-file",
            str(root / "lcov.info"),
            "--fuzz-runs",
            "64",
            "--color",
            "never",
        ]
        done = run_forge("coverage", [*options, "--no-match-contract", "GasTest"], root)
        if done.returncode:
            raise ValueError(done.stdout[-3000:])
        return parsed((root / "lcov.info").read_text("utf-8"))


def renamed(source: str) -> str:
    """The source with the function `test` called `tryOut`.

    Args:
        source: Solidity.
    """
    return re.sub(r"(\bfunction |\.)test(?=\(|\.selector)", r"\1tryOut", source)


def parsed(lcov: str) -> dict[str, Covered]:
    """Lines and branches of each file of contracts/src in a report.

    Args:
        lcov: The report's text (LF, LH, BRF and BRH records).
    """
    found = {}
    for record in lcov.split("end_of_record"):
        values = dict(re.findall(r"^(SF|LF|LH|BRF|BRH):(.*)$", record, re.MULTILINE))
        if values.get("SF", "").startswith("contracts/src/"):
            lines, branches = (int(values["LH"]), int(values["LF"])), (int(values["BRH"]), int(values["BRF"]))
            found[Path(values["SF"]).name] = Covered(lines, branches)
    return found


def coverage() -> int:
    """Prints a line a file and the sum; complains where the sum falls short."""
    found = measured_coverage()
    sums = {"lines": [0, 0], "branches": [0, 0]}
    for name, covered in sorted(found.items()):
        print(f"{name:28}{_share(*covered.lines):>20} lines{_share(*covered.branches):>20} branches")
        for total, (hit, everything) in zip(sums.values(), (covered.lines, covered.branches), strict=True):
            total[0] += hit
            total[1] += everything
    for name, (hit, everything) in sums.items():
        print(f"{'all ' + name:28}{_share(hit, everything):>20}")
    return FINE if all(hit >= LEAST_COVERAGE * everything > 0 for hit, everything in sums.values()) else BROKEN


def _share(hit: int, everything: int) -> str:
    return f"{hit}/{everything} {100 * hit / everything if everything else 100:.1f} %"


# ---- static analysis -------------------------------------------------------------------------------------------------


def analyse() -> int:
    """Slither's findings, by detector and place; complains about those without an answer in contracts/FINDINGS.md."""
    if shutil.which("slither") is None:
        print("slither was not found: pip install slither-analyzer==0.11.6", file=sys.stderr)
        return NOT_MEASURED
    built = run_forge("build", ["--build-info", "--force", "--skip", "test"])
    if built.returncode:
        raise ValueError(built.stdout[-3000:])
    options = [
        "--ignore-compile",
        "--foundry-out-directory",
        "contracts/out",
        "--filter-paths",
        "node_modules|contracts/test",
    ]
    path = f"{find_forge().parent}{os.pathsep}{node_first_path()}"  # slither asks forge where things are
    done = subprocess.run(
        ["slither", ".", *options, "--json", "-"],
        cwd=ROOT,
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    if not done.stdout:
        raise ValueError(done.stderr[-3000:])
    report = json.loads(done.stdout)
    if not report["success"]:
        raise ValueError(report["error"])
    found = {identity(finding) for finding in report["results"].get("detectors", [])}
    answered = set(re.findall(r"^\| `([\w-]+)` \| `([\w.]+)` \|", FINDINGS.read_text("utf-8"), re.MULTILINE))
    for detector, place in sorted(found):
        print(f"{detector:28}{place:44}{'answered' if (detector, place) in answered else 'OPEN'}")
    for detector, place in sorted(answered - found):
        print(f"{detector:28}{place:44}answered, but no longer found")
    return FINE if found == answered else BROKEN


def identity(finding: Mapping[str, object]) -> tuple[str, str]:
    """A finding's detector, and the contract and function it is about.

    Args:
        finding: One of the detectors' results in slither's JSON.
    """
    element = finding["elements"][0]  # type: ignore[index]
    parent = element
    while parent["type"] not in {"function", "contract"}:
        parent = parent["type_specific_fields"]["parent"]
    if parent["type"] == "contract":
        return str(finding["check"]), str(parent["name"])
    return str(finding["check"]), f"{parent['type_specific_fields']['parent']['name']}.{parent['name']}"


def main(arguments: list[str] | None = None) -> int:
    """Runs one of the three.

    Args:
        arguments: The command line without the program's name.
    """
    parser = argparse.ArgumentParser(prog="python -m tools.contracts", description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("gas", "coverage", "analyse"))
    parser.add_argument("--write", action="store_true", help="gas: replace the snapshot")
    options = parser.parse_args(arguments)
    try:
        if options.what == "gas":
            return gas(write=options.write)
        return coverage() if options.what == "coverage" else analyse()
    except (ChainError, ValueError, KeyError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return NOT_MEASURED


if __name__ == "__main__":
    sys.exit(main())
