"""`medweave chain`: deploying once however often it is cut off, looking, and watching live (CHN-6, CHN-13)."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest
from eth_account import Account

from chain import deployment as deploying
from chain.anvil import Anvil, dev_account
from chain.client import Chain
from chain.connection import Connection
from chain.deployment import Deployment, planned_addresses
from chain.intents import IntentBook
from chain.keystore import create
from node.cli.main import main
from node.home import Home
from tests.chain.support import digest

REPOSITORY = Path(__file__).parents[2]
ACCOUNTS = [Account.from_key(digest(f"founder {k}")) for k in range(3)]


@pytest.fixture(scope="module")
def anvil(tmp_path_factory):
    with Anvil(None, tmp_path_factory.mktemp("chain") / "state.json") as running:
        yield running


@pytest.fixture
def run(capsys):
    def call(*arguments: object) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            main(["chain", *map(str, arguments)])
        out, err = capsys.readouterr()
        return ended.value.code, out, err

    return call


@pytest.fixture
def founders(tmp_path) -> Path:
    rows = [
        {
            "name": f"Hospital\x1b[31m {k}",
            "account": account.address,
            "box_key": digest(f"box {k}").hex(),
            "url": f"http://{k}",
            "data_size": 100 + k,
            "home": "ignored",
        }
        for k, account in enumerate(ACCOUNTS)
    ]
    file = tmp_path / "founders.json"
    file.write_text(json.dumps(rows))
    return file


@pytest.fixture
def deployed(run, anvil, founders, tmp_path):
    """Options of a deployed consortium, named after the test's folder so that each is another one."""
    out = tmp_path / "consortium.json"
    arguments = ("deploy", "--rpc", anvil.url, "--name", tmp_path.name, "--members", founders, "--out", out)
    assert run(*arguments, "--anvil-account", 0, "--fund", "0.5")[0] == 0
    return ("--rpc", anvil.url, "--contracts", out)


def client(deployed, member: int | None = None) -> Chain:
    deployment = Deployment.from_json(deployed[3].read_text())
    return Chain(deployed[1], deployment, None if member is None else ACCOUNTS[member])


# ---- deploy --------------------------------------------------------------------------------------------------------


def test_deploying_says_what_it_costs_and_a_second_time_sends_nothing(run, anvil, founders, tmp_path):
    out = tmp_path / "consortium.json"
    keystore, password = tmp_path / "payer.json", tmp_path / "password"
    account, text = create("correct horse")
    keystore.write_text(text)
    password.write_text("correct horse\n")
    deploying.fund(anvil.url, dev_account(0), [account.address], 10)
    arguments = ("deploy", "--rpc", anvil.url, "--name", "A", "--members", founders, "--out", out, "--json")
    pay = ("--keystore", keystore, "--password-file", password, "--fund", "0.25")
    code, printed, err = run(*arguments, *pay)
    assert (code, err) == (0, "")
    report = json.loads(printed)
    deployment = Deployment.from_json(out.read_text())
    assert report["deployment"] == json.loads(out.read_text())
    assert [row["contract"] for row in report["steps"][:4]] == [
        "HospitalRegistry",
        "KeyEpochs",
        "ModelLedger",
        "TrainingRounds",
    ]
    planned = planned_addresses(account.address)
    assert {field: getattr(deployment, field) for field in planned} == planned
    assert report["gas"] == sum(row["gas"] for row in report["steps"]) > 5_000_000
    chain = Chain(anvil.url, deployment)
    chain.verify()
    assert [chain.balance(founder.address) for founder in ACCOUNTS] == [25 * 10**16] * 3
    height = chain.block_number()
    code, printed, _ = run(*arguments)
    assert (code, json.loads(printed)["steps"]) == (0, [])
    assert chain.block_number() == height


@pytest.mark.parametrize("contract", ["HospitalRegistry", "KeyEpochs", "ModelLedger", "TrainingRounds"])
def test_a_deployment_that_was_cut_off_goes_on(run, anvil, founders, tmp_path, monkeypatch, contract):
    """It dies right after a contract's transaction, before anybody is told; the next one ends with four contracts."""
    account = Account.from_key(digest(f"deployer {contract} {tmp_path}"))
    deploying.fund(anvil.url, dev_account(0), [account.address], 10)
    monkeypatch.setattr("node.cli.chain_deploy.dev_account", lambda _index: account)
    arguments = ("deploy", "--rpc", anvil.url, "--name", "B", "--members", founders, "--anvil-account", 0)
    arguments = (*arguments, "--out", tmp_path / "c.json")
    real = deploying.Sender.create

    def dies(sender, call, code, key=None):
        done = real(sender, call, code, key)
        if call.startswith(contract):
            raise KeyboardInterrupt
        return done

    monkeypatch.setattr(deploying.Sender, "create", dies)
    assert run(*arguments)[0] == 130
    assert not (tmp_path / "c.json").exists()
    monkeypatch.setattr(deploying.Sender, "create", real)
    code, out, _ = run(*arguments)
    assert (code, out.count("gas\n")) == (0, 4)
    nonce = Connection(anvil.url).w3.eth.get_transaction_count(account.address)
    assert nonce == 4, "nothing was sent twice"
    planned = planned_addresses(account.address)
    assert json.loads((tmp_path / "c.json").read_text())["rounds"] == planned["rounds"]


