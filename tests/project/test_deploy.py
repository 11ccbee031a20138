"""What deploys a node fits the node: units, container, compose files. Nothing is started here."""

from __future__ import annotations

import http.server
import json
import os
import re
import shlex
import shutil
import ssl
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import yaml

from node.config import NodeConfig
from tests.project.commandlines import fault_of, lacking
from tools.deploy.healthcheck import alive

DEPLOY = Path(__file__).parents[2] / "tools" / "deploy"
UNITS = sorted((DEPLOY / "systemd").glob("*.service"))
COMPOSED = sorted(DEPLOY.glob("compose.*.yaml"))
KEYS = {
    f"MEDWEAVE_{section}_{key}".upper()
    for section, f in NodeConfig.model_fields.items()
    for key in f.annotation.model_fields
}


# ---- systemd -----------------------------------------------------------------------------------------------------------


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd-analyze is not installed")
@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_systemd_finds_nothing_wrong(unit, tmp_path):
    """With programs that exist here in place of an installation's."""
    copy = tmp_path / unit.name
    copy.write_text(re.sub(r"^ExecStart=\S+", "ExecStart=/bin/true", unit.read_text(), flags=re.MULTILINE))
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", copy], capture_output=True, text=True, check=False)
    said = [line for line in (done.stdout + done.stderr).splitlines() if unit.name in line]
    assert (done.returncode, said) == (0, [])


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd-analyze is not installed")
@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_a_unit_is_exposed_to_little(unit):
    """2.0 of 10 at most, by systemd's own measure (a unit without any of it has 9.6)."""
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--threshold=20", unit],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:]


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_a_units_command_is_one_of_ours(unit):
    (line,) = re.findall(r"^ExecStart=\S+/medweave (.*)$", unit.read_text(), re.MULTILINE)
    words = shlex.split(line)
    assert fault_of(words) is None
    assert lacking(words) == []


# ---- the container -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def stages():
    """Name of a stage to its instructions, in order."""
    found, name = {}, ""
    for line in (DEPLOY / "Dockerfile").read_text().replace("\\\n", " ").splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        word, rest = line.split(maxsplit=1)
        if word == "FROM":
            name = rest.split(" AS ")[1]
            found[name] = []
        found[name].append((word, rest))
    return found


def test_images_are_pinned_and_nothing_runs_as_root(stages):
    for name, instructions in stages.items():
        base = instructions[0][1].split(" AS ")[0]
        assert ":" in base, base
        assert not base.endswith(":latest"), base
        if name in {"node", "chain"}:
            users = [rest for word, rest in instructions if word == "USER"]
            assert users == ["10001:10001"]
            assert [word for word, _ in instructions if word == "HEALTHCHECK"]


def test_the_containers_command_is_one_of_ours(stages):
    words = dict(stages["node"])
    assert json.loads(words["ENTRYPOINT"]) == ["medweave"]
    command = json.loads(words["CMD"])
    assert fault_of(command) is None
    assert lacking(command) == []


def test_what_is_copied_exists_and_is_not_ignored(stages, repository, tracked):
    let_in = [
        line[1:] for line in (DEPLOY / "Dockerfile.dockerignore").read_text().splitlines() if line.startswith("!")
    ]
    for instructions in stages.values():
        for word, rest in instructions:
            if word != "COPY" or rest.startswith("--from"):
                continue
            for source in rest.split()[:-1]:
                assert (repository / source).exists(), source
                assert source in let_in, f"{source} is kept out by .dockerignore"
    packages = {path.parts[0] for path in tracked if path.name == "__init__.py"} & {"node", "dag", "crypto", "chain"}
    assert packages <= set(let_in)


