"""`medweave doctor` on a real hospital's directory and a real chain: each thing is broken once, for real, and the verdict seen."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from chain.anvil import Anvil
from chain.connection import Connection
from crypto import secrets
from node.cli.main import main
from node.demo.ports import choose_ports
from node.doctor import local
from node.home import Home, create_identity
from node.images.archive import save
from node.images.phantom import generate
from node.rounds.journal import Journal

PASSWORD = "correct horse"
Verdicts = dict[str, dict[str, str]]
Doctor = Callable[..., Verdicts]


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(list(arguments))
    return int(ended.value.code or 0)


@pytest.fixture(scope="module")
def hospital(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, str]]:
    """A founder's directory as the commands make it, and its chain's endpoint."""
    root = tmp_path_factory.mktemp("doctor")
    save(generate(24, 32, seed=0), root / "images.npz")
    with pytest.MonkeyPatch.context() as patch, Anvil(None, root / "state.json") as anvil:
        for name, value in {"MEMORY_KIB": 8, "PASSES": 1, "LANES": 1}.items():
            patch.setattr(secrets, name, value)
        patch.setenv("MEDWEAVE_PASSWORD", PASSWORD)
        home = str(root / "home")
        (port,) = choose_ports(1, 0)
        options = ("--name", "A", "--port", str(port), "--rpc", anvil.url, "--images", str(root / "images.npz"))
        assert run("init", "--home", home, "--min-group", "2", *options) == 0
        assert run("found", "--home", home, "--name", "lungs", "--anvil-account", "0") == 0
        yield root / "home", anvil.url


@pytest.fixture
def home(hospital: tuple[Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy that may be broken."""
    monkeypatch.setenv("MEDWEAVE_PASSWORD", PASSWORD)
    shutil.copytree(hospital[0], tmp_path / "home")
    return tmp_path / "home"


@pytest.fixture
def doctor(home: Path, capsys: pytest.CaptureFixture[str]) -> Doctor:
    def look(code: int, *more: str) -> Verdicts:
        capsys.readouterr()
        assert run("doctor", "--home", str(home), "--json", *more) == code
        found = json.loads(capsys.readouterr().out)
        assert found["healthy"] is (code == 0)
        return {check["name"]: check for check in found["checks"]}

    return look


def change(home: Path, old: str, new: str, file: str = "node.toml") -> None:
    text = (home / file).read_text()
    assert old in text
    (home / file).write_text(text.replace(old, new))


