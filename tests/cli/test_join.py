"""From nothing to members on a real chain: `init`, `found`, `join` over HTTP, `approve` by fingerprint; and the doctor beside them."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
import uvicorn
from fastapi import FastAPI

from chain.anvil import Anvil
from chain.client import Chain
from chain.errors import ContractReverted
from crypto import secrets
from node.api import problems
from node.api.routes import join
from node.cli.main import main
from node.consortium.follower import Follower
from node.consortium.view import ConsortiumView
from node.demo.ports import choose_ports
from node.home import Home, read_deployment, unlock_identity
from node.images.archive import save
from node.images.phantom import generate
from node.membership.book import MotionBook
from node.membership.council import Council
from node.membership.exchange import Exchange
from node.membership.succession import is_due, succeed
from node.membership.waitingroom import WaitingRoom
from node.storage import FileStore

PASSWORD = "correct horse"
Run = Callable[..., tuple[int, str, str]]


class Site:
    """A hospital's directory, and the part of its daemon that others talk to before they are members."""

    def __init__(self, root: Path, name: str, port: int) -> None:
        self.home, self.name, self.port = Home(root / name), name, port
        self.url = f"http://127.0.0.1:{port}"
        self.server: uvicorn.Server | None = None

    @property
    def view(self) -> ConsortiumView:
        return self.follower.view

    def serve(self, **tls: str) -> None:
        """Answer on the hospital's port as its daemon does."""
        self.config, deployment = self.home.config(), read_deployment(self.home)
        self.identity = unlock_identity(self.home, PASSWORD)
        self.chain = Chain(self.config.chain.rpc, deployment, self.identity.account)
        self.follower = Follower(self.chain)
        self.follower.look()
        self.book = MotionBook(self.home.motions, deployment)
        self.exchange = Exchange(self.book, deployment, lambda: self.view)
        self.store = FileStore(self.home.blobs)
        app = FastAPI()
        problems.install(app)
        app.include_router(join.router(self), prefix="/v1")  # type: ignore[arg-type]  # (what the routes use of a service)
        self.server = uvicorn.Server(uvicorn.Config(app, port=self.port, log_config=None, lifespan="off", **tls))
        threading.Thread(target=self.server.run, daemon=True).start()
        while not self.server.started:
            time.sleep(0.01)

    def step(self, *others: Site) -> None:
        """What its daemon does with motions."""
        self.follower.look()
        for other in others:
            self.exchange.heard(other.exchange.told())
        seat = self.view.seats[self.identity.address]
        council = Council(seat, self.identity.account, self.chain, self.book, self.exchange, tuple, 9e9)
        for _ in range(2):
            council.step(self.view)
            self.follower.look()


class Land:
    """A chain and three places for hospitals on it."""

    def __init__(self, root: Path, rpc: str) -> None:
        self.root, self.rpc = root, rpc
        self.sites = [Site(root, name, port) for name, port in zip("abc", choose_ports(3, 0), strict=True)]
        for k, site in enumerate(self.sites):
            save(generate(24, 32, seed=k), root / f"{site.name}.npz")


@pytest.fixture
def land(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Land]:
    for name, value in {"MEMORY_KIB": 8, "PASSES": 1, "LANES": 1}.items():
        monkeypatch.setattr(secrets, name, value)
    monkeypatch.setenv("MEDWEAVE_PASSWORD", PASSWORD)
    monkeypatch.setattr("node.membership.council.TURN_SECONDS", 0.0)
    with Anvil(None, tmp_path / "state.json") as anvil:
        made = Land(tmp_path, anvil.url)
        yield made
        for site in made.sites:
            if site.server is not None:
                site.server.should_exit = True


