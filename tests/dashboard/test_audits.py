"""The desk that carries out audits: one at a time, in a process that ends with the daemon, whatever the process does."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
import time
from types import SimpleNamespace

import psutil
import pytest

from chain.deployment import Deployment
from node.api.audits import MOST_KEPT, MOST_WAITING, AuditDesk
from node.audit.apart import Job, StoreEvidence
from node.audit.errors import TooManyAudits
from node.config import Storage
from node.home import Home
from node.storage import FileStore, MemoryStore, raw_cid

MODEL = "ab" * 32
SECONDS = 30.0


def desk(tmp_path, program: str) -> AuditDesk:
    """A desk whose process runs a program of the test's own."""
    service = SimpleNamespace(
        config=SimpleNamespace(chain=SimpleNamespace(rpc="http://127.0.0.1:1"), storage=Storage()),
        chain=SimpleNamespace(deployment=SimpleNamespace(to_json=lambda: "{}")),
        home=Home(tmp_path),
    )
    return AuditDesk(service, (sys.executable, "-c", textwrap.dedent(program)))


def until(condition) -> None:
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def over(one: AuditDesk, number: int):
    until(lambda: one.get(number).over)
    return one.get(number)


GOOD = """
    import json, sys
    job = json.loads(sys.stdin.readline())
    print(json.dumps({"at": ["round 1", 1, 4]}), flush=True)
    print(json.dumps({"report": {"verdict": "verified", "model": job["model"], "rpc": job["rpc"]}}), flush=True)
"""


def test_an_audit_is_carried_out_and_reported(tmp_path):
    one = desk(tmp_path, GOOD)
    asked = one.ask(MODEL, None)
    assert (asked.number, asked.state) == (1, "waiting")
    done = over(one, 1)
    assert (done.state, done.share) == ("done", 1.0)
    assert done.report == {"verdict": "verified", "model": MODEL, "rpc": "http://127.0.0.1:1"}
    assert done.ended >= done.asked


SLOW = """
    import json, sys, time
    sys.stdin.readline()
    print(json.dumps({"at": ["round 2", 2, 8]}), flush=True)
    time.sleep(60)
"""


def test_one_runs_the_same_is_not_begun_twice_and_only_so_many_wait(tmp_path):
    one = desk(tmp_path, SLOW)
    first = one.ask(MODEL, None)
    until(lambda: one.get(first.number).share == 0.25)
    assert one.get(first.number).doing == "round 2"
    assert one.ask(MODEL, None).number == first.number
    waiting = [one.ask(None, number) for number in range(1, MOST_WAITING + 1)]
    assert {audit.state for audit in one.all()[:-1]} == {"waiting"}
    assert [audit.number for audit in one.all()] == [*(audit.number for audit in reversed(waiting)), first.number]
    with pytest.raises(TooManyAudits, match=f"{MOST_WAITING} audits wait"):
        one.ask(None, 99)
    for child in psutil.Process().children():
        if SLOW.strip().splitlines()[0].strip() in " ".join(child.cmdline()):
            child.kill()
            break
    until(lambda: one.get(first.number).state == "failed")
    assert "without a report" in one.get(first.number).problem
    one._queue.clear()
    for child in psutil.Process().children():
        if "time.sleep(60)" in " ".join(child.cmdline()):
            child.kill()


@pytest.mark.parametrize(
    ("program", "says"),
    [
        ("raise SystemExit(1)", "without a report"),
        ("print('this is no JSON', flush=True)", "process failed"),
        ('import sys; sys.stdin.readline(); print(\'{"problem": "no blobs"}\', flush=True)', "no blobs"),
    ],
)
def test_a_process_that_fails_is_an_audit_that_failed(tmp_path, program, says):
    one = desk(tmp_path, program)
    failed = over(one, one.ask(None, None).number)
    assert failed.state == "failed"
    assert says in failed.problem
    assert over(one, one.ask(None, None).number).number == failed.number + 1, "the desk goes on"


def test_a_command_that_is_not_there(tmp_path):
    one = desk(tmp_path, "")
    one._command = (str(tmp_path / "absent"),)
    assert over(one, one.ask(None, None).number).state == "failed"


def test_old_audits_are_forgotten(tmp_path):
    one = desk(tmp_path, GOOD)
    one._command = (str(tmp_path / "absent"),)
    for _ in range(MOST_KEPT + 10):
        over(one, one.ask(None, None).number)
    assert len(one.all()) == MOST_KEPT
    assert one.get(1) is None


def test_the_process_gets_no_secret_of_the_daemon(tmp_path, monkeypatch):
    monkeypatch.setenv("MEDWEAVE_PASSWORD", "hunter2")
    monkeypatch.setenv("MEDWEAVE_TOKEN", "mw_secret")
    one = desk(
        tmp_path,
        """
        import json, os, sys
        sys.stdin.readline()
        print(json.dumps({"report": {"verdict": "verified", "env": dict(os.environ), "argv": sys.argv}}), flush=True)
    """,
    )
    report = json.dumps(over(one, one.ask(None, None).number).report)
    assert "PATH" in report
    assert "hunter2" not in report
    assert "mw_secret" not in report
    assert "127.0.0.1:1" not in report, "an endpoint's address may hold a key: it is not on the command line"


def examined(home) -> dict:
    """The last thing the real process says of a hospital whose chain does not answer."""
    address = "0x" + "11" * 20
    deployment = Deployment(31337, bytes(32), address, address, address, address, 1)
    job = Job("http://127.0.0.1:1", deployment.to_json(), str(home), Storage().model_dump(mode="json"))
    command = [sys.executable, "-m", "node.audit.apart"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        process.stdin.write(job.to_line())
        process.stdin.flush()
        *_, last = process.stdout
    assert process.returncode == 0
    return json.loads(last)


def test_a_hospital_without_blobs_is_a_problem_and_no_verdict(tmp_path):
    assert "there are no blobs" in examined(tmp_path)["problem"]


def test_an_endpoint_that_does_not_answer_could_not_be_checked(tmp_path):
    FileStore(tmp_path / "blobs").put(b"a blob")
    assert examined(tmp_path)["report"]["verdict"] == "could-not-check"


def test_the_real_process_ends_with_the_daemon(tmp_path):
    """It is held by a pipe of the daemon's: when that closes, it goes."""
    program = (
        "import node.audit.apart as apart, time\n"
        "apart.examine = lambda job, say: (say({'at': ['', 0, 1]}), time.sleep(60))\n"
        "apart.main()"
    )
    job = Job("", "", str(tmp_path), {})
    process = subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    process.stdin.write(job.to_line())
    process.stdin.flush()
    assert "at" in json.loads(process.stdout.readline())
    assert os.getpriority(os.PRIO_PROCESS, process.pid) >= min(19, os.getpriority(os.PRIO_PROCESS, 0) + 10)
    process.stdin.close()
    assert process.wait(20) == 3
    process.stdout.close()


def test_blobs_of_a_store_are_evidence(tmp_path):
    store = MemoryStore()
    cid = store.put(b"a statement")
    evidence = StoreEvidence(store, Home(tmp_path))
    assert evidence.look(cid).data == b"a statement"
    missing = evidence.look(raw_cid(bytes(32)))
    assert missing.data is None
    assert missing.absent == ("this hospital's store",)
    assert evidence.envelope(1) is None
