"""The command line: one clear line and a documented exit code for every mistake, nothing left behind (NOD-1)."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import psutil
import pytest
import tomli_w

from crypto import secrets
from node.cli.main import COMMANDS, SUMMARIES, main
from node.config import NodeConfig
from node.demo.options import MAX_HOSPITALS
from node.home import Home, unlock_identity

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def surroundings(monkeypatch, tmp_path):
    """Cheap passwords, no password in the environment, a directory of one's own."""
    for name, value in {"MEMORY_KIB": 8, "PASSES": 1, "LANES": 1}.items():
        monkeypatch.setattr(secrets, name, value)
    monkeypatch.delenv("MEDWEAVE_PASSWORD", raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def run(capsys):
    """Runs a command in this process; gives exit code, output, and what was said on standard error."""

    def call(*arguments: object) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            main([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        return ended.value.code, out, err

    return call


@pytest.fixture
def password(tmp_path):
    file = tmp_path / "password"
    file.write_text("correct horse\n")
    return file


@pytest.fixture
def home(run, tmp_path, password):
    """A hospital's directory as `medweave init` makes it."""
    place = tmp_path / "home"
    code, *_ = run("init", "--home", place, "--name", "A", "--password-file", password)
    assert code == 0
    return place


def one_line(text: str) -> bool:
    return text.startswith("error: ") and text.count("\n") == 1 and "Traceback" not in text


# ---- help ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(run, command):
    code, out, err = run(command, "--help")
    assert (code, err) == (0, "")
    assert out.startswith(f"Usage: medweave {command}")
    options = [line for line in out.splitlines() if line.strip().startswith("--")]
    assert options or "Commands:" in out
    assert run(command, "-h")[1] == out


def test_help_lists_every_command(run):
    code, out, _ = run("--help")
    assert code == 0
    assert set(COMMANDS) == set(SUMMARIES)
    assert all(f"  {name} " in out for name in COMMANDS)
    assert run("--version")[0] == 0


def test_help_does_not_wait_for_torch():
    script = (
        "import sys; from node.cli.main import main\ntry: main(['--help'])\nfinally: assert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("arguments", [("nonsense",), ("demo", "--nonsense"), ("demo", "--rounds", "x"), ("node",), ()])
def test_a_wrong_command_line_is_2(run, arguments):
    code, _, err = run(*arguments)
    assert code == 2
    assert "Traceback" not in err


# ---- init ----------------------------------------------------------------------------------------------------------


def test_init_makes_keys_that_open_and_a_configuration_that_reads(run, tmp_path, password):
    place = tmp_path / "h"
    options = ("--name", "St. Ann", "--port", 9001, "--rpc", "http://chain:1", "--target", 2, "--json")
    code, out, _ = run("init", "--home", place, "--password-file", password, *options)
    facts = json.loads(out)
    identity = unlock_identity(Home(place), "correct horse")
    assert code == 0
    assert facts["account"] == identity.account.address
    assert facts["box_key"] == identity.box.public.hex()
    assert facts["url"] == "http://127.0.0.1:9001"
    config = NodeConfig.read(place / "node.toml", {})
    assert (config.hospital.name, config.chain.rpc, config.rounds.target) == ("St. Ann", "http://chain:1", 2)
    assert "correct horse" not in "".join(p.read_text(errors="replace") for p in place.rglob("*") if p.is_file())


def test_init_never_overwrites_keys(run, home, password):
    before = (home / "secrets" / "account.json").read_bytes()
    code, _, err = run("init", "--home", home, "--name", "B", "--password-file", password)
    assert code == 3
    assert one_line(err)
    assert (home / "secrets" / "account.json").read_bytes() == before
    assert NodeConfig.read(home / "node.toml", {}).hospital.name == "A", "the configuration stays as it was too"


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--rpc", "nowhere"),
        ("--url", "ftp://x"),
        ("--name", ""),
        ("--name", "x" * 81),
        ("--url", "http://a b"),
    ],
)
def test_init_says_which_option_is_wrong(run, tmp_path, password, option, value):
    fields = {"--name": "A", option: value}
    arguments = [part for pair in fields.items() for part in pair]
    code, _, err = run("init", "--home", tmp_path / "h", "--password-file", password, *arguments)
    assert code in {2, 3}
    assert "Traceback" not in err
    assert option.removeprefix("--") in err
    assert not (tmp_path / "h" / "secrets").exists(), "no keys are made for a hospital that cannot be configured"


# ---- passwords -----------------------------------------------------------------------------------------------------


def pipe(text: bytes) -> int:
    read, write = os.pipe()
    os.write(write, text)
    os.close(write)
    return read


def test_the_password_comes_from_file_pipe_or_environment(run, tmp_path, password, monkeypatch):
    run("init", "--home", tmp_path / "a", "--name", "A", "--password-file", password)
    run("init", "--home", tmp_path / "b", "--name", "B", "--password-fd", pipe(b"correct horse"))
    monkeypatch.setenv("MEDWEAVE_PASSWORD", "correct horse")
    run("init", "--home", tmp_path / "c", "--name", "C")
    for name in "abc":
        unlock_identity(Home(tmp_path / name), "correct horse")


@pytest.mark.parametrize(
    "options",
    [
        ("--password-file", "none"),
        ("--password-file", "empty"),
        ("--password-file", "bytes"),
        ("--password-fd", "987"),
        ("--password-fd", "-1"),
    ],
)
def test_a_password_that_cannot_be_read_is_3(run, tmp_path, options):
    (tmp_path / "empty").write_text("\n")
    (tmp_path / "bytes").write_bytes(b"\xff\xfe")
    code, _, err = run("init", "--home", tmp_path / "h", "--name", "A", *options)
    assert code == 3
    assert one_line(err)
    assert not (tmp_path / "h" / "secrets").exists()


@pytest.mark.parametrize("command", ["node", "export"])
def test_a_wrong_password_is_3(run, home, tmp_path, command):
    (tmp_path / "wrong").write_text("battery staple")
    more = ("--out", tmp_path / "model") if command == "export" else ()
    code, out, err = run(command, "--home", home, "--password-file", tmp_path / "wrong", *more)
    assert code == 3
    assert one_line(err)
    assert "secrets" in err
    assert "battery" not in out + err
    assert not (tmp_path / "model").exists()


# ---- node, export, local -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["node", "export", "local"])
def test_a_missing_directory_says_what_to_do(run, tmp_path, password, command):
    more = {
        "node": ("--password-file", password),
        "export": ("--password-file", password, "--out", "m"),
        "local": (),
    }
    code, _, err = run(command, "--home", tmp_path / "none", *more[command])
    assert code == 3
    assert one_line(err)
    assert "medweave init" in err
    assert not (tmp_path / "none").exists(), "a typing error makes no directory"


def test_a_broken_configuration_is_named(run, home, password):
    (home / "node.toml").write_text("[hospital]\nname = 3")
    code, _, err = run("node", "--home", home, "--password-file", password)
    assert code == 3
    assert one_line(err)
    assert "node.toml" in err


def test_a_missing_deployment_is_named(run, home, password):
    code, _, err = run("node", "--home", home, "--password-file", password)
    assert code == 3
    assert "consortium.json" in err


def test_a_chain_out_of_reach_is_5(run, home, password, monkeypatch):
    from chain import connection

    monkeypatch.setattr(connection.time, "sleep", lambda _: None)
    contracts = {name: "0x" + f"{k}" * 40 for k, name in enumerate(("registry", "epochs", "rounds", "models"), 1)}
    from chain.deployment import Deployment

    deployment = Deployment(31337, bytes(32), *contracts.values(), 0)
    (home / "consortium.json").write_text(deployment.to_json())
    monkeypatch.setenv("MEDWEAVE_CHAIN_RPC", "http://127.0.0.1:1")
    code, _, err = run("node", "--home", home, "--password-file", password)
    assert code == 5
    assert one_line(err.splitlines(keepends=True)[-1])
    assert "127.0.0.1:1" in err


def test_export_of_a_model_that_is_not_held(run, home, tmp_path, password):
    code, _, err = run(
        "export", "--home", home, "--password-file", password, "--model", "00" * 32, "--out", tmp_path / "m"
    )
    assert (code, one_line(err)) == (1, True)
    code, _, err = run("export", "--home", home, "--password-file", password, "--model", "xyz", "--out", tmp_path / "m")
    assert (code, one_line(err)) == (3, True)
    assert not (tmp_path / "m").exists()


def test_local_names_the_plan_or_the_data_that_is_missing(run, home):
    code, _, err = run("local", "--home", home)
    assert (code, one_line(err)) == (3, True)
    assert "plan.toml" in err
    fields = {"classes": ["a", "b"], "threshold": 2, "architecture": "cnn", "image_size": 16}
    (home / "plan.toml").write_text(tomli_w.dumps(fields))
    code, _, err = run("local", "--home", home)
    assert (code, one_line(err)) == (3, True)
    assert "train.npz" in err


# ---- audit ---------------------------------------------------------------------------------------------------------


def test_audit_without_evidence(run, tmp_path):
    assert run("audit")[0] == 2
    code, _, err = run("audit", "--rpc", "http://127.0.0.1:1", "--blobs", tmp_path)
    assert (code, one_line(err)) == (3, True)
    assert "consortium.json" in err
    assert run("audit", "--run", tmp_path / "none")[0] == 2


# ---- demo: everything that can be known before anything is started ---------------------------------------------------


@pytest.fixture
def npz(tmp_path):
    """A small data set in the layout that is asked for."""
    images = np.zeros((40, 16, 16), np.uint8)
    fields = {
        "images": images,
        "labels": np.arange(40) // 2 % 2,
        "patients": np.array([f"p{k // 2}" for k in range(40)]),
        "train_idx": np.arange(30),
        "test_idx": np.arange(30, 40),
        "class_names": np.array(["a", "b"]),
    }
    path = tmp_path / "data.npz"

    def write(**changes):
        np.savez(path, **{k: v for k, v in (fields | changes).items() if v is not None})
        return path

    return write


def refused(run, *options: object) -> tuple[int, str]:
    """Code and message of a demo that must not start anything."""
    before = {child.pid for child in psutil.Process().children(recursive=True)}
    code, _, err = run("demo", "--out", "out", *options)
    assert one_line(err), err
    assert {child.pid for child in psutil.Process().children(recursive=True)} <= before
    assert not list(Path("out").rglob("*.sealed")) if Path("out").exists() else True
    return code, err


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--hospitals", 4, "--threshold", 5), "--threshold"),
        (("--threshold", 0), "--threshold"),
        (("--hospitals", 2), "--min-group"),
        (("--hospitals", 4, "--min-group", 5), "--min-group"),
        (("--min-group", 0), "--min-group"),
        (("--hospitals", 1), "--hospitals"),
        (("--hospitals", MAX_HOSPITALS + 1), "--hospitals"),
        (("--rounds", 0), "--rounds"),
        (("--epochs", 0), "--epochs"),
        (("--partition", "by-colour"), "--partition"),
        (("--partition", "dirichlet:"), "--partition"),
        (("--base-port", 80), "--base-port"),
        (("--base-port", 65534), "--base-port"),
        (("--data", "none.npz"), "none.npz"),
        (("--architecture", "nonsense"), "nonsense"),
        (("--image-size", 3), "pixels"),
        (("--parameters", "nonsense"), "parameter"),
        (("--parameters", "minimal"), "minimal"),
        (("--round-seconds", 1), "round"),
    ],
    ids=lambda value: " ".join(map(str, value)) if isinstance(value, tuple) else "",
)
def test_a_demo_that_cannot_be_is_refused_before_anything_starts(run, options, says, monkeypatch):
    monkeypatch.delenv("MEDWEAVE_TESTING", raising=False)
    monkeypatch.setattr("chain.anvil.Anvil.start", lambda _: pytest.fail("Anvil was started"))
    code, err = refused(run, *options)
    assert code == 3
    assert says in err


