"""A real consortium on a real chain: its daemon keeps its description's promises, and the typed client gets along with it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
import schemathesis

from dag.bodies import Kind
from node.calling import Dialer, MemberAuth
from node.client import NodeClient, NotAllowed, NotSignedIn
from node.config import TESTING_VARIABLE
from node.daemon.witness import present_witnesses
from node.home import Home, unlock_identity
from tests.api.test_contract import ENDLESS, broken_promises

ROUND_SECONDS = 90


@dataclass(frozen=True)
class Running:
    """A hospital's daemon after its consortium's first round."""

    hospital: object
    token: str
    deployment: object

    @property
    def url(self) -> str:
        return self.hospital.url

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}


@pytest.fixture(scope="module")
def running(tmp_path_factory) -> Iterator[Running]:
    from node.demo.data import prepare
    from node.demo.network import network
    from node.demo.options import DemoOptions

    options = DemoOptions(
        out=tmp_path_factory.mktemp("running") / "run",
        hospitals=2,
        threshold=2,
        min_group=2,
        rounds=1,
        samples=32,
        epochs=1,
        architecture="cnn",
        image_size=32,
        parameter_set="minimal",
        round_seconds=ROUND_SECONDS,
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(TESTING_VARIABLE, "1")
        patch.setenv("MEDWEAVE_API_PEOPLE_PER_SECOND", "100000")
        with network(options, prepare(options), lambda _: None) as (hospitals, deployment, _anvil):
            token = hospitals[0].headers["Authorization"].removeprefix("Bearer ")
            yield Running(hospitals[0], token, deployment)


@pytest.fixture(scope="module")
def followed(running) -> list:
    """The events of the first round, as a reader that was there from its start gets them."""
    told: list = []

    def follow():
        with NodeClient(running.url, running.token) as node:
            for event in node.events():
                told.append(event)
                done = any(one.name == "phase" and one.data["phase"] == "done" for one in told)
                if done and any(one.name == "model" and one.data["round"] == 1 for one in told) and _verdicts(told):
                    return  # one look tells phases before transactions, and a quick round ends within one look

    thread = threading.Thread(target=follow, daemon=True)
    thread.start()
    with NodeClient(running.url, running.token) as node:
        deadline = time.monotonic() + ROUND_SECONDS
        while (now := node.status()).finalised < 1 or now.round is None or now.round.phase != "done":
            assert time.monotonic() < deadline, now
            time.sleep(0.1)
    thread.join(timeout=10)
    return told


def _verdicts(told: list) -> bool:
    return any(event.name == "transaction" and event.data["kind"] == "verdict" for event in told)


def test_the_round_was_told_as_it_went(running, followed):
    with NodeClient(running.url, running.token) as node:
        model = node.status().model
        kinds = [event.data["kind"] for event in followed if event.name == "transaction"]
    assert {"round", "model", "phase"} <= {event.name for event in followed}
    assert [event.data["model"] for event in followed if event.name == "model"][-1] == model
    assert {"update", "proposal", "verdict"} <= set(kinds)
    phases = [event.data["phase"] for event in followed if event.name == "phase"]
    assert phases[-1] == "done"
    numbers = [int(event.id.partition("-")[2]) for event in followed]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers))), "none is lost, none comes twice"


def test_the_client_gets_everything(running, followed, tmp_path):
    with NodeClient(running.url, running.token) as node:
        ready = node.ready()
        assert ready.ready, ready
        assert node.storage().blobs > 0
        assert "medweave_ledger_transactions" in node.metrics()
        (round_,) = node.rounds(status="finalised")
        detail = node.round(round_.round)
        assert len(detail.updates) == len(detail.verdicts) == 2
        assert [verdict.seat for verdict in node.verdicts()] == [verdict.seat for verdict in detail.verdicts]
        newest = next(node.models(newest=True))
        assert newest.model == round_.model
        assert len(node.model_file(newest.model)) > 1000
        assert node.statement(newest.model, newest.statement)
        assert [step.model for step in node.provenance(newest.model)] == [newest.model, newest.parent]
        rows = list(node.transactions())
        assert len(rows) == node.status().transactions
        update = next(row for row in rows if row.kind is Kind.UPDATE)
        assert node.raw_transaction(update.id).kind is Kind.UPDATE
        assert update.id in {row.id for row in node.cone(rows[-1].id, depth=64, limit=500).transactions}
        size = node.save_blob(update.payload, tmp_path / "manifest")
        assert (tmp_path / "manifest").stat().st_size == size
        assert node.training()[1]["training"]["samples"] > 0
        assert "Medweave" in node.card(newest.model, "html") or node.card(newest.model, "md")
        assert [member.name for member in node.members().members] == ["hospital-1", "hospital-2"]
        assert next(node.epochs()).state == "active"
        assert list(node.motions()) == []


def test_a_proof_of_a_running_node_convinces_offline(running, followed):
    from chain.client import Chain
    from node.consortium.follower import Follower

    home = Home(running.hospital.home)
    chain = Chain(home.config().chain.rpc, running.deployment)
    follower = Follower(chain)
    follower.look()
    members = present_witnesses(running.deployment.consortium, follower.view)
    with NodeClient(running.url, running.token) as node:
        update = next(node.transactions(kind=Kind.UPDATE))
        deadline = time.monotonic() + 20
        while not list(node.log()):
            assert time.monotonic() < deadline, "the round never came into the log"
            time.sleep(0.1)
        node.proof(update.id).verify(members)
        assert node.consistency(1, 1).first_root == node.consistency(1, 1).second_root


def test_nobody_gets_nothing_and_a_member_its_part(running, followed):
    with NodeClient(running.url) as node:
        assert node.health().status == "ok"
        with pytest.raises(NotSignedIn):
            node.status()
    identity = unlock_identity(Home(running.hospital.home), running.hospital.password)
    dialer = Dialer(MemberAuth(identity.private_key, running.deployment.consortium))
    with NodeClient(running.url, dialer=dialer) as node:
        assert next(node.models()).round == 0
        with pytest.raises(NotAllowed):
            node.model_file(next(node.models()).model)


@pytest.mark.parametrize("examples", [2, pytest.param(60, marks=pytest.mark.slow)])
def test_a_running_daemon_does_as_it_says(running, followed, examples):
    schema = schemathesis.openapi.from_url(f"{running.url}/openapi.json", headers=running.headers)
    found = broken_promises(schema.exclude(path=ENDLESS), running.headers, examples)
    assert found == [], "\n\n".join(found)
