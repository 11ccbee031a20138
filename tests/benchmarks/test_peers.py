"""Other systems beside ours: their processes are found and ended, their clients do what ours do, their events add up."""

import subprocess
import sys
import time
import tomllib

import numpy as np
import psutil
import pytest
import tomli_w

from benchmarks import round as bench
from benchmarks.errors import NotMeasured
from benchmarks.peers import environments, flower, local, nvflare
from benchmarks.peers.environments import FLOWER, Peer
from benchmarks.peers.running import Memory, Processes, events, free_ports, note, read, running
from benchmarks.plain import PlainRound, PlainRun
from benchmarks.severity import CLASS_NAMES, severities
from node.images.dataset import save
from node.learning.metrics import evaluate
from node.learning.parameters import initial
from node.learning.training import train
from node.rounds.plan import Plan
from node.work.learning import settings_of


def tell(file, rounds=2, clients=2):
    """A run whose round R takes R seconds and trains for R tenths."""
    note(file, event="round", number=0, at=100.0)
    at = 100.0
    for number in range(1, rounds + 1):
        for client in range(clients):
            size = 1000 + client
            note(file, event="trained", number=number, client=client, seconds=(number + client) / 10, bytes=size)
            note(file, event="scored", number=number, client=client, accuracy=number / 10)
        at += number
        note(file, event="round", number=number, at=at)


def test_a_run_is_read_from_its_events(tmp_path):
    tell(tmp_path / "events")
    found = read(tmp_path / "events", FLOWER, 2, peak_bytes=7)
    assert [row.wall_seconds for row in found.rounds] == [1.0, 2.0]
    assert [row.training_seconds for row in found.rounds] == [0.2, 0.3]
    assert (found.rounds[0].upload_bytes, found.peak_bytes, found.test_accuracy) == (1001, 7, 0.2)
    assert read(tmp_path / "events", FLOWER, 2, 7, upload_bytes=5).rounds[0].upload_bytes == 5


def test_a_run_that_did_not_end_is_no_measurement(tmp_path):
    file = tmp_path / "events"
    assert events(file) == []
    tell(file, rounds=1)
    with pytest.raises(NotMeasured, match=r"rounds \[0, 1\] were noted, expected 0 to 2"):
        read(file, FLOWER, 2, 0)
    note(file, event="round", number=2, at=104.0)
    with pytest.raises(NotMeasured, match="nobody trained in round 2"):
        read(file, FLOWER, 2, 0)


def test_a_line_that_is_being_written_is_left_for_later(tmp_path):
    file = tmp_path / "events"
    note(file, event="round", number=0, at=1.0)
    with file.open("a") as out:
        out.write('{"event": "rou')
    assert [row["number"] for row in events(file)] == [0]


@pytest.fixture(scope="module")
def task(tmp_path_factory):
    """A plan and one hospital's images."""
    directory = tmp_path_factory.mktemp("task")
    plan = Plan.create(architecture="cnn", classes=CLASS_NAMES, image_size=32, rounds=2, epochs=1, threshold=2)
    (directory / "plan.toml").write_text(tomli_w.dumps(plan.model_dump(mode="json")))
    data = severities(1, 24, 32, seed=1)
    folder = directory / "hospital-1" / "data"
    folder.mkdir(parents=True)
    for name in ("train", "validation", "test"):
        save(data, folder / f"{name}.npz")
    return directory, plan, data


def test_a_peers_client_learns_what_ours_learns(task):
    directory, plan, data = task
    client = local.Local(directory, 1, 1)
    base = initial(plan.architecture, 3, plan.seed)
    model, result = client.train(local.first(plan), 2)
    settings = settings_of(plan)
    ours = train(base, data, settings.for_round(1, plan.rounds, 1))
    assert np.array_equal(local.join(plan, model), ours.vector)
    assert result.samples == ours.samples
    assert client.score(model) == evaluate(ours.vector, data, settings).accuracy


def test_tensors_are_the_vector_in_pieces(task):
    _, plan, _ = task
    vector = initial(plan.architecture, 3, 5)
    pieces = local.split(plan, vector)
    assert sum(piece.size for piece in pieces.values()) == vector.size
    flat = {name: piece.ravel() for name, piece in reversed(pieces.items())}
    assert np.array_equal(local.join(plan, flat), vector), "the order of the names and the shapes do not matter"


CHILD = "import subprocess,sys,time; subprocess.Popen([sys.executable,'-c','import time; time.sleep(60)'],{}); time.sleep(60)"


def test_processes_that_started_others_are_ended_with_them(tmp_path):
    with running(FLOWER, tmp_path / "log", {}) as (processes, memory):
        processes.start([sys.executable, "-c", CHILD.format("start_new_session=True")], tmp_path)
        processes.wait(lambda: len(processes.descendants()) == 2, "two processes", 20)
        everyone = processes.descendants()
        processes.wait(lambda: memory.peak > 0, "a sample", 20)
    assert not any(process.is_running() and process.status() != psutil.STATUS_ZOMBIE for process in everyone)


