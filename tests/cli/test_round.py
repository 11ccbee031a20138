"""`medweave round` on a real chain: opened by order and by timetable, once, by one member; left, paused, resumed; after restarts too."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from chain.anvil import Anvil
from crypto import secrets
from node.cli.main import main
from node.images.archive import save
from node.images.phantom import generate
from node.planning.text import plan_toml
from node.rounds.plan import Plan
from tests.cli.planned import PASSWORD, PLAN, PlannedNet

Run = Callable[..., str]


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"MEMORY_KIB": 8, "PASSES": 1, "LANES": 1}.items():
        monkeypatch.setattr(secrets, name, value)
    monkeypatch.setenv("MEDWEAVE_PASSWORD", PASSWORD)
    monkeypatch.setenv("MEDWEAVE_TESTING", "1")
    monkeypatch.setattr("node.daemon.opening.TURN_SECONDS", 0.0)


@pytest.fixture
def net(tmp_path: Path):
    with Anvil(None, tmp_path / "state.json") as anvil:
        made = PlannedNet(tmp_path, anvil.url)
        made.make_key()
        yield made


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    def command(*arguments: object, code: int = 0) -> str:
        with pytest.raises(SystemExit) as ended:
            main(["round", *map(str, arguments)])
        out = capsys.readouterr()
        assert (ended.value.code or 0) == code, out.err + out.out
        return out.out or out.err

    return command


def go_by(net: PlannedNet, **fields: object) -> Plan:
    """Every hospital has this plan in its directory, and has started again with it."""
    plan = Plan.of(PLAN | fields)
    for site in net.sites:
        (site.home.root / "plan.toml").write_text(plan_toml(plan), encoding="utf-8")
        site.planning.close()
        site.start()
    return plan


def opened(net: PlannedNet) -> list[int]:
    net.daemons(4)
    views = [site.view for site in net.sites]
    assert len({tuple(view.rounds) for view in views}) == 1
    return list(views[0].rounds)


def give_up(net: PlannedNet, number: int) -> None:
    """The open round's time passes, and somebody aborts it."""
    net.later(PLAN["round_seconds"] + 1)
    net.sites[0].chain.rounds.abort(number)
    for site in net.sites:
        site.follower.look()


def test_a_round_is_opened_by_order_once_and_by_one_member(net: PlannedNet, run: Run) -> None:
    plan = go_by(net)
    homes = [site.home.root for site in net.sites]
    assert opened(net) == [], "target is 0 and there is no timetable"
    assert "no timetable" in run("next", "--home", homes[0])
    assert "was not opened within" in run("start", "--home", homes[0], "--wait", 0.1, code=5)
    assert "asked for" in run("start", "--home", homes[1], "--wait", 0)
    assert run("next", "--home", homes[0]) == "now (asked for here)\n"
    for site in net.sites:  # the order outlives a restart
        site.planning.close()
        site.start()
    assert opened(net) == [1], "two hospitals asked for round 1"
    row = json.loads(run("start", "--home", homes[2], "--json"))
    assert (row["round"], row["status"], row["plan"]) == (1, "open", plan.digest.hex())
    assert opened(net) == [1]
    give_up(net, 1)
    assert opened(net) == [1], "the orders were for round 1"
    run("start", "--home", homes[0], "--wait", 0)
    assert opened(net) == [1, 2]
    rows = json.loads(run("list", "--home", homes[0], "--json"))["rounds"]
    assert [(row["round"], row["status"]) for row in rows] == [(1, "aborted"), (2, "open")]


def test_watching_says_who_is_missing_and_ends_with_the_round(net: PlannedNet, run: Run) -> None:
    go_by(net)
    home = net.sites[0].home.root
    assert "no round was opened yet" in run("watch", "--home", home, code=3)
    run("start", "--home", home, "--wait", 0)
    opened(net)
    found = json.loads(run("watch", "--home", home, "--once", "--json"))
    assert (found["round"], found["phase"]) == (1, "updates")
    assert found["steps"][0]["missing"] == ["Hospital 0", "Hospital 1", "Hospital 2"]
    assert "updates  0/3, missing: Hospital 0" in run("watch", "--home", home, "--once")
    assert "updates" in run("watch", "1", "--home", home, "--timeout", 0.1, code=2)
    give_up(net, 1)
    assert "aborted" in run("watch", "1", "--home", home, code=1)
    assert "no round 7" in run("watch", "7", "--home", home, code=3)
    shown = json.loads(run("show", "1", "--home", home, "--json"))
    assert re.search(r"finalise by\s+20\d\d-\d\d-\d\dT[\d:]{8}Z\n", run("show", "1", "--home", home))
    assert (shown["status"], shown["members"]) == ("aborted", ["Hospital 0", "Hospital 1", "Hospital 2"])


