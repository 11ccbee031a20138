"""Cohorts of six real daemons on a real Anvil: four hold each key and train, two rest, adopt what the four made, and are drawn later."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator

import pytest

from chain.client import Chain
from chain.cohort import draw
from chain.deployment import Deployment
from chain.events import CohortDrawn, RoundOpened
from chain.records import bitmap_members
from node.demo.processes import command
from node.learning.modelfile import model_hash
from tests.flow.consortium import Network, consortium

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

MEMBERS, COHORT = 6, 4


@pytest.fixture
def network(tmp_path, monkeypatch) -> Iterator[Network]:
    """All are members, and the contracts allow cohorts of four."""
    monkeypatch.setenv("MEDWEAVE_TESTING", "1")
    monkeypatch.setenv("MEDWEAVE_ROUNDS_MIN_COHORT", str(COHORT))
    with consortium(tmp_path, MEMBERS, smallest_cohort=COHORT, name="cohorts", round_seconds=60) as net:
        yield net


def test_two_cohorts_train_and_all_six_hold_the_model(network: Network) -> None:
    net = network
    net.until("a round of all six", lambda: bool(net.finalised(0, 1)), 200)
    accounts = {row["index"]: row["account"] for row in net.ask(0, "members")["members"]}
    cohorts = [frozenset(range(MEMBERS))]
    while len(cohorts) < 3:
        size = ("--cohort", str(COHORT)) if len(cohorts) == 1 else ()
        out = net.say(0, "keys", "rotate", *size, "--timeout", "120")
        assert "active" in out
        epoch = net.ask(0, "epochs")["active"]
        seats = frozenset(net.ask(0, f"epochs/{epoch}")["seats"])
        assert len(seats) == COHORT
        net.until("a round of the cohort", lambda epoch=epoch: bool(net.finalised(0, epoch)), 200)
        number = net.finalised(0, epoch)[0]["round"]
        assert net.issuers(0, number) <= {accounts[seat] for seat in seats}
        for seat in frozenset(range(MEMBERS)) - seats:
            net.until("its updates are known to who rests", lambda seat=seat, n=number: bool(net.issuers(seat, n)), 60)
        if seats not in cohorts:
            cohorts.append(seats)
    resting = min(frozenset(range(MEMBERS)) - cohorts[-1])
    for k in range(MEMBERS):
        line = [*command("round", "pause"), "--home", str(net.hospitals[k].home)]
        subprocess.run(line, capture_output=True, timeout=200, check=True)
    net.until(
        "everybody holds the newest model",
        lambda: all(model_held(net, k) == head(net) for k in range(MEMBERS)) and not is_open(net),
        200,
    )
    file = net.root / "model"
    said = net.say(resting, "export", "--out", str(file))
    assert model_hash(file.read_bytes()).hex() == said.split()[0] == head(net)
    verify(net, resting, cohorts)
    assert not any("Traceback" in (h.home / "node.log").read_text() for h in net.hospitals)


def head(net: Network) -> str:
    return str(net.ask(0, "models?order=newest&limit=1")["models"][0]["model"])


def model_held(net: Network, k: int) -> str | None:
    row = net.ask(k, "models?order=newest&limit=1")["models"][0]
    return str(row["model"]) if row["held"] else None


def is_open(net: Network) -> bool:
    return bool(net.ask(0, "rounds?order=newest&limit=1")["rounds"][0]["status"] == "open")


def verify(net: Network, resting: int, cohorts: list[frozenset[int]]) -> None:
    """Who rested audits the model, and every draw follows from the chain."""
    home = net.hospitals[resting].home
    places = ("--rpc", net.anvil.url, "--contracts", str(home / "consortium.json"))
    blobs = [option for hospital in net.hospitals for option in ("--blobs", str(hospital.home))]
    line = [*command("audit", "model", head(net)), *places, *blobs]
    done = subprocess.run(line, capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    deployment = Deployment.from_json((net.hospitals[0].home / "consortium.json").read_text())
    events = Chain(net.anvil.url, deployment).events(deployment.block)
    seeds = {event.seed for event in events if isinstance(event, RoundOpened)}
    draws = [event for event in events if isinstance(event, CohortDrawn)]
    assert {bitmap_members(event.holders) for event in draws} >= set(cohorts[1:])
    for event in draws:
        assert bitmap_members(event.holders) == draw(deployment.consortium, event.seed, range(MEMBERS), COHORT)
        assert event.seed in seeds
