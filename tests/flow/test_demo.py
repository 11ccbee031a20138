"""`medweave demo` as a user runs it: real Anvil, one daemon process a hospital, real ciphertexts, tiny data."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest

from dag.errors import StoreCorrupt
from dag.proofs.notes import Note
from dag.store.sqlite import Store
from node.images.archive import load_saved
from node.images.card import data_card
from node.storage import raw_cid

MEDWEAVE = (sys.executable, "-m", "node.cli.main")


def medweave(*arguments: str, timeout: float = 120, **options: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*MEDWEAVE, *arguments], capture_output=True, text=True, timeout=timeout, check=False, **options
    )


def left_running(out: Path) -> list[psutil.Process]:
    """Processes that still have a demo's directory on their command line."""
    found = []
    for process in psutil.process_iter(["cmdline"]):
        if any(str(out) in part for part in process.info["cmdline"] or ()):
            found.append(process)
    return found


def daemons(out: Path) -> list[psutil.Process]:
    """Processes that run `medweave node` in a demo's directory."""
    found = []
    for process in left_running(out):
        with contextlib.suppress(psutil.Error):
            if "node" in process.cmdline():
                found.append(process)
    return found


def test_the_demo_ends_verified(demo_run: Path):
    log = Path(str(demo_run) + ".log").read_text()
    assert log.strip().splitlines()[-1] == "audit: verified"
    assert "SYNTHETIC" in log, "drawn data is announced as such"
    assert "bit for bit" in log, "the plaintext check was asked for"


def test_the_report_holds_what_was_promised(demo_report: dict):
    assert [row["status"] for row in demo_report["rounds"]] == ["finalised", "finalised"]
    for row in demo_report["rounds"]:
        assert row["participants"] == 4
        assert row["before"]["n"] == row["after"]["n"] == demo_report["data"]["test"]
        assert min(row["upload_bytes"]) > 0
        assert row["gas"] > 0
        assert {"train", "confirm", "propose", "open", "sign", "finalise"} <= row["seconds"].keys()
    assert demo_report["peak_bytes"] > 0
    assert demo_report["final"]["federated"] == demo_report["rounds"][-1]["after"]
    assert len(demo_report["local_only"]) == 4
    assert demo_report["audit"]["verdict"] == "verified"
    assert demo_report["data"]["synthetic"] is True


def test_nothing_is_left_running(demo_run: Path):
    assert left_running(demo_run) == []


def test_daemons_close_their_stores(demo_run: Path):
    """SIGTERM is an orderly end: what is in write-ahead logs is in the databases by then."""
    assert len(list(demo_run.rglob("ledger.sqlite"))) == 4
    assert list(demo_run.rglob("*.sqlite-wal")) == []


def test_hospitals_cosigned_the_log_by_themselves(demo_run: Path):
    heads = [Note.parse(path.read_bytes()) for path in demo_run.rglob("log.checkpoint")]
    assert len(heads) == 4
    assert all(int(head.text.splitlines()[1]) >= 1 and head.signatures for head in heads)


