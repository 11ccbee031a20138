import csv
import json

from click.testing import CliRunner

from node.cli.data import command
from node.images.archive import load_saved
from tests.images.test_scans import scans


def run(*arguments):
    return CliRunner().invoke(command, [str(argument) for argument in arguments], standalone_mode=False)


def test_check_names_bad_files_and_says_so_by_its_exit_code(tmp_path):
    root = scans(tmp_path / "set")
    assert run("check", root).return_value == 0
    (root / "covid" / "broken.dcm").write_bytes(b"\0" * 200)
    found = run("check", root, "--json", "--quarantine", tmp_path / "bad.csv")
    assert found.return_value == 1
    report = json.loads(found.output)
    assert report["train"]["images"] + report["test"]["images"] == 25
    assert report["refused"][0]["file"].endswith("covid/broken.dcm")
    rows = list(csv.DictReader((tmp_path / "bad.csv").open()))
    assert rows[0]["file"].endswith("broken.dcm")
    assert rows[0]["reason"]
    assert "cannot use covid/broken.dcm" in str(run("check", root, "--strict").exception)


def test_import_writes_what_a_node_trains_on(tmp_path):
    out = tmp_path / "images"
    assert run("import", scans(tmp_path / "set"), "--out", out, "--window", "-500,1400").return_value == 0
    parts = {name: load_saved(out / f"{name}.npz") for name in ("train", "validation", "test")}
    assert sum(map(len, parts.values())) == 25
    patients = [set(part.patients) for part in parts.values()]
    assert not patients[0] & patients[1]
    assert not patients[0] & patients[2]
    assert not patients[1] & patients[2]
    card = json.loads((out / "card.json").read_text())
    assert card["train"]["images"] == len(parts["train"])
    assert not (out / "quarantine.csv").exists()