@pytest.fixture
def run(land: Land, capsys: pytest.CaptureFixture[str]) -> Run:
    def command(site: int, *arguments: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            main([*arguments, "--home", str(land.sites[site].home.root)])
        out = capsys.readouterr()
        return int(ended.value.code or 0), out.out, out.err

    return command


def init(land: Land, run: Run, k: int, *more: str) -> str:
    """Make a hospital's directory; returns the fingerprint it shows."""
    site = land.sites[k]
    options = ("--name", f"Hospital {site.name}", "--port", str(site.port), "--rpc", land.rpc, "--min-group", "2")
    code, out, err = run(k, "init", *options, "--images", str(land.root / f"{site.name}.npz"), "--json", *more)
    assert code == 0, err
    return str(json.loads(out)["fingerprint"])


def founded(land: Land, run: Run) -> str:
    """A consortium of the first hospital, which answers; returns its fingerprint."""
    init(land, run, 0)
    code, out, err = run(0, "found", "--name", "lungs", "--anvil-account", "0", "--json")
    assert code == 0, err
    land.sites[0].serve()
    return str(json.loads(out)["fingerprint"])


def verdicts(run: Run, site: int, code: int) -> dict[str, tuple[str, str, str]]:
    ended, out, err = run(site, "doctor", "--json")
    assert ended == code, out + err
    found = json.loads(out)
    assert found["healthy"] is (code == 0)
    return {check["name"]: (check["verdict"], check["found"], check["do"]) for check in found["checks"]}


def test_one_founds_and_two_join_one_after_the_other(land: Land, run: Run) -> None:
    consortium = founded(land, run)
    a, b, _ = land.sites
    assert "threshold = 0" in (a.home.root / "plan.toml").read_text()

    fingerprint = init(land, run, 1)
    code, out, err = run(1, "join", "--to", a.url, "--consortium", consortium.lower(), "--anvil-account", "1")
    assert code == 0, err
    assert fingerprint in out
    assert json.loads(run(0, "members", "pending", "--json")[1])["requests"][0]["fingerprint"] == fingerprint
    (row,) = httpx.get(f"{a.url}/v1/requests", trust_env=False).json()["requests"]
    assert (row["name"], row["data_size"], row["fingerprint"]) == ("Hospital b", 16, fingerprint)
    account = verdicts(run, 1, 0)["account"]
    assert (account[0], fingerprint in account[1], "1 of 1 must" in account[2]) == ("warn", True, True)
    code, out, err = run(0, "members", "approve", fingerprint.lower().replace("-", " "))
    assert (code, "signed: 1 of 1" in out) == (0, True), err
    a.step()
    assert len(a.follower.view.members) == 2
    assert json.loads(run(0, "members", "pending", "--json")[1]) == {"requests": [], "motions": []}
    code, out, _ = run(1, "join", "--to", a.url, "--yes")
    assert (code, "is a member" in out) == (0, True)
    b.serve()

    # two members approve the same request, each for itself, before either has heard of the other
    fingerprint = init(land, run, 2)
    deadlines = []
    for host in (a, b):
        code, out, err = run(2, "join", "--to", host.url, "--yes", "--json")
        assert code == 0, err
        deadlines.append(json.loads(out)["deadline"])
        time.sleep(1.1)  # deadlines are whole seconds
    assert deadlines[0] == deadlines[1]
    for k in (0, 1):
        assert run(k, "members", "approve", fingerprint)[0] == 0
    b.step(a)
    a.step(b)
    a.step(b)
    assert [hospital.name for _, hospital in a.follower.view.present] == ["Hospital a", "Hospital b", "Hospital c"]
    assert a.follower.view.decisions == 2
    assert "Hospital c asks" not in run(0, "members", "pending")[1]

    # one leaves, by its own proposal and one other's signature
    code, out, err = run(1, "members", "leave", "--yes")
    assert (code, "signed: 1 of 2" in out) == (0, True), err
    a.step(b)
    code, out, err = run(0, "members", "approve", out.split()[0], "--yes", "--json")
    assert (code, json.loads(out)["signed"], json.loads(out)["quorum"]) == (0, ["Hospital a", "Hospital b"], 2), err
    a.step(b)
    assert {hospital.name for _, hospital in a.follower.view.present} == {"Hospital a", "Hospital c"}


def test_a_stolen_copy_of_a_hospital_speaks_for_nobody_once_its_keys_are_exchanged(
    land: Land, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    founded(land, run)
    a, b, thief = land.sites
    fingerprint = init(land, run, 1)
    assert run(1, "join", "--to", a.url, "--yes", "--anvil-account", "0")[0] == 0
    assert run(0, "members", "approve", fingerprint)[0] == 0
    a.step()
    b.serve()
    shutil.copytree(b.home.root, thief.home.root)

    # tonight: new keys, from the machine that is left; the other member approves
    motion = json.loads(run(1, "members", "rotate", "--yes", "--json")[1])["id"]
    a.step(b)
    assert run(0, "members", "approve", motion, "--yes")[0] == 0
    a.step(b)
    b.follower.look()
    assert is_due(b.home, b.view)
    succeed(b.home, b.identity)

    block = a.chain.block_number()
    for command in (("resize", "9"), ("leave",), ("rotate",)):
        code, _, err = run(2, "members", *command, "--yes")
        assert (code, "only members vote" in err) == (3, True)
    a.step(b)
    assert a.chain.block_number() == block, "nothing of what the thief tried reached the chain"
    with pytest.raises(ContractReverted, match="NotMember"):
        Chain(land.rpc, read_deployment(thief.home), b.identity.account).registry.set_url("http://thief.example")
    assert verdicts(run, 2, 1)["account"][0] == "fail"
    assert run(1, "members", "resize", "9", "--yes")[0] == 0, "the hospital itself goes on with its new keys"


def test_founding_again_goes_on_and_sends_nothing(land: Land, run: Run) -> None:
    consortium = founded(land, run)
    block = land.sites[0].chain.block_number()
    code, out, err = run(0, "found", "--name", "lungs", "--anvil-account", "0", "--json")
    assert code == 0, err
    assert json.loads(out)["fingerprint"] == consortium
    assert land.sites[0].chain.block_number() == block
    code, _, err = run(0, "found", "--name", "hearts", "--anvil-account", "0")
    assert (code, "another" in err) == (3, True)


def test_founding_without_images_leaves_the_plan_for_later(land: Land, run: Run) -> None:
    site = land.sites[0]
    assert run(0, "init", "--name", "A", "--port", str(site.port), "--rpc", land.rpc)[0] == 0
    code, _, err = run(0, "found", "--name", "lungs", "--anvil-account", "0")
    assert (code, "medweave data import" in err) == (3, True)
    code, out, err = run(0, "found", "--name", "lungs", "--anvil-account", "0", "--data-size", "9")
    assert (code, "medweave plan new" in out) == (0, True), err
    assert not (site.home.root / "plan.toml").exists()


def test_founding_without_funds_says_what_is_missing(land: Land, run: Run) -> None:
    init(land, run, 0)
    code, _, err = run(0, "found", "--name", "lungs")
    assert code == 4
    assert "holds 0 ether" in err
    assert not (land.sites[0].home.root / "consortium.json").exists()


def test_joining_refuses_what_is_not_as_agreed(land: Land, run: Run) -> None:
    consortium = founded(land, run)
    a = land.sites[0]
    init(land, run, 1)
    for told in ("A" * 24, consortium[:-1], ""):
        code, _, err = run(1, "join", "--to", a.url, "--consortium", told)
        assert (code, consortium in err) == (3, True)
    assert not (land.sites[1].home.root / "consortium.json").exists()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        code, _, err = run(1, "join", "--to", f"http://127.0.0.1:{free.getsockname()[1]}", "--yes")
    assert (code, "cannot be reached" in err) == (5, True)
    config = land.sites[1].home.config_file
    config.write_text(config.read_text().replace("min_group = 2", "min_group = 3"))
    code, _, err = run(1, "join", "--to", a.url, "--yes")
    assert (code, "min_group asks for at least 3" in err) == (3, True)
    config.write_text(config.read_text().replace("min_group = 3", "min_group = 2").replace("Hospital b", "Hospital a"))
    code, _, err = run(1, "join", "--to", a.url, "--yes")
    assert (code, "is called 'Hospital a' already" in err) == (3, True)


def test_the_route_for_strangers_is_bounded(land: Land, run: Run) -> None:
    founded(land, run)
    url = f"{land.sites[0].url}/v1/join"
    with httpx.Client(trust_env=False) as http:
        assert http.post(url, content=b"x" * 5000).status_code == 413
        refused = http.post(url, content=b"{}")
        assert (refused.status_code, refused.headers["content-type"]) == (400, "application/problem+json")
        assert set(http.get(url).json()) == {"deployment", "host", "plan", "version"}
    with WaitingRoom(land.sites[0].home.requests, land.sites[0].chain.deployment) as room:
        assert room.waiting(land.sites[0].follower.view, time.time()) == []


@pytest.mark.skipif(shutil.which("openssl") is None, reason="no openssl to make certificates with")
def test_joining_believes_whom_the_configuration_says(land: Land, run: Run) -> None:
    key, certificate = land.root / "tls.key", land.root / "tls.crt"
    new = ("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", "/CN=x")
    names = ("-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(certificate))
    subprocess.run(["openssl", *new, *names], check=True, capture_output=True)
    init(land, run, 0)
    assert run(0, "found", "--name", "lungs", "--anvil-account", "0")[0] == 0
    land.sites[0].serve(ssl_keyfile=str(key), ssl_certfile=str(certificate))
    init(land, run, 1)
    url = land.sites[0].url.replace("http:", "https:")
    code, _, err = run(1, "join", "--to", url, "--yes")
    assert (code, "CERTIFICATE_VERIFY_FAILED" in err) == (5, True)
    config = land.sites[1].home.config_file
    config.write_text(config.read_text().replace('tls_members_ca = ""', f'tls_members_ca = "{certificate}"'))
    assert run(1, "join", "--to", url, "--yes")[0] == 0
    config.write_text(config.read_text().replace("tls.crt", "nothing.crt"))
    code, _, err = run(1, "join", "--to", url, "--yes")
    assert (code, "tls_members_ca" in err) == (3, True)


def test_a_request_is_put_away(land: Land, run: Run) -> None:
    founded(land, run)
    init(land, run, 1)
    assert run(1, "join", "--to", land.sites[0].url, "--yes")[0] == 0
    assert run(0, "members", "dismiss", "Hospital x")[0] == 3
    assert run(0, "members", "dismiss", "Hospital b")[0] == 0
    assert "nobody asks" in run(0, "members", "pending")[1]


def test_a_member_funds_who_joins(land: Land, run: Run) -> None:
    founded(land, run)
    fingerprint = init(land, run, 1)
    code, out, _ = run(1, "join", "--to", land.sites[0].url, "--yes")
    assert (code, "holds 0 ether" in out) == (0, True)
    account = json.loads(run(0, "members", "pending", "--json")[1])["requests"][0]["account"]
    code, out, err = run(0, "members", "approve", fingerprint, "--fund", "0.5")
    assert (code, "sent 0.5 ether" in out) == (0, True), err
    assert land.sites[0].chain.balance(account) == 5 * 10**17
    assert "0.5 ether or more already" in run(0, "members", "approve", fingerprint, "--fund", "0.5")[1]


def test_a_member_registers_its_new_url(land: Land, run: Run) -> None:
    founded(land, run)
    assert verdicts(run, 0, 0)["url"][0] == "ok"
    site = land.sites[0]
    new = f"http://localhost:{site.port}"
    assert run(0, "members", "url", "ftp://x")[0] == 3
    site.home.config_file.write_text(site.home.config_file.read_text().replace(site.url, new))
    assert verdicts(run, 0, 1)["url"][0] == "fail"
    assert run(0, "members", "url")[0] == 0
    assert verdicts(run, 0, 0)["url"][:2] == ("ok", new)
    assert run(0, "members", "url", site.url)[0] == 0
    assert site.home.config().hospital.url == site.url
