"""`medweave audit` on four hospitals with a chain: their own ledgers, exports, signed heads and bundles held together."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from dag.store.sqlite import Store
from node.cli.main import cli
from node.home import Home


@pytest.fixture
def audit(monkeypatch):
    """Runs `medweave audit …`: (exit code, JSON)."""

    def call(*arguments: object) -> tuple[int, dict]:
        done = CliRunner().invoke(cli, ["audit", *map(str, arguments), "--json"], standalone_mode=False)
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        return done.return_value or 0, json.loads(done.stdout)

    return call


@pytest.fixture
def members(ask, network, tmp_path):
    path = tmp_path / "members.json"
    ask("members", "--home", network[0][0], "-o", path)
    return path


def test_every_view_of_one_history_is_consistent(ask, audit, network, members, tmp_path):
    """Two hospitals, an exported ledger, a signed head, a bundle: one log."""
    homes, url = network
    ask("export", tmp_path / "ledger.car", "--home", homes[2])
    added: list[object] = []
    for home in homes:
        ask("cosign", "--home", home, "--rounds", 1, "-o", tmp_path / "head", *added)
        added = ["--add", tmp_path / "head"]
    ask(
        "prove",
        "--since",
        tmp_path / "head",
        "--checkpoint",
        _head_of_two(ask, homes, tmp_path),
        "-o",
        tmp_path / "p",
        "--home",
        homes[0],
    )
    heads = (tmp_path / "head", tmp_path / "two", "--members", members)
    assert audit("consistency", *heads)[0] == 2
    assert audit("consistency", *heads, "--proof", tmp_path / "p")[0] == 0
    code, told = audit("export", tmp_path / "model.bundle", "--rpc", url, "--blobs", homes[0], "--blobs", homes[1])
    assert (code, told["verdict"]) == (0, "verified")
    views = [homes[0], homes[1], tmp_path / "ledger.car", tmp_path / "model.bundle"]
    for one in views:
        code, content = audit("consistency", views[0], one, "--members", members)
        assert (code, content["verdict"], content["older"]["rounds"]) == (0, "verified", 2), content
        code, content = audit("consistency", tmp_path / "head", one, "--members", members)
        assert (code, content["older"]["rounds"], content["newer"]["rounds"]) == (0, 1, 2), content
        assert content["proof"]


def _head_of_two(ask, homes, tmp_path):
    """The log's head after both rounds, signed by everybody."""
    added: list[object] = []
    for home in homes:
        ask("cosign", "--home", home, "--rounds", 2, "-o", tmp_path / "two", *added)
        added = ["--add", tmp_path / "two"]
    return tmp_path / "two"


def test_nobody_contradicted_itself_anywhere(ask, audit, network, tmp_path):
    homes, _ = network
    ask("export", tmp_path / "ledger.car", "--home", homes[2])
    code, content = audit("equivocations", *homes[:2], tmp_path / "ledger.car")
    assert (code, content["equivocations"]) == (0, [])
    with Store(Home(homes[0]).ledger, read_only=True) as store:
        assert content["transactions"] == store.last_arrival() - 1


def test_a_ledger_that_breaks_off_is_said(ask, audit, network, tmp_path):
    homes, _ = network
    ask("export", tmp_path / "ledger.car", "--home", homes[2])
    data = (tmp_path / "ledger.car").read_bytes()
    (tmp_path / "ledger.car").write_bytes(data[: len(data) // 2])
    code, content = audit("equivocations", tmp_path / "ledger.car")
    assert code == 2
    assert "ledger.car" in content["unread"][0]


def test_two_nodes_and_a_file_are_held_together(audit, node, folder):
    """A node's answers are checked like a file's: it is asked for its transactions, not for its opinion."""
    members = ("--members", folder / "members.json")
    code, content = audit("consistency", node.url, folder / "ledger.sqlite", *members)
    assert (code, content["verdict"], content["newer"]["rounds"]) == (0, "verified", 2), content
    assert audit("consistency", node.url, node.url, *members)[0] == 0
    assert audit("equivocations", node.url)[0] == 0
