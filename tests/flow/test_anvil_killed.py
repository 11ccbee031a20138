"""Anvil killed with -9 in each phase and started again from its state: the round finalises, and all agree with the chain.

What Anvil loses is made certain: it starts from a copy of its state file from before the phase's transactions, as if the
kill had come a moment after that copy was written.
"""

from __future__ import annotations

import os
import random
import signal
import time
from collections import Counter
from pathlib import Path

import pytest
from rich.console import Console

from chain.client import Chain
from chain.connection import Connection
from chain.events import Proposed, RoundFinalised, RoundOpened
from dag.bodies import Kind
from node.demo.data import prepare
from node.demo.network import network
from node.demo.options import DemoOptions
from node.demo.ports import choose_ports
from node.demo.watch import Watcher, ask
from node.errors import BadEnvironment
from node.rounds.statement import Statement
from node.storage import raw_cid
from tests.flow.anvilnet import AnvilNet
from tests.flow.test_crash import until

SECONDS = 90.0


def kill_at_open(net: AnvilNet) -> None:
    """The round was opened, and nobody but its opener has heard of it."""
    before = net.saved()
    chain, plan = net.desks[0].chain, net.plan
    chain.rounds.open(plan.digest, net.desks[0].follower.view.head or b"", plan.collect_seconds, plan.round_seconds)
    net.kill(before)


def kill_while_collecting(net: AnvilNet) -> None:
    """Updates are posted under a round that then does not exist any more, until it is opened again."""
    before = net.saved()
    net.open_next()
    assert net.until(lambda: all(s is not None and len(s.updates) >= 2 for s in net.states(1)), SECONDS)
    net.kill(before)


def kill_when_proposed(net: AnvilNet) -> None:
    """The chain forgets a proposal that members verify and open."""
    net.held.add("propose")
    net.open_next()
    assert net.until(lambda: all(net.states(1)), SECONDS)
    before = net.saved()
    net.held.clear()
    assert net.until(lambda: all(s is not None and s.anchors for s in net.states(1)), SECONDS)
    net.kill(before)


def kill_before_finalising(net: AnvilNet) -> None:
    """The chain is away when the outcome is to be sent."""
    net.open_next()
    assert net.until(lambda: any(s is not None and s.sendable_at is not None for s in net.states(1)), SECONDS)
    net.kill(down=2.0)


def kill_when_finalised(net: AnvilNet) -> None:
    """All have adopted the model, then the chain forgets that the round ended."""
    net.held.add("finalise")
    net.open_next()
    assert net.until(lambda: all(s is not None and s.anchors for s in net.states(1)), SECONDS)
    before = net.saved()
    net.held.clear()
    assert net.until(lambda: net.over(1), SECONDS)
    net.kill(before)


def kill_when_finalised_back_to_the_opening(net: AnvilNet) -> None:
    """All have adopted the model, then the chain forgets the whole round."""
    before = net.saved()
    net.open_next()
    assert net.until(lambda: net.over(1), SECONDS)
    net.kill(before)


def play(net: AnvilNet, kill) -> None:
    kill(net)
    assert net.until(lambda: net.over(1) and net.at_rest(), SECONDS), [
        s and (s.ending, s.anchors) for s in net.states(1)
    ]
    verify(net, 1)
    net.open_next()
    assert net.until(lambda: net.over(2) and net.at_rest(), SECONDS), "life goes on"
    verify(net, 2)


def verify(net: AnvilNet, number: int) -> None:
    """One end, told by the chain and known to all; each update counted once; no nonce missing."""
    chain = net.desks[0].chain
    events = [e for e in chain.events(net.deployment.block) if getattr(e, "round", None) == number]
    kinds = Counter(type(event) for event in events)
    assert (kinds[RoundOpened], kinds[RoundFinalised]) == (1, 1)
    leaders = [event.leader for event in events if isinstance(event, Proposed)]
    assert len(leaders) == len(set(leaders)) >= 1
    (end,) = [event for event in events if isinstance(event, RoundFinalised)]
    for node, desk in zip(net.nodes, net.desks, strict=True):
        row = desk.follower.view.rounds[number]
        assert (row.finalised, row.model, row.statement) == (True, end.model, end.statement)
        assert desk.follower.view.head == chain.models.head() == end.model
        assert node.journal.model(end.model) is not None
        updates = node.publisher.read(
            lambda ledger: [t for _, t in ledger.since(0, 10_000) if t.kind is Kind.UPDATE and t.round == number]
        )
        assert len({t.issuer for t in updates}) == len(updates) == len(net.nodes), "nothing was posted twice"
    statement = Statement.from_bytes(net.nodes[0].blobs.obtain(raw_cid(end.statement))).predicate
    assert len({u.issuer for u in statement.updates}) == len(statement.updates) == len(net.nodes)
    assert all(mined == pending for mined, pending in net.nonces())
    pool = Connection(net.anvil.url).request("txpool_status")
    assert {name: int(count, 16) for name, count in pool.items()} == {"pending": 0, "queued": 0}