def test_every_n_hours_within_the_hours_of_the_day(net: PlannedNet, run: Run) -> None:
    at = int(net.clock()) % 86_400
    start = (at // 60 + 60) % 1440  # an hour from now, for an hour
    hours = f"{start // 60:02}:{start % 60:02}-{(start // 60 + 1) % 24:02}:{start % 60:02}"
    go_by(net, every_hours=24, open_between=hours)
    assert opened(net) == [], "not the time of day"
    assert "UTC (every 24 h)" in run("next", "--home", net.sites[0].home.root)
    net.later(3700)
    assert opened(net) == [1]
    net.later(PLAN["round_seconds"] + 1)
    net.sites[1].chain.rounds.abort(1)
    assert opened(net) == [1, 2], "it is tried again at once"
    net.later(PLAN["round_seconds"] + 1)
    net.sites[1].chain.rounds.abort(2)
    assert opened(net) == [1, 2], "the third try comes later"
    net.later(PLAN["round_seconds"])
    assert opened(net) == [1, 2, 3]


def test_new_data_of_enough_hospitals_opens_a_round(net: PlannedNet, run: Run) -> None:
    plan = go_by(net, new_data_from=2)
    announce(net, 0)
    assert opened(net) == []
    assert "1 of 2 hospitals" in run("next", "--home", net.sites[2].home.root)
    announce(net, 1)
    assert opened(net) == [1]
    finalise(net, 1, plan)
    announce(net, 0)
    assert opened(net) == [1], "their data was there before"
    save(generate(8, 32, 50), net.sites[0].home.file("data/train.npz"))
    announce(net, 0)
    assert opened(net) == [1]
    assert json.loads(run("next", "--home", net.sites[1].home.root, "--json"))["new_data"] == ["Hospital 0"]
    save(generate(8, 32, 51), net.sites[1].home.file("data/train.npz"))
    announce(net, 1)
    assert opened(net) == [1, 2]


def announce(net: PlannedNet, k: int) -> None:
    site = net.sites[k]
    held = site.planning.images.look()
    assert held is not None
    site.board.announce(held.images, held.digest, site.identity.account)


def finalise(net: PlannedNet, number: int, plan: Plan) -> None:
    """What a quorum signs at the end of a round that accepted no group."""
    from chain.records import Outcome
    from tests.epochs.support import digest

    leader, base = net.sites[0], net.sites[0].view.head
    leader.chain.rounds.propose(number, digest("p"), digest("u"), digest("s"))
    outcome = Outcome(
        round=number, base=base, model=base, plan=plan.digest, leader=leader.account, proposal=digest("p"),
        updates_root=digest("u"), sums_root=digest("s"), statement=digest("t"), seed_material=digest("m"),
    )  # fmt: skip
    signatures = {site.k: site.chain.rounds.sign_outcome(outcome) for site in net.sites}
    leader.chain.rounds.finalise(outcome, signatures)


def test_a_pause_is_kept_and_only_an_order_opens_meanwhile(net: PlannedNet, run: Run) -> None:
    go_by(net, every_hours=1)
    homes = [site.home.root for site in net.sites]
    for home in homes:
        run("pause", "--home", home)
    for site in net.sites:
        site.planning.close()
        site.start()
    assert opened(net) == []
    assert "round resume" in run("next", "--home", homes[0])
    run("start", "--home", homes[0], "--wait", 0)
    assert opened(net) == [1]
    give_up(net, 1)
    net.later(7200)
    assert opened(net) == [1]
    assert json.loads(run("resume", "--home", homes[1], "--json")) == {"paused": False, "changed": True}
    assert opened(net) == [1, 2]


def test_a_round_all_have_left_is_aborted_when_its_time_is_over(net: PlannedNet, run: Run) -> None:
    go_by(net)
    homes = [site.home.root for site in net.sites]
    assert "no round was opened yet" in run("cancel", "--home", homes[0], "--yes", code=3)
    run("start", "--home", homes[0], "--wait", 0)
    opened(net)
    said = run("cancel", "--home", homes[0], "--yes")
    assert "still ends without 1 of 3 members" in said
    for home in homes[1:]:
        assert json.loads(run("cancel", "1", "--pause", "--home", home, "--json"))["paused"] is True
    assert net.sites[0].planning.orders.left() == {1}
    opened(net)
    assert net.sites[0].view.rounds[1].open, "not before its time"
    net.later(PLAN["round_seconds"] + 2)
    opened(net)
    assert net.sites[0].view.rounds[1].aborted
    assert "aborted" in run("cancel", "1", "--home", homes[0], "--yes", code=3)


def test_opening_directly_is_refused_while_the_node_runs(net: PlannedNet, run: Run) -> None:
    go_by(net)
    site = net.sites[0]
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        config = site.config.model_copy(
            update={"hospital": site.config.hospital.model_copy(update={"port": listening.getsockname()[1]})}
        )
        config.write(site.home.config_file)
        assert "leave --direct out" in run("start", "--direct", "--home", site.home.root, code=3)
    assert run("start", "--direct", "--home", site.home.root) == "round 1: open\n"
    assert opened(net) == [1]


def test_without_a_plan_nothing_is_opened_and_it_says_so(net: PlannedNet, run: Run) -> None:
    assert "there is no plan.toml" in run("start", "--home", net.sites[0].home.root, code=3)
    go_by(net, min_group=4)
    assert "waits for 4 members, there are 3" in run("next", "--home", net.sites[0].home.root)
    run("start", "--home", net.sites[0].home.root, "--wait", 0)
    assert opened(net) == []


def test_a_plan_that_asks_for_another_key_waits_for_it(net: PlannedNet, run: Run) -> None:
    """Else every round would be refused by every hospital, and aborted."""
    go_by(net, threshold=3)
    run("start", "--home", net.sites[0].home.root, "--wait", 0)
    assert opened(net) == []
    assert "asks for a key that any 3 members open" in run("next", "--home", net.sites[0].home.root)
    net.make_key(threshold=3)
    assert opened(net) == [1], "the order has waited"
