"""Membership of a consortium that goes on meanwhile: real daemons, a real Anvil, the commands that operators use."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import tomli_w

from chain.anvil import Anvil, dev_account
from chain.deployment import deploy, fund
from chain.records import Hospital
from node.demo.ports import choose_ports
from node.demo.processes import HospitalProcess, command, finish, stop_all, wait_until_up
from node.images.dataset import save
from node.images.partition import split_validation
from node.images.phantom import generate
from node.rounds.plan import Plan

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

FOUNDERS = 3
MEMBERSHIP = ("MEDWEAVE_MEMBERSHIP_EXCHANGE_SECONDS", "0.5")


@dataclass
class Network:
    """Hospitals as processes; the last one is no founder."""

    anvil: Anvil
    hospitals: list[HospitalProcess]
    root: Path

    def ask(self, k: int, path: str) -> Any:
        hospital = self.hospitals[k]
        url = f"{hospital.url}/v1/{path}"
        return httpx.get(url, headers=hospital.headers, timeout=10, trust_env=False).raise_for_status().json()

    def say(self, k: int, *arguments: str, seconds: float = 200) -> str:
        """What a command at hospital k prints."""
        child = self.hospitals[k].run(*arguments)
        out, err = child.communicate(timeout=seconds)
        assert child.returncode == 0, err.decode()
        return out.decode()

    def vote(self, proposer: int, proposal: tuple[str, ...], *others: int) -> None:
        """Propose and approve; the daemons do the rest."""
        motion = self.say(proposer, "members", *proposal, "--yes").split()[0]
        for k in others:
            self.until(f"{motion} is known at {k}", lambda k=k: motion in self.look(k, "pending"), 180)
            self.say(k, "members", "approve", motion, "--yes")

    def look(self, k: int, *arguments: str) -> str:
        """What a command that needs no password prints."""
        line = [*command("members", *arguments), "--home", str(self.hospitals[k].home)]
        return subprocess.run(line, capture_output=True, text=True, timeout=200, check=True).stdout

    def until(self, what: str, ready: Callable[[], bool], seconds: float) -> None:
        end = time.monotonic() + seconds
        while not self._holds(ready):
            assert time.monotonic() < end, f"not within {seconds} s: {what}\n{self.logs()}"
            time.sleep(0.3)

    @staticmethod
    def _holds(ready: Callable[[], bool]) -> bool:
        try:
            return ready()
        except httpx.HTTPError:
            return False

    def logs(self) -> str:
        return "\n".join(f"--- {h.name}\n{(h.home / 'node.log').read_text()[-2500:]}" for h in self.hospitals)

    def issuers(self, k: int, number: int) -> set[str]:
        """Accounts whose updates of a round hospital k has."""
        rows = self.ask(k, f"transactions?kind=update&round={number}&limit=500")["transactions"]
        return {row["issuer"] for row in rows}

    def finalised(self, k: int, epoch: int) -> list[dict[str, Any]]:
        return [
            row for row in self.ask(k, "rounds")["rounds"] if row["status"] == "finalised" and row["epoch"] == epoch
        ]


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    root = tmp_path_factory.mktemp("membership")
    ports = choose_ports(FOUNDERS + 2, 0)
    with pytest.MonkeyPatch.context() as patch, Anvil(ports[0], root / "state.json", log=root / "anvil.log") as anvil:
        patch.setenv("MEDWEAVE_TESTING", "1")
        patch.setenv(*MEMBERSHIP)
        hospitals = [
            HospitalProcess(k, f"hospital-{k}", root / f"hospital-{k}", f"http://127.0.0.1:{port}", port)
            for k, port in enumerate(ports[1:])
        ]
        made = Network(anvil, hospitals, root)
        try:
            _found(made)
            for hospital in hospitals:
                hospital.start(1)
            wait_until_up(hospitals[:FOUNDERS])
            yield made
        finally:
            stop_all(hospitals)


def _found(net: Network) -> None:
    """Keys, images, contracts, plan; nothing of the last hospital's but its own directory and funds."""
    for hospital in net.hospitals:
        data = generate(24, 32, hospital.index)
        train, validation = split_validation(data, 0.25, 0)
        (hospital.home / "data").mkdir(parents=True)
        save(train, hospital.home / "data" / "train.npz")
        save(validation, hospital.home / "data" / "validation.npz")
    options = ("--rpc", net.anvil.url, "--min-group", "2", "--min-threshold", "2", "--target", "1000")
    children = [
        h.run("init", "--json", "--name", h.name, "--port", str(h.port), "--url", h.url, *options)
        for h in net.hospitals
    ]
    facts = finish(children, "medweave init", 240)
    members = [
        Hospital(fact["account"], bytes.fromhex(fact["box_key"]), 18, fact["name"], fact["url"])
        for fact in facts[:FOUNDERS]
    ]
    deployment = deploy(net.anvil.url, dev_account(0), os.urandom(32), members)
    fund(net.anvil.url, dev_account(0), [fact["account"] for fact in facts], 10)
    plan = Plan.create(
        name="membership",
        architecture="cnn",
        classes=data.class_names,
        image_size=16,
        rounds=50,
        epochs=1,
        batch_size=8,
        parameter_set="minimal",
        threshold=2,
        min_group=2,
        tolerance="1",
        collect_seconds=20,
        slot_seconds=4,
        round_seconds=45,
    )
    for hospital in net.hospitals:
        (hospital.home / "consortium.json").write_text(deployment.to_json())
        (hospital.home / "plan.toml").write_text(tomli_w.dumps(plan.model_dump(mode="json")))


