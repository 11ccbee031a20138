"""`medweave backup` and `restore` as a person uses them, without a chain."""

from __future__ import annotations

import json
import time

import pytest

from crypto import secrets
from dag.restoring import least_sequence
from dag.store.sqlite import Store
from node.cli.main import main
from node.config import ChainSection, Hospital, NodeConfig
from node.home import Home, create_identity
from node.rounds.journal import Journal
from node.rounds.restored import last_forgotten

PASSWORD = "correct horse"


@pytest.fixture
def home(tmp_path, monkeypatch):
    for name, value in {"MEMORY_KIB": 8, "PASSES": 1, "LANES": 1}.items():
        monkeypatch.setattr(secrets, name, value)
    monkeypatch.setenv("MEDWEAVE_PASSWORD", PASSWORD)
    made = Home(tmp_path / "home")
    made.root.mkdir()
    create_identity(made, PASSWORD)
    section = Hospital(name="St. Anna / Nord", port=8470, url="http://127.0.0.1:8470")
    NodeConfig(hospital=section, chain=ChainSection(rpc="http://127.0.0.1:1")).write(made.config_file)
    Journal(made.journal).close()
    return made


@pytest.fixture
def run(capsys):
    def call(*arguments):
        with pytest.raises(SystemExit) as ended:
            main([str(a) for a in arguments])
        out, err = capsys.readouterr()
        return ended.value.code, out, err

    return call


def test_there_and_back(home, run, tmp_path):
    code, out, _ = run("backup", "--home", home.root, "--out", tmp_path / "b.mwb")
    assert code == 0
    assert "4 files" in out
    code, out, _ = run("restore", "--list", "--from", tmp_path / "b.mwb", "--json")
    assert code == 0
    listed = json.loads(out)
    assert listed["hospital"] == "St. Anna / Nord"
    assert listed["files"] == ["journal.sqlite", "node.toml", "secrets/account.json", "secrets/box.sealed"]
    code, out, _ = run("restore", "--home", tmp_path / "new", "--from", tmp_path / "b.mwb", "--offline", "--json")
    assert code == 0
    assert json.loads(out) == {
        "home": str(tmp_path / "new"),
        "made": listed["made"],
        "files": 4,
        "left_out": [],
        "sits_out_through_round": None,
    }
    new = Home(tmp_path / "new")
    assert new.account_file.read_bytes() == home.account_file.read_bytes()
    assert last_forgotten(Journal(new.journal), 8) == 8
    with Store(new.ledger) as store:
        assert least_sequence(store) > 10**15, "although the backup held no ledger"


def test_the_list_for_people_says_what_it_is_of(home, run, tmp_path):
    run("backup", "--home", home.root, "--out", tmp_path / "b.mwb")
    code, out, _ = run("restore", "--list", "--from", tmp_path / "b.mwb")
    assert code == 0
    assert "hospital: St. Anna / Nord" in out
    assert "  secrets/box.sealed" in out


def test_without_the_chain_it_says_so_and_restores_nothing(home, run, tmp_path):
    run("backup", "--home", home.root, "--out", tmp_path / "b.mwb")
    code, _, err = run("restore", "--home", tmp_path / "new", "--from", tmp_path / "b.mwb")
    assert code == 3, err
    assert "consortium.json" in err
    assert not (tmp_path / "new").exists()


def test_in_a_directory_the_newest_are_kept_and_nothing_else_is_touched(home, run, tmp_path, monkeypatch):
    folder = tmp_path / "backups"
    folder.mkdir()
    others = ["medweave-Other-20200101T000000Z.mwb", "medweave-St-Anna-Nord-2020.mwb", "notes.txt"]
    for name in others:
        (folder / name).write_text("x")
    for seconds in range(4):
        monkeypatch.setattr(time, "time", lambda seconds=seconds: 1_800_000_000 + seconds)
        code, out, _ = run("backup", "--home", home.root, "--out", folder, "--keep", 2, "--json")
        assert code == 0
    assert json.loads(out)["deleted"] == ["medweave-St-Anna-Nord-20270115T080001Z.mwb"]
    assert sorted(path.name for path in folder.iterdir()) == sorted(
        [*others, "medweave-St-Anna-Nord-20270115T080002Z.mwb", "medweave-St-Anna-Nord-20270115T080003Z.mwb"]
    )


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("backup", "--home", "HOME", "--out", "B"), 3, "exists already"),
        (("backup", "--home", "HOME", "--out", "C", "--keep", "2"), 2, "directory"),
        (("backup", "--home", "NONE", "--out", "C"), 3, "medweave init"),
        (("restore", "--from", "B"), 2, "--home"),
        (("restore", "--from", "B", "--home", "HOME", "--offline"), 3, "not empty"),
        (("restore", "--from", "B", "--home", "N", "--offline", "--without-old-shares"), 2, "--offline"),
        (("restore", "--from", "JUNK", "--home", "N", "--offline"), 3, "no backup"),
        (("restore", "--from", "JUNK", "--list"), 3, "no backup"),
    ],
)
def test_what_cannot_be_done_is_said(home, run, tmp_path, arguments, code, said):
    run("backup", "--home", home.root, "--out", tmp_path / "B")
    (tmp_path / "JUNK").write_bytes(b"junk")
    places = {name: tmp_path / name for name in ("B", "C", "N", "NONE", "JUNK")} | {"HOME": home.root}
    found, _, err = run(*(places.get(a, a) for a in arguments))
    assert found == code, err
    assert said in err
    assert not (tmp_path / "N").exists()


def test_the_wrong_password_opens_nothing(home, run, tmp_path, monkeypatch):
    run("backup", "--home", home.root, "--out", tmp_path / "B")
    monkeypatch.setenv("MEDWEAVE_PASSWORD", "battery staple")
    code, _, err = run("restore", "--from", tmp_path / "B", "--home", tmp_path / "N", "--offline")
    assert code == 3
    assert "battery" not in err
    assert not (tmp_path / "N").exists()
