"""`medweave demo --attack` as a user runs it: a daemon that lies among daemons that do not."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from types import SimpleNamespace

import pytest
from rich.console import Console

from node.attacks.daemon import main
from node.attacks.spec import MARK
from node.cli.demo import command
from node.demo.network import plan_for
from node.demo.options import DemoOptions
from node.demo.report import DemoReport, show, summarise
from node.errors import BadInput

LIAR = "hospital-2"


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_the_liar_is_left_out_and_the_audit_verifies(tmp_path):
    out = tmp_path / "run"
    small = "--hospitals 6 --threshold 4 --rounds 9 --epochs 5 --architecture cnn --image-size 32 --samples 288"
    asked = [*small.split(), "--parameters", "minimal", "--no-baseline", "--round-seconds", "120"]
    done = subprocess.run(
        [sys.executable, "-m", "node.cli.main", "demo", *asked, "--attack", "scaled:100000@2", "--out", str(out)],
        capture_output=True,
        text=True,
        timeout=380,
        check=False,
        env={**os.environ, "MEDWEAVE_TESTING": "1"},
    )
    assert done.stdout.strip().splitlines()[-1] == "audit: verified", done.stdout + done.stderr
    rounds = json.loads((out / "report.json").read_text())["rounds"]
    assert any(row["accepted"] < row["groups"] for row in rounds), "its sums were refused"
    assert {row["sections"] for row in rounds if row["groups"]} == {3}
    assert LIAR in rounds[-1]["left_out"]
    spared = Counter(name for row in rounds for name in row["left_out"])
    assert spared.pop(LIAR) >= 5
    assert all(count <= 2 for count in spared.values()), "others rest now and then"
    assert (out / "hospitals" / LIAR / MARK).exists()


def test_a_daemon_lies_only_where_a_demo_said_so(tmp_path, caplog, monkeypatch):
    tied_to = []
    monkeypatch.setattr("node.attacks.daemon.die_with", tied_to.append)  # the tests' own process is to stay free
    asked = ["sign-flip@1", "--hospitals", "4", "--home", str(tmp_path), "--password-fd", "0", "--parent", "77"]
    assert main(asked) == 3
    assert "only `medweave demo --attack`" in caplog.text
    (tmp_path / MARK).write_text("noise:10@1")
    assert main(asked) == 3
    assert tied_to == [77, 77], "it ends with the demo that made it"


def test_no_command_or_setting_of_a_real_node_makes_it_lie():
    from click.testing import CliRunner

    from node.cli.main import cli
    from node.config import NodeConfig

    shown = CliRunner().invoke(cli, ["node", "--help"]).output
    assert "attack" not in shown
    assert "attack" not in json.dumps(NodeConfig.model_json_schema()).lower()
    assert any(option.name == "attack" for option in command.params)


def test_the_options_are_checked_before_anything_is_started(tmp_path):
    with pytest.raises(BadInput, match="no kind"):
        DemoOptions(out=tmp_path / "run", attack="nonsense@1")
    with pytest.raises(BadInput, match="from 1 to 4"):
        DemoOptions(out=tmp_path / "run", attack="sign-flip@5")


@pytest.mark.parametrize(("min_group", "sections"), [(1, 1), (2, 2), (3, 3), (4, 3)])
def test_an_attacked_demo_cuts_the_model_into_sections(tmp_path, min_group, sections):
    data = SimpleNamespace(class_names=("a", "b"), test=SimpleNamespace(cropped=""))
    attacked, honest = (
        plan_for(DemoOptions(out=tmp_path / "run", min_group=min_group, attack=attack), data)
        for attack in ("sign-flip@1", "")
    )
    assert (attacked.defence, attacked.sections) == ("suspicion", sections)
    assert (honest.defence, honest.sections) == ("votes", 1)


def test_the_report_counts_sums_by_section(tmp_path):
    row = {"round": 3, "status": "finalised", "leader": None, "model": "aa", "base": "bb"}
    accounts = [f"0x{seat:040x}" for seat in range(5)]
    partition = ((0, 1), (2, 3)), ((0, 2), (1, 3))
    groups = [{"updates": group, "accepted": 4 not in group and 0 not in group} for part in partition for group in part]
    statement = {"predicate": {"updates": [{"issuer": account} for account in accounts], "groups": groups}}
    told = summarise(row, [], {accounts[4]: LIAR}, statement)
    assert (told.participants, told.groups, told.accepted, told.sections) == (4, 4, 2, 2)
    assert told.left_out == (LIAR,)
    options = DemoOptions(out=tmp_path / "run", attack="sign-flip@1")
    console = Console(record=True, width=200)
    show(DemoReport({}, {"synthetic": True}, {}, [told]), console, options)
    said = console.export_text()
    assert f"2 of 4 sums (2 sections of 2 groups) refused; listed and not summed: {LIAR}" in said


def test_the_report_names_who_was_left_out_by_its_hospital():
    """Statements write accounts in lower case, the chain's rows with EIP-55's capitals."""
    account = "0x52908400098527886E0F7030069857D2E4169EE7"
    row = {"round": 3, "status": "finalised", "leader": None, "model": "aa", "base": "bb"}
    updates = [{"issuer": "0x" + "11" * 20}, {"issuer": account.lower()}]
    statement = {"predicate": {"updates": updates, "groups": [{"updates": [0], "accepted": True}]}}
    assert summarise(row, [], {account: LIAR}, statement).left_out == (LIAR,)