def test_the_run_directory_can_be_audited_later(demo_run: Path):
    done = medweave("audit", "--run", str(demo_run), "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["verdict"] == "verified"


def test_every_hospitals_data_card_is_on_chain(demo_run: Path, tmp_path: Path):
    """Each was registered once, by the daemon; shown to an audit, it is the one on chain and of the samples declared."""
    options = []
    for home in sorted(demo_run.glob("hospitals/*")):
        card = data_card(load_saved(home / "data" / "train.npz"))
        assert (home / "node.log").read_text().count(f"data card registered: {card.images} images") == 1
        shown = tmp_path / f"{home.name}.json"
        shown.write_text(json.dumps(card.to_json()))
        options += ["--card", str(shown)]
    done = medweave("audit", "round", "1", "--run", str(demo_run), "--json", *options)
    assert done.returncode == 0, done.stdout + done.stderr
    found = {f["round"]: f for f in json.loads(done.stdout)["findings"] if f["link"] == "cards"}
    assert found[None]["detail"] == "4 data cards were shown, each was on chain"
    assert (found[1]["status"], found[1]["detail"]) == (
        "ok",
        "4 updates declare the images of the data cards on chain",
    )


def test_a_missing_blob_cannot_be_checked_and_is_named(demo_run: Path, tmp_path: Path, demo_report: dict):
    run = tmp_path / "run"
    shutil.copytree(demo_run, run)
    plan = next(f["subject"] for f in demo_report["audit"]["findings"] if f["link"] == "plan")
    cid = raw_cid(bytes.fromhex(plan))
    copies = [path for path in run.rglob("*") if path.name == cid]
    assert copies
    for path in copies:
        path.unlink()
    done = medweave("audit", "--run", str(run))
    assert done.returncode == 2, done.stdout
    assert cid in done.stdout
    assert done.stdout.strip().splitlines()[-1].startswith("audit: could-not-check")


def test_a_directory_without_blobs_is_refused(demo_run: Path, tmp_path: Path):
    done = medweave(
        "audit",
        "--blobs",
        str(tmp_path),
        "--rpc",
        "http://127.0.0.1:1",
        "--contracts",
        str(demo_run / "consortium.json"),
    )
    assert done.returncode == 3
    assert str(tmp_path) in done.stderr


def test_a_chain_out_of_reach_cannot_be_checked(demo_run: Path):
    done = medweave("audit", "--blobs", str(demo_run), "--rpc", "http://127.0.0.1:1")
    assert done.returncode == 2, done.stdout + done.stderr
    assert "127.0.0.1:1" in done.stdout


def test_audit_of_an_unknown_model_is_falsified(demo_run: Path):
    done = medweave("audit", "--run", str(demo_run), "--model", "ab" * 32)
    assert done.returncode == 1, done.stdout
    assert "lineage" in done.stdout


def test_a_changed_ledger_row_is_found_and_named(demo_run: Path, tmp_path: Path):
    """One byte of a real hospital's ledger: its node would not start on it."""
    path = tmp_path / "ledger.sqlite"
    shutil.copyfile(demo_run / "hospitals" / "hospital-2" / "ledger.sqlite", path)
    with Store(path) as store:
        arrivals = [row.arrival for row in store.rows()]
    victim = arrivals[len(arrivals) // 2]
    with contextlib.closing(sqlite3.connect(path)) as database, database:
        (raw,) = database.execute("SELECT bytes FROM transactions WHERE arrival = ?", (victim,)).fetchone()
        database.execute("UPDATE transactions SET bytes = ? WHERE arrival = ?", (flipped(raw), victim))
    with Store(path) as store, pytest.raises(StoreCorrupt, match=rf"\b{victim}\b"):
        list(store.rows())


def flipped(data: bytes) -> bytes:
    """One bit of the middle byte is another."""
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]


@pytest.mark.parametrize(
    ("options", "code", "says"),
    [
        (("--threshold", "5"), 3, "--threshold 5 exceeds the 4 hospitals"),
        (("--hospitals", "2"), 3, "--min-group 3 needs at least 3 hospitals"),
        (("--partition", "zebra"), 3, "--partition"),
        (("--data", "no-such-file.npz"), 3, "no such file"),
        (("--rounds", "0"), 3, "--rounds"),
    ],
)
def test_bad_options_end_in_one_line(options: tuple[str, ...], code: int, says: str, tmp_path: Path):
    done = medweave("demo", *options, "--out", str(tmp_path / "run"))
    lines = done.stderr.strip().splitlines()
    assert done.returncode == code, done.stderr
    assert len(lines) == 1
    assert lines[0].startswith("error: ")
    assert says in lines[0]
    assert left_running(tmp_path) == []


def test_an_unreadable_data_file(tmp_path: Path):
    bad = tmp_path / "bad.npz"
    bad.write_bytes(b"this is no archive")
    done = medweave("demo", "--data", str(bad), "--out", str(tmp_path / "run"))
    assert done.returncode == 3
    assert str(bad) in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_wrong_shapes(tmp_path: Path):
    bad = tmp_path / "shapes.npz"
    np.savez(
        bad,
        images=np.zeros((4, 8, 8, 3), np.uint8),
        labels=np.zeros(5, np.int64),
        patients=np.array(["a"] * 4),
        class_names=np.array(["x", "y"]),
        train_idx=np.arange(3),
        test_idx=np.array([3]),
    )
    done = medweave("demo", "--data", str(bad), "--out", str(tmp_path / "run"))
    assert done.returncode == 3
    assert len(done.stderr.strip().splitlines()) == 1


def test_a_port_in_use(tmp_path: Path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = medweave("demo", "--base-port", str(port), "--samples", "96", "--out", str(tmp_path / "run"))
    assert done.returncode == 4
    assert f"port {port} is in use" in done.stderr
    assert left_running(tmp_path) == []


def test_anvil_missing(tmp_path: Path):
    environment = {**os.environ, "MEDWEAVE_ANVIL": str(tmp_path / "nowhere")}
    done = medweave("demo", "--samples", "96", "--out", str(tmp_path / "run"), env=environment)
    assert done.returncode == 4, done.stderr
    assert "anvil" in done.stderr.lower()
    assert left_running(tmp_path) == []


def test_a_directory_that_is_not_empty(tmp_path: Path):
    (tmp_path / "something").write_text("mine")
    done = medweave("demo", "--out", str(tmp_path))
    assert done.returncode == 4
    assert (tmp_path / "something").read_text() == "mine"


def test_an_interrupted_demo_leaves_nothing_running(tmp_path: Path):
    out = tmp_path / "run"
    command = [*MEDWEAVE, "demo", "--samples", "96", "--architecture", "cnn", "--rounds", "50", "--out", str(out)]
    demo = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        deadline = time.monotonic() + 90
        while len(daemons(out)) < 4 and time.monotonic() < deadline:
            assert demo.poll() is None, demo.stdout.read().decode()
            time.sleep(0.2)
        assert len(daemons(out)) == 4, "one process a hospital"
        assert len([p for p in left_running(out) if "anvil" in p.name()]) == 1, "and one chain"
        demo.send_signal(signal.SIGTERM)
        assert demo.wait(60) == 130
    finally:
        demo.kill()
    deadline = time.monotonic() + 20
    while left_running(out) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert left_running(out) == []


def test_a_killed_demo_takes_its_network_along(tmp_path: Path):
    out = tmp_path / "run"
    command = [*MEDWEAVE, "demo", "--samples", "96", "--architecture", "cnn", "--rounds", "50", "--out", str(out)]
    demo = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 90
    while len(daemons(out)) < 4 and time.monotonic() < deadline:
        time.sleep(0.2)
    assert len(daemons(out)) == 4
    demo.kill()
    demo.wait(10)
    deadline = time.monotonic() + 30
    while left_running(out) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert left_running(out) == []
