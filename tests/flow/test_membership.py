"""Membership of a consortium that goes on meanwhile: real daemons, a real Anvil, the commands that operators use."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator

import pytest

from chain.anvil import dev_account
from chain.deployment import fund
from node.demo.processes import wait_until_up
from tests.flow.consortium import Network, consortium

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

FOUNDERS = 3
MEMBERSHIP = ("MEDWEAVE_MEMBERSHIP_EXCHANGE_SECONDS", "0.5")


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    """Three founders, and a fourth hospital that is none."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MEDWEAVE_TESTING", "1")
        patch.setenv(*MEMBERSHIP)
        root = tmp_path_factory.mktemp("membership")
        with consortium(root, FOUNDERS + 1, founders=FOUNDERS, name="membership", threshold=2, round_seconds=45) as net:
            yield net


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
