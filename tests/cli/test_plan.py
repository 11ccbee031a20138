"""`medweave plan` on a real chain: written, checked, put to the vote, approved; every node goes by it, nobody restarts."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from chain.anvil import Anvil
from crypto import secrets
from node.cli.main import main
from node.images.archive import load_saved
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
    monkeypatch.setattr("node.membership.council.TURN_SECONDS", 0.0)
    monkeypatch.setattr("node.daemon.opening.TURN_SECONDS", 0.0)


@pytest.fixture
def net(tmp_path: Path):
    with Anvil(None, tmp_path / "state.json") as anvil:
        yield PlannedNet(tmp_path, anvil.url)


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    def command(*arguments: object, code: int = 0) -> str:
        with pytest.raises(SystemExit) as ended:
            main(["plan", *map(str, arguments)])
        out = capsys.readouterr()
        assert (ended.value.code or 0) == code, out.err
        return out.out if code in {0, 1} and not out.err.startswith("error") else out.err

    return command


def write(path: Path, **fields: object) -> tuple[Path, Plan]:
    plan = Plan.of(PLAN | fields)
    path.write_text(plan_toml(plan), encoding="utf-8")
    return path, plan


def test_a_first_plan_takes_its_classes_from_the_images(tmp_path: Path, net: PlannedNet, run: Run) -> None:
    home, out = net.sites[0].home.root, tmp_path / "plan.toml"
    run("new", "--home", home, "--out", out, "--rounds", 4, "--min-group", 2, "--every-hours", 24)
    plan = Plan.from_toml(out)
    assert (plan.rounds, plan.threshold, plan.every_hours) == (4, 0, 24)
    assert plan.classes == load_saved(net.sites[0].home.file("data/train.npz")).class_names
    assert "exists already" in run("new", "--classes", "a,b", "--out", out, code=3)
    assert "rounds" in run("new", "--classes", "a,b", "--rounds", 0, code=3)
    said = run("check", out, "--home", home)
    assert "Any 2 of 3 members open a sum together" in said
    assert "24 h after" in said
    refused = json.loads(
        run("check", write(tmp_path / "x.toml", classes=("x", "y"))[0], "--home", home, "--json", code=1)
    )
    assert "this hospital's images have" in refused["refusals"][0]


def test_a_plan_is_proposed_approved_and_in_force_everywhere(tmp_path: Path, net: PlannedNet, run: Run) -> None:
    homes = [site.home.root for site in net.sites]
    classes = Plan.from_toml(_new(tmp_path, run, homes[0])).classes
    file, first = write(tmp_path / "first.toml", classes=classes)
    said = run("propose", "--home", homes[0], file, "--yes")
    assert f"admit plan 'first-plan'  {first.digest.hex()}" in said
    assert "signed: 1 of 2" in said
    assert [site.planning.plan for site in net.sites] == [None] * 3
    net.daemons()
    (row,) = json.loads(run("pending", "--home", homes[1], "--json"))["motions"]
    assert (row["name"], row["signed"], row["quorum"]) == ("first-plan", ["Hospital 0"], 2), "its bytes were fetched"
    run("approve", "--home", homes[1], first.digest.hex()[:8], "--yes")
    net.daemons()
    assert [site.planning.plan for site in net.sites] == [first] * 3
    assert run("pending", "--home", homes[2]) == "no plan is put to the vote\n"
    assert "in force by the members' vote" in run("show", "--home", homes[2])

    file, second = write(tmp_path / "second.toml", classes=classes, epochs=9, name="longer")
    assert "epochs: 6 -> 9" in run("propose", "--home", homes[2], file, "--yes")
    net.daemons()
    assert "epochs: 6 -> 9" in run("pending", "--home", homes[0])
    assert [site.planning.plan for site in net.sites] == [first] * 3, "put to the vote is not approved"
    run("approve", "--home", homes[0], second.digest.hex(), "--yes", "--json")
    net.daemons()
    assert [site.planning.plan for site in net.sites] == [second] * 3
    changes = json.loads(
        run("diff", first.digest.hex()[:8], second.digest.hex()[:8], "--home", homes[1], "--json", code=1)
    )
    assert [change["field"] for change in changes["changes"]] == ["name", "epochs"]
    assert run("diff", second.digest.hex(), "--home", homes[1]) == "the same plan\n"
    rows = json.loads(run("list", "--home", homes[1], "--json"))["plans"]
    assert {row["name"]: row["in_force"] for row in rows} == {"first-plan": False, "longer": True}

    for plan, expected in ((second, first), (first, None)):
        run("withdraw", "--home", homes[0], plan.digest.hex()[:8], "--yes")
        net.daemons()
        run("approve", "--home", homes[1], plan.digest.hex()[:8], "--yes")
        net.daemons()
        assert [site.planning.plan for site in net.sites] == [expected] * 3
    assert "withdrew every plan" in run("show", "--home", homes[1], code=3)


def _new(tmp_path: Path, run: Run, home: Path) -> Path:
    run("new", "--home", home, "--out", tmp_path / "new.toml")
    return tmp_path / "new.toml"


def test_what_a_hospital_would_refuse_it_does_not_sign(tmp_path: Path, net: PlannedNet, run: Run) -> None:
    home = net.sites[0].home.root
    classes = Plan.from_toml(_new(tmp_path, run, home)).classes
    file, _ = write(tmp_path / "open.toml", classes=classes, min_group=1)
    assert "min_group" in run("propose", "--home", home, file, "--yes", code=1)
    net.daemons()
    assert run("pending", "--home", net.sites[1].home.root) == "no plan is put to the vote\n"
    assert "0 motions" in run("approve", "--home", home, "abcd", "--yes", code=3)
    assert "no file" in run("show", "--home", home, "0123", code=3)
    (tmp_path / "bad.toml").write_text('classes = ["a"]')
    assert "classes" in run("check", tmp_path / "bad.toml", code=3)


def test_a_key_is_wanted_for_the_plan_in_force_and_no_other(tmp_path: Path, net: PlannedNet, run: Run) -> None:
    site = net.sites[0]
    assert site.planning.key_wanted(site.view) is None, "no plan yet"
    homes = [s.home.root for s in net.sites]
    classes = Plan.from_toml(_new(tmp_path, run, homes[0])).classes
    (homes[0] / "plan.toml").write_text(plan_toml(Plan.of(PLAN | {"threshold": 3})), encoding="utf-8")
    site.planning.close()
    site.start()
    assert site.planning.key_wanted(site.view) is None, "nothing was looked at yet"
    net.daemons(1)
    wish = site.planning.key_wanted(site.view)
    assert wish is not None
    assert (wish.openers, wish.present_serves) == (3, True), "its own plan replaces no key that fits the members"
    net.make_key()
    file, voted = write(tmp_path / "voted.toml", classes=classes, threshold=3, name="voted")
    run("propose", "--home", homes[0], file, "--yes")
    net.daemons()
    run("approve", "--home", homes[1], voted.digest.hex(), "--yes")
    for other in net.sites:
        other.exchange.heard(net.sites[1].exchange.told())
    net.sites[1].council.step(net.sites[1].view)
    site.follower.look()
    assert site.view.plan == voted.digest
    assert site.planning.key_wanted(site.view) is None, (
        "decided, and not looked at yet: the old plan asks for nothing any more"
    )
    net.daemons()
    wish = site.planning.key_wanted(site.view)
    assert wish is not None
    assert (wish.openers, wish.present_serves) == (3, False), "a plan by vote gets the key it asks for"
    net.make_key(threshold=3)
    wish = site.planning.key_wanted(site.view)
    assert wish is not None
    assert wish.present_serves


@pytest.mark.parametrize("what", ["check", "show"])
def test_a_file_that_is_not_there_is_said_to_be_so(tmp_path: Path, run: Run, what: str) -> None:
    said = run(what, tmp_path / "missing.toml", code=3 if what == "check" else 2)
    assert "there is no" in said
    assert "Errno" not in said