def test_the_file_of_intents_is_private(deployed):
    book = deployed[3].with_name("consortium.json.intents.sqlite")
    assert stat.S_IMODE(book.stat().st_mode) == 0o600


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda rows: {}, "JSON list"),
        (lambda rows: [], "1 to 256"),
        (lambda rows: [[]], "member 0"),
        (lambda rows: [{**rows[0], "box_key": "zz"}], "box_key"),
        (lambda rows: [{**rows[0], "box_key": "00"}], "box_key"),
        (lambda rows: [rows[0], {**rows[1], "data_size": 0}], "member 1: data_size"),
        (lambda rows: [{**rows[0], "account": "0x12"}], "account"),
        (lambda rows: [{**rows[0], "name": 5}], "name"),
        (lambda rows: [{**rows[0], "name": "x" * 65}], "name"),
    ],
)
def test_bad_founders_are_named(run, founders, tmp_path, change, said):
    founders.write_text(json.dumps(change(json.loads(founders.read_text()))))
    arguments = ("--name", "x", "--members", founders, "--out", tmp_path / "o", "--anvil-account", 0)
    code, _, err = run("deploy", "--rpc", "http://127.0.0.1:1", *arguments)
    assert (code, err.count("\n")) == (3, 1)
    assert said in err


def test_mistakes_of_deploying_are_one_line(run, deployed, founders, tmp_path):
    rpc, out = deployed[1], deployed[3]
    base = ("deploy", "--members", founders, "--name", "x")
    assert run(*base, "--rpc", rpc, "--out", tmp_path / "o")[0] == 2
    code, _, err = run(*base, "--rpc", rpc, "--out", out, "--anvil-account", 0)
    assert (code, "another consortium" in err) == (3, True)
    code, _, err = run(*base, "--rpc", rpc, "--out", tmp_path / "o", "--keystore", tmp_path / "none")
    assert (code, "No such file" in err) == (3, True)


# ---- looking -------------------------------------------------------------------------------------------------------


def test_status_members_and_rounds(run, deployed):
    code, out, err = run("status", *deployed, "--json")
    assert (code, err) == (0, "")
    facts = json.loads(out)
    assert (facts["members"], facts["quorum"], facts["active_epoch"], facts["rounds"]) == (3, 2, 0, 0)
    assert facts["TrainingRounds"] == client(deployed).deployment.rounds
    code, out, _ = run("members", *deployed, "--json")
    rows = json.loads(out)["members"]
    assert [(row["index"], row["account"], row["data_size"], row["reputation"]) for row in rows] == [
        (k, account.address, 100 + k, 100) for k, account in enumerate(ACCOUNTS)
    ]
    out = run("members", *deployed)[1]
    assert "\x1b" not in out, "a terminal obeys no member's name"
    assert "Hospital?[31m 2" in out
    assert run("rounds", *deployed)[:2] == (0, "")
    play_a_round(deployed)
    (row,) = json.loads(run("rounds", *deployed, "--json")[1])["rounds"]
    assert (row["round"], row["status"], row["proposals"]) == (1, "open", 1)
    assert "    1  open " in run("rounds", *deployed)[1]
    assert "1 (open)" in run("status", *deployed)[1]


def play_a_round(deployed) -> None:
    """An epoch, a genesis model, a round, a proposal."""
    members = [client(deployed, k) for k in range(3)]
    members[0].epochs.open(digest("parameters"), 2, members[0].now() + 1000)
    for step in ("announce", "commit", "deal", "test", "confirm"):
        for k, member in enumerate(members):
            getattr(member.epochs, step)(1, digest(f"{step} {k} {deployed[3]}") if step == "announce" else digest(step))
    members[0].rounds.genesis(digest("genesis"), digest("plan"))
    members[1].rounds.open(digest("plan"), digest("genesis"), 60, 300)
    members[2].rounds.propose(1, digest("proposal"), digest("u"), digest("s"))


