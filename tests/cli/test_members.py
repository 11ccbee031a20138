"""`medweave members` on a real chain: four hospitals' directories, their books passed on as their daemons would."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from chain.anvil import Anvil, dev_account
from chain.client import Chain
from chain.deployment import Deployment, deploy, fund
from chain.records import Hospital
from crypto import secrets
from node.cli.main import main
from node.config import ChainSection, NodeConfig
from node.config import Hospital as HospitalSection
from node.consortium.follower import Follower
from node.home import Home, create_identity, unlock_identity
from node.membership.book import MotionBook
from node.membership.council import Council
from node.membership.exchange import Exchange
from tests.epochs.support import digest

PASSWORD = "correct horse"
FOUNDERS = 3
Run = Callable[..., str]


class Site:
    """One hospital's directory, and what its daemon would do with its motions."""

    def __init__(self, k: int, root: Path, rpc: str) -> None:
        self.home, self.k = Home(root / f"h{k}"), k
        self.identity = create_identity(self.home, PASSWORD)
        self.account = str(self.identity.account.address)
        section = HospitalSection(name=f"Hospital {k}", port=8000 + k, url=f"http://127.0.0.1:{8000 + k}")
        NodeConfig(hospital=section, chain=ChainSection(rpc=rpc)).write(self.home.config_file)
        self.rpc = rpc

    def join(self, deployment: Deployment) -> None:
        (self.home.root / "consortium.json").write_text(deployment.to_json())
        self.chain = Chain(self.rpc, deployment, self.identity.account)
        self.follower = Follower(self.chain)
        self.book = MotionBook(self.home.motions, deployment)
        self.exchange = Exchange(self.book, deployment, lambda: self.follower.view)
        self.council = Council(self.k, self.identity.account, self.chain, self.book, self.exchange, lambda: (), 0.0)


class Network:
    def __init__(self, root: Path, rpc: str) -> None:
        self.sites = [Site(k, root, rpc) for k in range(FOUNDERS + 1)]
        members = [Hospital(s.account, s.identity.box.public, 10, f"Hospital {s.k}", "") for s in self.sites[:FOUNDERS]]
        deployment = deploy(rpc, dev_account(0), digest("members"), members)
        fund(rpc, dev_account(0), [site.account for site in self.sites], 10)
        for site in self.sites:
            site.join(deployment)

    def daemons(self) -> None:
        """Books are exchanged, what has a quorum is sent, everybody sees it."""
        members = self.sites[:FOUNDERS]
        for _ in range(2):
            for site in members:
                site.follower.look()
                for other in members:
                    other.exchange.heard(site.exchange.told())
                site.council.step(site.follower.view)


@pytest.fixture
def net(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for name, value in {"MEMORY_KIB": 8, "PASSES": 1, "LANES": 1}.items():
        monkeypatch.setattr(secrets, name, value)
    monkeypatch.setenv("MEDWEAVE_PASSWORD", PASSWORD)
    monkeypatch.setattr("node.membership.council.TURN_SECONDS", 0.0)
    with Anvil(None, tmp_path / "state.json") as anvil:
        yield Network(tmp_path, anvil.url)


@pytest.fixture
def run(net: Network, capsys: pytest.CaptureFixture[str]) -> Run:
    def command(site: int, *arguments: str, code: int = 0) -> str:
        with pytest.raises(SystemExit) as ended:
            main(["members", *arguments, "--home", str(net.sites[site].home.root)])
        out = capsys.readouterr()
        assert (ended.value.code or 0) == code, out.err
        return out.out if code == 0 else out.err

    return command


def test_a_hospital_joins_by_three_commands_and_two_signatures(net: Network, run: Run, tmp_path: Path) -> None:
    file = tmp_path / "request.json"
    run(3, "request", "--data-size", "77", "--out", str(file))
    said = run(0, "propose-admit", str(file), "--yes")
    assert "admit Hospital 3" in said
    assert "77 images" in said
    assert "signed: 1 of 2" in said
    motion = said.split()[0]
    net.daemons()
    assert f"{motion}  admit Hospital 3" in run(1, "pending")
    (row,) = json.loads(run(1, "pending", "--json"))["motions"]
    assert (row["signed"], row["quorum"], row["ended"]) == (["Hospital 0"], 2, "")
    run(1, "approve", motion, "--yes")
    net.daemons()
    assert run(2, "pending") == "nobody asks to be admitted, nothing is put to the vote\n"
    assert "carried out" in run(2, "pending", "--ended")
    found = json.loads(run(2, "list", "--json"))
    assert (found["quorum"], [m["seat"] for m in found["members"]]) == (3, [0, 1, 2, 3])
    assert found["members"][3]["account"] == net.sites[3].account
    assert found["members"][3]["fingerprint"] in said


def test_removal_resizing_and_what_is_shown_of_it(net: Network, run: Run) -> None:
    first = run(0, "resize", "500", "--yes").split()[0]
    net.daemons()
    run(1, "approve", first[:8], "--yes")
    net.daemons()
    assert "500 images" in run(1, "list")
    second = run(0, "propose-remove", "Hospital 2", "--yes").split()[0]
    net.daemons()
    run(1, "approve", second, "--yes")
    net.daemons()
    assert "Hospital 2" not in run(0, "list")
    assert "(left)" in run(0, "list", "--all")
    shown = json.loads(run(0, "show", net.sites[2].account, "--json"))
    assert (shown["member"], shown["faults"], shown["reputation"]) == (False, [], 100)
    assert "reputation" in run(0, "show", "2")
    assert "only members vote" in run(2, "resize", "7", "--yes", code=3)


def test_rotation_waits_for_the_members(net: Network, run: Run) -> None:
    said = run(1, "rotate", "--yes")
    net.daemons()
    account = json.loads(net.sites[1].home.next_account_file.read_text())["address"]
    assert account.removeprefix("0x").lower() in said.lower()
    run(0, "approve", said.split()[0], "--yes")
    net.daemons()
    shown = json.loads(run(0, "show", "1", "--json"))
    assert shown["account"].lower().endswith(account.removeprefix("0x").lower())
    assert shown["accounts_before"] == [net.sites[1].account.lower()]
    assert unlock_identity(net.sites[1].home, PASSWORD).account.address == net.sites[1].account, (
        "the daemon exchanges them"
    )


def test_what_cannot_be_proposed_is_said(net: Network, run: Run, tmp_path: Path) -> None:
    assert "pending motions" in run(0, "approve", "abc", "--yes", code=3)
    assert "0 hospitals" in run(0, "propose-remove", "Nobody", "--yes", code=3)
    (tmp_path / "x.json").write_text("{}")
    assert "request" in run(0, "propose-admit", str(tmp_path / "x.json"), "--yes", code=3)
    file = tmp_path / "member.json"
    run(1, "request", "--data-size", "5", "--out", str(file))
    assert "is, or was, a member's account" in run(0, "propose-admit", str(file), "--yes", code=3)
    assert "was not carried out within" in run(0, "resize", "9", "--yes", "--wait", "0.3", code=5)


def test_nobody_signs_unasked(net: Network, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    import io

    monkeypatch.setattr("sys.stdin", io.StringIO("n\n"))
    run(0, "resize", "9", code=130)
    assert net.sites[0].book.live() == []