PHASES = {
    "collecting": kill_while_collecting,
    "finalised": kill_when_finalised_back_to_the_opening,
}
MORE = {
    "open": kill_at_open,
    "proposed": kill_when_proposed,
    "before finalising": kill_before_finalising,
    "after finalising": kill_when_finalised,
}


@pytest.mark.parametrize("phase", PHASES)
def test_a_round_survives_a_killed_chain(tmp_path: Path, phase: str) -> None:
    with AnvilNet(tmp_path).running() as net:
        play(net, PHASES[phase])
        assert all(desk.went_back for desk in net.desks), "the chain lost something, and all noticed"


@pytest.mark.slow
@pytest.mark.parametrize("phase", MORE)
def test_a_round_survives_a_chain_killed_in_any_phase(tmp_path: Path, phase: str) -> None:
    with AnvilNet(tmp_path).running() as net:
        play(net, MORE[phase])
        if phase in {"proposed", "after finalising"}:
            assert all(desk.went_back for desk in net.desks)


@pytest.mark.slow
@pytest.mark.parametrize("phase", ["proposed", "after finalising"])
def test_hospitals_that_send_nothing_again_begin_the_round_again(
    tmp_path: Path, phase: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second line of defence: without any intent on disk, what the chain forgot is found wanting and done again."""
    monkeypatch.setattr("chain.client.Chain.watch", lambda _self, _news: None)
    with AnvilNet(tmp_path).running() as net:
        MORE[phase](net)
        assert all(desk.went_back for desk in net.desks)
        assert net.until(lambda: net.over(1), SECONDS)
        verify(net, 1)


def free_base() -> int:
    """The first of five free ports in a row: Anvil's, then the daemons'."""
    while True:
        base = random.randrange(20_000, 60_000)
        try:
            return choose_ports(5, base)[0]
        except BadEnvironment:
            continue


@pytest.mark.slow
@pytest.mark.parametrize(
    ("phase", "announced"),
    [("ceremony", False), ("train", False), ("propose", False), ("propose", True), ("sign", False)],
)
def test_daemons_survive_a_killed_chain(
    tmp_path: Path, phase: str, announced: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Real processes, real kills, whatever Anvil's state file held at that moment; blocks polled for or announced."""
    base = free_base()
    options = DemoOptions(
        out=tmp_path / "run", rounds=2, samples=96, architecture="cnn", image_size=32, epochs=4, base_port=base
    )
    if announced:
        monkeypatch.setenv("MEDWEAVE_CHAIN_WEBSOCKET", f"ws://127.0.0.1:{base}")
    with network(options, prepare(options), lambda _line: None) as (hospitals, deployment, anvil):
        victim = hospitals[0]
        if phase == "ceremony":
            until(victim, lambda status: status["epoch"]["doing"] and not status["epoch"]["active"])
        else:
            until(victim, lambda status: status["round"] and status["round"]["phase"] in {phase, "done"})
        assert anvil.pid is not None
        os.kill(anvil.pid, signal.SIGKILL)
        anvil.stop()
        time.sleep(1)
        anvil.start()
        Watcher(hospitals, Console(quiet=True), 2, 180).wait()
        chain = Chain(anvil.url, deployment)
        statuses = [ask(hospital, "/v1/status") for hospital in hospitals]
        assert {status["model"] for status in statuses} == {chain.models.head().hex()}
        updates = ask(victim, "/v1/transactions?kind=update&limit=500")["transactions"]
        for number in (1, 2):
            issuers = [tx["issuer"] for tx in updates if tx["round"] == number]
            assert len(issuers) == len(set(issuers)) == len(hospitals)
        eth = Connection(anvil.url).w3.eth
        for account in (hospital.account for hospital in chain.registry.members()):
            assert eth.get_transaction_count(account, "latest") == eth.get_transaction_count(account, "pending")  # type: ignore[arg-type]
