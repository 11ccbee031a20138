"""The daemon's log: an event a line, fields of its context, nothing that opens anything."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import stat
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node import logs
from node.errors import BadEnvironment

log = logging.getLogger("medweave.rounds")


@pytest.fixture
def written(tmp_path, monkeypatch):
    """Sends the log to a file as JSON, or as `form` says; gives what stands in it."""
    monkeypatch.setattr(logs, "_everywhere", {})
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    file = tmp_path / "node.log"

    def read(form="json"):
        lines = file.read_text(encoding="utf-8").splitlines()
        return [json.loads(line) for line in lines] if form == "json" else lines

    read.file = file
    root.handlers = []
    logs.set_up("json", logging.INFO, file=file)
    yield read
    for handler in root.handlers:
        handler.close()
    root.handlers, root.level = before, level


def record(message, *arguments, error=None):
    return logging.LogRecord("medweave.rounds", logging.INFO, __file__, 1, message, arguments, error, "keep_house")


def test_a_line_is_an_object_with_time_level_logger_event_and_message(written):
    log.warning("round %d: taking no part: %s", 7, "it was no member")
    (row,) = written()
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", row.pop("time"))
    assert row == {
        "level": "warning",
        "logger": "medweave.rounds",
        "event": "round-taking-no-part",
        "message": "round 7: taking no part: it was no member",
        "round": 7,
    }


def test_what_is_bound_stands_on_every_record_made_inside(written):
    async def handle():
        with logs.bound(request="abc"):
            await asyncio.to_thread(log.info, "in a thread")
            log.info("here")

    logs.everywhere(member=3)
    asyncio.run(handle())
    with logs.bound(round=9, phase="train"), logs.bound(phase="seal"):
        log.info("deeper")
    log.info("outside")
    rows = written()
    assert [row.get("request") for row in rows] == ["abc", "abc", None, None]
    assert (rows[2]["round"], rows[2]["phase"]) == (9, "seal")
    assert "round" not in rows[3]
    assert {row["member"] for row in rows} == {3}


def test_only_known_fields_are_bound():
    with pytest.raises(TypeError, match="patient"), logs.bound(patient="x"):
        pass


@pytest.mark.parametrize(
    ("template", "event"),
    [
        ("round %d: %s broke", "round-broke"),
        ("%s: %s", "daemon-jobs-keep-house"),
        ("round %d: %s", "daemon-jobs-round"),
        ("model %s…: a peer's %s is of no use: %s", "model-a-peers-is-of-no-use"),
        ("round %d: epoch %d of %d, loss %.4f, about %.0f s left", "round-epoch-of-loss-about-s-left"),
        ("%(name)s went back", "went-back"),
    ],
)
def test_an_event_is_named_after_its_place_in_the_code_not_its_values(template, event):
    assert logs.event_of(template, "daemon_jobs", "_keep_house") == event


TOKEN = "mw_" + "k3Jx_" * 8


@pytest.mark.parametrize(
    ("message", "kept", "struck"),
    [
        (f"token {TOKEN} expired", "token", TOKEN),
        ("https://ann:hunter2@chain.example/v3 cannot be reached", "chain.example", "hunter2"),
        ("Authorization: Bearer abcdefgh12345678", "Bearer", "abcdefgh12345678"),
    ],
)
@pytest.mark.parametrize("formatter", [logs.JsonFormatter(), logs.TextFormatter()])
def test_what_opens_something_is_struck_out(formatter, message, kept, struck):
    for line in (formatter.format(record("%s", message)), formatter.format(record("x", error=error_of(message)))):
        assert struck not in line
        assert kept in line


def error_of(message):
    error = ValueError(message)
    return type(error), error, None


def test_an_ordinary_address_is_left_alone():
    line = logs.TextFormatter().format(record("%s", "http://127.0.0.1:8545/a@b: not reached, mw_1"))
    assert "http://127.0.0.1:8545/a@b: not reached, mw_1" in line


@given(st.text(max_size=80))
def test_nobody_can_forge_a_second_line(text):
    assert len(logs.JsonFormatter().format(record("%s", text)).split("\n")) == 1
    plain = logs.TextFormatter().format(record("%s", text))
    assert "\n" not in plain
    assert "\r" not in plain
    assert json.loads(logs.JsonFormatter().format(record("%s", text)))["message"] == logs._clean(text)


def test_a_traceback_is_kept_with_the_record(written):
    try:
        int("broken")
    except ValueError:
        log.exception("gossip")
    (row,) = written()
    assert "Traceback" in row["traceback"]
    assert "broken" in row["traceback"]
    assert row["level"] == "error"


def test_an_endless_message_is_cut():
    line = json.loads(logs.JsonFormatter().format(record("%s", "a" * (logs.LONGEST_MESSAGE + 5))))
    assert line["message"].endswith("… (5 more characters)")


def test_a_file_is_private_and_begins_anew_at_its_size(written):
    logs.set_up("text", logging.INFO, file=written.file, max_bytes=2000, keep=2)
    for number in range(100):
        log.info("line %d", number)
    names = sorted(path.name for path in written.file.parent.iterdir())
    assert names == ["node.log", "node.log.1", "node.log.2"]
    assert {stat.S_IMODE(path.stat().st_mode) for path in written.file.parent.iterdir()} == {0o600}
    assert "line 99" in written("text")[-1]


def test_a_file_that_cannot_be_written_is_said(tmp_path):
    with pytest.raises(BadEnvironment, match=r"\[log\] file"):
        logs.set_up("json", logging.INFO, file=tmp_path / "absent" / "node.log")


def test_libraries_talk_less(written):
    logging.getLogger("httpx").info("GET http://peer/")
    logging.getLogger("httpx").warning("odd")
    assert [row["message"] for row in written()] == ["odd"]


@given(st.text(alphabet=string.printable, max_size=80))
def test_a_request_id_is_taken_only_if_it_is_one(given_id):
    taken = logs.request_id(given_id)
    assert re.fullmatch(r"[A-Za-z0-9._-]{1,64}", taken)
    assert (taken == given_id) == bool(re.fullmatch(r"[A-Za-z0-9._-]{1,64}", given_id))


def test_fresh_request_ids_differ():
    assert logs.request_id(None) != logs.request_id(None)