def test_a_consortium_changes_while_its_rounds_go_on(network: Network) -> None:
    net = network
    net.until("a first round", lambda: bool(net.finalised(0, 1)), 200)

    # a fourth hospital asks, two of three agree; nobody restarts, and its own daemon has waited for this
    asking = net.root / "request.json"
    net.say(3, "members", "request", "--data-size", "18", "--out", str(asking))
    net.vote(0, ("propose-admit", str(asking)), 1)
    net.until("four members", lambda: len(net.ask(2, "members")["members"]) == 4, 180)
    wait_until_up(net.hospitals[3:])
    net.until("a key of all four", lambda: net.ask(0, "epochs")["active"] == 2, 200)
    assert net.ask(0, "epochs/2")["seats"] == [0, 1, 2, 3]
    newcomer = net.ask(3, "members")["members"][3]["account"]

    def taken_part() -> bool:
        return any(newcomer in net.issuers(0, row["round"]) for row in net.finalised(0, 2))

    net.until("a round with the newcomer", taken_part, 240)
    net.until("the newcomer has the model", lambda: net.ask(3, "status")["model"] == net.ask(0, "status")["model"], 180)

    # kill -9 between the votes and the transaction: the proposer dies as soon as it has signed
    motion = net.say(0, "members", "propose-remove", "hospital-1", "--yes").split()[0]
    net.until("known", lambda: motion in net.look(2, "pending"), 180)
    process = net.hospitals[0].process
    assert process is not None
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    for k in (2, 3):
        net.until("known", lambda k=k: motion in net.look(k, "pending"), 180)
        net.say(k, "members", "approve", motion, "--yes")
    net.hospitals[0].start(1)
    net.until("three members", lambda: len(net.ask(2, "members")["members"]) == 3, 180)
    net.until("a key of the three", lambda: net.ask(2, "epochs")["active"] == 3, 240)
    assert net.ask(2, "epochs/3")["seats"] == [0, 2, 3], "the seat of who left stays empty"
    net.until("a round without the removed", lambda: bool(net.finalised(2, 3)), 240)
    left = net.finalised(2, 3)[0]["round"]
    former = json.loads(net.look(2, "show", "1", "--json"))
    assert former["member"] is False
    assert former["account"] not in net.issuers(2, left)

    # a hospital exchanges its keys; its daemon goes on with the next ones by itself
    before = json.loads(net.look(2, "show", "2", "--json"))
    child = net.hospitals[2].run("members", "rotate", "--yes")
    motion = child.communicate(timeout=200)[0].decode().split()[0]
    keystore = json.loads((net.hospitals[2].home / "secrets" / "account.next.json").read_text())
    fund(net.anvil.url, dev_account(0), ["0x" + keystore["address"].removeprefix("0x")], 10)
    net.until("known", lambda: motion in net.look(0, "pending"), 180)
    net.say(0, "members", "approve", motion, "--yes")
    net.until("other keys", lambda: net.ask(0, "members")["members"][1]["account"] != before["account"], 180)
    after = net.ask(0, "members")["members"][1]
    assert after["account"].lower().endswith(keystore["address"].removeprefix("0x").lower())
    net.until(
        "a round with the new account",
        lambda: any(after["account"] in net.issuers(0, row["round"]) for row in net.finalised(0, 3)),
        150,
    )
    assert not (net.hospitals[2].home / "secrets" / "account.next.json").exists()
    assert net.ask(0, "epochs")["active"] == 3, "a share belongs to the seat, not to the account"
