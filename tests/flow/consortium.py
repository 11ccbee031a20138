"""A small consortium of real daemons on a real Anvil, founded with the commands and calls that its founders use."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import tomli_w

from chain.anvil import Anvil, dev_account
from chain.deployment import deploy, fund
from chain.records import Hospital
from node.demo.ports import choose_ports
from node.demo.processes import HospitalProcess, command, finish, stop_all, wait_until_up
from node.images.dataset import save
from node.images.partition import split_validation
from node.images.phantom import CLASS_NAMES, generate
from node.rounds.plan import Plan

IMAGES, PIXELS = 24, 32
TRAINING_IMAGES = 18


@dataclass
class Network:
    """A chain, and hospitals as processes beside it."""

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


@contextmanager
def consortium(
    root: Path, hospitals: int, *, founders: int | None = None, smallest_cohort: int = 0, **plan: Any
) -> Iterator[Network]:
    """A network whose founders' daemons are up.

    Args:
        root: An empty directory.
        hospitals: How many there are; the daemon of each is started.
        founders: The first so many are members from the start; None for all.
        smallest_cohort: Fewest members that the contracts let hold a key; 0: always all.
        plan: Name, deadlines and what else the plan says beside `_plan`.
    """
    ports = choose_ports(hospitals + 1, 0)
    processes = [
        HospitalProcess(k, f"hospital-{k}", root / f"hospital-{k}", f"http://127.0.0.1:{port}", port)
        for k, port in enumerate(ports[1:])
    ]
    with Anvil(ports[0], root / "state.json", log=root / "anvil.log") as anvil:
        net = Network(anvil, processes, root)
        try:
            _found(net, processes[:founders], smallest_cohort, plan)
            for hospital in processes:
                hospital.start(1)
            wait_until_up(processes[:founders])
            yield net
        finally:
            stop_all(processes)


def _found(net: Network, founders: list[HospitalProcess], smallest_cohort: int, settings: dict[str, Any]) -> None:
    """Keys, images, contracts, plan; nothing of the others' but their own directory and funds."""
    plan = _plan(settings)
    for hospital in net.hospitals:
        _give_images(hospital)
    least = ("--min-group", str(plan.min_group), "--min-threshold", str(plan.threshold))
    options = ("--rpc", net.anvil.url, *least, "--target", "1000")
    children = [
        h.run("init", "--json", "--name", h.name, "--port", str(h.port), "--url", h.url, *options)
        for h in net.hospitals
    ]
    facts = finish(children, "medweave init", 240)
    members = [
        Hospital(fact["account"], bytes.fromhex(fact["box_key"]), TRAINING_IMAGES, fact["name"], fact["url"])
        for fact in facts[: len(founders)]
    ]
    founded = deploy(net.anvil.url, dev_account(0), os.urandom(32), members, smallest_cohort=smallest_cohort)
    fund(net.anvil.url, dev_account(0), [fact["account"] for fact in facts], 10)
    for hospital in net.hospitals:
        (hospital.home / "consortium.json").write_text(founded.to_json())
        (hospital.home / "plan.toml").write_text(tomli_w.dumps(plan.model_dump(mode="json")))


def _give_images(hospital: HospitalProcess) -> None:
    data = generate(IMAGES, PIXELS, hospital.index)
    train, validation = split_validation(data, 1 - TRAINING_IMAGES / IMAGES, 0)
    (hospital.home / "data").mkdir(parents=True)
    save(train, hospital.home / "data" / "train.npz")
    save(validation, hospital.home / "data" / "validation.npz")


def _plan(settings: dict[str, Any]) -> Plan:
    """What all consortia here train, as small as it may be."""
    return Plan.create(
        architecture="cnn",
        classes=CLASS_NAMES,
        image_size=16,
        rounds=50,
        epochs=1,
        batch_size=8,
        parameter_set="minimal",
        min_group=2,
        tolerance="1",
        collect_seconds=20,
        slot_seconds=4,
        **settings,
    )
