"""`medweave data card` beside a real chain: on record, another's, none; and the file that a hospital shows."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from chain.anvil import Anvil, dev_account
from chain.client import Chain
from chain.deployment import deploy, fund
from chain.keystore import create
from chain.records import Hospital
from node.cli.main import main
from node.config import ChainSection, NodeConfig
from node.config import Hospital as HospitalSection
from node.home import Home
from node.images.archive import save
from node.images.card import data_card
from node.images.phantom import generate
from node.images.shown import card_from_json
from tests.membership.support import digest


class Site:
    """A hospital's directory with a keystore, images and the addresses of the contracts."""

    def __init__(self, root: Path, rpc: str) -> None:
        account, keystore = create("password")
        self.home, self.account = Home(root / "h0"), account
        self.home.secrets.mkdir(parents=True)
        self.home.account_file.write_text(keystore)
        section = HospitalSection(name="H0", port=8000, url="http://127.0.0.1:8000")
        NodeConfig(hospital=section, chain=ChainSection(rpc=rpc)).write(self.home.config_file)
        hospitals = [Hospital(str(a), digest(str(a)), 6, "H", "") for a in (account.address, dev_account(1).address)]
        self.deployment = deploy(rpc, dev_account(0), digest("cards"), hospitals)
        (self.home.root / "consortium.json").write_text(self.deployment.to_json())
        self.train = self.home.root / "data" / "train.npz"
        self.train.parent.mkdir()
        self.write(0)

    def write(self, seed: int) -> bytes:
        save(generate(6, 32, seed), self.train)
        return data_card(generate(6, 32, seed)).digest


@pytest.fixture
def site(tmp_path: Path):
    with Anvil(None, tmp_path / "state.json") as anvil:
        site = Site(tmp_path, anvil.url)
        fund(anvil.url, dev_account(0), [site.account.address], 1)
        yield site


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]):
    def call(*arguments: object) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            main([*map(str, arguments)])
        out, err = capsys.readouterr()
        return ended.value.code, out, err

    return call


def test_the_card_is_held_against_the_chain(site, run, tmp_path):
    command = "data", "card", "--home", site.home.root
    code, out, _ = run(*command)
    assert (code, "registered no card" in out, "synthetic" in out) == (1, True, True)
    chain = Chain(site.home.config().chain.rpc, site.deployment, site.account)
    first = data_card(generate(6, 32, 0)).digest
    block = chain.registry.register_card(first).block
    code, out, _ = run(*command)
    assert (code, "on record: the chain has this card's digest" in out) == (0, True)
    assert f"{first.hex()}, since block {block}" in out
    second = site.write(1)
    code, out, _ = run(*command)
    assert (code, "another card's digest" in out) == (1, True)
    chain.registry.register_card(second)
    code, out, _ = run(*command, "--json", "--out", tmp_path / "shown.json")
    found = json.loads(out)
    assert (code, found["state"], found["card"]["digest"]) == (0, "registered", second.hex())
    assert [row["digest"] for row in found["registered"]] == [first.hex(), second.hex()]
    assert card_from_json((tmp_path / "shown.json").read_bytes()) == data_card(generate(6, 32, 1))


def test_what_is_missing_is_said(site, run, tmp_path):
    command = "data", "card", "--home", site.home.root
    assert run("data", "card")[0] == 2
    assert run(*command, "--out", tmp_path / "no" / "dir")[0] == 3
    site.train.unlink()
    assert run(*command)[0] == 3
    site.write(0)
    site.home.account_file.write_text(create("password")[1])
    code, _, said = run(*command)
    assert (code, "never was a member" in said) == (3, True)
    site.home.account_file.write_text("{}")
    code, _, said = run(*command)
    assert (code, "names no account" in said) == (3, True)


def test_members_show_names_the_digest(site, run):
    chain = Chain(site.home.config().chain.rpc, site.deployment, site.account)
    chain.registry.register_card(digest("card"))
    shown = [json.loads(run("members", "show", "--home", site.home.root, "--json", seat)[1]) for seat in (0, 1)]
    assert [row["data_card"] for row in shown] == [digest("card").hex(), ""]