def test_a_directory_in_use_is_refused(run, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "precious").write_text("mine")
    code, err = refused(run)
    assert code == 4
    assert "--out" in err
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["precious"]


@pytest.mark.parametrize("how", ["empty", "text", "cut", "pickle", "folder"])
def test_a_data_file_that_cannot_be_read(run, tmp_path, npz, how):
    path = npz()
    content = {"empty": b"", "text": b"no archive", "cut": path.read_bytes()[:300]}
    if how == "pickle":
        npz(images=np.array([{"an": "object"}] * 40, dtype=object))
    elif how == "folder":
        path = tmp_path / "folder"
        path.mkdir()
    else:
        path.write_bytes(content[how])
    code, err = refused(run, "--data", path)
    assert code == 3
    assert path.name in err


@pytest.mark.parametrize(
    "changes",
    [
        {"labels": np.zeros(39, np.int64)},
        {"images": np.zeros((40, 16), np.uint8)},
        {"images": np.zeros((40, 16, 16, 16, 2), np.uint8)},
        {"labels": None},
        {"images": None},
        {"patients": np.array(["one"] * 40)},
        {"labels": np.zeros(40, np.int64)},
        {"train_idx": np.arange(100, 130)},
        {"test_idx": np.arange(25, 40)},
        {"images": np.zeros((0, 16, 16), np.uint8), "labels": np.zeros(0, np.int64)},
    ],
    ids=lambda changes: " ".join(f"{k} {getattr(v, 'shape', None)}" for k, v in changes.items()),
)
def test_data_of_the_wrong_shape_says_what_is_wrong(run, npz, changes, monkeypatch):
    monkeypatch.setattr("chain.anvil.Anvil.start", lambda _: pytest.fail("Anvil was started"))
    code, err = refused(run, "--data", npz(**changes), "--image-size", 16)
    assert code == 3
    assert len(err) < 400