def test_a_good_directory_is_found_good(doctor: Doctor, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = doctor(0)
    assert {name for name, check in found.items() if check["verdict"] == "warn"} <= {"key", "plan", "disk"}
    assert not [name for name, check in found.items() if check["verdict"] == "skipped"]
    assert "begin with 2 members, there are 1" in found["plan"]["found"]
    assert all(check["do"] for check in found.values() if check["verdict"] in {"warn", "fail"})
    assert run("doctor", "--home", str(home)) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("ok      configuration")
    assert PASSWORD not in shown


def test_it_works_without_the_password(doctor: Doctor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MEDWEAVE_PASSWORD")
    found = doctor(0)
    assert found["password"]["verdict"] == "skipped"
    assert found["account"]["verdict"] == "ok"


def test_a_configuration_that_is_wrong(doctor: Doctor, home: Path) -> None:
    change(home, "port = ", "prot = ")
    found = doctor(1)
    assert list(found) == ["configuration"]
    assert "prot" in found["configuration"]["found"] or "port" in found["configuration"]["found"]


def test_secrets_that_others_may_read(doctor: Doctor, home: Path) -> None:
    (home / "secrets" / "account.json").chmod(0o644)
    found = doctor(1)["permissions"]
    assert found["verdict"] == "fail"
    assert "account.json" in found["found"]
    os.system(found["do"])  # noqa: S605  (what the doctor says must do)
    assert doctor(0)["permissions"]["verdict"] == "ok"


def test_a_wrong_password(doctor: Doctor, tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("wrong")
    assert doctor(1, "--password-file", str(file))["password"]["verdict"] == "fail"


def test_keys_that_are_missing(doctor: Doctor, home: Path) -> None:
    (home / "secrets" / "account.json").unlink()
    assert "medweave init" in doctor(1)["permissions"]["do"]


def test_images_that_cannot_be_read(doctor: Doctor, home: Path) -> None:
    file = home / "data" / "train.npz"
    file.write_bytes(file.read_bytes()[:500])
    found = doctor(1)["images"]
    assert found["verdict"] == "fail"
    assert "medweave data import" in found["do"]


def test_images_are_counted_and_not_shown(doctor: Doctor) -> None:
    assert doctor(0)["images"]["found"] == (
        "16 training (clear 8, ground-glass 8), 4 validation (clear 2, ground-glass 2)"
    )


def test_a_port_that_another_program_holds(doctor: Doctor, home: Path) -> None:
    config = Home(home).config()
    with socket.socket() as other:
        other.bind(("127.0.0.1", config.hospital.port))
        other.listen()
        found = doctor(1)["port"]
    assert (found["verdict"], "another program" in found["found"]) == ("fail", True)
    assert doctor(0)["port"]["verdict"] == "ok"


def test_a_host_that_is_not_this_machines(doctor: Doctor, home: Path) -> None:
    change(home, 'host = "127.0.0.1"', 'host = "192.0.2.1"')
    assert doctor(1)["port"]["verdict"] == "fail"


def test_a_disk_that_cannot_be_written(doctor: Doctor, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(**_: object) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(local.tempfile, "TemporaryFile", refused)
    found = doctor(1)["disk"]
    assert (found["verdict"], "Read-only" in found["found"]) == ("fail", True)


def test_a_chain_that_does_not_answer(doctor: Doctor, home: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        change(home, Home(home).config().chain.rpc, f"http://127.0.0.1:{free.getsockname()[1]}")
        found = doctor(1)
    assert found["chain"]["verdict"] == "fail"
    assert found["funds"]["verdict"] == "skipped"


def test_another_chain(doctor: Doctor, home: Path) -> None:
    change(home, '"chain_id": 31337', '"chain_id": 1', "consortium.json")
    assert "31337" in doctor(1)["chain"]["found"]


def test_other_code_at_the_contracts_address(doctor: Doctor, home: Path) -> None:
    deployment = json.loads((home / "consortium.json").read_text())
    change(home, deployment["registry"], deployment["epochs"], "consortium.json")
    assert "HospitalRegistry" in doctor(1)["chain"]["found"]


def test_no_consortium_yet(doctor: Doctor, home: Path) -> None:
    (home / "consortium.json").unlink()
    assert "medweave join" in doctor(1)["chain"]["do"]


def test_a_clock_that_is_behind_the_chain(
    doctor: Doctor, hospital: tuple[Path, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    block = Connection(hospital[1]).block()["timestamp"]
    monkeypatch.setattr("node.doctor.examine.time", SimpleNamespace(time=lambda: float(block - 100)))
    found = doctor(1)["clock"]
    assert (found["verdict"], "100 s behind" in found["found"]) == ("fail", True)


def test_an_account_without_funds(doctor: Doctor, home: Path, hospital: tuple[Path, str]) -> None:
    account = doctor(0)["account"]["found"].split()[0]
    connection = Connection(hospital[1])
    before = connection.request("eth_getBalance", account, "latest")
    connection.request("anvil_setBalance", account, "0x0")
    try:
        found = doctor(1)["funds"]
    finally:
        connection.request("anvil_setBalance", account, before)
    assert (found["verdict"], account in found["do"]) == ("fail", True)


def test_a_stranger_is_told_how_to_ask(doctor: Doctor, home: Path) -> None:
    shutil.rmtree(home / "secrets")
    create_identity(Home(home), PASSWORD)
    found = doctor(1)
    assert found["account"]["verdict"] == "warn"
    assert "medweave join" in found["account"]["do"]
    assert found["funds"]["verdict"] == "fail"
    assert found["url"]["verdict"] == "skipped"


def test_a_plan_that_cannot_be(doctor: Doctor, home: Path) -> None:
    change(home, "epochs = 6", "epochs = 0", "plan.toml")
    assert doctor(1)["plan"]["verdict"] == "fail"


def test_a_url_that_is_not_the_registered_one(doctor: Doctor, home: Path) -> None:
    change(home, 'url = "http://127.0.0.1', 'url = "http://node.example')
    found = doctor(1)["url"]
    assert (found["verdict"], "medweave members url" in found["do"]) == ("fail", True)


def test_a_journal_that_is_damaged(doctor: Doctor, home: Path) -> None:
    journal = Journal(home / "journal.sqlite")
    journal.remember(1, "name", "value")
    journal.close()
    assert doctor(0)["journal"]["verdict"] == "ok"
    (home / "journal.sqlite").write_bytes(b"\xff" * 8192)
    assert doctor(1)["journal"]["verdict"] == "fail"


def test_images_that_have_become_more_than_declared(doctor: Doctor, home: Path) -> None:
    save(generate(64, 32, seed=5), home / "data" / "train.npz")
    found = doctor(0)["declared size"]
    assert (found["verdict"], "medweave members resize 64" in found["do"]) == ("warn", True)


@pytest.mark.skipif(shutil.which("openssl") is None, reason="no openssl to make certificates with")
def test_certificates(doctor: Doctor, home: Path) -> None:
    def made(days: int, names: str, stem: str = "tls") -> None:
        key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", f"{home}/{stem}.key")
        out = ("-out", f"{home}/{stem}.crt", "-days", str(days), "-subj", "/CN=x", "-addext", f"subjectAltName={names}")
        subprocess.run(["openssl", "req", "-x509", *key, *out], check=True, capture_output=True)

    made(90, "IP:127.0.0.1")
    change(home, '[api]\ntls_certificate = ""\ntls_key = ""', '[api]\ntls_certificate = "tls.crt"\ntls_key = "tls.key"')
    change(home, 'url = "http://', 'url = "https://')
    assert doctor(1)["tls"]["verdict"] == "ok"  # the other failure: this URL is not the registered one
    made(9, "IP:127.0.0.1")
    assert doctor(1)["tls"]["verdict"] == "warn"
    made(90, "DNS:elsewhere.example")
    assert "elsewhere.example" in doctor(1)["tls"]["found"]
    made(90, "IP:127.0.0.1", "other")
    shutil.copy(home / "other.key", home / "tls.key")
    assert doctor(1)["tls"]["verdict"] == "fail"
    (home / "tls.crt").unlink()
    assert doctor(1)["tls"]["verdict"] == "fail"
