"""The doctor's judgements: functions of what was found."""

from __future__ import annotations

import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest

from chain import events as ev
from node.config import Api, ChainSection, NodeConfig, Rounds
from node.config import Hospital as HospitalSection
from node.consortium.view import ConsortiumView, fold
from node.doctor import certificates, chainside, local, network
from node.doctor.certificates import Certificate
from node.doctor.network import Answer
from node.doctor.verdict import Verdict
from node.home import Home
from node.membership.funds import Funds, ether
from node.planning.choice import Choice
from node.planning.first import Images
from node.rounds.plan import Plan
from tests.membership.support import ACCOUNTS, digest, founded, hospital

OK, WARN, FAIL, SKIPPED = Verdict.OK, Verdict.WARN, Verdict.FAIL, Verdict.SKIPPED
NOW, DAY = 1_700_000_000.0, 86_400.0
GWEI = 10**9
WHERE = {"block": 9, "log_index": 0, "tx": bytes(32)}
CLASSES = ("ill", "well")
HERE = digest("consortium")


def configured(min_group: int = 3, **changes: object) -> NodeConfig:
    section = HospitalSection(**({"name": "A", "port": 8470, "url": "http://node-0"} | changes))
    return NodeConfig(hospital=section, chain=ChainSection(rpc="http://c"), rounds=Rounds(min_group=min_group))


def keyed(generation: int = 0, members: int = 4) -> ConsortiumView:
    opened = ev.EpochOpened(
        epoch=1, parameter_set=bytes(32), threshold=3, deadline=9, opener=ACCOUNTS[0].address, **WHERE
    )
    view = fold(founded(members), [opened, ev.EpochActivated(epoch=1, joint_key=bytes(32), **WHERE)])
    return replace(view, epochs={1: replace(view.epochs[1], generation=generation)})


@pytest.mark.parametrize(
    ("block_ahead", "peers", "verdict", "said"),
    [
        (-86_400, {}, OK, "not behind"),
        (30, {}, FAIL, "30 s behind the chain"),
        (0, {"B": 3.0, "C": -2.0}, OK, "members' (2)"),
        (0, {"B": 20.0, "C": 22.0, "D": 1.0}, WARN, "behind the other"),
        (0, {"B": -90.0}, FAIL, "90 s ahead of"),
        (0, {"B": 0.0, "C": 1.0, "D": 9_000.0}, OK, "members' (3)"),
    ],
)
def test_clock(block_ahead: int, peers: dict[str, float], verdict: Verdict, said: str) -> None:
    found = chainside.clock(NOW, int(NOW) + block_ahead, peers, 60.0)
    assert found.verdict is verdict
    assert said in found.found
    assert bool(found.do) is (verdict is not OK)


def test_account_member_stranger_former() -> None:
    view = founded()
    assert chainside.account(view, ACCOUNTS[1].address, "F").verdict is OK
    stranger = chainside.account(view, ACCOUNTS[5].address, "ABCD-EFGH")
    assert stranger.verdict is WARN
    assert "ABCD-EFGH" in stranger.found
    assert "has not asked" in stranger.found
    asked = chainside.account(view, ACCOUNTS[5].address, "ABCD-EFGH", int(NOW))
    assert (asked.verdict, "3 of 4 must" in asked.do) == (WARN, True)
    gone = fold(view, [ev.HospitalRemoved(index=1, account=ACCOUNTS[1].address, **WHERE)])
    assert chainside.account(gone, ACCOUNTS[1].address, "F").verdict is FAIL


def test_registered_url() -> None:
    assert chainside.registered_url(founded(), 0, configured(url="http://node-0/")).verdict is OK
    moved = chainside.registered_url(founded(), 0, configured(url="http://elsewhere"))
    assert moved.verdict is FAIL
    assert "medweave members url" in moved.do
    assert chainside.registered_url(founded(), None, configured()).verdict is SKIPPED


@pytest.mark.parametrize(
    ("balance", "price", "verdict"),
    [(0, GWEI, FAIL), (10**15, GWEI, WARN), (10**18, GWEI, OK), (0, 0, OK), (10**18, 10**12, WARN)],
)
def test_funds(balance: int, price: int, verdict: Verdict) -> None:
    assert chainside.funds("0xA", Funds(balance, price), 100).verdict is verdict


def test_ether_is_written_as_people_do() -> None:
    assert [ether(0), ether(10**18), ether(15 * 10**17), ether(900_000 * GWEI)] == ["0", "1", "1.5", "0.0009"]


def test_key() -> None:
    share = {0: Path("share")}
    assert chainside.key(founded(), 0, {}).verdict is WARN
    assert chainside.key(keyed(), 0, share).verdict is OK
    assert chainside.key(keyed(), 0, {}).verdict is FAIL
    old = chainside.key(keyed(generation=2), 0, share)
    assert old.verdict is FAIL
    assert "generation 0" in old.found
    assert chainside.key(keyed(), None, {}).verdict is SKIPPED
    grown = hospital(4)
    admitted = ev.HospitalAdmitted(
        index=4,
        account=grown.account,
        box_key=grown.box_key,
        data_size=9,
        name="New",
        url="",
        **(WHERE | {"tx": bytes([1] * 32)}),
    )
    assert "changed since" in chainside.key(fold(keyed(), [admitted]), 0, share).found