def test_one_that_will_not_go_is_killed(tmp_path, monkeypatch):
    monkeypatch.setattr("benchmarks.peers.running.STOP_SECONDS", 0.3)
    stubborn = "import signal,time; signal.signal(15, signal.SIG_IGN); print('up', flush=True); time.sleep(60)"
    started = time.monotonic()
    with running(FLOWER, tmp_path / "log", {"HERE": "1"}) as (processes, _):
        processes.start([sys.executable, "-c", stubborn], tmp_path)
        processes.wait(lambda: "up" in (tmp_path / "log").read_text(), "up", 20)
        (process,) = processes.descendants()
    assert not process.is_running()
    assert time.monotonic() - started < 30


def test_memory_is_the_peers_alone(tmp_path):
    processes = Processes(FLOWER, tmp_path / "log", {})
    with Memory(processes) as memory:
        time.sleep(1.2)
    assert memory.peak == 0, "this process does not count"


def test_one_that_dies_is_quoted(tmp_path):
    with running(FLOWER, tmp_path / "log", {}) as (processes, _):
        processes.start([sys.executable, "-c", "print('no such key', flush=True); raise SystemExit(3)"], tmp_path)
        with pytest.raises(NotMeasured, match="a process ended with 3; last words: no such key"):
            processes.wait(lambda: False, "it is up", 20)


def test_a_command_that_fails_is_quoted(tmp_path):
    processes = Processes(FLOWER, tmp_path / "log", {"GREETING": "hello"})
    say = "import os; print(os.environ['GREETING'])"
    assert processes.finish([sys.executable, "-c", say], tmp_path, 20) == "hello\n"
    with pytest.raises(NotMeasured, match=r"(?s)failed: .*KeyError"):
        processes.finish([sys.executable, "-c", "{}['x']"], tmp_path, 20)
    with pytest.raises(NotMeasured, match="within 0 s"):
        processes.finish([sys.executable, "-c", "import time; time.sleep(9)"], tmp_path, 0.2)


def test_ports_differ():
    assert len(set(free_ports(20))) == 20


def test_an_environment_sees_ours_after_its_own(tmp_path):
    """Nothing is fetched: the peer is a folder on the disk; numpy, torch and this checkout come from here."""
    home = tmp_path / "toy-1-py{}{}".format(*sys.version_info[:2])
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(home)], check=True)
    (packages,) = home.glob("lib/*/site-packages")
    (packages / "toy.py").write_text("")
    (home / "installed").write_text("")
    programs = environments.prepare(Peer("toy", "toy==1", "toy"), tmp_path)
    say = "import toy, numpy, node, benchmarks.peers.local; print(numpy.__file__, node.__file__)"
    found = subprocess.run([str(programs / "python"), "-c", say], capture_output=True, text=True, check=True).stdout
    assert found.split() == [np.__file__, str(environments.REPOSITORY / "node" / "__init__.py")]
    (packages / "toy.py").unlink()
    with pytest.raises(NotMeasured, match=r"toy==1 could not be installed: .*No module named 'toy'"):
        environments.prepare(Peer("toy", "toy==1", "toy"), tmp_path)


def test_what_flower_is_told(tmp_path):
    project = tomllib.loads(tomli_w.dumps(flower._project(tmp_path, tmp_path / "events", 4)))
    app = project["tool"]["flwr"]["app"]
    assert app["components"] == {"serverapp": "flower_app:server_app", "clientapp": "flower_app:client_app"}
    assert app["config"] == {"directory": str(tmp_path), "events": str(tmp_path / "events"), "hospitals": 4}
    assert app["flwr-version-target"] in FLOWER.requirement


def test_what_nvflare_is_told(tmp_path):
    project = nvflare._project(4, 5000)
    kinds = [each["type"] for each in project["participants"]]
    assert kinds == ["server", *["client"] * 4, "admin"]
    assert "nvflare.lighter.impl.he.HEBuilder" in [builder["path"] for builder in project["builders"]]
    with pytest.raises(NotMeasured, match="no kits"):
        nvflare._kits(tmp_path)
    (tmp_path / "round" / "prod_00" / "site-0").mkdir(parents=True)
    assert nvflare._kits(tmp_path) == {"site-0": tmp_path / "round" / "prod_00" / "site-0"}
    with pytest.raises(NotMeasured, match="size of an update"):
        nvflare._upload(tmp_path / "events")
    note(tmp_path / "events", event="upload", bytes=9)
    assert nvflare._upload(tmp_path / "events") == 9


def test_peers_are_divided_by_ours():
    runs = [PlainRun((PlainRound(50.0, 0.0, 9), PlainRound(11.0, 1.0, 20)), 300, 0.5)]
    row = bench._multiple("peer", runs, overhead=2.0, upload=10, peak=100)
    assert row.figures == {"overhead_ratio": 5.0, "upload_ratio": 2.0, "peak_ratio": 3.0}
