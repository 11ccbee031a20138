"""A hospital loses its disk, comes back from an old backup, and goes on without contradicting itself (OPS-3).

Real daemons on a real chain. The backup is made while the node runs; rounds go on after it; the disk is lost in the middle
of a round, after the node has posted its update in it.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import socket
import sqlite3
import threading
import time

import pytest

from node.client.errors import NotSignedIn
from node.demo.data import prepare
from node.demo.network import network
from node.demo.options import DemoOptions
from node.demo.processes import wait_until_up
from node.demo.watch import ask
from node.errors import PeerProblem

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

SECONDS = 300
SKIPPED = 10**15
"""Sequence numbers of a node that was never restored are smaller."""


def until(what, ready):
    """Wait until something holds; what a daemon does not answer in time does not hold yet."""
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        try:
            if found := ready():
                return found
        except PeerProblem:
            pass
        time.sleep(0.1)
    raise TimeoutError(what)


def finalised(hospital):
    return [row["round"] for row in ask(hospital, "/v1/rounds")["rounds"] if row["status"] == "finalised"]


def said(hospital, account):
    """What a hospital's ledger holds of an account: (sequence, round, kind), in order of sequence."""
    with contextlib.closing(sqlite3.connect(hospital.home / "ledger.sqlite")) as db:
        sql = "SELECT sequence, round, kind FROM transactions WHERE issuer = ? ORDER BY sequence"
        return db.execute(sql, (bytes.fromhex(account[2:]),)).fetchall()


def convicted(hospital):
    with contextlib.closing(sqlite3.connect(hospital.home / "ledger.sqlite")) as db:
        return db.execute("SELECT COUNT(*) FROM evidence").fetchone()[0]


def run(hospital, *arguments):
    child = hospital.run(*arguments)
    out, err = child.communicate(timeout=120)
    assert child.returncode == 0, err.decode()
    return json.loads(out)


@pytest.fixture
def supervisor(tmp_path, monkeypatch):
    """Stands in systemd's place: gives what the daemons have told so far."""
    told: list[str] = []
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(tmp_path / "notify"))
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        monkeypatch.setenv("WATCHDOG_USEC", "2000000")

        def read():
            while (text := listener.recv(4096).decode()) != "over":
                told.append(text)

        reader = threading.Thread(target=read)
        reader.start()
        yield told
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as last:
            last.sendto(b"over", str(tmp_path / "notify"))
        reader.join()


def test_a_lost_disk_is_restored_and_its_node_rejoins_without_equivocating(tmp_path, monkeypatch, supervisor):
    monkeypatch.setenv("MEDWEAVE_LOG_FORMAT", "json")
    options = DemoOptions(
        out=tmp_path / "run",
        hospitals=4,
        rounds=6,
        samples=96,
        architecture="cnn",
        image_size=32,
        epochs=2,
        round_seconds=80,  # a round that is sat out from its beginning waits half of this for the update
    )
    with network(options, prepare(options), lambda _line: None) as (hospitals, _deployment, _anvil):
        victim, others = hospitals[1], [hospitals[0], *hospitals[2:]]
        until("a first round", lambda: finalised(victim))
        made = run(victim, "backup", "--out", str(tmp_path / "old.mwb"), "--json")
        assert made["left_out"] == []
        account = json.loads((victim.home / "secrets" / "account.json").read_text())["address"]
        account = "0x" + account.lower().removeprefix("0x")

        number = max(finalised(victim)) + 1
        until("two rounds later, its update is posted", lambda: any(
            row[1:] == (number + 1, "update") for row in said(others[0], account)
        ))  # fmt: skip
        victim.process.kill()
        victim.process.wait(10)
        lost = max(row[0] for row in said(others[0], account))
        shutil.rmtree(victim.home)

        told = run(victim, "restore", "--from", str(tmp_path / "old.mwb"), "--json")
        assert told["left_out"] == []
        assert told["sits_out_through_round"] >= number + 1
        assert 0 < len(said(victim, account)) <= lost, "what it said last is not in the backup"
        victim.start(1)
        wait_until_up([victim])
        with pytest.raises(NotSignedIn):
            ask(victim, "/v1/rounds")  # tokens are not in a backup: one that was revoked since would let in again
        del victim.headers
        first = json.loads(sqlite3.connect(victim.home / "journal.sqlite").execute(
            "SELECT value FROM facts WHERE name = 'restored'"
        ).fetchone()[0])["through"]  # fmt: skip
        assert first >= number + 1

        def back():
            return [row for row in said(others[0], account) if row[1] > first and row[2] == "update"]

        until("it takes part again", back)
        until("all rounds", lambda: all(len(finalised(h)) >= options.rounds for h in hospitals))
        until("one model", lambda: len({ask(h, "/v1/status")["model"] for h in hospitals}) == 1)
        rows = said(others[0], account)
        heads = [convicted(hospital) for hospital in hospitals]
        log = (victim.home / "node.log").read_text()
        passwords = [hospital.password for hospital in hospitals]
        everything = log + "".join((h.home / "node.log").read_text() for h in others)
    assert heads == [0, 0, 0, 0], "nobody holds a proof of equivocation"
    assert len({row[0] for row in rows}) == len(rows)
    before, after = [r for r in rows if r[0] < SKIPPED], [r for r in rows if r[0] >= SKIPPED]
    assert len(before) > lost, "what the lost node said is on record"
    assert after, "and so is what the restored one says"
    assert max(row[1] for row in before) <= first < min(row[1] for row in after), "never both in one round"
    updates = [row[1] for row in rows if row[2] == "update"]
    assert len(updates) == len(set(updates))
    lines = [json.loads(line) for line in log.splitlines()]
    assert all({"time", "level", "logger", "event", "message"} <= set(line) for line in lines), "every line is an event"
    aside = [line for line in lines if line["event"] == "round-taking-no-part"]
    assert [line["round"] for line in aside if "this hospital was restored from a backup" in line["message"]] == [first]
    assert {line["member"] for line in lines if line["logger"] == "medweave.rounds"} == {1}
    assert not [password for password in passwords if password in everything]
    assert sum(text.startswith("READY=1") for text in supervisor) == 5, "four daemons, one of them twice"
    assert any("STATUS=round " in text for text in supervisor)
    assert supervisor[-1].startswith(("STOPPING=1", "WATCHDOG=1"))
