"""CHN-5: the checked-in artefacts are the contracts, and every public thing in them is documented."""

from __future__ import annotations

import json

import pytest

from chain import compile as compiler
from chain.artifact import CONTRACTS, load
from chain.compile import compile_contracts, main, stale, storage_layouts
from chain.errors import CompilationFailed, CompilerMissing


@pytest.fixture(scope="module")
def fresh() -> dict[str, str]:
    return compile_contracts()


def test_artifacts_equal_a_fresh_compile(fresh: dict[str, str]) -> None:
    assert stale(fresh) == [], "run `python -m chain.compile`"


def test_a_changed_artifact_is_stale(fresh: dict[str, str]) -> None:
    assert stale({**fresh, "KeyEpochs": fresh["KeyEpochs"].replace("0.8.37", "0.8.36")}) == ["KeyEpochs"]


@pytest.mark.parametrize("name", CONTRACTS)
def test_every_function_event_and_error_is_documented(fresh: dict[str, str], name: str) -> None:
    record = json.loads(fresh[name])
    userdoc = record["metadata"]["output"]["userdoc"]
    undocumented = [
        entry["name"]
        for entry in record["abi"]
        for kind in [{"function": "methods", "event": "events", "error": "errors"}.get(entry["type"])]
        if kind and not any(signature.startswith(f"{entry['name']}(") for signature in userdoc.get(kind, {}))
    ]
    # OpenZeppelin's, inherited with EIP712
    assert set(undocumented) <= {"InvalidShortString", "StringTooLong", "eip712Domain", "EIP712DomainChanged"}


@pytest.mark.parametrize("name", CONTRACTS)
def test_runtime_fits_a_contract(name: str) -> None:
    assert 0 < len(load(name).runtime) <= 24_576  # EIP-170


def test_matches_ignores_immutables_only() -> None:
    artifact = load("ModelLedger")
    code = bytearray(artifact.runtime)
    start, length = artifact.immutables[0]
    code[start : start + length] = b"\x11" * length
    assert artifact.matches(bytes(code))
    code[start - 1] ^= 1
    assert not artifact.matches(bytes(code))
    assert not artifact.matches(artifact.runtime + b"\0")


def test_a_broken_contract_is_reported_in_the_compilers_words(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path_factory.mktemp("contracts")
    (folder / "Broken.sol").write_text("pragma solidity 0.8.37; contract Broken { uint256 x = y; }")
    monkeypatch.setattr(compiler, "SOURCES", folder)
    monkeypatch.setattr(compiler, "ROOT", folder)
    with pytest.raises(CompilationFailed, match="Undeclared identifier"):
        compile_contracts()


def test_missing_packages_say_what_to_do(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(compiler, "NODE_MODULES", tmp_path_factory.mktemp("empty"))
    with pytest.raises(CompilerMissing, match="npm ci"):
        compile_contracts()
    assert main(["--check"]) == 2
    assert "npm ci" in capsys.readouterr().err


def test_the_storage_layout_is_as_documented() -> None:
    page = (compiler.ROOT / "contracts" / "README.md").read_text("utf-8")
    rows = [tuple(cell.strip().strip("`") for cell in line.strip("|").split("|")) for line in page.splitlines()]
    documented = [row for row in rows if row[0] in CONTRACTS and len(row) == 5]
    assert documented == [tuple(map(str, row)) for row in storage_layouts()]
