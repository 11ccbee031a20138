"""The Solidity tests, run by forge with the pinned compiler."""

from __future__ import annotations

import re

import pytest

from chain import forge, toolchain
from chain.errors import CompilerMissing
from tools import contracts


def test_solidity_tests_pass() -> None:
    done = forge.run_tests(["--color", "never"])
    assert done.returncode == 0, done.stdout[-6000:]
    passed, failed, skipped = re.findall(r"(\d+) tests passed, (\d+) failed, (\d+) skipped", done.stdout)[-1]
    assert int(passed) >= 110
    assert (int(failed), int(skipped)) == (0, 0)


def test_gas_has_not_drifted(capsys: pytest.CaptureFixture[str]) -> None:
    """After a change that is meant: `python -m tools.contracts gas --write`, and commit what it wrote."""
    assert contracts.main(["gas"]) == contracts.FINE, capsys.readouterr().out


def test_a_missing_forge_says_what_to_do(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    empty = tmp_path_factory.mktemp("empty")
    monkeypatch.setattr(toolchain, "NODE_MODULES", empty)
    monkeypatch.setenv("PATH", str(empty))
    with pytest.raises(CompilerMissing, match="npm ci"):
        toolchain.find_forge()
    assert forge.main([]) == 2
    assert "npm ci" in capsys.readouterr().err