def test_a_hospital_sees_what_it_has_still_to_bring_there(run, deployed, tmp_path):
    home = Home(tmp_path / "home")
    home.secrets.mkdir(parents=True)
    home.account_file.write_text(json.dumps({"address": ACCOUNTS[0].address.lower()[2:]}))
    book = IntentBook(home.intents)
    deployment = client(deployed).deployment
    Chain(deployed[1], deployment, ACCOUNTS[0], book=book).registry.set_url("http://new")
    (intent,) = book.unresolved(ACCOUNTS[0].address, deployment.chain_id)
    options = ("--home", home.root, *deployed, "--json")
    facts = json.loads(run("status", *options)[1])
    assert (facts["account"], facts["not_mined"], facts["not_final"]) == (ACCOUNTS[0].address, "", 1)
    assert facts["balance_ether"] == client(deployed).balance(ACCOUNTS[0].address) / 10**18
    book.reopen(intent.id)
    facts = json.loads(run("status", *options)[1])
    assert (facts["not_mined"], facts["not_final"]) == ("HospitalRegistry.setUrl", 0)


def test_a_chain_out_of_reach_is_one_line(run, deployed, monkeypatch):
    monkeypatch.setattr("chain.connection._FIRST_PAUSE", 0.0)
    monkeypatch.setattr("chain.connection._LONGEST_PAUSE", 0.0)
    for command in ("status", "members", "rounds", "watch"):
        code, _, err = run(command, "--rpc", "http://127.0.0.1:1", *deployed[2:])
        assert (code, err.count("\n"), err.startswith("error: no answer")) == (5, 1, True)


# ---- watching ------------------------------------------------------------------------------------------------------


def test_watching_prints_what_was_told_and_goes_on_where_it_ended(run, deployed, tmp_path):
    state = tmp_path / "seen.sqlite"
    options = (*deployed, "--timeout", 0.2, "--json")
    told = [json.loads(line)["event"] for line in run("watch", *options, "--all", "--state", state)[1].splitlines()]
    assert told == ["HospitalAdmitted"] * 3
    assert run("watch", *options, "--state", state)[1] == "", "said already"
    client(deployed, 1).registry.set_url("http://moved\x1b")
    (line,) = run("watch", *options, "--state", state)[1].splitlines()
    assert {key: json.loads(line)[key] for key in ("event", "account", "url")} == {
        "event": "UrlChanged",
        "account": ACCOUNTS[1].address,
        "url": "http://moved\x1b",
    }
    out = run("watch", *deployed, "--timeout", 0.2, "--all")[1]
    assert "UrlChanged" in out
    assert "url=http://moved?" in out


@pytest.mark.parametrize("bell", ["websocket", "poll"])
def test_watching_live_until_interrupted(deployed, anvil, bell):
    """Events come as they happen, what the chain takes back is said, and Ctrl-C ends it."""
    command = [sys.executable, "-m", "node.cli.main", "chain", "watch", *map(str, deployed), "--json"]
    command += ["--websocket", f"ws://127.0.0.1:{anvil.port}"] if bell == "websocket" else ["--poll", "0.1"]
    # A shell's background job ignores Ctrl-C, and so would what it starts: the tests may be one.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    watching = subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    signal.signal(signal.SIGINT, before)
    assert watching.stdout is not None
    os.set_blocking(watching.stdout.fileno(), False)
    lines: list[dict] = []

    def read(until, again=lambda: None) -> None:
        deadline = time.monotonic() + 30
        while not until():
            assert time.monotonic() < deadline, lines
            again()
            lines.extend(json.loads(line) for line in watching.stdout)
            time.sleep(0.05)

    try:
        chain, connection = client(deployed, 0), Connection(anvil.url)
        # The first events may come before it watches: it says what comes after it has begun.
        read(lambda: lines, lambda: chain.registry.set_url("http://again"))
        snapshot = connection.request("evm_snapshot")
        chain.registry.set_url("http://lost")
        read(lambda: any(line.get("url") == "http://lost" for line in lines))
        connection.request("evm_revert", snapshot)
        connection.request("evm_increaseTime", 3)
        chain.registry.set_url("http://found")
        read(lambda: any(line.get("url") == "http://found" for line in lines))
        watching.send_signal(signal.SIGINT)
        assert watching.wait(20) == 130
        assert watching.stderr is not None
        assert "Traceback" not in watching.stderr.read()
    finally:
        watching.kill()
        watching.wait()
        watching.stdout.close()
        watching.stderr.close()
    names = [line["event"] for line in lines]
    assert names[-2:] == ["ChainWentBack", "UrlChanged"]
    assert lines[-2]["seen"] - lines[-2]["ancestor"] == 1