@pytest.mark.parametrize(
    ("fields", "min_group", "members", "verdict", "said"),
    [
        ({}, 3, 4, OK, "opened by 3 of 4"),
        ({"min_group": 2}, 3, 4, FAIL, "min_group asks for at least 3"),
        ({"threshold": 2}, 3, 4, FAIL, "2 of 4 members"),
        ({"threshold": 9}, 3, 4, FAIL, "9 of 4 members"),
        ({}, 3, 2, WARN, "begin with 3 members"),
        ({"classes": ("a", "b")}, 3, 4, FAIL, "images have ill, well"),
        ({"parameter_set": "minimal"}, 3, 4, FAIL, "minimal"),
        (
            {"crop_lungs": "5e" * 32},
            3,
            4,
            FAIL,
            "to be cropped to the lungs by 5e5e5e5e5e5e5e5e…, this hospital's are not",
        ),
    ],
)
def test_plan(fields: dict[str, object], min_group: int, members: int, verdict: Verdict, said: str) -> None:
    plan = Plan.of({"classes": CLASSES, **fields})
    found = chainside.plan(plan, Choice("file", plan.digest), configured(min_group), members, Images(CLASSES))
    assert found.verdict is verdict
    assert said in found.found


def test_a_plan_that_is_not_there() -> None:
    assert chainside.plan(None, Choice("none", None), configured(), 4, None).verdict is WARN
    assert chainside.plan(None, Choice("vote", bytes(32)), configured(), 4, None).verdict is WARN
    rounds = configured().model_copy(update={"rounds": Rounds(target=5)})
    assert chainside.plan(None, Choice("none", None), rounds, 4, None).verdict is FAIL


@pytest.mark.parametrize(("images", "verdict"), [(10, OK), (20, OK), (21, WARN), (9, WARN)])
def test_declared_size(images: int, verdict: Verdict) -> None:
    assert chainside.declared(founded(), 0, images).verdict is verdict


@pytest.mark.parametrize(
    ("answers", "verdict", "said"),
    [
        ([], OK, "only member"),
        ([Answer("B", True, consortium=HERE, version="1"), Answer("C", True, consortium=HERE, version="1")], OK, "2 of 2"),
        ([Answer("B", True, consortium=HERE, version="1"), Answer("C", False, "refused")], WARN, "C (refused)"),
        ([Answer("B", False, "refused"), Answer("C", True, "answers 500")], FAIL, "rounds need 1"),
        ([Answer("B", True, consortium=b"x" * 32), Answer("C", True, consortium=HERE)], FAIL, "another consortium"),
        ([Answer("B", True, consortium=HERE, version="2"), Answer("C", True, consortium=HERE, version="1")], WARN, "run 2"),
    ],
)  # fmt: skip
def test_peers(answers: list[Answer], verdict: Verdict, said: str) -> None:
    found = network.peers(answers, HERE, "1", 2)
    assert found.verdict is verdict
    assert said in found.found


@pytest.mark.parametrize(
    ("certificate", "host", "verdict"),
    [
        (Certificate(NOW - DAY, NOW + 90 * DAY, ("a.example",)), "a.example", OK),
        (Certificate(NOW - DAY, NOW + 90 * DAY, ("*.example",)), "a.example", OK),
        (Certificate(NOW - DAY, NOW + 90 * DAY, ("*.example",)), "b.a.example", FAIL),
        (Certificate(NOW - DAY, NOW + 90 * DAY, ("10.0.0.1",)), "10.0.0.1", OK),
        (Certificate(NOW - DAY, NOW + 9 * DAY, ("a.example",)), "a.example", WARN),
        (Certificate(NOW - 9 * DAY, NOW - DAY, ("a.example",)), "a.example", FAIL),
        (Certificate(NOW + DAY, NOW + 90 * DAY, ("a.example",)), "a.example", FAIL),
    ],
)
def test_certificates(certificate: Certificate, host: str, verdict: Verdict) -> None:
    assert certificates.judge(certificate, host, NOW).verdict is verdict


@pytest.mark.parametrize(
    ("host", "url", "plain", "verdict"),
    [
        ("127.0.0.1", "http://127.0.0.1:8470", False, OK),
        ("10.1.2.3", "http://node.example:8470", False, FAIL),
        ("10.1.2.3", "http://node.example:8470", True, WARN),
        ("127.0.0.1", "https://node.example", False, OK),
        ("10.1.2.3", "https://node.example", False, FAIL),
    ],
)
def test_without_a_certificate(tmp_path: Path, host: str, url: str, plain: bool, verdict: Verdict) -> None:
    config = configured(host=host, url=url)
    config = config.model_copy(update={"api": Api(plain_elsewhere=plain)})
    assert certificates.tls(Home(tmp_path), config, NOW).verdict is verdict


@pytest.mark.parametrize(("free", "verdict"), [(1 << 20, FAIL), (2 << 30, WARN), (50 << 30, OK)])
def test_room(free: int, verdict: Verdict) -> None:
    assert local.room(free).verdict is verdict


def test_packages_are_those_that_are_pinned() -> None:
    lines = ["click==8.5.1", "no-such-package==1", "urllib3<3", "numpy==0.1"]
    found = list(local.wrong_packages(lines))
    assert [line.split()[0] for line in found] == ["no-such-package", "numpy"]
    assert "expected 0.1" in found[1]


def test_an_old_journal_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    assert local.journal(path, 0, running=False, now=NOW).verdict is OK
    assert local.journal(path, 3, running=False, now=NOW).verdict is WARN
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE promises (round INTEGER)")
        db.execute("CREATE TABLE facts (round INTEGER)")
        db.execute("INSERT INTO facts VALUES (2)")
    assert local.journal(path, 2, running=False, now=NOW).verdict is OK
    assert local.journal(path, 3, running=False, now=NOW).verdict is WARN
    assert local.journal(path, 3, running=True, now=NOW).verdict is OK
    path.write_bytes(b"no database at all, and long enough to be looked at as one")
    assert local.journal(path, 3, running=True, now=NOW).verdict is FAIL