@pytest.mark.slow
def test_what_the_container_installs_works_without_the_checkout(stages, repository, tmp_path, tracked):
    """The build stage's copies, built and installed into an empty environment; dependencies come from this one."""
    source = tmp_path / "src"
    copied = [s for word, rest in stages["build"] if word == "COPY" for s in rest.split()[:-1]]
    for path in tracked:
        if path.parts[0] in copied:
            (source / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(repository / path, source / path)
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "-q", "-w", tmp_path, source],
        check=True,
    )
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "venv"], check=True)
    (place,) = (tmp_path / "venv" / "lib").glob("python3.*/site-packages")
    (wheel,) = tmp_path.glob("medweave-*.whl")
    subprocess.run([sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", place, wheel], check=True)
    here = next(path for path in map(Path, sys.path) if path.name == "site-packages")
    plain = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "MEDWEAVE"))}
    environment = {
        **plain,
        "PYTHONPATH": os.pathsep.join([str(place), str(here)]),
        "MEDWEAVE_PASSWORD": "correct horse",
    }

    def run(*arguments):
        line = [tmp_path / "venv" / "bin" / "python", "-m", "node.cli.main", *arguments]
        return subprocess.run(line, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True).stdout

    made = json.loads(run("init", "--home", "home", "--name", "A", "--json"))
    assert made["account"].startswith("0x")
    assert "medweave" in run("--version")
    look = [tmp_path / "venv" / "bin" / "python", "-c", "import node.daemon.service; print(node.__file__)"]
    where = subprocess.run(look, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True).stdout
    assert where.startswith(str(place)), "not the checkout's"
    names = {path.relative_to(place).as_posix() for path in place.rglob("*") if path.is_file()}
    needed = {p.as_posix() for p in tracked if p.parts[0] in {"node", "chain", "dag", "crypto"} and p.suffix != ".md"}
    assert needed - names == set(), "files of the packages that the wheel lacks"


# ---- compose -----------------------------------------------------------------------------------------------------------

SERVICE = {
    "build", "image", "restart", "env_file", "environment", "user", "read_only", "tmpfs", "cap_drop", "security_opt",
    "stop_grace_period", "ports", "volumes", "secrets", "logging", "depends_on",
}  # fmt: skip
"""Keys of a service that are used here, all of the Compose specification."""


@pytest.mark.parametrize("file", COMPOSED, ids=lambda file: file.name)
def test_a_compose_file_is_whole(file, stages):
    read = yaml.safe_load(file.read_text())
    assert {key for key in read if not key.startswith("x-")} <= {"name", "services", "secrets", "volumes"}
    assert read["services"]
    for name, service in read["services"].items():
        assert set(service) <= SERVICE, name
        assert (
            file.parent / service["build"]["context"] / service["build"]["dockerfile"]
        ).resolve() == DEPLOY / "Dockerfile"
        assert service["build"]["target"] in stages
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert set(service.get("secrets", [])) <= set(read.get("secrets", {}))
        assert set(service.get("depends_on", {})) <= set(read["services"])
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            assert source in read["volumes"] or source.startswith(("$", ".", "/")), volume
        for port in service.get("ports", []):
            assert re.fullmatch(r"(127\.0\.0\.1:)?\d+:\d+", port)
        assert set(service.get("environment", {})) <= KEYS
    for secret in read.get("secrets", {}).values():
        assert set(secret) == {"file"}


def test_the_trial_is_reachable_from_this_machine_alone():
    read = yaml.safe_load((DEPLOY / "compose.trial.yaml").read_text())
    ports = [port for service in read["services"].values() for port in service.get("ports", [])]
    assert len(ports) == len(set(ports)) == 3
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_the_example_of_settings_holds_settings_and_no_secret():
    lines = [line for line in (DEPLOY / "hospital.env.example").read_text().splitlines() if line and line[0] != "#"]
    names = {line.split("=")[0] for line in lines}
    assert names - KEYS == {"MEDWEAVE_HEALTH_URL"}


# ---- the health check --------------------------------------------------------------------------------------------------


class Answering(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if self.path == "/v1/health" else 503)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


@pytest.fixture
def answering():
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answering) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_a_node_that_answers_is_alive_and_others_are_not(answering):
    base = f"http://127.0.0.1:{answering.server_port}"
    assert alive(f"{base}/v1/health")
    assert not alive(f"{base}/v1/sick")
    assert not alive("http://127.0.0.1:1/v1/health")


def test_over_tls_it_asks_for_no_authority(answering, tmp_path):
    certificate(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")
    answering.socket = context.wrap_socket(answering.socket, server_side=True)
    assert alive(f"https://127.0.0.1:{answering.server_port}/v1/health")


def test_a_node_that_wants_to_see_a_members_certificate_is_alive(answering, tmp_path):
    certificate(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")
    context.load_verify_locations(tmp_path / "cert.pem")
    context.verify_mode = ssl.CERT_REQUIRED
    answering.socket = context.wrap_socket(answering.socket, server_side=True)
    answering.handle_error = lambda *_: None
    assert alive(f"https://127.0.0.1:{answering.server_port}/v1/health")


def certificate(folder):
    """A certificate that nobody vouches for."""
    line = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "1"]
    if not shutil.which("openssl"):
        pytest.skip("openssl is not installed")
    names = ["-subj", "/CN=x", "-keyout", folder / "key.pem", "-out", folder / "cert.pem"]
    subprocess.run([*line, *names], capture_output=True, check=True)