def test_a_port_in_use_is_4(run, npz):
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        first = port - 2 if port > 1030 else port
        code, err = refused(run, "--data", npz(), "--image-size", 16, "--base-port", first)
    assert code == 4
    # A neighbour of the port may be taken by another program as well; the first one in the way is named.
    assert any(f"port {taken} is in use" in err for taken in range(first, port + 1))
    assert "--base-port" in err


def test_anvil_missing_is_4(run, npz, monkeypatch, tmp_path):
    monkeypatch.setenv("MEDWEAVE_ANVIL", str(tmp_path / "no-anvil"))
    code, err = refused(run, "--data", npz(), "--image-size", 16)
    assert code == 4
    assert "anvil" in err


def test_a_report_that_cannot_be_written_is_refused_before_the_run(run, npz, monkeypatch, tmp_path):
    """Not after ten rounds."""
    monkeypatch.setattr("chain.anvil.Anvil.start", lambda _: pytest.fail("Anvil was started"))
    code, err = refused(run, "--data", npz(), "--image-size", 16, "--json", tmp_path / "none" / "report.json")
    assert code in {3, 4}
    assert "report.json" in err


@pytest.mark.parametrize("out", ["/proc/none", "file/below"])
def test_a_run_directory_that_cannot_be_made_is_one_line(run, npz, out, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    code, _, err = run("demo", "--data", npz(), "--image-size", 16, "--out", out)
    assert code in {3, 4}
    assert one_line(err)
